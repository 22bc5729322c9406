//! dotenv and INI files: lines and sections.

use zeroize::Zeroizing;

use super::{Changed, EditError, Place};
use crate::sops::store::{self, Edit, Format, Parsed, ini};
use crate::sops::tree::{Leaf, Tree};
use crate::yaml::Step;

/// The file with a line for a new entry, whose value is `x`.
pub(super) fn with_entry(bytes: &[u8], place: Place<'_>) -> Result<Vec<u8>, EditError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EditError::Unwritable("the file is not text"))?;
    let keys = place.path.keys();
    match (place.format, keys.as_slice()) {
        (Format::Dotenv, [key]) => {
            let text = ended(text);
            let text = text.as_str();
            Ok(format!("{text}{key}=x\n").into_bytes())
        }
        (Format::Ini, [section, key]) => {
            let at =
                end_of_section(text, section).ok_or(EditError::Unwritable("the section is not there"))?;
            let (before, after) = text.split_at(at);
            let spaces =
                if ini(text).entries.iter().all(|entry| tight(text, entry.range.start)) { "" } else { " " };
            let before = ended(before);
            let before = before.as_str();
            Ok(format!("{before}{key}{spaces}={spaces}x\n{after}").into_bytes())
        }
        (Format::Dotenv, _) => Err(EditError::Unwritable("a dotenv file has keys only: KEY")),
        _ => Err(EditError::Unwritable("an INI file has keys in sections: SECTION.KEY")),
    }
}

/// Whether a value stands directly behind its sign.
fn tight(text: &str, value: usize) -> bool {
    text[..value].ends_with('=')
}

/// The file with a new section and an entry in it, whose value is `x`.
pub(super) fn with_section(bytes: &[u8], place: Place<'_>, key: &str) -> Result<Vec<u8>, EditError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EditError::Unwritable("the file is not text"))?;
    let (Format::Ini, [Step::Key(section), _]) = (place.format, place.path.steps()) else {
        return Err(EditError::Unwritable("the format has no such place"));
    };
    let text = ended(text);
    let text = text.as_str();
    let blank = if text.is_empty() { "" } else { "\n" };
    Ok(format!("{text}{blank}[{section}]\n{key} = x\n").into_bytes())
}

/// Takes the lines of a value away, or all of a section.
pub(super) fn removed(bytes: &[u8], parsed: &Parsed<'_>, tree: &Tree) -> Changed {
    let Tree::Leaf(Leaf { site, .. }) = tree else {
        return Err(EditError::Unwritable(
            "a section as a whole is not taken away: its keys are, one by one",
        ));
    };
    let value = parsed.layout.span(*site).bytes;
    let start = bytes[..value.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = value.end.max(value.start);
    let end = bytes[end..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| end + at + 1);
    Ok(store::apply(bytes, vec![Edit::new(start..end, "")])?)
}

fn ended(text: &str) -> Zeroizing<String> {
    let mut ended = Zeroizing::new(text.to_owned());
    if !ended.is_empty() && !ended.ends_with('\n') {
        ended.push('\n');
    }
    ended
}

/// Behind the last line of a section that is not blank.
fn end_of_section(text: &str, wanted: &str) -> Option<usize> {
    let mut section = "DEFAULT";
    let mut end = (wanted == section).then_some(0);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.trim();
        }
        if section == wanted && !line.is_empty() {
            end = Some(at);
        }
    }
    end
}
