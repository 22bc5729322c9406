//! Merging plain files: the text of the merge of lines, where it holds the values of the merge of trees.

use super::File;
use crate::sops::merge::{Conflict, ConflictKind, Merged, Node, lines, values};
use crate::sops::selector::Selector;
use crate::sops::store::{self, Edit, Format, Layout};
use crate::sops::tree::{Branch, Element, Item, Stop, Tree, walk};
use zeroize::Zeroizing;

impl File<'_> {
    /// Merges two plain versions of a file with the one both came from; without it, both are new.
    ///
    /// The values are those of [`values::merge`]. The text is that of [`lines::merge`] where it holds them;
    /// else the text of one side with the values of the other, where only values changed there.
    ///
    /// # Errors
    ///
    /// Every place where the two contradict each other. A file with a key twice is not merged.
    pub fn merge(base: Option<&Self>, ours: &Self, theirs: &Self) -> Merged {
        if [base, Some(ours), Some(theirs)]
            .iter()
            .flatten()
            .any(|file| !file.parsed.duplicate_keys.is_empty())
        {
            return Err(vec![Conflict::of_file(ConflictKind::Twice)]);
        }
        let base_nodes = base.map(File::nodes);
        let wanted = values::merge(base_nodes.as_deref(), &ours.nodes(), &theirs.nodes())?;
        if ours.format == Format::Binary {
            return ours.one_of(theirs, &wanted);
        }
        let base_bytes = base.map_or(&b""[..], |base| base.bytes);
        if let Some(text) = lines::merge(base_bytes, ours.bytes, theirs.bytes)
            && ours.holds(&text, &wanted)
        {
            return Ok(text);
        }
        let by_values = |file: &Self| file.with_values(&wanted).filter(|text| ours.holds(text, &wanted));
        let candidates = [(ours, theirs), (theirs, ours)];
        let without_loss = candidates.iter().filter(|(_, other)| other.changed_values_alone(base));
        let rest = candidates.iter().filter(|(file, other)| {
            // Layout of the other side is lost, its comments must not be.
            let comments = other.comments();
            comments == file.comments() || base.is_some_and(|base| base.comments() == comments)
        });
        let merged = without_loss.chain(rest).find_map(|(file, _)| by_values(file));
        merged.ok_or_else(|| vec![Conflict::of_file(ConflictKind::Layout)])
    }

    /// Whether the file is the base with other values, and nothing else.
    fn changed_values_alone(&self, base: Option<&Self>) -> bool {
        base.and_then(|base| base.with_values(&self.nodes()))
            .is_some_and(|text| text.as_slice() == self.bytes)
    }

    /// The values of all documents.
    fn nodes(&self) -> Vec<Node> {
        self.parsed.documents.iter().map(Node::from).collect()
    }

    /// Whether a text, read as this file is, holds these values and no metadata.
    fn holds(&self, text: &[u8], wanted: &[Node]) -> bool {
        let Ok(file) = File::read(text, self.format, self.settings) else { return false };
        let nodes = file.nodes();
        file.metadata.is_none()
            && file.parsed.duplicate_keys.is_empty()
            && nodes.len() == wanted.len()
            && nodes.iter().zip(wanted).all(|(node, wanted)| node.same(wanted))
    }

    /// Of files that are one value, the one that has it.
    fn one_of(&self, theirs: &Self, wanted: &[Node]) -> Merged {
        let same = |file: &Self| file.nodes().iter().zip(wanted).all(|(node, wanted)| node.same(wanted));
        let side = if same(self) { self } else { theirs };
        Ok(Zeroizing::new(side.bytes.to_vec()))
    }

    fn comments(&self) -> Vec<String> {
        let mut comments = Vec::new();
        for document in &self.parsed.documents {
            walk(document, &Selector::default(), &mut |visit| {
                if let Stop::Comment(comment) = visit.stop {
                    comments.push(comment.text.clone());
                }
            });
        }
        comments
    }

    /// The file with other values in the places of its own. `None` where keys, lists or nulls differ.
    fn with_values(&self, wanted: &[Node]) -> Option<Zeroizing<Vec<u8>>> {
        let layout = self.parsed.layout.as_ref();
        let mut edits = Vec::new();
        for (document, wanted) in self.parsed.documents.iter().zip(wanted) {
            branch(document, wanted, layout, &mut edits)?;
        }
        store::apply(self.bytes, edits).ok()
    }
}

fn branch(branch: &Branch, wanted: &Node, layout: &dyn Layout, edits: &mut Vec<Edit>) -> Option<()> {
    for item in &branch.items {
        if let Item::Entry(key, value) = item {
            tree(value, wanted.get(key)?, layout, edits)?;
        }
    }
    Some(())
}

