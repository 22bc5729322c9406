//! Changing who is an age recipient in a `.sops.yaml`, by its bytes: comments, anchors and layout stay.
//!
//! What was made is read again: every rule must have changed as asked, and nothing else may have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{FILE_NAME, Problems, Rule, Rules};
use crate::sops::recipient::Recipient;
use crate::sops::store::{self, Edit};
use crate::yaml::{Limits, NodeRef, Reading, Sort, Source, Style, readings};

/// A change of all rules that name a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientChange<'c> {
    /// The second becomes a recipient wherever the first is one.
    Add(&'c str, &'c str),
    /// The first gives its place to the second.
    Replace(&'c str, &'c str),
    /// The recipient goes.
    Remove(&'c str),
}

impl RecipientChange<'_> {
    /// The recipient that is looked for.
    pub fn known(&self) -> &str {
        match self {
            Self::Add(known, _) | Self::Replace(known, _) | Self::Remove(known) => known,
        }
    }

    /// What it makes of a list of recipients.
    pub fn apply_to(&self, recipients: &mut Vec<Recipient>) {
        let age = |text: &str| Recipient::Age(text.to_owned());
        let Some(at) = recipients.iter().position(|recipient| *recipient == age(self.known())) else {
            return;
        };
        match self {
            Self::Add(_, new) if !recipients.contains(&age(new)) => recipients.insert(at + 1, age(new)),
            Self::Add(..) => {}
            Self::Replace(old, new) => {
                recipients.retain(|recipient| *recipient != age(new));
                for recipient in recipients.iter_mut().filter(|recipient| **recipient == age(old)) {
                    *recipient = age(new);
                }
            }
            Self::Remove(old) => recipients.retain(|recipient| *recipient != age(old)),
        }
    }
}

/// Why the recipients of a `.sops.yaml` cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum RecipientChangeError {
    /// sops cannot read the file either.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Without the recipient, nobody would be left.
    #[error("line {0}: the recipient is the only one there")]
    Alone(u32),
    /// Several groups, or nobody with an age key: where a new recipient belongs is somebody's decision.
    #[error(
        "line {0}: this rule has no single list of age recipients that another one could join: edit the file"
    )]
    NoList(u32),
    /// Written in a way that is not changed by its bytes.
    #[error("line {0}: recipients written like this cannot be changed: edit the file")]
    Layout(u32),
    /// The result would not be what was asked for.
    #[error("the change would not give the rules that are wanted: edit the file")]
    Unproven,
}

/// Changes the recipients of all rules of a `.sops.yaml`. `None` where no rule names the recipient, or all have
/// both already.
///
/// # Errors
///
/// A file that sops would refuse, a list that would be left empty, and what cannot be changed without changing
/// something else.
pub fn change_recipients(
    bytes: &[u8],
    change: RecipientChange<'_>,
) -> Result<Option<Vec<u8>>, RecipientChangeError> {
    let before = Rules::parse(FILE_NAME.as_bytes(), bytes)?;
    change_rules(bytes, &before, &vec![Some(change); before.rules().len()])
}

/// Makes somebody a recipient in each rule that counts for one of some paths. `None` where all of these rules name the
/// recipient already, or no rule counts.
///
/// # Errors
///
/// A file that sops would refuse, rules in which there is no one list of age recipients, and what cannot be changed without
/// changing something else.
pub fn add_recipient<'p>(
    config_path: &[u8],
    bytes: &[u8],
    paths: impl IntoIterator<Item = &'p [u8]>,
    new: &str,
) -> Result<Option<Vec<u8>>, RecipientChangeError> {
    let before = Rules::parse(config_path, bytes)?;
    let count: BTreeSet<usize> =
        paths.into_iter().filter_map(|path| before.for_path(path)).map(|(index, _)| index).collect();
    let changes = before
        .rules()
        .iter()
        .enumerate()
        .map(|(index, rule)| if count.contains(&index) { beside_the_last(rule, new) } else { Ok(None) });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    change_rules(bytes, &before, &changes)
}

