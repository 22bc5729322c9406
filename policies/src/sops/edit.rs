//! Changing one place of a plain document by its bytes: what is elsewhere stays as it is written.
//!
//! A change is proven before it is given back: the new text is read again, and nothing but the value that was
//! named may have become another one.

mod flat;
mod new;
mod proof;
mod render;
#[cfg(test)]
mod tests;
mod yaml;

use zeroize::Zeroizing;

use super::problem::{Problem, ProblemKind};
use super::store::{self, Format, Parsed, StoreSettings};
use super::tree::{Branch, Element, Item, Leaf, Tree};
use crate::yaml::{KeyPath, Step};

pub use new::New;

/// A plain document and a place in it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// How the document is stored.
    pub format: Format,
    /// How new parts are laid out.
    pub settings: StoreSettings,
    /// The way to the value.
    pub path: &'p KeyPath,
    /// Which document of a stream, from 0; `None` for the one that has the place.
    pub document: Option<usize>,
}

/// Why a place cannot be changed. It holds no value.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text cannot be read, or cannot hold the value.
    #[error("the document cannot be changed")]
    Problems(Vec<Problem>),
    /// No such document.
    #[error("there is no document {wanted}: the file has {count}")]
    NoDocument {
        /// Counted from 1.
        wanted: usize,
        /// How many there are.
        count: usize,
    },
    /// The place could be in several documents, each as a person would call it.
    #[error("several documents of the file have such a place")]
    Ambiguous(Vec<String>),
    /// There is nothing at the place.
    #[error("there is no `{0}`")]
    Missing(KeyPath),
    /// What the value would be in is not there.
    #[error("there is no `{0}` to put it in")]
    NoParent(KeyPath),
    /// A step into something that has no such steps.
    #[error("`{0}` is {1}")]
    Wrong(KeyPath, &'static str),
    /// A place beyond the end of a list.
    #[error("the list `{0}` has {1} items")]
    Beyond(KeyPath, usize),
    /// A key twice in one map.
    #[error("`{0}` is there twice: readers differ in which one they take")]
    Twice(KeyPath),
    /// An alias or anchor on the way.
    #[error("`{0}` is an alias, or has an anchor for one: a change would change more than this place")]
    Alias(KeyPath),
    /// Something that this way of writing cannot have.
    #[error("{0}")]
    Unwritable(&'static str),
}

impl From<Vec<Problem>> for EditError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(problems)
    }
}

