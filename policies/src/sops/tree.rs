//! The tree that sops makes of a file: maps in order, lists, leaves, and comments among them.
//!
//! Mirrors `TreeBranch` of sops (`sops.go`): a comment is an item of the map or list that holds it, and an
//! encrypted comment in a list is a list item of the type `comment`.

use super::plain::Plain;
use super::selector::{Coverage, Selector};

/// A store's name for the place of a leaf or comment in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(pub u32);

/// A map: entries and comments in order.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// In the order of the file; a key may be there twice.
    pub items: Vec<Item>,
}

impl Branch {
    /// How many leaves and comments are in it, at any depth.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        count.branch(self);
        count
    }
}

/// How many there are in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Leaves, null among them.
    pub leaves: usize,
    /// Comments.
    pub comments: usize,
}

impl Count {
    /// How often a walk stops at most.
    pub fn stops(self) -> usize {
        self.leaves + self.comments
    }

    fn branch(&mut self, branch: &Branch) {
        for item in &branch.items {
            match item {
                Item::Comment(_) => self.comments += 1,
                Item::Entry(_, tree) => self.tree(tree),
            }
        }
    }

    fn tree(&mut self, tree: &Tree) {
        match tree {
            Tree::Map(branch) => self.branch(branch),
            Tree::List(elements) => {
                for element in elements {
                    match element {
                        Element::Comment(_) => self.comments += 1,
                        Element::Value(tree) => self.tree(tree),
                    }
                }
            }
            Tree::Leaf(_) => self.leaves += 1,
        }
    }
}

/// An entry of a map, or a comment in it.
#[derive(Clone, Debug)]
pub enum Item {
    /// A key with its value.
    Entry(String, Tree),
    /// A comment.
    Comment(Comment),
}

/// A value.
#[derive(Clone, Debug)]
pub enum Tree {
    /// A map.
    Map(Branch),
    /// A list.
    List(Vec<Element>),
    /// A scalar.
    Leaf(Leaf),
}

/// An item of a list, or a comment in it.
#[derive(Clone, Debug)]
pub enum Element {
    /// A value.
    Value(Tree),
    /// A comment.
    Comment(Comment),
}

/// A scalar and its place. An encrypted value is a text like any other here.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// `None` for null, which sops neither encrypts nor authenticates.
    pub value: Option<Plain>,
    /// Where it is.
    pub site: Site,
}

/// What is encrypted is no secret: it is not wiped, which takes its time in a large file.
impl Drop for Leaf {
    fn drop(&mut self) {
        if let Some(Plain::Str(text)) = &mut self.value
            && text.starts_with(SEALED)
        {
            drop(std::mem::take(&mut **text));
        }
    }
}

/// How every encrypted value begins.
const SEALED: &[u8] = b"ENC[AES256_GCM,data:";

/// One line of comment: what follows the comment sign.
#[derive(Clone)]
pub struct Comment {
    /// The text, with its leading space.
    pub text: String,
    /// Where it is.
    pub site: Site,
}

/// Shows the place only: comments may hold secrets.
impl std::fmt::Debug for Comment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Comment({:?})", self.site)
    }
}

/// What a walk comes by.
#[derive(Clone, Copy, Debug)]
pub enum Stop<'t> {
    /// A leaf that is not null.
    Leaf(&'t Plain, Site),
    /// A comment.
    Comment(&'t Comment),
}

impl Stop<'_> {
    /// Where it is.
    pub fn site(&self) -> Site {
        match self {
            Self::Leaf(_, site) => *site,
            Self::Comment(comment) => comment.site,
        }
    }
}

/// A leaf or comment with what its place says.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'t, 'p> {
    /// What is there.
    pub stop: Stop<'t>,
    /// Keys from the root; list positions are no part of it. For a comment, of the map or list that holds it.
    pub path: &'p [&'t str],
    /// The additional data that its encryption authenticates: every key with a colon after it, one colon
    /// at the root (`sops.go`, `Encrypt`).
    pub place: &'p str,
    /// Whether the selector wants it encrypted.
    pub covered: bool,
    /// Whether it stands directly in a list.
    pub in_list: bool,
}

impl Visit<'_, '_> {
    /// The place as text of its own.
    pub fn aad(&self) -> String {
        self.place.to_owned()
    }

    /// The keys as a person would write them, for messages.
    pub fn key_path(&self) -> String {
        crate::yaml::shown_keys(self.path)
    }
}

/// See [`Visit::aad`].
pub(crate) fn aad(path: &[&str]) -> String {
    let mut aad = path.join(":");
    aad.push(':');
    aad
}

