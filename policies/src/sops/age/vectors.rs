//! The published vectors of the age format: what must open opens to the published bytes, and nothing else does.

use std::io::Read as _;
use std::path::Path;

use ::age::{DecryptError, Decryptor};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{AgeKeys, Identity, armor};
use crate::sops::keys::{KeyError, KeyService as _, WrappedKey};
use crate::sops::recipient::Recipient;

/// A vector, taken apart.
struct Vector {
    name: String,
    expect: String,
    payload: Option<String>,
    identities: Vec<Identity>,
    passphrases: Vec<String>,
    file: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let header = std::str::from_utf8(&bytes[..end]).unwrap();
        let all = |name: &str| {
            let lines = header.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        let mut file = bytes[end + 2..].to_vec();
        if all("compressed") == ["zlib"] {
            let deflated = std::mem::take(&mut file);
            flate2::read::ZlibDecoder::new(&*deflated).read_to_end(&mut file).unwrap();
        }
        let identities = all("identity").iter().map(|line| Identity::parse(line).unwrap()).collect();
        Self {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            expect: all("expect").remove(0),
            payload: all("payload").pop(),
            identities,
            passphrases: all("passphrase"),
            file,
        }
    }

    /// What is in the file as far as it can be read, and what went wrong then, in the words of the vectors.
    fn open(&self) -> (Option<Vec<u8>>, &'static str) {
        let Ok(decryptor) = Decryptor::new(armor(&self.file)) else { return (None, "header failure") };
        let passphrases = self.passphrases.iter().map(|text| {
            let mut identity = ::age::scrypt::Identity::new(SecretString::from(text.as_str()));
            identity.set_max_work_factor(16);
            identity
        });
        let passphrases = passphrases.collect::<Vec<_>>();
        let keys = self.identities.iter().filter_map(Identity::opener);
        let all = keys.chain(passphrases.iter().map(|identity| identity as &dyn ::age::Identity));
        let mut reader = match decryptor.decrypt(all) {
            Ok(reader) => reader,
            Err(DecryptError::InvalidMac) => return (None, "HMAC failure"),
            Err(DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed) => return (None, "no match"),
            Err(_) => return (None, "header failure"),
        };
        let mut plain = Vec::new();
        let outcome = reader.read_to_end(&mut plain);
        (Some(plain), if outcome.is_ok() { "success" } else { "payload failure" })
    }

    /// Whether a verdict is the expected one. What is wrong with the armor shows where it is read: with the
    /// header or with the payload.
    fn expects(&self, verdict: &str) -> bool {
        let of_armor = matches!(verdict, "header failure" | "payload failure");
        verdict == self.expect || (self.expect == "armor failure" && of_armor)
    }
}

/// The `age` crate opens what the first versions of age wrote: a stanza whose body ends with a full line.
/// Its header is authenticated all the same.
const LENIENT: [&str; 2] = ["stanza_missing_body", "stanza_missing_final_line"];

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/vectors/age");
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    paths.sort();
    assert_eq!(paths.len(), 143, "all vectors are there");
    paths.iter().map(|path| Vector::read(path)).collect()
}

#[test]
fn every_published_vector_opens_or_fails_as_it_must() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let (plain, verdict) = vector.open();
        if LENIENT.contains(&&*vector.name) {
            assert_eq!((verdict, &*vector.expect), ("success", "header failure"), "{}", vector.name);
        } else if !vector.expects(verdict) {
            wrong.push(format!("{}: {verdict}, not {}", vector.name, vector.expect));
        }
        if let (Some(plain), Some(payload)) = (plain, &vector.payload) {
            let hash = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if hash != *payload {
                wrong.push(format!("{}: other bytes", vector.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A wrapped key of a SOPS file is an age file: none of the vectors is one, whatever is wrong with it.
#[test]
fn no_published_vector_is_taken_for_a_data_key() {
    let mut opened = 0;
    for vector in vectors() {
        let Ok(enc) = String::from_utf8(vector.file) else { continue };
        let wrapped = WrappedKey { recipient: Recipient::Age(vector.name.clone()), enc };
        let error = AgeKeys::new(vector.identities).unwrap(&wrapped).unwrap_err();
        assert!(
            matches!(error, KeyError::NotADataKey(_) | KeyError::Damaged(_) | KeyError::NoIdentity { .. }),
            "{}: {error}",
            vector.name
        );
        opened += usize::from(vector.expect == "success" && matches!(error, KeyError::NotADataKey(_)));
    }
    assert!(opened > 2, "those that open do so here, too");
}
