//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bstr::ByteSlice as _;

/// The type of the plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Text.
    Str,
    /// An integer.
    Int,
    /// A floating point number.
    Float,
    /// True or false.
    Bool,
    /// Bytes, written by old versions.
    Bytes,
    /// A comment.
    Comment,
    /// A time.
    Time,
}

/// A well-formed encrypted value.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedValue {
    /// The ciphertext.
    pub data: Vec<u8>,
    /// The nonce, 32 bytes (`aes/cipher.go`, `nonceSize`).
    pub iv: [u8; 32],
    /// The authentication tag.
    pub tag: [u8; 16],
    /// The type of the plaintext.
    pub kind: ValueType,
}

/// Shows sizes only: in a forged value the "ciphertext" is the secret.
impl std::fmt::Debug for EncryptedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptedValue")
            .field("kind", &self.kind)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// As it stands in a file.
impl std::fmt::Display for EncryptedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl EncryptedValue {
    /// As it stands in a file.
    pub fn text(&self) -> String {
        // What is written around the parts, and the nonce and tag in base64, are 111 characters at most.
        let mut text = String::with_capacity(self.data.len().div_ceil(3) * 4 + 128);
        text.push_str("ENC[AES256_GCM,data:");
        push_base64(&self.data, &mut text);
        text.push_str(",iv:");
        push_base64(&self.iv, &mut text);
        text.push_str(",tag:");
        push_base64(&self.tag, &mut text);
        text.push_str(",type:");
        text.push_str(self.kind.name());
        text.push(']');
        text
    }
}

/// Adds bytes in base64: short ones without the buffers that long ones are worth.
fn push_base64(bytes: &[u8], text: &mut String) {
    let mut short = [0; 64];
    match STANDARD.encode_slice(bytes, &mut short).map(|length| std::str::from_utf8(&short[..length])) {
        Ok(Ok(encoded)) => text.push_str(encoded),
        _ => STANDARD.encode_string(bytes, text),
    }
}

impl ValueType {
    /// As values name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Comment => "comment",
            Self::Time => "time",
        }
    }
}

/// What is wrong with something that looks like an encrypted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not of the form `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
    #[error("it is not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]")]
    Form,
    /// A part is not base64, or empty.
    #[error("its `{0}` is not base64")]
    Base64(&'static str),
    /// The nonce is not 32 bytes long.
    #[error("its `iv` is not 32 bytes long")]
    IvLength,
    /// The tag is not 16 bytes long.
    #[error("its `tag` is not 16 bytes long")]
    TagLength,
    /// The type is unknown.
    #[error("its `type` is unknown")]
    Type,
    /// A part is text: nothing that came out of a cipher or a random source.
    #[error("it is readable text in base64, which ciphertext is not")]
    Forged,
}

/// Whether a text claims to be an encrypted value. sops itself asks no more than this of its start.
pub fn claims(text: &str) -> bool {
    text.starts_with("ENC[")
}

/// Reads an encrypted value, more strictly than sops: it accepts junk after the `]` and any lengths, and
/// then fails to decrypt.
///
/// Trailing line breaks are allowed, which a block scalar adds.
///
/// # Errors
///
/// What is wrong, never the content.
pub fn parse(text: &str) -> Result<EncryptedValue, Malformed> {
    let value = parse_any(text)?;
    if value.is_readable() { Err(Malformed::Forged) } else { Ok(value) }
}

/// The same, where a key will tell whether it is genuine: ciphertext that happens to be readable is taken.
///
/// # Errors
///
/// What is wrong, never the content.
pub fn parse_any(text: &str) -> Result<EncryptedValue, Malformed> {
    let inner =
        text.trim_end_matches(['\n', '\r']).strip_prefix("ENC[AES256_GCM,").and_then(|s| s.strip_suffix(']'));
    let mut rest = inner.ok_or(Malformed::Form)?;
    let mut part = |name: &str| {
        let value = rest.strip_prefix(name)?.strip_prefix(':')?;
        let end = value.as_bytes().find_byte(b',').unwrap_or(value.len());
        rest = value.get(end + 1..).unwrap_or_default();
        Some((&value[..end], end == value.len()))
    };
    let parts = (part("data"), part("iv"), part("tag"), part("type"));
    let (Some((data, false)), Some((iv, false)), Some((tag, false)), Some((kind, true))) = parts else {
        return Err(Malformed::Form);
    };
    let data = decode("data", data)?;
    let iv = decode_exactly("iv", iv, Malformed::IvLength)?;
    let tag = decode_exactly("tag", tag, Malformed::TagLength)?;
    let kind = match kind {
        "str" => ValueType::Str,
        "int" => ValueType::Int,
        "float" => ValueType::Float,
        "bool" => ValueType::Bool,
        "bytes" => ValueType::Bytes,
        "comment" => ValueType::Comment,
        "time" => ValueType::Time,
        _ => return Err(Malformed::Type),
    };
    Ok(EncryptedValue { data, iv, tag, kind })
}