/// Visits every leaf that is not null and every comment, in the order of the file, as sops walks
/// (`walkBranch`, `walkSlice`, `shouldBeEncrypted`).
pub fn walk<'t>(branch: &'t Branch, selector: &Selector, visit: &mut dyn FnMut(Visit<'t, '_>)) {
    let mut walker = Walker {
        selector,
        visit,
        path: vec![],
        place: String::new(),
        decided: vec![],
        comments: vec![],
        outer: 0,
        in_list: false,
    };
    walker.branch(branch);
}

struct Walker<'w, 't> {
    selector: &'w Selector,
    visit: &'w mut dyn FnMut(Visit<'t, '_>),
    path: Vec<&'t str>,
    place: String,
    /// For each key of the path, whether it or one before it matches the selector.
    decided: Vec<bool>,
    /// For each level, whether each of the comments that directly precede matches the selector.
    comments: Vec<Vec<bool>>,
    /// How many comments of finished levels match: kept so that a leaf costs the same at any depth.
    outer: usize,
    in_list: bool,
}

impl<'t> Walker<'_, 't> {
    fn branch(&mut self, branch: &'t Branch) {
        self.enter();
        for item in &branch.items {
            match item {
                Item::Comment(comment) => {
                    self.in_list = false;
                    self.comment(comment);
                }
                Item::Entry(key, value) => {
                    let matches = self.decided.last().copied().unwrap_or_default() || self.selector.hits(key);
                    let outer = self.place.len();
                    self.place.push_str(key);
                    self.place.push(':');
                    self.path.push(key);
                    self.decided.push(matches);
                    self.in_list = false;
                    self.tree(value);
                    self.place.truncate(outer);
                    self.path.pop();
                    self.decided.pop();
                    self.forget();
                }
            }
        }
        self.leave();
    }

    fn tree(&mut self, tree: &'t Tree) {
        match tree {
            Tree::Map(branch) => self.branch(branch),
            Tree::List(elements) => {
                self.enter();
                for element in elements {
                    self.in_list = true;
                    match element {
                        Element::Comment(comment) => self.comment(comment),
                        Element::Value(value) => {
                            self.tree(value);
                            self.forget();
                        }
                    }
                }
                self.leave();
            }
            Tree::Leaf(Leaf { value: Some(value), site }) => {
                self.visit(Stop::Leaf(value, *site), self.outer > 0);
            }
            Tree::Leaf(Leaf { value: None, .. }) => {}
        }
    }

    fn comment(&mut self, comment: &'t Comment) {
        // A comment that matches does not cover itself with `encrypted_comment_regex`; with
        // `unencrypted_comment_regex` it does.
        let before = self.outer > 0;
        let matches = self.selector.hits_comment(&comment.text);
        if let Some(level) = self.comments.last_mut() {
            level.push(matches);
            self.outer += usize::from(matches);
        }
        let by_comment =
            if matches!(self.selector, Selector::EncryptedCommentRegex(_)) { before } else { self.outer > 0 };
        self.visit(Stop::Comment(comment), by_comment);
    }

    fn visit(&mut self, stop: Stop<'t>, by_comment: bool) {
        let by_path = self.decided.last().copied().unwrap_or_default();
        let covered = match self.selector {
            Selector::UnencryptedSuffix(_) | Selector::UnencryptedRegex(_) => !by_path,
            Selector::EncryptedSuffix(_) | Selector::EncryptedRegex(_) => by_path,
            Selector::UnencryptedCommentRegex(_) => !by_comment,
            Selector::EncryptedCommentRegex(_) => by_comment,
        };
        let place = if self.path.is_empty() { ":" } else { &self.place };
        (self.visit)(Visit { stop, path: &self.path, place, covered, in_list: self.in_list });
    }

    fn enter(&mut self) {
        self.comments.push(Vec::new());
    }

    fn forget(&mut self) {
        if let Some(level) = self.comments.last_mut() {
            self.outer -= level.iter().filter(|matches| **matches).count();
            level.clear();
        }
    }

    fn leave(&mut self) {
        self.forget();
        self.comments.pop();
    }
}

impl Selector {
    /// Whether a key of the path matches the suffix or pattern.
    fn hits(&self, key: &str) -> bool {
        match self {
            Self::UnencryptedSuffix(suffix) | Self::EncryptedSuffix(suffix) => key.ends_with(suffix.as_str()),
            Self::UnencryptedRegex(regex) | Self::EncryptedRegex(regex) => regex.is_match(key.as_bytes()),
            Self::UnencryptedCommentRegex(_) | Self::EncryptedCommentRegex(_) => false,
        }
    }

    fn hits_comment(&self, comment: &str) -> bool {
        match self {
            Self::UnencryptedCommentRegex(regex) | Self::EncryptedCommentRegex(regex) => {
                regex.is_match(comment.as_bytes())
            }
            _ => false,
        }
    }

    /// What the selector says of a leaf at this path where no comment precedes it.
    pub fn covers_path(&self, path: &[&str]) -> bool {
        self.covers(path) == Coverage::Encrypted
    }
}
