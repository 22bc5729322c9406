//! A plain value: its type, and the bytes that are encrypted and authenticated for it.
//!
//! Types and conversions are those of sops (`aes/cipher.go`; `sops.go`, `ToBytes`).

use zeroize::Zeroizing;

use super::value::ValueType;

/// The value of a leaf. `Debug` shows the type only.
#[derive(Clone, PartialEq)]
pub enum Plain {
    /// Text. Bytes, because the binary store keeps any file as one; other stores need UTF-8.
    Str(Zeroizing<Vec<u8>>),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A time as RFC 3339 writes it, without trailing zeros, with its offset.
    Time(String),
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Str(_) => "Str(…)",
            Self::Int(_) => "Int(…)",
            Self::Float(_) => "Float(…)",
            Self::Bool(_) => "Bool(…)",
            Self::Time(_) => "Time(…)",
        })
    }
}

impl Plain {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Str(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// The text, where it is one and UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The type that an encrypted value names.
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Str(_) => ValueType::Str,
            Self::Int(_) => ValueType::Int,
            Self::Float(_) => ValueType::Float,
            Self::Bool(_) => ValueType::Bool,
            Self::Time(_) => ValueType::Time,
        }
    }

    /// The bytes that are encrypted and that go into the message authentication code.
    pub fn canonical(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Str(bytes) => bytes.to_vec(),
            Self::Int(int) => int.to_string().into_bytes(),
            Self::Float(float) => float_text(*float).into_bytes(),
            Self::Bool(true) => b"True".to_vec(),
            Self::Bool(false) => b"False".to_vec(),
            Self::Time(time) => time.clone().into_bytes(),
        })
    }

    /// Whether sops leaves it as it is: an empty text.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Str(bytes) if bytes.is_empty())
    }

    /// Whether two values are the same to sops: not-a-number is itself, and zero has a sign.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(one), Self::Str(other)) => one == other,
            _ => self.kind() == other.kind() && self.canonical() == other.canonical(),
        }
    }

    /// A value from its type and bytes. Comments are no values; bytes of old versions become text.
    /// `None` where the bytes are none of the type.
    pub fn from_canonical(kind: ValueType, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let text = || std::str::from_utf8(&bytes).ok();
        Some(match kind {
            ValueType::Str | ValueType::Bytes => Self::Str(bytes),
            ValueType::Int => Self::Int(text()?.parse().ok()?),
            ValueType::Float => Self::Float(match text()? {
                "NaN" => f64::NAN,
                "+Inf" | "Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                number => number.parse().ok()?,
            }),
            // Go's `ParseBool`.
            ValueType::Bool => match text()? {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Self::Bool(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Self::Bool(false),
                _ => return None,
            },
            ValueType::Time => Self::Time(text()?.to_owned()),
            ValueType::Comment => return None,
        })
    }
}

/// Go's `FormatFloat(v, 'f', -1, 64)`: the shortest text that gives the number back, never an exponent.
pub fn float_text(float: f64) -> String {
    if float.is_nan() {
        "NaN".to_owned()
    } else if float == f64::INFINITY {
        "+Inf".to_owned()
    } else if float == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        float.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_go() {
        let bytes = |plain: &Plain| String::from_utf8(plain.canonical().to_vec()).unwrap();
        let table = [
            (Plain::Float(1e21), "1000000000000000000000"),
            (Plain::Float(1.5e-7), "0.00000015"),
            (Plain::Float(1.0), "1"),
            (Plain::Float(-0.0), "-0"),
            (Plain::Float(f64::INFINITY), "+Inf"),
            (Plain::Float(f64::NEG_INFINITY), "-Inf"),
            (Plain::Float(f64::NAN), "NaN"),
            (Plain::Bool(true), "True"),
            (Plain::Int(-5), "-5"),
            (Plain::Time("2020-01-02T00:00:00Z".into()), "2020-01-02T00:00:00Z"),
        ];
        for (plain, wanted) in table {
            assert_eq!(bytes(&plain), wanted);
            let back = Plain::from_canonical(plain.kind(), plain.canonical()).unwrap();
            assert!(back.same(&plain), "{wanted}");
        }
        assert!(Plain::from_canonical(ValueType::Int, Zeroizing::new(b"one".to_vec())).is_none());
        assert_eq!(format!("{:?}", Plain::text("hunter2")), "Str(…)");
    }
}
