//! What changed between two versions of a `.sops.yaml`: who can open what, and what is covered.

use std::collections::BTreeSet;

use super::{Rule, Rules};
use crate::sops::recipient::Recipient;

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Somebody more can open what is encrypted from now on.
    RecipientAdded,
    /// Somebody cannot any more.
    RecipientRemoved,
    /// Nobody of before is left.
    RecipientsReplaced,
    /// Another number of groups is needed, or recipients are grouped in another way.
    Groups,
    /// Other values are encrypted.
    Selector,
    /// The rule is for other paths.
    Paths,
    /// A rule is there that was not.
    RuleAdded,
    /// A rule is gone.
    RuleRemoved,
    /// Rules stand in another order: the first one that matches counts.
    Order,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind.
    pub kind: ChangeKind,
    /// What exactly, in half a sentence. Patterns and public keys may be in it: rules hold no secrets.
    pub what: String,
}

/// Who can open what a rule encrypts, each once.
fn recipients(rule: &Rule) -> BTreeSet<Recipient> {
    rule.recipients().map(Recipient::identity).collect()
}

/// Whether nobody who could open what the old rule encrypted can open what the new one does.
pub fn nobody_stays(old: &Rule, new: &Rule) -> bool {
    let (old, new) = (recipients(old), recipients(new));
    !old.is_empty() && !old.iter().any(|one| new.iter().any(|other| one.is(other)))
}

/// Compares two versions. Comments and layout are no change.
pub fn changes(old: &Rules, new: &Rules) -> Vec<Change> {
    let (old, new) = (old.rules(), new.rules());
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    // Rules are the same by their pattern; what is left over, by who can open.
    let same: [fn(&Rule, &Rule) -> bool; 2] = [
        |a, b| pattern(a) == pattern(b),
        |a, b| recipients(a) == recipients(b) && a.effective_selector() == b.effective_selector(),
    ];
    for same in same {
        for (at, rule) in old.iter().enumerate() {
            let taken = |other: usize| pairs.iter().any(|(_, new)| *new == other);
            if pairs.iter().all(|(old, _)| *old != at)
                && let Some(to) = (0..new.len()).find(|to| !taken(*to) && same(rule, &new[*to]))
            {
                pairs.push((at, to));
            }
        }
    }
    pairs.sort_unstable();
    let mut found = Vec::new();
    for (at, to) in &pairs {
        between(&old[*at], &new[*to], &mut found);
    }
    for (at, rule) in old.iter().enumerate() {
        if pairs.iter().all(|(old, _)| *old != at) {
            found.push(Change {
                kind: ChangeKind::RuleRemoved,
                what: format!("the rule for {} is gone", named(rule)),
            });
        }
    }
    for (to, rule) in new.iter().enumerate() {
        if pairs.iter().all(|(_, new)| *new != to) {
            let before = pairs.iter().any(|(_, new)| *new > to);
            let place = if before { ", before others" } else { "" };
            let what = format!("a rule for {} is new{place}", named(rule));
            found.push(Change { kind: ChangeKind::RuleAdded, what });
        }
    }
    if pairs.windows(2).any(|pair| pair[0].1 > pair[1].1) {
        found.push(Change { kind: ChangeKind::Order, what: "rules stand in another order".to_owned() });
    }
    found
}

fn pattern(rule: &Rule) -> Option<&str> {
    rule.path_regex.as_ref().map(super::GoRegex::as_str)
}

fn named(rule: &Rule) -> String {
    pattern(rule).map_or_else(|| "all paths".to_owned(), |pattern| format!("`{pattern}`"))
}

/// Compares two versions of one rule.
fn between(old: &Rule, new: &Rule, found: &mut Vec<Change>) {
    let name = named(new);
    let mut add = |kind, what: String| found.push(Change { kind, what: format!("{name}: {what}") });
    if pattern(old) != pattern(new) {
        add(ChangeKind::Paths, format!("the rule was for {}", named(old)));
    }
    let (before, after) = (recipients(old), recipients(new));
    if nobody_stays(old, new) {
        add(ChangeKind::RecipientsReplaced, "no recipient stays".to_owned());
    }
    for recipient in after.difference(&before) {
        add(ChangeKind::RecipientAdded, format!("new recipient {}", recipient.nameable()));
    }
    for recipient in before.difference(&after) {
        add(ChangeKind::RecipientRemoved, format!("recipient {} is gone", recipient.nameable()));
    }
    let groups = |rule: &Rule| {
        let groups = rule.groups.iter();
        groups.map(|g| g.recipients.iter().map(Recipient::identity).collect()).collect::<Vec<BTreeSet<_>>>()
    };
    if (before == after && groups(old) != groups(new)) || old.shamir_threshold != new.shamir_threshold {
        add(ChangeKind::Groups, "key groups or their threshold changed".to_owned());
    }
    if old.effective_selector() != new.effective_selector()
        || old.mac_only_encrypted != new.mac_only_encrypted
    {
        let selector = new.effective_selector();
        add(ChangeKind::Selector, format!("encrypts by {}: `{}` now", selector.name(), selector.pattern()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(old: &str, new: &str) -> String {
        let rules = |text: &str| {
            let text = format!("creation_rules:\n{text}");
            Rules::parse(b".sops.yaml", text.as_bytes()).unwrap()
        };
        let changes = changes(&rules(old), &rules(new));
        changes.iter().map(|change| format!("{:?}: {}\n", change.kind, change.what)).collect()
    }

    #[test]
    fn layout_and_comments_are_no_change() {
        assert_eq!(
            compared("- {path_regex: a, pgp: 'A1, B2'}\n", "# x\n- pgp: [b2, a1]\n  path_regex: a\n"),
            ""
        );
    }

    #[test]
    fn every_kind_of_change_is_told() {
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: 'A'}\n", "- {path_regex: a, pgp: 'A,B'}\n"), @"RecipientAdded: `a`: new recipient B");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: 'A,B'}\n", "- {path_regex: a, pgp: 'A'}\n"), @"RecipientRemoved: `a`: recipient B is gone");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: A}\n", "- {path_regex: a, pgp: B}\n"), @"
        RecipientsReplaced: `a`: no recipient stays
        RecipientAdded: `a`: new recipient B
        RecipientRemoved: `a`: recipient A is gone
        ");
        insta::assert_snapshot!(compared("- {path_regex: ^a/, pgp: A}\n", "- {path_regex: ^a/b/, pgp: A}\n"), @"Paths: `^a/b/`: the rule was for `^a/`");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: A}\n", "- {pgp: B}\n- {path_regex: a, pgp: A}\n"), @"RuleAdded: a rule for all paths is new, before others");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: A}\n- {pgp: B}\n", "- {pgp: B}\n"), @"RuleRemoved: the rule for `a` is gone");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: A}\n- {pgp: B}\n", "- {pgp: B}\n- {path_regex: a, pgp: A}\n"), @"Order: rules stand in another order");
        insta::assert_snapshot!(compared("- {path_regex: a, pgp: A}\n", "- {path_regex: a, pgp: A, encrypted_regex: ^x$}\n"), @"Selector: `a`: encrypts by encrypted_regex: `^x$` now");
        insta::assert_snapshot!(compared("- {shamir_threshold: 2, key_groups: [{pgp: [A]}, {pgp: [B]}]}\n", "- {shamir_threshold: 1, key_groups: [{pgp: [A]}, {pgp: [B]}]}\n"), @"Groups: all paths: key groups or their threshold changed");
    }
}
