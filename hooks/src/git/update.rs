//! The lines that Git feeds to `pre-receive`.

use super::ObjectId;

/// One ref that a push wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// What it points at now; `None` where it is to be created.
    pub old: Option<ObjectId>,
    /// What it shall point at; `None` where it is to be deleted.
    pub new: Option<ObjectId>,
    /// Its name, such as `refs/heads/main`; bytes, not always UTF-8.
    pub name: Vec<u8>,
}

/// A line that is no `<old> <new> <ref>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the input is not `<old> <new> <ref>`")]
pub struct MalformedUpdate(pub usize);

impl RefUpdate {
    /// Reads the whole input. Blank lines are skipped: some servers feed the input again with `echo`.
    ///
    /// # Errors
    /// The first line that has another form.
    pub fn parse_all(input: &[u8]) -> Result<Vec<Self>, MalformedUpdate> {
        let lines = input.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        lines.map(|(index, line)| Self::parse(line).ok_or(MalformedUpdate(index + 1))).collect()
    }

    /// Splits at the first two spaces: a ref name may hold anything else.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let old = ObjectId::from_hex(parts.next()?)?;
        let new = ObjectId::from_hex(parts.next()?)?;
        let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
        let some = |id: ObjectId| (!id.is_zero()).then_some(id);
        Some(Self { old: some(old), new: some(new), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creation_deletion_and_names_that_are_no_text() {
        let (one, zero) = ("1".repeat(40), "0".repeat(40));
        let mut input = format!("{zero} {one} refs/heads/a\n\n{one} {zero} refs/heads/b c\n").into_bytes();
        input.extend_from_slice(format!("{one} {one} ").as_bytes());
        input.extend_from_slice(b"refs/heads/\xff");
        let updates = RefUpdate::parse_all(&input).unwrap();
        let id = ObjectId::from_hex(one.as_bytes());
        assert_eq!(updates[0], RefUpdate { old: None, new: id, name: b"refs/heads/a".to_vec() });
        assert_eq!(updates[1], RefUpdate { old: id, new: None, name: b"refs/heads/b c".to_vec() });
        assert_eq!(updates[2].name, b"refs/heads/\xff");
    }

    #[test]
    fn sha256_zero_is_zero() {
        let line = format!("{} {} refs/heads/a", "0".repeat(64), "a".repeat(64));
        let updates = RefUpdate::parse_all(line.as_bytes()).unwrap();
        assert!(updates[0].old.is_none() && updates[0].new.is_some());
    }

    #[test]
    fn anything_else_is_named_by_its_line() {
        assert_eq!(RefUpdate::parse_all(b"\nhello\n"), Err(MalformedUpdate(2)));
        let one = "1".repeat(40);
        assert_eq!(RefUpdate::parse_all(format!("{one} {one}").as_bytes()), Err(MalformedUpdate(1)));
        assert_eq!(RefUpdate::parse_all(format!("{one} {one} ").as_bytes()), Err(MalformedUpdate(1)));
    }
}
