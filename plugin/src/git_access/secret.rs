//! Passwords and tokens: out of files, into headers, and back out of a Secret that is there already.

use base64::Engine as _;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::remote::Access;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use zeroize::Zeroizing;

/// A password or token is a line.
const MAX_BYTES: u64 = 64 << 10;

/// The one line of a file, or of standard input for `-`, without its line end.
pub(super) fn line(file: &str, flag: &str) -> Result<SecretString, Failure> {
    let place = if file == "-" { "standard input" } else { file };
    let wrong = |why: &str| Failure::usage(format!("{flag}: {why}")).at(place);
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let read = if file == "-" {
        std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| wrong("cannot read it").because_of(error.kind().to_string()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(wrong("there is nothing in it")),
        line if line.chars().any(char::is_control) => Err(wrong("one line of text is wanted")),
        line => Ok(SecretString::from(line.to_owned())),
    }
}

/// The header of basic authentication.
pub(super) fn basic(username: &str, password: &SecretString) -> SecretString {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.as_bytes())).into()
}

/// The header of a token.
pub(super) fn bearer(token: &SecretString) -> SecretString {
    format!("Bearer {}", token.expose_secret()).into()
}

/// What a Secret on the cluster gives this machine to look with.
#[derive(Debug)]
pub struct ReadBack {
    /// The credentials.
    pub access: Access,
    /// The file that `access` names, gone with this value; certificates are no secret.
    _certificates: Option<tempfile::NamedTempFile>,
}

/// The URL of a proxy by the entries of its Secret.
#[must_use]
pub fn proxy_of(data: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Option<SecretString> {
    let text = |key: &str| Some(Zeroizing::new(String::from_utf8_lossy(data.get(key)?).into_owned()));
    let mut url = url::Url::parse(&text("address")?).ok()?;
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        url.set_username(&username).ok()?;
        url.set_password(Some(&password)).ok()?;
    }
    Some(SecretString::from(String::from(url)))
}

/// Reads the entries of a Secret as source-controller does. `None` where this machine cannot look with them: a private
/// key for ssh would have to be written to a file in clear.
#[must_use]
pub fn read_back(data: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Option<ReadBack> {
    let text = |key: &str| {
        let bytes = data.get(key)?;
        Some(SecretString::from(String::from_utf8_lossy(bytes).into_owned()))
    };
    // Nor is the key of a client's certificate or of an app.
    if ["identity", "tls.key", "githubAppPrivateKey"].iter().any(|key| data.contains_key(*key)) {
        return None;
    }
    let authorization = match (text("bearerToken"), text("username"), text("password")) {
        (Some(token), _, _) => Some(bearer(&token)),
        (None, Some(username), Some(password)) => Some(basic(username.expose_secret(), &password)),
        _ => None,
    };
    let authority = data.get("ca.crt").or_else(|| data.get("caFile"));
    let certificates = authority.and_then(|bytes| {
        let mut file = tempfile::NamedTempFile::new().ok()?;
        file.write_all(bytes).ok()?;
        Some(file)
    });
    let path = certificates.as_ref().map(|file| file.path().to_owned());
    let access = Access { authorization, certificate_authority: path, ..Access::default() };
    Some(ReadBack { access, _certificates: certificates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            line(path.to_str().unwrap(), "--password-file")
        };
        for content in ["CANARY", "CANARY\n", "CANARY\r\n"] {
            assert_eq!(read(content).unwrap().expose_secret(), "CANARY");
        }
        assert_eq!(read(" with blanks ").unwrap().expose_secret(), " with blanks ");
        for content in ["", "\n", "CANARY\nCANARY\n", "CANARY\0"] {
            let failure = format!("{:?}", read(content).unwrap_err());
            assert!(!failure.contains("CANARY"), "{failure}");
        }
        assert!(line("/nowhere", "--password-file").is_err());
    }

    #[test]
    fn a_secret_is_read_as_flux_reads_it() {
        let data = |entries: &[(&str, &str)]| {
            entries
                .iter()
                .map(|(k, v)| ((*k).to_owned(), Zeroizing::new(v.as_bytes().to_owned())))
                .collect::<BTreeMap<_, _>>()
        };
        let header = |entries: &[(&str, &str)]| {
            let access = read_back(&data(entries)).unwrap().access;
            access.authorization.map(|header| header.expose_secret().to_owned())
        };
        assert_eq!(header(&[("username", "a"), ("password", "b")]).as_deref(), Some("Basic YTpi"));
        assert_eq!(header(&[("bearerToken", "t")]).as_deref(), Some("Bearer t"));
        assert_eq!(header(&[("username", "a")]), None);
        assert!(read_back(&data(&[("identity", "k")])).is_none());
        let with_ca = read_back(&data(&[("ca.crt", "certificates")])).unwrap();
        let path = with_ca.access.certificate_authority.clone().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "certificates");
        drop(with_ca);
        assert!(!path.exists());
    }
}
