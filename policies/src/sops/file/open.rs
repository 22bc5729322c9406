//! Opening: every value plain, the message authentication code checked, the bytes as they were.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::File;
use crate::sops::block::Block;
use crate::sops::cipher::Cipher;
use crate::sops::keys::DataKey;
use crate::sops::mac::{Mac, aad_of};
use crate::sops::metadata::Metadata;
use crate::sops::parallel;
use crate::sops::plain::Plain;
use crate::sops::problem::{MacMismatch, Problem, ProblemKind};
use crate::sops::selector::Selector;
use crate::sops::store::{self, Edit, Layout};
use crate::sops::tree::{Branch, Comment, Item, Site, Stop, Tree, aad, walk};
use crate::sops::value::{self, EncryptedValue, ValueType};

/// Whether the message authentication code is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacCheck {
    /// A file whose code does not fit is refused.
    Required,
    /// It is not looked at: plain parts may have been changed by anyone, values moved, added or taken away.
    Ignored,
}

/// One value or comment of an opened file.
#[derive(Clone, Debug)]
pub struct Value {
    /// The additional data of its place.
    pub(super) aad: String,
    /// Keys from the root, as a person would write them.
    pub key_path: String,
    /// The plain value; a comment's text as text.
    pub plain: Plain,
    /// What stands encrypted in the file; `None` where it is plain there.
    pub sealed: Option<Box<EncryptedValue>>,
    /// Whether it is a comment.
    pub is_comment: bool,
    /// Where it is.
    pub(super) site: Site,
}

/// An encrypted file, opened.
#[derive(Debug)]
pub struct Opened {
    /// The data key that opened it.
    pub key: DataKey,
    /// The metadata as data.
    pub block: Block,
    /// The metadata.
    pub metadata: Metadata,
    /// All values and comments in the order of the file.
    pub values: Vec<Value>,
    /// Values of the version before it, whose ciphertexts are used again where they are equal; `None` where
    /// those of this version are.
    pub(super) spare: Option<Vec<Value>>,
    /// Values that the selector covers and that stand plain in the file.
    pub plain_parts: Vec<Problem>,
    /// How the code fits.
    pub mac: Result<(), MacMismatch>,
    /// Encrypted comments that do not open at any place: left as they are.
    pub closed_comments: usize,
}

/// A decrypted file.
#[derive(Debug)]
pub struct Decrypted {
    /// The plain bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Encrypted comments that do not open at any place: left as they are.
    pub closed_comments: usize,
}

