//! Private keys in any text: age identities, OpenPGP, PEM.

use std::ops::Range;

use crate::words::Words;

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
    /// One of the last two in base64.
    ArmoredInBase64,
}

/// Bech32's characters, in capitals as age writes them.
const BECH32: &[u8] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

/// How far around a needle base64 is decoded: several times an identity.
const WINDOW: usize = 512;

/// `AGE-SECR` and `RET-KEY-1` in base64, at each of the three ways they can fall on groups of three bytes. Where
/// lines are wrapped, one of the two is whole.
const AGE_IN_BASE64: [&str; 6] =
    ["QUdFLVNFQ1", "FHRS1TRUNS", "BR0UtU0VDU", "UkVULUtFWS0x", "JFVC1LRVktM", "SRVQtS0VZLT"];

/// `PRIVATE KEY` likewise.
const PRIVATE_KEY_IN_BASE64: [&str; 3] = ["UFJJVkFURSBLRV", "BSSVZBVEUgS0VZ", "QUklWQVRFIEtFW"];

/// How many places of one text are decoded.
const MOST_TRIES: usize = 4096;

/// How age writes the beginning of an identity, and how Bech32 may write it.
const AGE: [&str; 2] = ["AGE-SECRET-KEY-", "age-secret-key-"];

static MAY_HOLD_AGE: Words = Words::new(&AGE);
static MAY_HOLD_PRIVATE_KEY: Words = Words::new(&["PRIVATE KEY"]);
static MAY_HOLD_BASE64_OF_AGE: Words = Words::new(&AGE_IN_BASE64);
static MAY_HOLD_BASE64_OF_KEY: Words = Words::new(&PRIVATE_KEY_IN_BASE64);

/// Whether there may be a key: a search for a few words.
pub fn may_hold_key(bytes: &[u8]) -> bool {
    [&MAY_HOLD_AGE, &MAY_HOLD_PRIVATE_KEY, &MAY_HOLD_BASE64_OF_AGE, &MAY_HOLD_BASE64_OF_KEY]
        .iter()
        .any(|words| words.any_in(bytes))
}

/// The keys in a text, with their place.
pub fn find(text: &str) -> Vec<(KeyKind, Range<usize>)> {
    let mut found = Vec::new();
    for at in AGE.iter().flat_map(|word| text.match_indices(word)).map(|(at, _)| at) {
        if let Some(length) = age_identity(&text[at..]) {
            found.push((KeyKind::Age, at..at + length));
        }
    }
    let is_age = |text: &str| text.match_indices(AGE[0]).any(|(at, _)| age_identity(&text[at..]).is_some());
    let is_armored =
        |text: &str| text.match_indices("-----BEGIN ").any(|(at, _)| armored(text, at).is_some());
    let placed = |needles: &'static [&'static str]| {
        let columns = needles.iter().zip(COLUMNS.iter().cycle());
        columns.flat_map(|(needle, column)| text.match_indices(needle).map(|(at, _)| (at, *column)))
    };
    for (at, column) in placed(&AGE_IN_BASE64).take(MOST_TRIES) {
        found.extend(in_base64(text, at, column, is_age).map(|range| (KeyKind::AgeInBase64, range)));
    }
    for (at, column) in placed(&PRIVATE_KEY_IN_BASE64).take(MOST_TRIES) {
        found.extend(in_base64(text, at, column, is_armored).map(|range| (KeyKind::ArmoredInBase64, range)));
    }
    // Nobody writes so many by chance: a key may hide among them.
    found.extend(placed(&AGE_IN_BASE64).nth(MOST_TRIES).map(|(at, _)| (KeyKind::AgeInBase64, at..at + 1)));
    for (at, _) in text.match_indices("-----BEGIN ") {
        found.extend(armored(text, at));
    }
    found.sort_by_key(|(_, range)| range.start);
    // In base64, the beginning and the end of a key tell of the same one.
    found.dedup_by(|next, kept| {
        next.0 == kept.0 && next.1.start < kept.1.end + WINDOW && next.0.is_in_base64()
    });
    found
}

