//! Files of any other kind, as sops keeps them (`stores/json/store.go`, `BinaryStore`): plain, any bytes, a
//! tree with the one text `data`; encrypted, a JSON object with `data` and the metadata.
//!
//! Bytes come back as they were. Bytes that are themselves such an object are taken for encrypted.

use super::json::{self, member_in_envelope, quoted};
use super::located_json;
use super::{Edit, Layout, Parsed, StoreSettings};
use crate::finding::Span;
use crate::sops::block::Block;
use crate::sops::metadata;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Item, Leaf, Site, Tree};
use crate::yaml::Source;

const DATA: &str = "data";

/// Reads any file: encrypted, where it is a JSON object with a text `data` and the metadata of sops; else
/// plain. Of the settings, `json_binary_indent` counts: for a new envelope.
///
/// A file that is not empty becomes an envelope by sealing its one value and stamping.
///
/// # Errors
///
/// Of an envelope, what the JSON store refuses. Of a plain file, none.
pub fn read(bytes: &[u8], settings: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    if let Some(source) = envelope(bytes) {
        return read_envelope(source, settings);
    }
    let value = Some(Plain::Str(zeroize::Zeroizing::new(bytes.to_vec())));
    let data = Item::Entry(DATA.to_owned(), Tree::Leaf(Leaf { value, site: Site(0) }));
    Ok(Parsed {
        documents: vec![Branch { items: vec![data] }],
        block: None,
        duplicate_keys: Vec::new(),
        layout: Box::new(Raw { bytes, unit: json::unit(settings.json_binary_indent.unwrap_or(-1)) }),
    })
}

/// The file as text, if it is an envelope.
fn envelope(bytes: &[u8]) -> Option<Source<'_>> {
    if bytes.trim_ascii_start().first() != Some(&b'{') || bytes.contains(&0) {
        return None;
    }
    let source = Source::new(bytes);
    if source.first_invalid().is_some() {
        return None;
    }
    let root = located_json::parse(&source).ok()?;
    let member = |name| root.members()?.iter().find(|member| member.key.as_deref() == Some(name));
    let metadata = located_json::block(member("sops")?.value.members()?, source.text());
    let data = matches!(member(DATA)?.value.kind, located_json::Kind::Text);
    (data && metadata::tells(&metadata)).then_some(source)
}

fn read_envelope(source: Source<'_>, settings: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    let length = source.bytes().len();
    let mut parsed = json::read_source(source, settings.json_binary_indent)?;
    let data = parsed.documents.iter().flat_map(|branch| &branch.items).find_map(|item| match item {
        Item::Entry(key, Tree::Leaf(Leaf { value: Some(value), site })) if key == DATA => {
            Some((value.clone(), *site))
        }
        _ => None,
    });
    // What was told for an envelope has its data.
    let (value, site) = data.ok_or_else(|| vec![Problem::of_file(ProblemKind::Unproven("no data"))])?;
    parsed.layout = Box::new(Envelope { json: parsed.layout, length, value, site });
    Ok(parsed)
}

/// A plain file.
struct Raw<'b> {
    bytes: &'b [u8],
    unit: String,
}

impl Raw<'_> {
    /// The envelope up to the metadata.
    fn head(&self, data: &str) -> String {
        format!("{{\n{}{}: {},\n", self.unit, quoted(DATA), quoted(data))
    }
}

impl Layout for Raw<'_> {
    fn span(&self, _: Site) -> Span {
        Span { bytes: 0..self.bytes.len(), line: 1, column: 1 }
    }

    fn seal(&self, _: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        Ok(vec![Edit::public(0..self.bytes.len(), self.head(sealed))])
    }

    fn open(&self, _: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        Ok(vec![Edit::new(0..self.bytes.len(), bytes_of(plain))])
    }

    fn comment(&self, site: Site, _: &str) -> Result<Vec<Edit>, Problem> {
        Err(no_comments(self.span(site)))
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        let end = self.bytes.len();
        // Nothing is sealed of an empty file.
        let head = if end == 0 { self.head("") } else { String::new() };
        Ok(vec![Edit::new(end..end, format!("{head}{}\n}}\n", member_in_envelope(block, &self.unit)))])
    }

    fn strip(&self) -> Vec<Edit> {
        Vec::new()
    }
}

fn bytes_of(plain: &Plain) -> Vec<u8> {
    plain.canonical().to_vec()
}

fn no_comments(span: Span) -> Problem {
    Problem::at(ProblemKind::Unwritable("files of this kind have no comments"), span)
}

/// An encrypted file.
struct Envelope<'b> {
    json: Box<dyn Layout + 'b>,
    length: usize,
    /// `data` and its place.
    value: Plain,
    site: Site,
}

impl Envelope<'_> {
    fn is_sealed(&self) -> bool {
        self.value.as_text().is_some_and(crate::sops::value::claims)
    }
}

impl Layout for Envelope<'_> {
    fn span(&self, site: Site) -> Span {
        self.json.span(site)
    }

    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        self.json.seal(site, sealed)
    }

    /// Puts the bytes in the place of the envelope. Values beside `data`, and `data` that was not sealed, are
    /// dealt with by stripping.
    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        if site != self.site || !self.is_sealed() {
            return Ok(Vec::new());
        }
        Ok(vec![Edit::new(0..self.length, bytes_of(plain))])
    }

    fn comment(&self, site: Site, _: &str) -> Result<Vec<Edit>, Problem> {
        Err(no_comments(self.span(site)))
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        self.json.stamp(block)
    }

    /// Empty bytes, which sops does not seal, are all that is left of their envelope.
    fn strip(&self) -> Vec<Edit> {
        if self.is_sealed() { Vec::new() } else { vec![Edit::new(0..self.length, bytes_of(&self.value))] }
    }
}
