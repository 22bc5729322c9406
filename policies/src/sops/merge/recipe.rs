//! Merging what files say of themselves: who can open them, and what in them is encrypted.

use super::{Conflict, ConflictKind, merged};
use crate::sops::file::Recipe;
use crate::sops::recipient::{KeyGroup, Recipient};
use crate::sops::selector::Selector;

/// Merges two recipes with the one both came from. Recipients of a single group are merged as a set: what one
/// side added is there, what one side removed is gone. The order is ours.
///
/// # Errors
///
/// What both sides changed in different ways, by its name in the metadata; nobody left.
pub fn merge(base: Option<&Recipe>, ours: &Recipe, theirs: &Recipe) -> Result<Recipe, Vec<Conflict>> {
    let mut conflicts = Vec::new();
    let mut changed = |name: &str| {
        conflicts.push(Conflict { key_path: format!("sops.{name}"), kind: ConflictKind::Changed });
    };
    let selector = |recipe: &Recipe| recipe.selector.clone().unwrap_or_default();
    let selected =
        merged(base.map(selector).as_ref(), selector(ours), selector(theirs)).unwrap_or_else(|| {
            changed("selector");
            Selector::default()
        });
    let only = |recipe: &Recipe| recipe.mac_only_encrypted;
    // Of two truth values that differ from each other, one is that of the base.
    let mac_only_encrypted = merged(base.map(only).as_ref(), only(ours), only(theirs)).unwrap_or_else(|| {
        changed("mac_only_encrypted");
        false
    });
    let groups = match groups(base, ours, theirs) {
        Ok(groups) => groups,
        Err(conflict) => {
            conflicts.push(conflict);
            Vec::new()
        }
    };
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let from = if same_groups(&groups, &ours.groups) { ours } else { theirs };
    // As it is written in ours, where it means the same.
    let selector = if selector(ours) == selected { ours.selector.clone() } else { Some(selected) };
    Ok(Recipe { groups, shamir_threshold: from.shamir_threshold, selector, mac_only_encrypted })
}

fn groups(base: Option<&Recipe>, ours: &Recipe, theirs: &Recipe) -> Result<Vec<KeyGroup>, Conflict> {
    let whole = |recipe: &Recipe| Whole { groups: recipe.groups.clone(), threshold: recipe.shamir_threshold };
    if let Some(merged) = merged(base.map(whole).as_ref(), whole(ours), whole(theirs)) {
        return Ok(merged.groups);
    }
    let none = KeyGroup::default();
    let base_group = base.map_or(Some(&none), |base| single(&base.groups));
    let (Some(base), Some(one), Some(other)) = (base_group, single(&ours.groups), single(&theirs.groups))
    else {
        return Err(Conflict { key_path: "sops.key_groups".to_owned(), kind: ConflictKind::Changed });
    };
    let kept = one.recipients.iter().filter(|recipient| has(other, recipient) || !has(base, recipient));
    let added = other.recipients.iter().filter(|recipient| !has(one, recipient) && !has(base, recipient));
    let recipients = kept.chain(added).cloned().collect::<Vec<_>>();
    if recipients.is_empty() {
        return Err(Conflict::of_file(ConflictKind::NoRecipients));
    }
    Ok(vec![KeyGroup { recipients }])
}

/// The one group there is.
fn single(groups: &[KeyGroup]) -> Option<&KeyGroup> {
    match groups {
        [group] => Some(group),
        _ => None,
    }
}

fn has(group: &KeyGroup, recipient: &Recipient) -> bool {
    let identity = recipient.identity();
    group.recipients.iter().any(|other| other.identity() == identity)
}

fn same_groups(one: &[KeyGroup], other: &[KeyGroup]) -> bool {
    let sorted = |group: &KeyGroup| {
        let mut recipients = group.recipients.iter().map(Recipient::identity).collect::<Vec<_>>();
        recipients.sort();
        recipients.dedup();
        recipients
    };
    one.iter().map(sorted).eq(other.iter().map(sorted))
}

/// Groups that are compared as a whole, whatever the order of recipients.
struct Whole {
    groups: Vec<KeyGroup>,
    threshold: Option<u32>,
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        same_groups(&self.groups, &other.groups)
            && (self.groups.len() < 2 || self.threshold == other.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::goregex::GoRegex;

    fn recipe(groups: &[&[&str]]) -> Recipe {
        let group = |names: &&[&str]| KeyGroup {
            recipients: names.iter().map(|name| Recipient::Age((*name).to_owned())).collect(),
        };
        Recipe { groups: groups.iter().map(group).collect(), ..Recipe::default() }
    }

    fn names(recipe: &Recipe) -> Vec<String> {
        recipe.groups.iter().flat_map(|group| &group.recipients).map(ToString::to_string).collect()
    }

    fn conflicts(base: &Recipe, ours: &Recipe, theirs: &Recipe) -> Vec<String> {
        merge(Some(base), ours, theirs).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn recipients_are_merged_as_a_set() {
        let base = recipe(&[&["a", "b", "c"]]);
        let table: [(&[&str], &[&str], &[&str]); 6] = [
            (&["a", "b", "c", "o"], &["t", "a", "b", "c"], &["a", "b", "c", "o", "t"]),
            (&["a", "b"], &["a", "b", "c", "t"], &["a", "b", "t"]),
            (&["a", "b", "c", "o"], &["b", "c"], &["b", "c", "o"]),
            (&["b", "a", "c"], &["a", "b", "c"], &["b", "a", "c"]),
            (&["a"], &["b"], &[]),
            (&["a", "b", "c", "n"], &["a", "b", "c", "n"], &["a", "b", "c", "n"]),
        ];
        for (ours, theirs, wanted) in table {
            let merged = merge(Some(&base), &recipe(&[ours]), &recipe(&[theirs]));
            match merged {
                Ok(merged) => assert_eq!(names(&merged), wanted),
                Err(conflicts) => {
                    assert!(wanted.is_empty());
                    assert_eq!(conflicts, [Conflict::of_file(ConflictKind::NoRecipients)]);
                }
            }
        }
        let both = merge(None, &recipe(&[&["a", "o"]]), &recipe(&[&["a", "t"]])).unwrap();
        assert_eq!(names(&both), ["a", "o", "t"]);
    }

    #[test]
    fn key_groups_are_taken_from_the_side_that_changed_them() {
        let base = recipe(&[&["a"]]);
        let mut two = recipe(&[&["a"], &["b"]]);
        two.shamir_threshold = Some(2);
        assert_eq!(merge(Some(&base), &base, &two).unwrap(), two);
        assert_eq!(merge(Some(&base), &two, &base).unwrap(), two);
        let other = recipe(&[&["a", "c"]]);
        assert_eq!(conflicts(&base, &two, &other), ["sops.key_groups: changed on both sides"]);
    }

    #[test]
    fn a_selector_that_both_changed_is_a_conflict() {
        let with = |pattern: &str| Recipe {
            selector: Some(Selector::EncryptedRegex(GoRegex::new(pattern).unwrap())),
            ..recipe(&[&["a"]])
        };
        assert_eq!(merge(Some(&with("^a$")), &with("^a$"), &with("^b$")).unwrap(), with("^b$"));
        assert_eq!(
            conflicts(&with("^a$"), &with("^b$"), &with("^c$")),
            ["sops.selector: changed on both sides"]
        );
    }
}
