//! An encrypted file after its plain text was changed: what did not change stays as it is written there.
//!
//! The plain text is the file with values in the place of `ENC[…]`, so each unchanged stretch of it is a
//! stretch of the file. Where lines changed, the new lines go into the file, to be sealed like any plain part.

use std::collections::HashSet;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};
use zeroize::Zeroizing;

use super::File;
use super::open::Opened;
use crate::sops::keys::DataKey;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store::{Edit, Format};

/// An encrypted file with plain parts where its plain text was changed.
#[derive(Debug)]
pub struct Amended {
    /// The bytes. To be sealed; they may hold secrets.
    pub bytes: Zeroizing<Vec<u8>>,
    /// What to seal them with as the version before.
    pub before: Opened,
}

impl File<'_> {
    /// The plain text of an opened file.
    ///
    /// # Errors
    ///
    /// What the format cannot hold.
    pub fn clear(&self, opened: &Opened) -> Result<Zeroizing<Vec<u8>>, Vec<Problem>> {
        self.plaintext(opened)
    }

    /// The problem of a plain text that brings metadata of its own: it is kept out of what is edited.
    pub fn own_metadata(&self) -> Option<Problem> {
        let reserved = || Problem::of_file(ProblemKind::ReservedKey).key("sops");
        self.metadata.is_some().then(reserved)
    }

    /// The encrypted file with the changes that were made to its plain text. `None` where they cannot be told
    /// apart from what stays; the text as a whole is to be sealed then.
    ///
    /// What is given decrypts to the edited text, byte for byte.
    pub fn amended(&self, opened: &Opened, edited: &[u8]) -> Option<Amended> {
        if self.format == Format::Binary {
            return None;
        }
        let edits = self.plain_edits(opened).ok()?;
        let clear = self.plaintext(opened).ok()?;
        let pieces = pieces(edits);
        // Lines behind a text of several lines may belong to it, or not.
        [false, true].into_iter().find_map(|wide| {
            let groups = groups(&clear, edited, &pieces, wide);
            let bytes = mixed(self.bytes, edited, &pieces, &groups)?;
            let before = self.before_of(&bytes, &opened.key, opened, edited)?;
            Some(Amended { bytes, before })
        })
    }

    /// What the mixed file is opened to, if it is the edited text.
    fn before_of(&self, bytes: &[u8], key: &DataKey, opened: &Opened, edited: &[u8]) -> Option<Opened> {
        let file = File::read(bytes, self.format, self.settings).ok()?;
        let now = file.open(key).ok()?;
        if file.plaintext(&now).ok()?.as_slice() != edited {
            return None;
        }
        let sealed = now.values.iter().filter_map(|value| value.sealed.as_ref());
        let in_place = sealed.map(ToString::to_string).collect::<HashSet<_>>();
        // What stays in its place is not used a second time: equal values must not be seen to be equal.
        let values = opened.values.iter().filter(|value| {
            value.sealed.as_ref().is_some_and(|sealed| !in_place.contains(&sealed.to_string()))
        });
        Some(Opened { spare: Some(values.cloned().collect()), ..now })
    }
}

/// A stretch of the encrypted file and what it is in the plain text.
#[derive(Clone, Debug)]
struct Piece {
    sealed: Range<usize>,
    clear: Range<usize>,
    /// The plain value is more than one line.
    lines: bool,
}

fn pieces(mut edits: Vec<Edit>) -> Vec<Piece> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut pieces = Vec::with_capacity(edits.len());
    let (mut sealed, mut clear) = (0, 0);
    for edit in edits {
        let start = clear + (edit.range.start.saturating_sub(sealed));
        let lines = edit.text.contains(&b'\n');
        (sealed, clear) = (edit.range.end, start + edit.text.len());
        pieces.push(Piece { sealed: edit.range.clone(), clear: start..clear, lines });
    }
    pieces
}

/// Lines of the plain text that changed, and what they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    old: Range<usize>,
    new: Range<usize>,
}

/// The changed stretches, made so large that no value is changed in part; `wide`: nor followed by a change.
fn groups(clear: &[u8], edited: &[u8], pieces: &[Piece], wide: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for change in changed_lines(clear, edited) {
        let (mut start, mut end) = (change.old.start, change.old.end);
        for piece in pieces.iter().filter(|piece| !piece.clear.is_empty()) {
            let touched = start < piece.clear.end && end > piece.clear.start;
            let behind = wide && piece.lines && (piece.clear.end..=piece.clear.end + 2).contains(&start);
            let inside = start > piece.clear.start && start < piece.clear.end;
            if touched || behind || inside {
                start = start.min(piece.clear.start);
                end = end.max(piece.clear.end);
            }
        }
        let new = change.new.start - (change.old.start - start)..change.new.end + (end - change.old.end);
        match groups.last_mut() {
            Some(last) if last.old.end >= start => {
                last.new.start = last.new.start.min(new.start);
                last.old.start = last.old.start.min(start);
                last.new.end = new.end.max(last.new.end);
                last.old.end = end.max(last.old.end);
            }
            _ => groups.push(Group { old: start..end, new }),
        }
    }
    groups
}