/// The change that adds a recipient to one rule.
fn beside_the_last<'c>(
    rule: &'c Rule,
    new: &'c str,
) -> Result<Option<RecipientChange<'c>>, RecipientChangeError> {
    let no_list = || RecipientChangeError::NoList(rule.span.line);
    let [group] = rule.groups.as_slice() else { return Err(no_list()) };
    let age = group.recipients.iter().filter_map(|recipient| match recipient {
        Recipient::Age(text) => Some(text.as_str()),
        _ => None,
    });
    let age = age.collect::<Vec<_>>();
    match age.last() {
        _ if age.contains(&new) => Ok(None),
        Some(last) => Ok(Some(RecipientChange::Add(last, new))),
        None => Err(no_list()),
    }
}

/// Makes a change of its own in each rule, and proves that it became what was wanted.
fn change_rules(
    bytes: &[u8],
    before: &Rules,
    changes: &[Option<RecipientChange<'_>>],
) -> Result<Option<Vec<u8>>, RecipientChangeError> {
    let pairs = before.rules().iter().zip(changes);
    let wanted = pairs.map(|(rule, change)| change.map_or_else(|| rule.clone(), |one| changed(rule, one)));
    let wanted = wanted.collect::<Vec<_>>();
    if before.rules() == wanted {
        return Ok(None);
    }
    let source = Source::new(bytes);
    let mut streams = readings(&source, Limits::DEFAULT);
    streams.retain(|(reading, _)| *reading != Reading::Forgiving);
    let Some((_, stream)) = streams.pop() else { return Ok(None) };
    let mut edits = BTreeMap::new();
    for (_, root) in stream.documents().take(1) {
        let rules = root.values("creation_rules").flat_map(NodeRef::items);
        for (rule, change) in rules.zip(changes) {
            let Some(change) = *change else { continue };
            let mut page = Page { source: &source, change, edits: &mut edits };
            rule.values("age").try_for_each(|list| page.list(list))?;
            rule.values("key_groups").flat_map(NodeRef::items).try_for_each(|group| page.group(group))?;
        }
    }
    let edits = edits.into_values().map(|(range, text)| Edit::new(source.original_range(&range), text));
    let after = store::apply(bytes, edits.collect()).map_err(|_| RecipientChangeError::Unproven)?;
    let proof = Rules::parse(FILE_NAME.as_bytes(), &after).map_err(|_| RecipientChangeError::Unproven)?;
    let same = proof.rules().len() == wanted.len()
        && proof.rules().iter().zip(&wanted).all(|(is, wanted)| unplaced(is) == unplaced(wanted));
    if same { Ok(Some(after.to_vec())) } else { Err(RecipientChangeError::Unproven) }
}

fn changed(rule: &Rule, change: RecipientChange<'_>) -> Rule {
    let mut rule = rule.clone();
    for group in &mut rule.groups {
        change.apply_to(&mut group.recipients);
    }
    rule
}

/// The rule without its place in the file, and without the order of its recipients, which means nothing.
fn unplaced(rule: &Rule) -> Rule {
    let mut rule = rule.clone();
    rule.span = crate::finding::Span { bytes: 0..0, line: 0, column: 0 };
    for group in &mut rule.groups {
        group.recipients.sort_by_cached_key(|recipient| format!("{recipient:?}"));
        group.recipients.dedup();
    }
    rule
}

/// A name in a text with commas.
struct Part<'t> {
    text: &'t str,
    range: Range<usize>,
}

/// By start and end: several rules may share what an anchor names.
type Edits = BTreeMap<(usize, usize), (Range<usize>, String)>;

struct Page<'s> {
    source: &'s Source<'s>,
    change: RecipientChange<'s>,
    edits: &'s mut Edits,
}