impl File<'_> {
    /// Opens every value with the file's data key.
    ///
    /// Values that the selector covers but that are plain are no error here; see [`Opened::plain_parts`].
    ///
    /// # Errors
    ///
    /// Everything that does not open, with its place; unusable metadata.
    pub fn open(&self, key: &DataKey) -> Result<Opened, Vec<Problem>> {
        let metadata = self.usable_metadata().map_err(|problem| vec![problem])?;
        let selector = metadata.effective_selector();
        let mut opening = Opening {
            cipher: Cipher::new(key),
            layout: self.parsed.layout.as_ref(),
            mac: Mac::new(metadata.mac_only_encrypted),
            values: Vec::with_capacity(self.stops()),
            problems: Vec::new(),
            plain_parts: Vec::new(),
            closed_comments: 0,
        };
        for document in &self.parsed.documents {
            opening.document(document, &selector);
        }
        if !opening.problems.is_empty() {
            return Err(opening.problems);
        }
        let mac = verify_mac(metadata, &opening.cipher, &opening.mac.finish());
        Ok(Opened {
            key: key.clone(),
            block: self.parsed.block.clone().unwrap_or_default(),
            metadata: metadata.clone(),
            values: opening.values,
            spare: None,
            plain_parts: opening.plain_parts,
            mac,
            closed_comments: opening.closed_comments,
        })
    }

    /// Decrypts the file: the bytes it had before it was encrypted, as far as the format keeps them.
    ///
    /// # Errors
    ///
    /// What does not open; plain values where the selector wants encrypted ones; a code that does not fit.
    pub fn decrypt(&self, key: &DataKey, check: MacCheck) -> Result<Decrypted, Vec<Problem>> {
        let opened = self.open(key)?;
        if check == MacCheck::Required {
            if !opened.plain_parts.is_empty() {
                return Err(opened.plain_parts);
            }
            opened.mac.map_err(|mismatch| vec![Problem::of_file(ProblemKind::Mac(mismatch))])?;
        }
        let bytes = self.plaintext(&opened)?;
        Ok(Decrypted { bytes, closed_comments: opened.closed_comments })
    }

    /// The plain bytes of an opened file, proven to read back as the same values.
    pub(super) fn plaintext(&self, opened: &Opened) -> Result<Zeroizing<Vec<u8>>, Vec<Problem>> {
        let edits = self.plain_edits(opened)?;
        let bytes = store::apply(self.bytes, edits).map_err(|problem| vec![problem])?;
        self.prove_plain(&bytes, opened)?;
        Ok(bytes)
    }

    /// What makes the file plain.
    pub(super) fn plain_edits(&self, opened: &Opened) -> Result<Vec<Edit>, Vec<Problem>> {
        let layout = self.parsed.layout.as_ref();
        let mut edits: Vec<Edit> = layout.strip();
        edits.reserve(opened.values.len());
        let mut problems = Vec::new();
        let plain_edits = parallel::map(&opened.values, |value| match value {
            Value { sealed: None, .. } => Ok(Vec::new()),
            Value { is_comment: true, .. } => {
                layout.comment(value.site, value.plain.as_text().unwrap_or_default())
            }
            _ => layout.open(value.site, &value.plain),
        });
        for (value, edit) in opened.values.iter().zip(plain_edits) {
            match edit {
                Ok(edit) => edits.extend(edit),
                Err(problem) => problems.push(problem.key(value.key_path.clone())),
            }
        }
        if problems.is_empty() { Ok(edits) } else { Err(problems) }
    }

    fn prove_plain(&self, bytes: &[u8], opened: &Opened) -> Result<(), Vec<Problem>> {
        let unproven = |what| vec![Problem::of_file(ProblemKind::Unproven(what))];
        if self.format == store::Format::Binary {
            return Ok(());
        }
        let mut wanted = opened.values.iter().filter(|value| !value.is_comment);
        let again = match File::read(bytes, self.format, self.settings) {
            Ok(again) => again,
            // Where the metadata was all there was, nothing is left of dotenv and INI files.
            Err(problems) if problems.iter().all(|problem| problem.kind == ProblemKind::Empty) => {
                let nothing = wanted.next().is_none();
                return if nothing { Ok(()) } else { Err(unproven("a value would be lost")) };
            }
            Err(_) => return Err(unproven("it is not read back")),
        };
        // JSON has one kind of numbers: `1.0` comes back as `1`, as sops writes it.
        let json = self.format == store::Format::Json;
        let number = |plain: &Plain| matches!(plain, Plain::Int(_) | Plain::Float(_));
        let same = |one: &Plain, other: &Plain| {
            let numbers = json && number(one) && number(other);
            one.same(other) || (numbers && one.canonical() == other.canonical())
        };
        let mut different = None;
        for document in &again.parsed.documents {
            walk(document, &Selector::default(), &mut |visit| {
                if let Stop::Leaf(plain, _) = visit.stop {
                    let same = wanted.next().is_some_and(|value| same(&value.plain, plain));
                    if !same && different.is_none() {
                        different = Some(visit.key_path());
                    }
                }
            });
        }
        if different.is_none() && wanted.next().is_none() && again.metadata.is_none() {
            return Ok(());
        }
        let problem = Problem::of_file(ProblemKind::Unproven("a value would be another one in plain"));
        Err(vec![problem.key(different.unwrap_or_default())])
    }
}

impl File<'_> {
    /// All leaves in the order of a walk.
    pub(super) fn leaves(&self, selector: &Selector) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::with_capacity(self.stops());
        for document in &self.parsed.documents {
            walk(document, selector, &mut |visit| {
                if let Stop::Leaf(plain, _) = visit.stop {
                    leaves.push(Leaf { plain, aad: visit.aad(), covered: visit.covered });
                }
            });
        }
        leaves
    }
}