fn changed_lines(clear: &[u8], edited: &[u8]) -> Vec<Group> {
    let split = |bytes| <[u8]>::split_inclusive(bytes, |byte: &u8| *byte == b'\n').collect::<Vec<_>>();
    let (old, new) = (split(clear), split(edited));
    let ends = |lines: &[&[u8]]| {
        let mut at = 0;
        let ends = lines.iter().map(|line| {
            at += line.len();
            at
        });
        std::iter::once(0).chain(ends).collect::<Vec<_>>()
    };
    let (old_at, new_at) = (ends(&old), ends(&new));
    let bytes = |at: &[usize], range: Range<usize>| {
        let of = |index: usize| at.get(index).copied().unwrap_or_default();
        of(range.start)..of(range.end)
    };
    capture_diff_slices(Algorithm::Patience, &old, &new)
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Group { old: bytes(&old_at, op.old_range()), new: bytes(&new_at, op.new_range()) })
        .collect()
}

/// The encrypted bytes with the changed stretches in plain.
fn mixed(sealed: &[u8], edited: &[u8], pieces: &[Piece], groups: &[Group]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(sealed.len() + edited.len()));
    let mut at = 0;
    for group in groups {
        // An insertion goes before what the plain text has nothing of, such as the metadata.
        let insertion = group.old.is_empty();
        bytes.extend_from_slice(sealed.get(at..in_sealed(group.old.start, pieces, !insertion)?)?);
        bytes.extend_from_slice(edited.get(group.new.clone())?);
        at = in_sealed(group.old.end, pieces, false)?;
    }
    bytes.extend_from_slice(sealed.get(at..)?);
    Some(bytes)
}