impl From<Problem> for EditError {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

type Changed = Result<Zeroizing<Vec<u8>>, EditError>;

/// Puts a value at a place: in the place of what is there, else behind the last entry of the map or list.
/// `create` makes the maps on the way that are not there.
///
/// # Errors
///
/// A place that is not there or not clear, and what the format cannot hold.
pub fn set(bytes: &[u8], place: Place<'_>, value: &New, create: bool) -> Changed {
    let parsed = store::read(place.format, bytes, place.settings)?;
    let steps = place.path.steps();
    if matches!(steps.first(), Some(Step::Key(key)) if key == "sops") && place.format != Format::Dotenv {
        return Err(Problem::of_file(ProblemKind::ReservedKey).key("sops").into());
    }
    let document = choose(&parsed.documents, place, steps.len().saturating_sub(1), create)?;
    let place = Place { document: Some(document), ..place };
    let found = descend(&parsed.documents[document], steps)?;
    let changed = match found {
        Found::Here(tree) => replaced(bytes, &parsed, place, tree, value)?,
        Found::Until(depth) => {
            if depth + 1 < steps.len() && !create {
                return Err(EditError::NoParent(path_of(&steps[..steps.len() - 1])));
            }
            let nested = value.below(&steps[depth + 1..])?;
            appended(bytes, place, depth, &nested)?
        }
    };
    proof::set(bytes, &changed, place, value)?;
    Ok(changed)
}

/// Takes the value at a place away, with its key; a map or list that was only it becomes an empty one.
///
/// # Errors
///
/// A place that is not there or not clear.
pub fn unset(bytes: &[u8], place: Place<'_>) -> Changed {
    let parsed = store::read(place.format, bytes, place.settings)?;
    let steps = place.path.steps();
    let document = choose(&parsed.documents, place, steps.len(), false)?;
    let place = Place { document: Some(document), ..place };
    let Found::Here(tree) = descend(&parsed.documents[document], steps)? else {
        return Err(EditError::Missing(place.path.clone()));
    };
    let changed = match place.format {
        Format::Yaml | Format::Json => yaml::removed(bytes, place)?,
        Format::Dotenv | Format::Ini => flat::removed(bytes, &parsed, tree)?,
        Format::Binary => return Err(EditError::Unwritable("the file is one value as a whole")),
    };
    proof::unset(bytes, &changed, place)?;
    Ok(changed)
}

fn replaced(bytes: &[u8], parsed: &Parsed<'_>, place: Place<'_>, tree: &Tree, value: &New) -> Changed {
    let structured = matches!(place.format, Format::Yaml | Format::Json);
    match (tree, value) {
        (Tree::Leaf(Leaf { value: Some(_), site }), New::Scalar(plain)) => {
            if structured {
                yaml::no_alias(bytes, place)?;
            }
            Ok(store::apply(bytes, parsed.layout.open(*site, plain)?)?)
        }
        _ if structured => yaml::replaced(bytes, place, value),
        _ => Err(EditError::Unwritable("the format holds texts only")),
    }
}

/// Puts the first of what is missing in, the rest below it.
fn appended(bytes: &[u8], place: Place<'_>, depth: usize, value: &New) -> Changed {
    let New::Scalar(_) = value else {
        return match place.format {
            Format::Yaml | Format::Json => yaml::appended(bytes, place, depth, value),
            Format::Dotenv | Format::Ini => {
                let New::Map(entries) = value else {
                    return Err(EditError::Unwritable("the format holds texts only"));
                };
                let [(key, inner @ New::Scalar(_))] = entries.as_slice() else {
                    return Err(EditError::Unwritable("the format holds sections with texts only"));
                };
                let section = Zeroizing::new(flat::with_section(bytes, place, key)?);
                fill(&section, place, inner)
            }
            Format::Binary => Err(EditError::Unwritable("the file is one value as a whole")),
        };
    };
    let blank = match place.format {
        Format::Yaml | Format::Json => {
            yaml::appended(bytes, place, depth, &New::Scalar(super::plain::Plain::text("x")))?
        }
        Format::Dotenv | Format::Ini => Zeroizing::new(flat::with_entry(bytes, place)?),
        Format::Binary => return Err(EditError::Unwritable("the file is one value as a whole")),
    };
    fill(&blank, place, value)
}

/// Puts a value in the place of one that was made for it.
fn fill(bytes: &[u8], place: Place<'_>, value: &New) -> Changed {
    let parsed = store::read(place.format, bytes, place.settings)?;
    let document = place.document.unwrap_or_default();
    match descend(&parsed.documents[document], place.path.steps())? {
        Found::Here(tree) => replaced(bytes, &parsed, place, tree, value),
        Found::Until(_) => Err(EditError::Unwritable("the key cannot be written in this format")),
    }
}

enum Found<'t> {
    Here(&'t Tree),
    /// So many steps are there, and what they lead to has no further one.
    Until(usize),
}

fn descend<'t>(branch: &'t Branch, steps: &[Step]) -> Result<Found<'t>, EditError> {
    let mut tree: Option<&Tree> = None;
    for (depth, step) in steps.iter().enumerate() {
        let here = || path_of(&steps[..depth]);
        let next = match (tree, step) {
            (None, Step::Key(key)) => entry(branch, key, || path_of(&steps[..=depth]))?,
            (Some(Tree::Map(branch)), Step::Key(key)) => entry(branch, key, || path_of(&steps[..=depth]))?,
            (Some(Tree::List(elements)), Step::Index(index)) => {
                let values = elements.iter().filter_map(|element| match element {
                    Element::Value(tree) => Some(tree),
                    Element::Comment(_) => None,
                });
                let values = values.collect::<Vec<_>>();
                if *index > values.len() {
                    return Err(EditError::Beyond(here(), values.len()));
                }
                values.get(*index).copied()
            }
            // Nothing is there yet: what is missing makes a map or list of it.
            (Some(Tree::Leaf(Leaf { value: None, .. })), _) => None,
            (Some(Tree::List(_)), Step::Key(_)) => return Err(EditError::Wrong(here(), "a list, not a map")),
            (None | Some(Tree::Map(_)), Step::Index(_)) => {
                return Err(EditError::Wrong(here(), "a map, not a list"));
            }
            (Some(Tree::Leaf(_)), _) => {
                return Err(EditError::Wrong(here(), "a value, and nothing is below it"));
            }
        };
        match next {
            Some(next) => tree = Some(next),
            None => return Ok(Found::Until(depth)),
        }
    }
    tree.map(Found::Here).ok_or(EditError::Unwritable("the document as a whole cannot be set"))
}

