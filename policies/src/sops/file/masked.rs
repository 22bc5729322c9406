//! An encrypted file for somebody who compares versions: its layout and plain parts, a name in the place of
//! each encrypted value, and of the metadata what a reviewer needs.

use super::open::Opened;
use super::{File, Problem};
use crate::sops::plain::Plain;
use crate::sops::store;
use crate::sops::value::{self, EncryptedValue, ValueType};
use std::collections::HashMap;
use std::fmt::Write as _;

/// What is to get a name.
#[derive(Clone, Copy, Debug)]
pub enum Masked<'v> {
    /// A value that was opened.
    Opened {
        /// The additional data of its place.
        place: &'v str,
        /// Its type.
        kind: ValueType,
        /// The value.
        plain: &'v Plain,
    },
    /// One that was not.
    Closed(&'v EncryptedValue),
}

/// What every encrypted value begins with.
const START: &[u8] = b"ENC[AES256_GCM,";

impl File<'_> {
    /// The file with the name that `name` gives in the place of each encrypted value; `opened` is the file,
    /// if it opens. The metadata is told in a few lines at the end. A file that is not encrypted is as it is.
    ///
    /// # Errors
    ///
    /// The metadata cannot be taken out.
    pub fn masked(
        &self,
        opened: Option<&Opened>,
        name: &dyn Fn(Masked<'_>) -> String,
    ) -> Result<Vec<u8>, Problem> {
        if self.metadata.is_none() {
            return Ok(self.bytes.to_vec());
        }
        let mut names = HashMap::new();
        for value in opened.into_iter().flat_map(|opened| &opened.values) {
            if let Some(sealed) = &value.sealed {
                let masked = Masked::Opened { place: &value.aad, kind: sealed.kind, plain: &value.plain };
                names.insert(sealed.to_string(), name(masked));
            }
        }
        let stripped = store::apply(self.bytes, self.parsed.layout.strip())?;
        let mut out = replaced(&stripped, &names, name);
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(self.summary(opened).as_bytes());
        Ok(out)
    }

    /// Who can open the file, what in it is encrypted, and a code that does not fit.
    fn summary(&self, opened: Option<&Opened>) -> String {
        let mut text = "sops:\n".to_owned();
        let Some(metadata) = &self.metadata else { return text };
        // What cannot be written does not happen with a text in memory.
        for (index, group) in metadata.groups.iter().enumerate() {
            if metadata.groups.len() > 1 {
                let _ = writeln!(text, "    key group {}:", index + 1);
            }
            for recipient in &group.recipients {
                let _ = writeln!(text, "    {}: {recipient}", recipient.kind());
            }
        }
        if let Some(threshold) = metadata.shamir_threshold {
            let _ = writeln!(text, "    shamir_threshold: {threshold}");
        }
        if let Some(selector) = &metadata.selector {
            let _ = writeln!(text, "    {}: {}", selector.name(), selector.pattern());
        }
        if metadata.mac_only_encrypted {
            text.push_str("    mac_only_encrypted: true\n");
        }
        if let Some(Err(mismatch)) = opened.map(|opened| opened.mac) {
            let _ = writeln!(text, "    the message authentication code does not fit: {mismatch}");
        }
        text
    }
}

/// The text with a name for each encrypted value in it.
fn replaced(text: &[u8], names: &HashMap<String, String>, name: &dyn Fn(Masked<'_>) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(START.len()).position(|window| window == START) {
        let (before, token) = rest.split_at(at);
        out.extend_from_slice(before);
        let length = token.iter().position(|byte| *byte == b']').map_or(START.len(), |end| end + 1);
        let (token, after) = token.split_at(length);
        match std::str::from_utf8(token).ok().and_then(|text| Some((text, value::parse_any(text).ok()?))) {
            Some((text, sealed)) => {
                let named = names.get(text).cloned().unwrap_or_else(|| name(Masked::Closed(&sealed)));
                out.extend_from_slice(named.as_bytes());
            }
            None => out.extend_from_slice(token),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::store::{Format, StoreSettings};

    #[test]
    fn a_plain_file_is_as_it_is() {
        let text = b"a: ENC[AES256_GCM,broken]\n";
        let file = File::read(text, Format::Yaml, StoreSettings::default()).unwrap();
        assert_eq!(file.masked(None, &|_| "«»".to_owned()).unwrap(), text);
    }

    #[test]
    fn every_encrypted_value_gets_a_name_whatever_stands_around_it() {
        let sealed = EncryptedValue { data: vec![255; 3], iv: [1; 32], tag: [2; 16], kind: ValueType::Int };
        let text = format!("[\"{sealed}\",{sealed}] ENC[AES256_GCM,x] ENC[AES256_GCM,");
        let mut names = HashMap::new();
        let name = |masked: Masked<'_>| match masked {
            Masked::Closed(value) => format!("<{}>", value.kind.name()),
            Masked::Opened { .. } => "opened".to_owned(),
        };
        let masked = |names: &HashMap<String, String>| {
            String::from_utf8(replaced(text.as_bytes(), names, &name)).unwrap()
        };
        assert_eq!(masked(&names), "[\"<int>\",<int>] ENC[AES256_GCM,x] ENC[AES256_GCM,");
        names.insert(sealed.to_string(), "one".to_owned());
        assert_eq!(masked(&names), "[\"one\",one] ENC[AES256_GCM,x] ENC[AES256_GCM,");
    }
}
