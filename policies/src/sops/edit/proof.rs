//! Whether a change changed what it should, and nothing else.

use super::{EditError, Found, New, Place, descend};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store;
use crate::sops::tree::{Branch, Element, Item, Leaf, Tree};
use crate::yaml::Step;

/// Keys on the way, the value, and whether it is at the place or below it.
type Leaves<'t> = Vec<(Vec<&'t str>, Option<&'t Plain>, bool)>;

pub(super) fn set(before: &[u8], after: &[u8], place: Place<'_>, value: &New) -> Result<(), EditError> {
    let document = place.document.unwrap_or_default();
    let old = store::read(place.format, before, place.settings)?;
    let new = store::read(place.format, after, place.settings).map_err(|_| unproven())?;
    let there = new.documents.get(document).ok_or_else(unproven)?;
    let holds = matches!(descend(there, place.path.steps()), Ok(Found::Here(tree)) if same(tree, value));
    let others = |documents: &[Branch]| -> bool {
        let (mut old, mut new) = (leaves(&old.documents, place), leaves(documents, place));
        old.retain(|(_, _, inside)| !inside);
        new.retain(|(_, _, inside)| !inside);
        equal(&old, &new)
    };
    if holds && others(&new.documents) { Ok(()) } else { Err(unproven()) }
}

pub(super) fn unset(before: &[u8], after: &[u8], place: Place<'_>) -> Result<(), EditError> {
    let old = store::read(place.format, before, place.settings)?;
    let new = store::read(place.format, after, place.settings).map_err(|_| unproven())?;
    let mut wanted = leaves(&old.documents, place);
    wanted.retain(|(_, _, inside)| !inside);
    if equal(&wanted, &leaves(&new.documents, place)) { Ok(()) } else { Err(unproven()) }
}

fn unproven() -> EditError {
    Problem::of_file(ProblemKind::Unproven("the change would change something else")).into()
}

fn equal(one: &Leaves<'_>, other: &Leaves<'_>) -> bool {
    let plain = |one: Option<&Plain>, other: Option<&Plain>| match (one, other) {
        (Some(one), Some(other)) => one.same(other),
        (None, None) => true,
        _ => false,
    };
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && plain(a.1, b.1))
}

fn same(tree: &Tree, value: &New) -> bool {
    match (tree, value) {
        (Tree::Leaf(Leaf { value: None, .. }), New::Null) => true,
        (Tree::Leaf(Leaf { value: Some(there), .. }), New::Scalar(wanted)) => {
            // Before sops 3.13.2 every number of JSON is a floating point number.
            there.same(wanted) || there.canonical() == wanted.canonical() && there.as_text().is_none()
        }
        (Tree::Map(branch), New::Map(entries)) => {
            let items = branch.items.iter().filter_map(|item| match item {
                Item::Entry(key, tree) => Some((key, tree)),
                Item::Comment(_) => None,
            });
            let items = items.collect::<Vec<_>>();
            items.len() == entries.len()
                && items
                    .iter()
                    .zip(entries)
                    .all(|((key, tree), (name, value))| *key == name && same(tree, value))
        }
        (Tree::List(elements), New::List(items)) => {
            let values = elements.iter().filter_map(|element| match element {
                Element::Value(tree) => Some(tree),
                Element::Comment(_) => None,
            });
            let values = values.collect::<Vec<_>>();
            values.len() == items.len() && values.iter().zip(items).all(|(tree, item)| same(tree, item))
        }
        _ => false,
    }
}

fn leaves<'t>(documents: &'t [Branch], place: Place<'_>) -> Leaves<'t> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let steps = (Some(index) == place.document).then(|| place.path.steps());
        branch(document, steps, &mut Vec::new(), &mut found);
    }
    found
}

/// `steps` are those that are left to the place; none where the way leads elsewhere.
fn branch<'t>(at: &'t Branch, steps: Option<&[Step]>, path: &mut Vec<&'t str>, found: &mut Leaves<'t>) {
    for item in &at.items {
        let Item::Entry(key, value) = item else { continue };
        let rest = steps.and_then(|steps| match steps.split_first() {
            Some((Step::Key(wanted), rest)) if wanted == key => Some(rest),
            None => Some(steps),
            _ => None,
        });
        path.push(key);
        tree(value, rest, path, found);
        path.pop();
    }
}

fn tree<'t>(at: &'t Tree, steps: Option<&[Step]>, path: &mut Vec<&'t str>, found: &mut Leaves<'t>) {
    match at {
        Tree::Map(map) => branch(map, steps, path, found),
        Tree::List(elements) => {
            let values = elements.iter().filter_map(|element| match element {
                Element::Value(value) => Some(value),
                Element::Comment(_) => None,
            });
            for (index, value) in values.enumerate() {
                let rest = steps.and_then(|steps| match steps.split_first() {
                    Some((Step::Index(wanted), rest)) if *wanted == index => Some(rest),
                    None => Some(steps),
                    _ => None,
                });
                tree(value, rest, path, found);
            }
        }
        Tree::Leaf(leaf) => {
            let inside = steps.is_some_and(<[Step]>::is_empty);
            // A null that becomes a map or list on the way to the place is no loss.
            if leaf.value.is_some() || inside {
                found.push((path.clone(), leaf.value.as_ref(), inside));
            }
        }
    }
}
