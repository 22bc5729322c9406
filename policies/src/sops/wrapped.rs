//! Whether a wrapped data key (`enc`) is what its recipient could open: by its form, without a key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::age::RecipientKind;
use super::keys::WrappedKey;
use super::recipient::Recipient;
use super::shamir::SHARE_BYTES;

/// What is wrong with a wrapped data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwrappable {
    /// An age recipient's is no armored age file with a data key in it.
    #[error("an `enc` is not an age file that holds a data key")]
    Form,
    /// An age file for another kind of recipient, or for more than one.
    #[error("an `enc` is not for the one recipient that is written beside it")]
    Recipient,
    /// It is readable text.
    #[error("an `enc` is readable text, which no wrapped key is")]
    Readable,
}

const ARMOR: (&str, &str) = ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----");

/// Looks at a wrapped key. `shares` says that the file has several groups, so that a share of the key is wrapped.
///
/// # Errors
///
/// What keeps its recipient from opening it. That it opens, only a key can tell.
pub fn check(wrapped: &WrappedKey, shares: bool) -> Result<(), Unwrappable> {
    match &wrapped.recipient {
        Recipient::Age(recipient) => age(recipient, &wrapped.enc, shares),
        Recipient::Pgp(_) if !wrapped.enc.contains("-----BEGIN PGP MESSAGE-----") => {
            Err(Unwrappable::Readable)
        }
        // Of the others' formats each service has its own: words with blanks are none of them.
        _ if wrapped.enc.trim().contains(' ') && !wrapped.enc.contains("-----BEGIN") => {
            Err(Unwrappable::Readable)
        }
        _ => Ok(()),
    }
}

fn age(recipient: &str, enc: &str, shares: bool) -> Result<(), Unwrappable> {
    let bytes = armored(enc).ok_or(Unwrappable::Form)?;
    let (stanzas, payload) = header(&bytes).ok_or(Unwrappable::Form)?;
    // A nonce, and one sealed chunk (age's STREAM).
    let key = if shares { SHARE_BYTES } else { 32 };
    if payload != 16 + key + 16 {
        return Err(Unwrappable::Form);
    }
    // age puts in stanzas that mean nothing, so that readers learn to pass over what they do not know.
    let mut real = stanzas.iter().filter(|(kind, _)| !kind.ends_with("-grease"));
    match (real.next(), real.next()) {
        (Some((kind, argument)), None) if fits(kind, argument, recipient.trim()) => Ok(()),
        _ => Err(Unwrappable::Recipient),
    }
}

/// The bytes of an armored age file. Line lengths are not asked for, as other programs wrap lines anew.
fn armored(enc: &str) -> Option<Vec<u8>> {
    let body = enc.trim().strip_prefix(ARMOR.0)?.strip_suffix(ARMOR.1)?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// The stanzas of an age header, each as kind and first argument, and the length of what follows the header.
fn header(bytes: &[u8]) -> Option<(Vec<(String, String)>, usize)> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| (line.len(), line));
    let mut read = 0;
    let mut next = || {
        let (length, line) = lines.next()?;
        read += length;
        Some((std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?, read))
    };
    if next()?.0 != "age-encryption.org/v1" {
        return None;
    }
    let mut stanzas = Vec::new();
    loop {
        let (line, end) = next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            let whole = STANDARD_NO_PAD.decode(mac).is_ok_and(|mac| mac.len() == 32) && !stanzas.is_empty();
            return whole.then(|| (stanzas, bytes.len() - end));
        }
        if let Some(stanza) = line.strip_prefix("-> ") {
            let mut words = stanza.split(' ').map(str::to_owned);
            stanzas.push((words.next().unwrap_or_default(), words.next().unwrap_or_default()));
        } else if stanzas.is_empty() || line.len() > 64 || STANDARD_NO_PAD.decode(line).is_err() {
            return None;
        }
    }
}