/// The place in the encrypted file of a place in the plain text, before or behind what is there only.
fn in_sealed(at: usize, pieces: &[Piece], behind: bool) -> Option<usize> {
    let mut place = at;
    for piece in pieces {
        let before =
            if piece.clear.is_empty() && !behind { piece.clear.end < at } else { piece.clear.end <= at };
        if !before {
            break;
        }
        place = (place + piece.sealed.len()).checked_sub(piece.clear.len())?;
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::age::{AgeKeys, Identity};
    use crate::sops::file::{KeyGroup, Lock, MacCheck, Recipe, Sealing, Selector, StoreSettings};
    use crate::sops::keys::KeyService as _;
    use crate::sops::recipient::Recipient;

    const PLAIN: &str = "kind: Secret\nstringData:\n  # the first\n  a: one\n  b: \"5\"\n  c: |\n    l1\n    l2\n  d: [x, y]\n";

    fn recipe(identity: &Identity) -> Recipe {
        let regex = crate::rules::goregex::GoRegex::new("^stringData$").unwrap();
        let recipients = vec![Recipient::Age(identity.recipient().unwrap())];
        Recipe {
            groups: vec![KeyGroup { recipients }],
            selector: Some(Selector::EncryptedRegex(regex)),
            ..Recipe::default()
        }
    }

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut count = 0u8;
        move |buffer: &mut [u8]| {
            count = count.wrapping_add(1);
            buffer.fill(count);
        }
    }

    fn sealed(format: Format, text: &str, recipe: &Recipe) -> String {
        let key = DataKey::new([7; 32]);
        let wrapped = AgeKeys::default().wrap(&key.clone().into(), &recipe.groups[0].recipients[0]).unwrap();
        let file = File::read(text.as_bytes(), format, StoreSettings::default()).unwrap();
        let lock = Lock::New(key, vec![vec![wrapped]]);
        let sealing = Sealing { recipe, lock, before: None, now: "2026-11-21T06:00:00Z" };
        String::from_utf8(file.seal(&sealing, &mut counting()).unwrap().bytes).unwrap()
    }

    /// Lines that differ between the sealed file and the one after an edit of its plain text.
    fn changed(
        format: Format,
        text: &str,
        foreign: impl Fn(String) -> String,
        edit: impl Fn(&str) -> String,
    ) -> Vec<String> {
        let recipe = recipe(&Identity::generate());
        let before = foreign(sealed(format, text, &recipe));
        let file = File::read(before.as_bytes(), format, StoreSettings::default()).unwrap();
        let opened = file.open(&DataKey::new([7; 32])).unwrap();
        let clear = String::from_utf8(file.clear(&opened).unwrap().to_vec()).unwrap();
        let edited = edit(&clear);
        assert_ne!(edited, clear);
        let amended = file.amended(&opened, edited.as_bytes()).expect("a small change is told apart");
        let mixed = File::read(&amended.bytes, format, StoreSettings::default()).unwrap();
        let now = "2026-11-22T06:00:00Z";
        let sealing = Sealing { recipe: &recipe, lock: Lock::Kept, before: Some(&amended.before), now };
        let after = mixed.seal(&sealing, &mut counting()).unwrap().bytes;
        let read = File::read(&after, format, StoreSettings::default()).unwrap();
        let plain = read.decrypt(&DataKey::new([7; 32]), MacCheck::Required).unwrap();
        assert_eq!(String::from_utf8(plain.bytes.to_vec()).unwrap(), edited);
        let after = String::from_utf8(after.clone()).unwrap();
        let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
        let key = |line: &str| line.trim().split([':', ' ', '=']).next().unwrap_or_default().to_owned();
        gone.map(key).collect()
    }

    /// As sops writes it: no quotes, a text of several lines in one.
    #[expect(clippy::needless_pass_by_value, reason = "one of several ways to change a text")]
    fn like_sops(text: String) -> String {
        let lines = text.replace("b: \"ENC", "b: ENC").replace("type:str]\"", "type:str]");
        lines.replace("c: |\n    ENC", "c: ENC")
    }

    #[test]
    fn only_the_line_of_the_value_and_the_stamp_change() {
        type Case = (fn(&str) -> String, &'static [&'static str]);
        let table: [Case; 8] = [
            (|text| text.replace("one", "two"), &["a", "lastmodified", "mac"]),
            (|text| text.replace("l2", "l3"), &["c", "lastmodified", "mac"]),
            (|text| text.replace("  a: one\n", ""), &["a", "lastmodified", "mac"]),
            (|text| text.replace("kind: Secret", "kind: Other"), &["kind", "lastmodified", "mac"]),
            (|text| text.replace("  a: one\n", "  a: one\n  new: 1\n"), &["lastmodified", "mac"]),
            (|text| format!("{text}  new: 1\n"), &["lastmodified", "mac"]),
            (|text| text.replace("l2\n", "l2\n  new: 1\n"), &["lastmodified", "mac"]),
            (|text| text.replace("l2\n", "l2\n    l3\n"), &["c", "lastmodified", "mac"]),
        ];
        for (edit, wanted) in table {
            assert_eq!(changed(Format::Yaml, PLAIN, like_sops, edit), wanted, "{}", edit(PLAIN));
        }
    }

    #[test]
    fn metadata_stays_where_it_is() {
        let first = |text: String| {
            let (body, metadata) = text.split_at(text.find("sops:").unwrap());
            format!("{metadata}{body}")
        };
        let wanted = ["lastmodified", "mac", "a"];
        assert_eq!(changed(Format::Yaml, PLAIN, first, |text| text.replace("one", "two")), wanted);
    }

    #[test]
    fn other_formats_too() {
        let json = "{\n\t\"stringData\": {\n\t\t\"a\": \"one\",\n\t\t\"b\": 5\n\t}\n}\n";
        let lines = changed(Format::Json, json, |text| text, |text| text.replace("one", "two"));
        assert_eq!(lines, ["\"a\"", "\"lastmodified\"", "\"mac\""]);
        let ini = "[stringData]\na = one\nb = 5\n";
        let lines = changed(Format::Ini, ini, |text| text, |text| text.replace("one", "two"));
        assert_eq!(lines, ["a", "lastmodified", "mac"]);
    }

    #[test]
    fn an_equal_item_gets_a_ciphertext_of_its_own() {
        let recipe = recipe(&Identity::generate());
        let before = sealed(Format::Yaml, "stringData:\n  l:\n  - one\n", &recipe);
        let file = File::read(before.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
        let opened = file.open(&DataKey::new([7; 32])).unwrap();
        let amended = file.amended(&opened, b"stringData:\n  l:\n  - one\n  - one\n").unwrap();
        assert!(amended.before.spare.is_some_and(|spare| spare.is_empty()));
    }

    #[test]
    fn a_pasted_ciphertext_is_not_taken_for_a_value() {
        let recipe = recipe(&Identity::generate());
        let before = sealed(Format::Yaml, "stringData:\n  a: one\n", &recipe);
        let file = File::read(before.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
        let opened = file.open(&DataKey::new([7; 32])).unwrap();
        let pasted = before.split("sops:").next().unwrap();
        assert!(file.amended(&opened, pasted.as_bytes()).is_none());
    }
}