fn entry<'t>(
    branch: &'t Branch,
    wanted: &str,
    path: impl Fn() -> KeyPath,
) -> Result<Option<&'t Tree>, EditError> {
    let mut values = branch.items.iter().filter_map(|item| match item {
        Item::Entry(key, value) if key == wanted => Some(value),
        _ => None,
    });
    let first = values.next();
    if values.next().is_some() { Err(EditError::Twice(path())) } else { Ok(first) }
}

fn path_of(steps: &[Step]) -> KeyPath {
    let mut path = KeyPath::root();
    steps.iter().for_each(|step| path.push(step.clone()));
    path
}

/// Which document the place is in: the one named, else the one that has so many steps of the path.
fn choose(documents: &[Branch], place: Place<'_>, needed: usize, create: bool) -> Result<usize, EditError> {
    let count = documents.len();
    if let Some(wanted) = place.document {
        return if wanted < count {
            Ok(wanted)
        } else {
            Err(EditError::NoDocument { wanted: wanted + 1, count })
        };
    }
    if count == 1 {
        return Ok(0);
    }
    let steps = place.path.steps();
    let depth = |branch: &Branch| match descend(branch, steps) {
        Ok(Found::Here(_)) => steps.len(),
        Ok(Found::Until(depth)) => depth,
        Err(_) => 0,
    };
    let depths = documents.iter().map(depth).collect::<Vec<_>>();
    let with = |least: usize| {
        let all = depths.iter().enumerate().filter(move |(_, depth)| **depth >= least);
        all.map(|(index, _)| index).collect::<Vec<_>>()
    };
    // The whole place says more than its parent.
    let whole = with(steps.len());
    let found = if whole.is_empty() { with(needed) } else { whole };
    let named = |documents_of: Vec<usize>| {
        documents_of.into_iter().map(|index| name(index, &documents[index])).collect::<Vec<_>>()
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] if create => Err(EditError::Ambiguous(named((0..count).collect()))),
        [] if needed == steps.len() => Err(EditError::Missing(place.path.clone())),
        [] => Err(EditError::NoParent(path_of(&steps[..needed]))),
        _ => Err(EditError::Ambiguous(named(found))),
    }
}

/// A document as a person would call it: `document 2: Secret apps/db`.
fn name(index: usize, document: &Branch) -> String {
    let text = |keys: &[&str]| {
        let path = KeyPath::of(keys);
        match descend(document, path.steps()) {
            Ok(Found::Here(Tree::Leaf(Leaf { value: Some(plain), .. }))) => {
                plain.as_text().map(str::to_owned)
            }
            _ => None,
        }
    };
    let mut named = format!("document {}", index + 1);
    if let Some(kind) = text(&["kind"]) {
        named += &format!(": {kind}");
        if let Some(name) = text(&["metadata", "name"]) {
            let namespace = text(&["metadata", "namespace"]).map(|namespace| namespace + "/");
            named += &format!(" {}{name}", namespace.unwrap_or_default());
        }
    }
    named
}