fn tree(value: &Tree, wanted: &Node, layout: &dyn Layout, edits: &mut Vec<Edit>) -> Option<()> {
    match (value, wanted) {
        (Tree::Map(map), Node::Map(_)) => branch(map, wanted, layout, edits),
        (Tree::List(elements), Node::List(items)) => {
            let values = elements.iter().filter_map(|element| match element {
                Element::Value(value) => Some(value),
                Element::Comment(_) => None,
            });
            values.zip(items).try_for_each(|(value, wanted)| tree(value, wanted, layout, edits))
        }
        (Tree::Leaf(_), wanted) if Node::from(value).same(wanted) => Some(()),
        (Tree::Leaf(leaf), Node::Leaf(Some(plain))) => {
            edits.extend(layout.open(leaf.site, plain).ok()?);
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::store::StoreSettings;

    fn merge_as(format: Format, base: Option<&str>, ours: &str, theirs: &str) -> Result<String, Vec<String>> {
        let read =
            |text: &'static str| File::read(text.as_bytes(), format, StoreSettings::default()).unwrap();
        let leak = |text: &str| -> &'static str { String::from(text).leak() };
        let base = base.map(|base| read(leak(base)));
        match File::merge(base.as_ref(), &read(leak(ours)), &read(leak(theirs))) {
            Ok(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
            Err(conflicts) => Err(conflicts.iter().map(ToString::to_string).collect()),
        }
    }

    fn merge(base: &str, ours: &str, theirs: &str) -> Result<String, Vec<String>> {
        merge_as(Format::Yaml, Some(base), ours, theirs)
    }

    #[test]
    fn neighbouring_values_new_keys_and_comments_of_both_sides_arrive() {
        let base = "a: 1\nb: 2\n# end\n";
        let ours = "a: one\nb: 2\no: x # ours\n# end\n";
        let theirs = "# theirs\na: 1\nb: two\nt: |\n  y\n# end\n";
        let wanted = "# theirs\na: one\nb: two\nt: |\n  y\no: x # ours\n# end\n";
        assert_eq!(merge(base, ours, theirs).unwrap(), wanted);
    }

    #[test]
    fn values_merge_where_the_layout_was_changed_by_one_side() {
        let base = "m:\n  a: 1\n  b: 2\n";
        let ours = "m:\n    a: 1\n    b: 2\n";
        let theirs = "m:\n  a: 1\n  b: three\n";
        assert_eq!(merge(base, ours, theirs).unwrap(), "m:\n    a: 1\n    b: three\n");
        assert_eq!(merge(base, theirs, ours).unwrap(), "m:\n    a: 1\n    b: three\n");
        let line =
            merge_as(Format::Json, Some("{\"a\":1,\"b\":2}"), "{\"a\":3,\"b\":2}", "{\"a\":1,\"b\":4}");
        assert_eq!(line.unwrap(), "{\"a\":3,\"b\":4}");
    }

    #[test]
    fn comments_that_both_changed_are_not_lost_silently() {
        let layout = [Conflict::of_file(ConflictKind::Layout).to_string()];
        assert_eq!(merge("# c\na: 1\n", "# ours\na: 1\n", "# theirs\na: 2\n").unwrap_err(), layout);
    }

    #[test]
    fn a_text_that_merges_by_lines_and_says_something_else_is_not_taken() {
        // Both changed one block text, in different lines.
        let conflict = merge("k: |\n  1\n  2\n  3\n", "k: |\n  one\n  2\n  3\n", "k: |\n  1\n  2\n  three\n");
        assert_eq!(conflict.unwrap_err(), ["k: changed on both sides"]);
        // Both added one key at different places.
        let twice = merge("a: 1\nb: 1\n", "n: x\na: 1\nb: 1\n", "a: 1\nb: 1\nn: x\n").unwrap();
        assert_eq!(twice.matches("n: x").count(), 1, "{twice}");
    }

    #[test]
    fn files_that_both_sides_added_merge_where_they_say_the_same() {
        assert_eq!(merge_as(Format::Dotenv, None, "A=1\n", "A=1\n").unwrap(), "A=1\n");
        assert_eq!(merge_as(Format::Dotenv, None, "A=1\n", "A=2\n").unwrap_err(), ["A: added on both sides"]);
    }

    #[test]
    fn other_stores_merge_too() {
        let merged = merge_as(Format::Dotenv, Some("A=1\nB=2\n"), "A=x\nB=2\n", "A=1\nB=y\nC=z\n");
        assert_eq!(merged.unwrap(), "A=x\nB=y\nC=z\n");
        let merged =
            merge_as(Format::Ini, Some("[s]\na = 1\nb = 2\n"), "[s]\na = x\nb = 2\n", "[s]\na = 1\nb = y\n");
        assert_eq!(merged.unwrap(), "[s]\na = x\nb = y\n");
    }

    #[test]
    fn keys_that_are_there_twice_are_not_merged() {
        assert_eq!(merge("a: 1\n", "a: 1\na: 2\n", "a: 1\nb: 2\n").unwrap_err().len(), 1);
    }
}
