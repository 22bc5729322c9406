//! Comments on the way into sops's tree: which it sees and where, and where those go that it does not see.

use std::collections::HashSet;
use std::ops::Range;

use super::super::Written;
use super::super::comments::{self, Noted, NotedDocument};
use super::Reader;
use crate::sops::plain::Plain;
use crate::sops::tree::{Comment, Element, Item, Tree};
use crate::yaml::{NodeRef, Sort};

/// The comments of the documents; nothing where a document is not read as sops's library reads it.
pub(super) fn notes(text: &str, comments: &[Range<usize>], roots: &[NodeRef<'_>]) -> Vec<NotedDocument> {
    if comments.is_empty() {
        return Vec::new();
    }
    let mut notes = comments::noted(text);
    notes.truncate(roots.len());
    for (document, root) in notes.iter_mut().zip(roots) {
        if !fits(&document.root, *root) {
            *document = NotedDocument::default();
        }
    }
    notes
}

fn fits(noted: &Noted, node: NodeRef<'_>) -> bool {
    if node.is_alias() || node.sort() == Sort::Scalar {
        return noted.children.is_empty();
    }
    let entries = node.own_entries().flat_map(|entry| [entry.key, entry.value]);
    let mut nodes = entries.chain(node.items());
    let fit = noted.children.iter().all(|noted| nodes.next().is_some_and(|node| fits(noted, node)));
    fit && nodes.next().is_none()
}

/// Comments that sops's library loses, last one first.
pub(super) fn lost(comments: &[Range<usize>], notes: &[NotedDocument]) -> Vec<usize> {
    let mut found = Vec::with_capacity(comments.len());
    for document in notes {
        found.extend(document.head.iter().chain(&document.foot));
        document.root.all(&mut found);
    }
    let found = found.into_iter().collect::<HashSet<_>>();
    comments.iter().rev().map(|range| range.start).filter(|start| !found.contains(start)).collect()
}

/// The comments of a node, and whether those at its head, line and foot went into what is around it.
#[derive(Clone, Copy)]
pub(super) struct Notes<'n> {
    pub(super) of: Option<&'n Noted>,
    pub(super) handled: bool,
}

impl Reader<'_> {
    /// Marks a list of nothing but encrypted comments, which sops keeps as items.
    pub(super) fn comments_alone(&mut self, elements: &[Element]) {
        let comment = |element: &Element| match element {
            Element::Value(Tree::Leaf(leaf)) => {
                let text = leaf.value.as_ref().and_then(Plain::as_text).unwrap_or_default();
                text.starts_with("ENC[") && text.trim_end().ends_with(",type:comment]")
            }
            Element::Value(_) => false,
            Element::Comment(_) => true,
        };
        let first = elements.iter().find_map(|element| match element {
            Element::Value(Tree::Leaf(leaf)) => Some(leaf.site),
            _ => None,
        });
        if let Some(first) = first.filter(|_| elements.iter().all(comment))
            && let Some(Written::Scalar(site)) = self.sites.get_mut(first.0 as usize)
        {
            site.alone = true;
        }
    }

    /// Puts comments, by their places, into a map or list.
    pub(super) fn comments_of<P: From<Comment>>(&mut self, places: Option<&[usize]>, into: &mut Vec<P>) {
        for place in places.unwrap_or_default() {
            let found = self.comments.binary_search_by_key(place, |range| range.start);
            let Some(range) = found.ok().and_then(|index| self.comments.get(index)) else { continue };
            let range = range.start + 1..range.end;
            let text = self.text[range.clone()].to_owned();
            let site = self.site(Written::Comment(range));
            into.push(P::from(Comment { text, site }));
        }
    }

    /// What stands before the content of a node, unless the map or list around it has it.
    pub(super) fn comments_before<P: From<Comment>>(&mut self, notes: Notes<'_>, into: &mut Vec<P>) {
        let noted = notes.of.filter(|_| !notes.handled);
        self.comments_of(noted.map(|noted| noted.head.as_slice()), into);
        self.comments_of(noted.map(|noted| noted.line.as_slice()), into);
    }

    pub(super) fn comments_after<P: From<Comment>>(&mut self, notes: Notes<'_>, into: &mut Vec<P>) {
        let noted = notes.of.filter(|_| !notes.handled);
        self.comments_of(noted.map(|noted| noted.foot.as_slice()), into);
    }

    /// What sops does not see in a map or list goes to its end: there, no selector takes it for what precedes a
    /// value.
    pub(super) fn lost_in<P: From<Comment>>(&mut self, range: Range<usize>, into: &mut Vec<P>) {
        let first = self.lost.partition_point(|place| *place >= range.end);
        let end = self.lost.partition_point(|place| *place >= range.start);
        let mut places = self.lost.drain(first..end.max(first)).collect::<Vec<_>>();
        places.reverse();
        self.comments_of(Some(&places), into);
    }
}

impl From<Comment> for Item {
    fn from(comment: Comment) -> Self {
        Self::Comment(comment)
    }
}

impl From<Comment> for Element {
    fn from(comment: Comment) -> Self {
        Self::Comment(comment)
    }
}
