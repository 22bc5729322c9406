//! Object names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The name of an object: 20 bytes (SHA-1) or 32 (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ObjectId {
    bytes: [u8; 32],
    len: u8,
}

impl ObjectId {
    /// Takes the raw bytes; `None` where there are not 20 or 32.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        if raw.len() != 20 && raw.len() != 32 {
            return None;
        }
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { bytes, len: u8::try_from(raw.len()).ok()? })
    }

    /// Reads 40 or 64 hexadecimal digits.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let mut raw = [0; 32];
        for (byte, digits) in raw.iter_mut().zip(hex.chunks_exact(2)) {
            let [high, low] = [digit(digits[0])?, digit(digits[1])?];
            *byte = high << 4 | low;
        }
        Self::from_bytes(&raw[..hex.len() / 2])
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it is the name that stands for "no object" in a list of ref updates.
    pub fn is_zero(&self) -> bool {
        self.as_bytes().iter().all(|byte| *byte == 0)
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(10);
        hex
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

impl ObjectId {
    /// The first bytes: as good as all of them in most cases, and quicker.
    fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Ord for ObjectId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.head().cmp(&other.head()).then_with(|| self.as_bytes().cmp(other.as_bytes()))
    }
}

impl PartialOrd for ObjectId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ObjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.head());
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        for hex in ["0123456789abcdef0123456789abcdef01234567", &"ab".repeat(32)] {
            assert_eq!(ObjectId::from_hex(hex.as_bytes()).unwrap().to_string(), hex);
        }
        assert!(ObjectId::from_hex(b"0123").is_none());
        assert!(ObjectId::from_hex(&[b'g'; 40]).is_none());
    }

    #[test]
    fn zero_in_both_lengths() {
        assert!(ObjectId::from_hex(&[b'0'; 40]).unwrap().is_zero());
        assert!(ObjectId::from_hex(&[b'0'; 64]).unwrap().is_zero());
        assert!(!ObjectId::from_hex(&[b'1'; 40]).unwrap().is_zero());
    }
}