impl Page<'_> {
    fn edit(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.edits.insert((range.start, range.end), (range, text.into()));
    }

    fn group(&mut self, group: NodeRef<'_>) -> Result<(), RecipientChangeError> {
        group.values("age").try_for_each(|list| self.list(list))?;
        group.values("merge").flat_map(NodeRef::items).try_for_each(|group| self.group(group))
    }

    fn list(&mut self, list: NodeRef<'_>) -> Result<(), RecipientChangeError> {
        match list.sort() {
            Sort::Scalar => self.text(list),
            Sort::Sequence => self.sequence(list),
            Sort::Mapping => Ok(()),
        }
    }

    /// A text with commas.
    fn text(&mut self, node: NodeRef<'_>) -> Result<(), RecipientChangeError> {
        let layout = || RecipientChangeError::Layout(node.span().line);
        let parts = parts(node);
        let meant = node.text().unwrap_or_default();
        let meant = meant.split(',').map(str::trim).filter(|part| !part.is_empty());
        if !meant.eq(parts.iter().map(|part| part.text)) {
            return Err(layout());
        }
        let find = |name: &str| parts.iter().position(|part| part.text == name);
        let Some(at) = find(self.change.known()) else { return Ok(()) };
        match self.change {
            RecipientChange::Add(_, new) => {
                if find(new).is_none() {
                    let between = self.separator(node, &parts, at);
                    let end = parts[at].range.end;
                    self.edit(end..end, format!("{between}{new}"));
                }
            }
            RecipientChange::Replace(_, new) => {
                if let Some(other) = find(new) {
                    self.edit(around(&parts, other), "");
                }
                self.edit(parts[at].range.clone(), new);
            }
            RecipientChange::Remove(_) if parts.len() == 1 => {
                return Err(RecipientChangeError::Alone(node.span().line));
            }
            RecipientChange::Remove(_) => self.edit(around(&parts, at), ""),
        }
        Ok(())
    }

    /// What stands between two names: as elsewhere in the text.
    fn separator(&self, node: NodeRef<'_>, parts: &[Part<'_>], at: usize) -> String {
        let between = |a: usize, b: usize| {
            let gap = parts.get(a)?.range.end..parts.get(b)?.range.start;
            self.source.text().get(gap).map(str::to_owned)
        };
        let known = between(at, at + 1).or_else(|| at.checked_sub(1).and_then(|before| between(before, at)));
        known.unwrap_or_else(|| match node.style() {
            Some(Style::Literal | Style::Folded) => {
                let start = parts[at].range.start;
                format!(",\n{}", " ".repeat(start - self.line_start(start)))
            }
            _ => ",".to_owned(),
        })
    }

    fn line_start(&self, at: usize) -> usize {
        self.source.text()[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Where the line ends, its line feed included.
    fn line_end(&self, at: usize) -> usize {
        self.source.text()[at..].find('\n').map_or(self.source.text().len(), |end| at + end + 1)
    }

    fn sequence(&mut self, list: NodeRef<'_>) -> Result<(), RecipientChangeError> {
        let items = list.items().collect::<Vec<_>>();
        let names = |item: &NodeRef<'_>, name: &str| {
            item.text().is_some_and(|text| text.split(',').any(|part| part.trim() == name))
        };
        let find = |name: &str| items.iter().position(|item| names(item, name));
        let Some(at) = find(self.change.known()) else { return Ok(()) };
        if parts(items[at]).len() > 1 {
            // Several names in one item.
            return self.text(items[at]);
        }
        match self.change {
            RecipientChange::Add(_, new) if find(new).is_none() => self.insert(list, items[at], new),
            RecipientChange::Add(..) => Ok(()),
            RecipientChange::Replace(_, new) => {
                if let Some(other) = find(new) {
                    self.take(list, &items, other)?;
                }
                self.text(items[at])
            }
            RecipientChange::Remove(_) if items.len() == 1 => {
                Err(RecipientChangeError::Alone(list.span().line))
            }
            RecipientChange::Remove(_) => self.take(list, &items, at),
        }
    }

    /// The `- ` of an item that has a line of its own: where that begins.
    fn dash(&self, item: NodeRef<'_>) -> Result<Range<usize>, RecipientChangeError> {
        let at = item.anchor().map_or(item.range().start, |(_, anchor)| anchor.start);
        let start = self.line_start(at);
        let before = &self.source.text()[start..at];
        let own_line = before.trim_start().starts_with('-') && before.matches('-').count() == 1;
        let one_line = !self.source.text()[item.range()].contains('\n');
        if own_line && one_line { Ok(start..at) } else { Err(RecipientChangeError::Layout(item.span().line)) }
    }

    fn insert(
        &mut self,
        list: NodeRef<'_>,
        item: NodeRef<'_>,
        new: &str,
    ) -> Result<(), RecipientChangeError> {
        let quote = match item.style() {
            Some(Style::SingleQuoted) if !item.is_alias() => "'",
            Some(Style::DoubleQuoted) if !item.is_alias() => "\"",
            _ => "",
        };
        if list.is_flow() {
            let end = item.range().end;
            self.edit(end..end, format!(", {quote}{new}{quote}"));
            return Ok(());
        }
        let dash = self.dash(item)?;
        let lead = self.source.text()[dash.clone()].to_owned();
        // Only what is before an anchor or value: `- `.
        let lead = &lead[..=lead.find('-').unwrap_or(0)];
        let end = self.line_end(dash.end);
        let (open, close) = if self.source.text()[..end].ends_with('\n') { ("", "\n") } else { ("\n", "") };
        self.edit(end..end, format!("{open}{lead} {quote}{new}{quote}{close}"));
        Ok(())
    }

    fn take(
        &mut self,
        list: NodeRef<'_>,
        items: &[NodeRef<'_>],
        at: usize,
    ) -> Result<(), RecipientChangeError> {
        if items[at].anchor().is_some() {
            // Others may refer to it.
            return Err(RecipientChangeError::Layout(items[at].span().line));
        }
        if list.is_flow() {
            let range = match (items.get(at + 1), at.checked_sub(1)) {
                (Some(next), _) => items[at].range().start..next.range().start,
                (None, Some(before)) => items[before].range().end..items[at].range().end,
                (None, None) => items[at].range(),
            };
            self.edit(range, "");
            return Ok(());
        }
        let dash = self.dash(items[at])?;
        self.edit(dash.start..self.line_end(dash.end), "");
        Ok(())
    }
}

/// The names in a scalar as they stand in the file; those of its anchor where an alias stands here.
fn parts(node: NodeRef<'_>) -> Vec<Part<'_>> {
    let (Some(text), start) = (node.source_text(), node.target_start()) else { return Vec::new() };
    let header = node.block_header().map_or(0, |header| header.end.saturating_sub(start));
    let mut parts = Vec::new();
    let mut at = header;
    for piece in text.get(header..).unwrap_or_default().split(',') {
        let bare = |c: char| c.is_whitespace() || c == '"' || c == '\'';
        let name = piece.trim_matches(bare);
        if !name.is_empty() {
            let lead = piece.len() - piece.trim_start_matches(bare).len();
            let from = start + at + lead;
            parts.push(Part { text: name, range: from..from + name.len() });
        }
        at += piece.len() + 1;
    }
    parts
}

/// A part with what parts it from its neighbour.
fn around(parts: &[Part<'_>], at: usize) -> Range<usize> {
    match (parts.get(at + 1), at.checked_sub(1)) {
        (Some(next), _) => parts[at].range.start..next.range.start,
        (None, Some(before)) => parts[before].range.end..parts[at].range.end,
        (None, None) => parts[at].range.clone(),
    }
}

#[cfg(test)]
mod tests;