fn decode(name: &'static str, text: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty()).ok_or(Malformed::Base64(name))
}

/// Decodes what has to be of one length.
fn decode_exactly<const LENGTH: usize>(
    name: &'static str,
    text: &str,
    wrong: Malformed,
) -> Result<[u8; LENGTH], Malformed> {
    let mut bytes = [0; LENGTH];
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(length) if length == LENGTH => Ok(bytes),
        // What does not fit is taken apart again, to tell what is wrong with it.
        _ => decode(name, text)?.try_into().map_err(|_| wrong),
    }
}

impl EncryptedValue {
    /// Whether a part is printable text of 20 bytes or more: by chance once in 10⁷ values of that length. A tag is
    /// shorter, and says so only together with the data.
    fn is_readable(&self) -> bool {
        is_readable(&self.data)
            || is_readable(&self.iv)
            || is_readable(&[self.data.as_slice(), &self.tag].concat())
    }
}

/// Printable text in UTF-8 or UTF-16, long enough not to be chance.
fn is_readable(bytes: &[u8]) -> bool {
    if bytes.len() < 20 {
        return false;
    }
    let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(printable)) {
        return true;
    }
    let pairs = bytes.as_chunks::<2>().0;
    let narrow = |zero: usize| {
        pairs
            .iter()
            .all(|pair| pair[zero] == 0 && printable(char::from(pair[1 - zero])) && pair[1 - zero].is_ascii())
    };
    narrow(0) || narrow(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(data: &[u8], iv: usize, tag: usize, kind: &str) -> String {
        let b = |bytes: &[u8]| STANDARD.encode(bytes);
        format!(
            "ENC[AES256_GCM,data:{},iv:{},tag:{},type:{kind}]",
            b(data),
            b(&vec![1; iv]),
            b(&vec![2; tag])
        )
    }

    /// A value with readable text elsewhere than in its data: in the nonce, or in data and tag together.
    fn hidden_in(start: &str, nonce: &str) -> String {
        let nonce = if nonce.is_empty() { STANDARD.encode([1; 32]) } else { nonce.to_owned() };
        format!("ENC[AES256_GCM,{start}{nonce},tag:{},type:str]", STANDARD.encode(b"sixteen letters!"))
    }

    #[test]
    fn the_grammar_is_strict() {
        assert!(parse(&value(b"\x01\xff", 32, 16, "str")).is_ok());
        assert!(parse(&format!("{}\n", value(b"\x01", 32, 16, "comment"))).is_ok());
        let table = [
            (value(b"\x01", 12, 16, "str"), Malformed::IvLength),
            (value(b"\x01", 32, 12, "str"), Malformed::TagLength),
            (value(b"\x01", 32, 16, "text"), Malformed::Type),
            (value(b"", 32, 16, "str"), Malformed::Base64("data")),
            (value(b"\x01", 32, 16, "str") + "junk", Malformed::Form),
            (format!(" {}", value(b"\x01", 32, 16, "str")), Malformed::Form),
            ("ENC[not really]".to_owned(), Malformed::Form),
            ("ENC[AES256_GCM,data:hunter2!,iv:eA==,tag:eA==,type:str]".to_owned(), Malformed::Base64("data")),
            (value(b"this is readable by anyone", 32, 16, "str"), Malformed::Forged),
            (value("für niemanden lesbar, оder?".as_bytes(), 32, 16, "str"), Malformed::Forged),
            (value(b"w\0i\0d\0e\0 \0t\0e\0x\0t\0 \0w\0i\0d\0e\0", 32, 16, "str"), Malformed::Forged),
            (hidden_in("data:AQ==,iv:", "c2V2ZW4gd29yZHMgaGlkZGVuIGluIGEgbm9uY2UgIQo="), Malformed::Forged),
            (hidden_in("data:aHVudGVyMg==,iv:", ""), Malformed::Forged),
            (value(b"\x01", 32, 16, "str").replace(",type", ",more:x,type"), Malformed::Form),
        ];
        for (text, wanted) in table {
            assert_eq!(parse(&text).unwrap_err(), wanted, "{text}");
        }
    }
}
