//! The message authentication code: SHA-512 over all plain values in order (`sops.go`, `Encrypt`).

use sha2::{Digest as _, Sha512};

use super::plain::Plain;

/// What the hash begins with where only encrypted values count (`MACOnlyEncryptedInitialization`): SHA-256
/// of `sops`.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// The code of a file, value by value.
#[derive(Clone, Debug)]
pub struct Mac {
    hash: Sha512,
    only_encrypted: bool,
}

impl Mac {
    /// Begins. `only_encrypted` is the metadata's `mac_only_encrypted`.
    pub fn new(only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(ONLY_ENCRYPTED);
        }
        Self { hash, only_encrypted }
    }

    /// Takes the next value in. Comments and nulls do not count.
    pub fn add(&mut self, plain: &Plain, covered: bool) {
        if covered || !self.only_encrypted {
            match plain {
                Plain::Str(bytes) => self.hash.update(bytes.as_slice()),
                other => self.hash.update(other.canonical().as_slice()),
            }
        }
    }

    /// The code, as sops writes it before it is encrypted: hexadecimal in capitals.
    pub fn finish(self) -> String {
        use std::fmt::Write as _;
        self.hash.finalize().iter().fold(String::with_capacity(128), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        })
    }
}

/// The additional data of the code: `lastmodified` as Go reads and writes it again (RFC 3339, no fraction,
/// a zero offset as `Z`).
pub fn aad_of(last_modified: &str) -> String {
    let upper = last_modified.trim().replace(['t', ' '], "T").replace('z', "Z");
    let (date_time, zone) = match upper.len().checked_sub(6).filter(|_| !upper.ends_with('Z')) {
        Some(at) if upper.is_char_boundary(at) => upper.split_at(at),
        _ => (upper.trim_end_matches('Z'), "Z"),
    };
    let whole = date_time.split('.').next().unwrap_or_default();
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    format!("{whole}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_and_written_as_go_does() {
        let table = [
            ("2026-11-21T06:00:00Z", "2026-11-21T06:00:00Z"),
            ("2026-11-21T06:00:00+00:00", "2026-11-21T06:00:00Z"),
            ("2026-11-21T06:00:00.25Z", "2026-11-21T06:00:00Z"),
            ("2026-11-21T06:00:00.5+02:00", "2026-11-21T06:00:00+02:00"),
            ("2026-11-21T06:00:00-05:30", "2026-11-21T06:00:00-05:30"),
        ];
        for (text, wanted) in table {
            assert_eq!(aad_of(text), wanted);
        }
        assert_eq!(aad_of("ü"), "üZ");
    }

    #[test]
    fn only_encrypted_values_count_where_asked() {
        let code = |only, covered| {
            let mut mac = Mac::new(only);
            mac.add(&Plain::text("a"), covered);
            mac.finish()
        };
        assert_eq!(code(false, true), code(false, false));
        assert_ne!(code(true, true), code(true, false));
        assert_eq!(Mac::new(true).finish(), code(true, false));
        assert!(code(false, true).starts_with("1F40FC92DA241694"), "sha512 of `a`");
    }
}