/// A leaf as it stands in the file.
pub(super) struct Leaf<'t> {
    plain: &'t Plain,
    /// The additional data of its place.
    aad: String,
    /// Whether the selector wants it encrypted.
    pub(super) covered: bool,
}

/// A leaf in plain.
pub(super) struct Clear<'t> {
    pub(super) plain: Cow<'t, Plain>,
    /// What stood encrypted there.
    pub(super) sealed: Option<Box<EncryptedValue>>,
}

impl<'t> Leaf<'t> {
    /// Whether it may not be plain. Empty texts are never encrypted.
    pub(super) fn must_be_sealed(&self) -> bool {
        self.covered && !self.plain.is_empty()
    }

    /// What it is in plain. What does not claim to be encrypted is plain, whatever the selector wants.
    pub(super) fn opened(&self, cipher: &Cipher) -> Result<Clear<'t>, ProblemKind> {
        let claims = self.plain.as_text().filter(|text| self.must_be_sealed() && value::claims(text));
        let Some(text) = claims else {
            return Ok(Clear { plain: Cow::Borrowed(self.plain), sealed: None });
        };
        let sealed = value::parse_any(text).map_err(ProblemKind::Malformed)?;
        let plain = open_value(cipher, &sealed, &self.aad)?;
        Ok(Clear { plain: Cow::Owned(plain), sealed: Some(Box::new(sealed)) })
    }

    /// Whether it says that it is an encrypted comment.
    pub(super) fn is_sealed_comment(&self) -> bool {
        let text = self.plain.as_text().filter(|text| self.must_be_sealed() && value::claims(text));
        text.is_some_and(|text| text.trim_end_matches(['\n', '\r']).ends_with(",type:comment]"))
    }

    /// Whether it opens to a value, or to a comment where none is given, and is as the selector wants it.
    pub(super) fn opens_to(&self, cipher: &Cipher, value: Option<&Value>) -> bool {
        match (self.opened(cipher), value) {
            (Ok(Clear { sealed: Some(sealed), .. }), None) => sealed.kind == ValueType::Comment,
            (Ok(Clear { plain, sealed }), Some(value)) => {
                (sealed.is_some() || !self.must_be_sealed()) && value.plain.same(&plain)
            }
            _ => false,
        }
    }
}

struct Opening<'t> {
    cipher: Cipher,
    layout: &'t dyn Layout,
    mac: Mac,
    values: Vec<Value>,
    problems: Vec<Problem>,
    plain_parts: Vec<Problem>,
    closed_comments: usize,
}

/// The places of a document that a comment may have been encrypted at: readers attach comments differently.
struct Places<'t> {
    document: &'t Branch,
    aads: Option<Vec<String>>,
}

/// Places that are tried for one comment.
const MOST_PLACES: usize = 2000;