/// Whether a stanza is of the kind that the recipient's keys open; of ssh keys, for this very key.
fn fits(kind: &str, argument: &str, recipient: &str) -> bool {
    match RecipientKind::of(recipient) {
        Some(RecipientKind::X25519) => kind == "X25519",
        Some(RecipientKind::PostQuantum) => kind == "mlkem768x25519",
        Some(RecipientKind::Ssh) => {
            let mut words = recipient.split_whitespace();
            let same = words.next() == Some(kind);
            let key = words.next().and_then(|key| STANDARD.decode(key).ok()).unwrap_or_default();
            same && Sha256::digest(&key).get(..4).map(|tag| STANDARD_NO_PAD.encode(tag)).as_deref()
                == Some(argument)
        }
        Some(RecipientKind::Plugin(_)) => kind != "X25519" && kind != "scrypt",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::age::{AgeKeys, Identity};
    use crate::sops::keys::{DataKey, KeyBytes, KeyService as _};

    fn wrapped(recipient: &str) -> WrappedKey {
        let key = KeyBytes::Whole(DataKey::new([7; 32]));
        AgeKeys::default().wrap(&key, &Recipient::Age(recipient.to_owned())).unwrap()
    }

    #[test]
    fn what_age_writes_is_taken_for_its_recipient_and_no_other() {
        let recipient = Identity::generate().recipient().unwrap();
        let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me";
        for recipient in [recipient.as_str(), ssh] {
            assert_eq!(check(&wrapped(recipient), false), Ok(()), "{recipient}");
            assert_eq!(check(&wrapped(recipient), true), Err(Unwrappable::Form), "a share is longer");
        }
        let for_other = WrappedKey { recipient: Recipient::Age(ssh.to_owned()), ..wrapped(&recipient) };
        assert_eq!(check(&for_other, false), Err(Unwrappable::Recipient));
        let indented = wrapped(&recipient);
        let indented = WrappedKey { enc: indented.enc.replace('\n', "\r\n  "), ..indented };
        assert_eq!(check(&indented, false), Ok(()));
    }

    #[test]
    fn a_second_reader_does_not_hide_in_one_block() {
        let keys = [(); 2].map(|()| ::age::x25519::Identity::generate().to_public());
        let enc =
            ::age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn ::age::Recipient)).unwrap();
        let mut armored = Vec::new();
        let armor = ::age::armor::ArmoredWriter::wrap_output(&mut armored, ::age::armor::Format::AsciiArmor);
        let mut writer = enc.wrap_output(armor.unwrap()).unwrap();
        std::io::Write::write_all(&mut writer, &[7; 32]).unwrap();
        writer.finish().and_then(::age::armor::ArmoredWriter::finish).unwrap();
        let enc = String::from_utf8(armored).unwrap();
        let wrapped = WrappedKey { recipient: Recipient::Age(keys[0].to_string()), enc };
        assert_eq!(check(&wrapped, false), Err(Unwrappable::Recipient));
    }

    #[test]
    fn stubs_are_no_wrapped_keys() {
        let recipient = Identity::generate().recipient().unwrap();
        let with = |enc: &str| check(&WrappedKey { enc: enc.to_owned(), ..wrapped(&recipient) }, false);
        let text = STANDARD.encode("age-encryption.org/v1\nthe password is in here");
        let stub = format!("{}\n{text}\n{}\n", ARMOR.0, ARMOR.1);
        for enc in ["", "x", "-----BEGIN AGE ENCRYPTED FILE-----", stub.as_str()] {
            assert_eq!(with(enc), Err(Unwrappable::Form), "{enc}");
        }
        let other =
            |recipient: Recipient, enc: &str| check(&WrappedKey { recipient, enc: enc.to_owned() }, false);
        assert_eq!(other(Recipient::Pgp("A".to_owned()), "words"), Err(Unwrappable::Readable));
        assert_eq!(other(Recipient::GcpKms("k".to_owned()), "the key"), Err(Unwrappable::Readable));
        assert_eq!(other(Recipient::GcpKms("k".to_owned()), "CiQAZ3=="), Ok(()));
    }
}
