//! Private keys in any text: age identities, OpenPGP, PEM.

use std::ops::Range;

use bstr::ByteSlice as _;

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An age identity.
    Age,
    /// An age identity in base64.
    AgeInBase64,
    /// An OpenPGP private key block.
    Pgp,
    /// A private key in PEM.
    Pem,
}

/// Bech32's characters, in capitals as age writes them.
const BECH32: &[u8] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

/// How far around a needle base64 is decoded: several times an identity.
const WINDOW: usize = 512;

/// `AGE-SECRET-KEY-` in base64, at each of the three ways it can fall on groups of three bytes.
const AGE_IN_BASE64: [&str; 3] = ["QUdFLVNFQ1JFVC1LRVkt", "FHRS1TRUNSRVQtS0VZL", "BR0UtU0VDUkVULUtFWS"];

/// Whether there may be a key: a search for a few words.
pub fn may_hold_key(bytes: &[u8]) -> bool {
    bytes.contains_str("AGE-SECRET-KEY-")
        || bytes.contains_str("PRIVATE KEY")
        || AGE_IN_BASE64.iter().any(|needle| bytes.contains_str(needle))
}

/// The keys in a text, with their place.
pub fn find(text: &str) -> Vec<(KeyKind, Range<usize>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("AGE-SECRET-KEY-") {
        if let Some(length) = age_identity(&text[at..]) {
            found.push((KeyKind::Age, at..at + length));
        }
    }
    for needle in AGE_IN_BASE64 {
        for (at, _) in text.match_indices(needle) {
            if let Some(range) = base64_identity(text, at) {
                found.push((KeyKind::AgeInBase64, range));
            }
        }
    }
    for (at, _) in text.match_indices("-----BEGIN ") {
        found.extend(armored(text, at));
    }
    found.sort_by_key(|(_, range)| range.start);
    found
}

/// The length of an age identity at the start of the text.
///
/// Its check sum is not asked for: what looks like a key and lacks one letter is a key to be guessed. A row of
/// few different characters is a placeholder in a manual.
fn age_identity(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("AGE-SECRET-KEY-")?;
    let rest = rest.strip_prefix("PQ-").unwrap_or(rest).strip_prefix('1')?;
    let data = rest.bytes().take_while(|b| BECH32.contains(b)).collect::<Vec<_>>();
    let mut different = data.clone();
    different.sort_unstable();
    different.dedup();
    (data.len() >= 50 && different.len() >= 6).then(|| text.len() - rest.len() + data.len())
}

fn base64_identity(text: &str, at: usize) -> Option<Range<usize>> {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    let bytes = text.as_bytes();
    let start = at - bytes.get(..at)?.iter().rev().take(WINDOW).take_while(|b| is_base64(b)).count();
    let end = at + bytes.get(at..)?.iter().take(WINDOW).take_while(|b| is_base64(b)).count();
    // The run may begin in the middle of a group of four.
    (start..at.min(start + 3) + 1).find_map(|from| {
        let decoded = crate::yaml::decode_base64(text.get(from..end)?.trim_end_matches('='))?;
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        decoded
            .match_indices("AGE-SECRET-KEY-")
            .any(|(at, _)| age_identity(&decoded[at..]).is_some())
            .then_some(from..end)
    })
}

/// A private key between `-----BEGIN …-----` and its end, with a body that is one.
fn armored(text: &str, at: usize) -> Option<(KeyKind, Range<usize>)> {
    let rest = &text[at + "-----BEGIN ".len()..];
    let name_end = rest.get(..64.min(rest.len())).or(Some(rest)).and_then(|head| head.find("-----"))?;
    let name = &rest[..name_end];
    let kind = match name {
        "PGP PRIVATE KEY BLOCK" => KeyKind::Pgp,
        // A key under a passphrase of its own is not plain.
        "ENCRYPTED PRIVATE KEY" => return None,
        _ if name.ends_with("PRIVATE KEY") => KeyKind::Pem,
        _ => return None,
    };
    let body = &rest[name_end + 5..];
    let body = &body[..body.find("-----").unwrap_or(body.len())];
    if body.contains("4,ENCRYPTED") {
        return None;
    }
    (longest_base64_run(body) >= 24).then(|| {
        let begin_line = at + "-----BEGIN ".len() + name_end + 5;
        (kind, at..begin_line)
    })
}

/// The longest row of base64 characters; what breaks lines in strings (`\n`, quotes, `+`) ends a row.
fn longest_base64_run(body: &str) -> usize {
    let mut longest = 0;
    for run in body.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))) {
        let mut different = run.bytes().collect::<Vec<_>>();
        different.sort_unstable();
        different.dedup();
        // `XXXXXXXX…` is a placeholder.
        if different.len() >= 6 {
            longest = longest.max(run.len());
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use secrecy::ExposeSecret as _;

    fn kinds(text: &str) -> Vec<KeyKind> {
        find(text).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn age_identities_are_found_anywhere() {
        let key = crate::sops::age::Identity::generate().expose_line().expose_secret().to_owned();
        assert_eq!(kinds(&format!("key = \"{key}\"")), [KeyKind::Age]);
        assert_eq!(kinds(&format!("AGE-SECRET-KEY-PQ-1{}", &key[16..])), [KeyKind::Age]);
        for lead in ["", "x", "xx", "xxx"] {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{lead}{key}\n"));
            assert!(may_hold_key(text.as_bytes()), "{lead}");
            assert_eq!(kinds(&format!("k: {text}\n")), [KeyKind::AgeInBase64], "{lead}");
        }
        assert_eq!(kinds("AGE-SECRET-KEY-1XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"), []);
        assert_eq!(kinds("AGE-SECRET-KEY-1..."), []);
    }

    #[test]
    fn armored_keys_need_a_body() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        for name in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let text = format!("  -----BEGIN {name}-----\n  {body}\n  -----END {name}-----\n");
            assert_eq!(kinds(&text), [KeyKind::Pem], "{name}");
            assert_eq!(kinds(&text.replace('\n', "\\n")), [KeyKind::Pem], "{name}");
        }
        assert_eq!(kinds(&format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{body}\n")), [KeyKind::Pgp]);
        assert_eq!(kinds("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"), []);
        assert_eq!(kinds(&format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n")), []);
        assert_eq!(kinds(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n")), []);
        assert_eq!(kinds(&format!("-----BEGIN CERTIFICATE-----\n{body}\n")), []);
        assert_eq!(kinds("strings.Contains(s, \"-----BEGIN RSA PRIVATE KEY-----\")"), []);
        assert_eq!(kinds("-----BEGIN PRIVATE KEY-----\nXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\n"), []);
    }
}