/// A leaf or comment on the way.
enum Found<'t> {
    Leaf(Leaf<'t>, Site),
    Comment(&'t Comment, String),
}

impl Opening<'_> {
    /// Opens a document: a large one's values on all cores.
    fn document(&mut self, document: &Branch, selector: &Selector) {
        let mut found = Vec::with_capacity(document.count().stops());
        walk(document, selector, &mut |visit| {
            let what = match visit.stop {
                Stop::Leaf(plain, site) => {
                    Found::Leaf(Leaf { plain, aad: visit.aad(), covered: visit.covered }, site)
                }
                Stop::Comment(comment) => Found::Comment(comment, visit.aad()),
            };
            found.push((what, visit.key_path()));
        });
        let opened = parallel::map(&found, |(found, _)| match found {
            Found::Leaf(leaf, _) => Some(leaf.opened(&self.cipher)),
            Found::Comment(..) => None,
        });
        let mut places = Places { document, aads: None };
        for ((found, key_path), opened) in found.into_iter().zip(opened) {
            match (found, opened) {
                (Found::Leaf(leaf, site), Some(opened)) => self.leaf(leaf, site, key_path, opened),
                (Found::Comment(comment, aad), _) => self.comment(comment, aad, key_path, &mut places),
                (Found::Leaf(..), None) => {}
            }
        }
    }

    fn leaf(&mut self, leaf: Leaf<'_>, site: Site, key_path: String, opened: Result<Clear<'_>, ProblemKind>) {
        let at = |kind, key: &str| Problem::at(kind, self.layout.span(site)).key(key.to_owned());
        let Clear { plain, sealed } = match opened {
            Ok(clear) => clear,
            Err(kind) => return self.problems.push(at(kind, &key_path)),
        };
        if leaf.must_be_sealed() && sealed.is_none() {
            self.plain_parts.push(at(ProblemKind::Plain, &key_path));
        }
        // In a list sops keeps an encrypted comment as an item.
        let is_comment = sealed.as_ref().is_some_and(|sealed| sealed.kind == ValueType::Comment);
        if !is_comment {
            self.mac.add(&plain, leaf.covered);
        }
        let plain = plain.into_owned();
        self.values.push(Value { aad: leaf.aad, key_path, plain, sealed, is_comment, site });
    }

    fn comment(&mut self, comment: &Comment, mut aad: String, key_path: String, places: &mut Places<'_>) {
        let mut plain = Plain::text(&comment.text);
        let mut sealed = None;
        if let Ok(value) = value::parse_any(comment.text.trim()) {
            match self.place_of(&value, &aad, places) {
                Some((place, opened)) => {
                    aad = place;
                    plain = opened;
                    sealed = Some(Box::new(value));
                }
                None => self.closed_comments += 1,
            }
        }
        self.values.push(Value { aad, key_path, plain, sealed, is_comment: true, site: comment.site });
    }

    /// The place where an encrypted comment opens: its own, else any other of the document.
    fn place_of(
        &self,
        value: &EncryptedValue,
        own: &str,
        places: &mut Places<'_>,
    ) -> Option<(String, Plain)> {
        let open = |aad: &str| {
            let mut bytes = self.cipher.open(value, aad).ok()?;
            // What an empty comment in a list is encrypted as.
            if bytes.as_slice() == b" " {
                bytes.clear();
            }
            Some((aad.to_owned(), Plain::Str(bytes)))
        };
        if let Some(found) = open(own) {
            return Some(found);
        }
        let document = places.document;
        let aads = places.aads.get_or_insert_with(|| places_of(document));
        aads.iter().find_map(|aad| open(aad))
    }
}

fn places_of(document: &Branch) -> Vec<String> {
    fn descend<'t>(tree: &'t Tree, path: &mut Vec<&'t str>, into: &mut Vec<String>) {
        if into.len() >= MOST_PLACES {
            return;
        }
        match tree {
            Tree::Map(branch) => entries(branch, path, into),
            Tree::List(elements) => {
                for element in elements {
                    if let crate::sops::tree::Element::Value(tree) = element {
                        descend(tree, path, into);
                    }
                }
            }
            Tree::Leaf(_) => {}
        }
    }
    fn entries<'t>(branch: &'t Branch, path: &mut Vec<&'t str>, into: &mut Vec<String>) {
        for item in &branch.items {
            if let Item::Entry(key, value) = item {
                path.push(key);
                into.push(aad(path));
                descend(value, path, into);
                path.pop();
            }
        }
    }
    let mut into = vec![":".to_owned()];
    entries(document, &mut Vec::new(), &mut into);
    into
}

pub(super) fn open_value(cipher: &Cipher, sealed: &EncryptedValue, aad: &str) -> Result<Plain, ProblemKind> {
    let bytes = cipher.open(sealed, aad).map_err(|_| ProblemKind::DoesNotOpen)?;
    let kind = if sealed.kind == ValueType::Comment { ValueType::Str } else { sealed.kind };
    Plain::from_canonical(kind, bytes).ok_or(ProblemKind::WrongType)
}

pub(super) fn verify_mac(metadata: &Metadata, cipher: &Cipher, computed: &str) -> Result<(), MacMismatch> {
    let mac = metadata.mac.as_deref().filter(|mac| !mac.is_empty()).ok_or(MacMismatch::Missing)?;
    let mac = value::parse_any(mac).map_err(|_| MacMismatch::Malformed)?;
    let last_modified = metadata.last_modified.as_deref().unwrap_or_default();
    let stored = cipher.open(&mac, &aad_of(last_modified)).map_err(|_| MacMismatch::DoesNotOpen)?;
    if stored.as_slice() == computed.as_bytes() { Ok(()) } else { Err(MacMismatch::Values) }
}