impl KeyKind {
    fn is_in_base64(self) -> bool {
        matches!(self, Self::AgeInBase64 | Self::ArmoredInBase64)
    }
}

/// The length of an age identity at the start of the text.
///
/// Its check sum is not asked for: what looks like a key and lacks one letter is a key to be guessed. A row of
/// few different characters is a placeholder in a manual.
fn age_identity(text: &str) -> Option<usize> {
    let rest = AGE.iter().find_map(|word| text.strip_prefix(word))?;
    let rest = rest.strip_prefix("PQ-").or(rest.strip_prefix("pq-")).unwrap_or(rest).strip_prefix('1')?;
    let data = rest.bytes().take_while(|b| BECH32.contains(&b.to_ascii_uppercase())).collect::<Vec<_>>();
    let mut different = data.clone();
    different.sort_unstable();
    different.dedup();
    (data.len() >= 50 && different.len() >= 6).then(|| text.len() - rest.len() + data.len())
}

/// The stretch of base64 around `at` that holds what is looked for: on its line, or on the lines from there on.
fn in_base64(text: &str, at: usize, column: usize, holds: impl Fn(&str) -> bool) -> Option<Range<usize>> {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    let wrapped = |b: &u8| is_base64(b) || b.is_ascii_whitespace();
    let (before, here) = (text.as_bytes().get(..at)?, text.as_bytes().get(at..)?);
    let back =
        |test: &dyn Fn(&u8) -> bool| at - before.iter().rev().take(WINDOW).take_while(|b| test(b)).count();
    let ahead = |test: &dyn Fn(&u8) -> bool| at + here.iter().take(WINDOW).take_while(|b| test(b)).count();
    let line = back(&is_base64)..ahead(&is_base64);
    let mut runs = vec![line.clone(), line.start..ahead(&wrapped), back(&wrapped)..ahead(&wrapped)];
    runs.dedup();
    let is_character = |b: &u8| !b.is_ascii_whitespace() && *b != b'=';
    for run in runs {
        let before = text.get(run.start..at)?.bytes().filter(is_character).count();
        let characters = text.get(run)?.bytes().filter(is_character).collect::<Vec<_>>();
        // The run may begin in the middle of a group of four, and be cut in the middle of one.
        let groups = characters.get((before + 4 - column) % 4..)?;
        let whole = &groups[..groups.len() - groups.len() % 4];
        let decode = |run: &[u8]| crate::yaml::decode_base64(std::str::from_utf8(run).ok()?);
        if decode(groups).or_else(|| decode(whole)).is_some_and(|text| holds(&String::from_utf8_lossy(&text)))
        {
            return Some(line);
        }
    }
    None
}

/// Where the beginning of a needle stands in its group of four: needles are written for each of the three ways in
/// turn in which a text can fall on groups of three bytes, without the characters that its neighbours decide.
const COLUMNS: [usize; 3] = [0, 2, 3];

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
        assert_eq!(kinds(&key.to_ascii_lowercase()), [KeyKind::Age]);
        let file = format!("# created: 2026-11-21T06:00:00Z\n# public key: age1xyz\n{key}\n");
        let wrapped = base64::engine::general_purpose::STANDARD.encode(file);
        let wrapped = wrapped.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
        assert_eq!(kinds(&wrapped.collect::<Vec<_>>().join("\n")), [KeyKind::AgeInBase64]);
    }

    #[test]
    fn armored_keys_need_a_body() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
        for name in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let text = format!("  -----BEGIN {name}-----\n  {body}\n  -----END {name}-----\n");
            assert_eq!(kinds(&text), [KeyKind::Pem], "{name}");
            assert_eq!(kinds(&text.replace('\n', "\\n")), [KeyKind::Pem], "{name}");
        }
        let public = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        for lead in ["", "x", "xx"] {
            let key = format!("{lead}-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
            let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
            assert!(may_hold_key(encoded(&key).as_bytes()), "{lead}");
            assert_eq!(kinds(&format!("key: {}\n", encoded(&key))), [KeyKind::ArmoredInBase64], "{lead}");
            assert_eq!(kinds(&format!("key: {}\n", encoded(&public))), [], "{lead}");
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
