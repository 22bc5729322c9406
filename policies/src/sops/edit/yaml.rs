//! YAML and JSON: entries and items by their lines, or by their commas.

use std::ops::Range;

use super::render::{self, Shape};
use super::{Changed, EditError, New, Place, path_of};
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store::{self, Edit, Format};
use crate::yaml::{Entry, Limits, NodeRef, Reading, Sort, Source, Step, Stream, Style, readings};

/// Whether no alias or anchor stands on the way.
///
/// # Errors
///
/// One does.
pub(super) fn no_alias(bytes: &[u8], place: Place<'_>) -> Result<(), EditError> {
    with(bytes, place, |page| page.node(place.path.steps()).map(|_| ()))
}

/// Puts a value in the place of another.
pub(super) fn replaced(bytes: &[u8], place: Place<'_>, value: &New) -> Changed {
    with(bytes, place, |page| page.replace(place.path.steps(), value)).and_then(|edits| apply(bytes, edits))
}

/// Puts a value behind the last entry or item of the map or list that `depth` steps lead to.
pub(super) fn appended(bytes: &[u8], place: Place<'_>, depth: usize, value: &New) -> Changed {
    with(bytes, place, |page| page.append(place.path.steps(), depth, value))
        .and_then(|edits| apply(bytes, edits))
}

/// Takes an entry or item away.
pub(super) fn removed(bytes: &[u8], place: Place<'_>) -> Changed {
    with(bytes, place, |page| page.remove(place.path.steps())).and_then(|edits| apply(bytes, edits))
}

fn apply(bytes: &[u8], edits: Vec<Edit>) -> Changed {
    Ok(store::apply(bytes, edits)?)
}

fn with<R>(
    bytes: &[u8],
    place: Place<'_>,
    call: impl FnOnce(&Page<'_>) -> Result<R, EditError>,
) -> Result<R, EditError> {
    let source = Source::new(bytes);
    let unread = || EditError::Problems(vec![Problem::of_file(ProblemKind::Empty)]);
    let mut streams = readings(&source, Limits::DEFAULT);
    streams.retain(|(reading, _)| *reading != Reading::Forgiving);
    let (_, stream) = streams.pop().ok_or_else(unread)?;
    let root = stream.documents().nth(place.document.unwrap_or_default()).map(|(_, root)| root);
    let page = Page::of(&stream, root.ok_or_else(unread)?, place.format == Format::Json);
    call(&page)
}

struct Page<'t> {
    text: &'t str,
    source: &'t Source<'t>,
    root: NodeRef<'t>,
    json: bool,
}

impl<'t> Page<'t> {
    fn of(stream: &'t Stream<'t>, root: NodeRef<'t>, json: bool) -> Self {
        Self { text: stream.source().text(), source: stream.source(), root, json }
    }

    fn edit(&self, range: Range<usize>, text: impl Into<Vec<u8>>) -> Edit {
        Edit::new(self.source.original_range(&range), text)
    }

    /// The node that the steps lead to.
    fn node(&self, steps: &[Step]) -> Result<NodeRef<'t>, EditError> {
        let mut node = self.root;
        for (depth, step) in steps.iter().enumerate() {
            let next = match step {
                Step::Key(key) => entry(node, key).map(|entry| entry.value),
                Step::Index(index) => node.items().nth(*index),
            };
            node = next.ok_or_else(|| EditError::Missing(path_of(&steps[..=depth])))?;
            if node.is_alias() || node.anchor().is_some() {
                return Err(EditError::Alias(path_of(&steps[..=depth])));
            }
        }
        Ok(node)
    }

    fn replace(&self, steps: &[Step], value: &New) -> Result<Vec<Edit>, EditError> {
        let node = self.node(steps)?;
        if node.tag().is_some() {
            return Err(EditError::Unwritable("the value has a tag: edit the file"));
        }
        let Some((last, parents)) = steps.split_last() else {
            return Err(EditError::Unwritable("the document as a whole cannot be set"));
        };
        let parent = self.node(parents)?;
        let shape = self.shape(parent);
        match last {
            Step::Key(key) if !parent.is_flow() => {
                let entry = entry(parent, key).ok_or(EditError::Unwritable("the entry is not found"))?;
                let colon = self.behind_colon(entry)?;
                let end = self.content_end(node).unwrap_or(colon).max(colon);
                let text = render::behind_colon(value, self.column(entry.key.range().start), shape)?;
                Ok(vec![self.edit(colon..end, text)])
            }
            _ => {
                let end = self.content_end(node);
                let range = end.map(|end| self.start(node)..end);
                let range =
                    range.ok_or(EditError::Unwritable("there is no value to replace: edit the file"))?;
                Ok(vec![self.edit(range, render::inline(value, true, shape)?)])
            }
        }
    }

    fn append(&self, steps: &[Step], depth: usize, value: &New) -> Result<Vec<Edit>, EditError> {
        let (parents, step) = (&steps[..depth], &steps[depth]);
        let parent = self.node(parents)?;
        let shape = self.shape(parent);
        let nested = || value.below(std::slice::from_ref(step));
        let first = parent.own_entries().map(|entry| entry.key).chain(parent.items()).next();
        let Some(first) = first else {
            // An empty map or list, or null: it is written anew with the one entry.
            return if parents.is_empty() {
                self.fill_root(&nested()?, shape)
            } else {
                self.replace(parents, &nested()?)
            };
        };
        let last =
            parent.own_entries().map(|entry| entry.value).chain(parent.items()).last().unwrap_or(first);
        let key = parent.own_entries().last().map(|entry| entry.key);
        if parent.is_flow() {
            let text = flow_text(step, value, shape)?;
            let end = self.content_end(last).or(key.map(|key| self.key_end(key)));
            let end = end.ok_or(EditError::Unwritable("the list ends with an empty item: edit the file"))?;
            let separator = self.separator(key.unwrap_or(last), shape);
            return Ok(vec![self.edit(end..end, format!(",{separator}{text}"))]);
        }
        let end = match key {
            Some(key) => self.content_end(last).unwrap_or_else(|| self.key_end(key)),
            None => self.content_end(last).unwrap_or(last.range().start),
        };
        let at = self.line_end(end);
        let line = match step {
            Step::Key(name) => {
                let column = self.column(first.range().start);
                let rest = render::behind_colon(value, column, shape)?;
                format!("{}{}:{rest}", " ".repeat(column), render::key(name, false, shape))
            }
            Step::Index(_) => {
                let dash = self.dash(first).ok_or(EditError::Unwritable("the list is not found"))?;
                format!("{}- {}", " ".repeat(self.column(dash)), render::inline(value, false, shape)?)
            }
        };
        let line_break = shape.line_break;
        let text = if self.text[..at].ends_with('\n') || at == 0 {
            format!("{line}{line_break}")
        } else {
            format!("{line_break}{line}")
        };
        Ok(vec![self.edit(at..at, text)])
    }

    /// The first entry of an empty document.
    fn fill_root(&self, value: &New, shape: Shape<'_>) -> Result<Vec<Edit>, EditError> {
        if self.root.is_flow() {
            return Ok(vec![self.edit(self.root.range(), render::inline(value, true, shape)?)]);
        }
        Err(EditError::Unwritable("the document is empty: edit the file"))
    }

    fn remove(&self, steps: &[Step]) -> Result<Vec<Edit>, EditError> {
        let Some((last, parents)) = steps.split_last() else {
            return Err(EditError::Unwritable("the document as a whole cannot be taken away"));
        };
        // What is reached through an alias is elsewhere; an alias itself can go.
        let parent = self.node(parents)?;
        let count = parent.own_entries().count() + parent.items().count();
        if count == 1 {
            let empty = if matches!(last, Step::Key(_)) { New::Map(vec![]) } else { New::List(vec![]) };
            return self.emptied(parents, parent, &empty);
        }
        let range = match last {
            Step::Key(key) => self.entry_range(parent, key)?,
            Step::Index(index) => self.item_range(parent, *index)?,
        };
        Ok(vec![self.edit(range, "")])
    }

    /// A map or list without its only entry.
    fn emptied(&self, parents: &[Step], parent: NodeRef<'t>, empty: &New) -> Result<Vec<Edit>, EditError> {
        if parent.is_flow() {
            let range = parent.range();
            let text = if matches!(empty, New::Map(_)) { "{}" } else { "[]" };
            return Ok(vec![self.edit(range, text)]);
        }
        if parents.is_empty() {
            return Err(EditError::Unwritable("it is all that the document has: remove the file"));
        }
        self.replace(parents, empty)
    }

    fn entry_range(&self, parent: NodeRef<'t>, key: &str) -> Result<Range<usize>, EditError> {
        let entries = parent.own_entries().collect::<Vec<_>>();
        let at = entries.iter().position(|entry| is(entry, key));
        let Some((at, entry)) = at.and_then(|at| Some((at, entries.get(at)?))) else {
            return Err(EditError::Unwritable("the entry is not found"));
        };
        let end_of =
            |entry: &Entry<'t>| self.content_end(entry.value).unwrap_or_else(|| self.key_end(entry.key));
        let start = self.start(entry.key);
        let next = entries.get(at + 1).map(|next| self.start(next.key));
        if parent.is_flow() {
            let before = at.checked_sub(1).and_then(|before| entries.get(before));
            return Ok(between_commas(start, end_of(entry), before.map(end_of), next));
        }
        let line = self.line_start(start);
        if self.text[line..start].trim_matches(' ').is_empty() {
            return Ok(line..self.line_end(end_of(entry)));
        }
        // The first entry of an item stands behind its dash.
        next.map(|next| start..next).ok_or(EditError::Unwritable("the entry cannot be taken away by itself"))
    }

    fn item_range(&self, parent: NodeRef<'t>, index: usize) -> Result<Range<usize>, EditError> {
        let items = parent.items().collect::<Vec<_>>();
        let gone = EditError::Unwritable("the item cannot be taken away by itself: edit the file");
        let Some(item) = items.get(index) else { return Err(gone) };
        let Some(end) = self.content_end(*item) else { return Err(gone) };
        if parent.is_flow() {
            let before = index.checked_sub(1).and_then(|before| items.get(before));
            let next = items.get(index + 1).map(|next| self.start(*next));
            let before = before.and_then(|before| self.content_end(*before));
            return Ok(between_commas(self.start(*item), end, before, next));
        }
        let Some(dash) = self.dash(*item) else { return Err(gone) };
        let line = self.line_start(dash);
        if self.text[line..dash].trim_matches(' ').is_empty() {
            return Ok(line..self.line_end(end));
        }
        let next = items.get(index + 1).and_then(|next| self.dash(*next));
        next.map(|next| dash..next).ok_or(gone)
    }

    /// What stands before the last entry of a flow map or list: a space, or a line of its own.
    fn separator(&self, last: NodeRef<'t>, shape: Shape<'_>) -> String {
        let start = self.start(last);
        let line = self.line_start(start);
        let indent = &self.text[line..start];
        if line > 0 && indent.trim_matches([' ', '\t']).is_empty() {
            return format!("{}{indent}", shape.line_break);
        }
        " ".to_owned()
    }

    fn shape(&self, parent: NodeRef<'t>) -> Shape<'static> {
        let quoted =
            parent.own_entries().next().is_some_and(|entry| entry.key.style() == Some(Style::DoubleQuoted));
        let crlf = self.text.split_once('\n').is_some_and(|(line, _)| line.ends_with('\r'));
        let line_break = if crlf { "\r\n" } else { "\n" };
        Shape { json: self.json, quoted, step: self.step(self.root, 0).unwrap_or(2), line_break }
    }

    /// Spaces for a level: those of the first map in a map.
    fn step(&self, node: NodeRef<'t>, depth: usize) -> Option<usize> {
        if depth > 3 || node.is_alias() {
            return None;
        }
        node.own_entries().find_map(|entry| {
            let inner = entry
                .value
                .own_entries()
                .next()
                .filter(|_| !entry.value.is_flow() && !entry.value.is_alias());
            let found = inner.and_then(|inner| {
                let column = self.column(self.start(inner.key));
                column.checked_sub(self.column(self.start(entry.key))).filter(|step| (2..=9).contains(step))
            });
            found.or_else(|| self.step(entry.value, depth + 1))
        })
    }

    /// Where a node begins: a block map at its first key.
    fn start(&self, node: NodeRef<'t>) -> usize {
        if !node.is_alias() && !node.is_flow() {
            if let Some(entry) = node.own_entries().next() {
                return self.start(entry.key);
            }
            if let Some(item) = node.items().next() {
                return self.dash(item).unwrap_or_else(|| self.start(item));
            }
        }
        node.range().start
    }

    /// Where the content of a node ends; `None` where nothing is written.
    fn content_end(&self, node: NodeRef<'t>) -> Option<usize> {
        let range = node.range();
        if node.is_alias() || node.is_flow() {
            return Some(range.end);
        }
        match node.sort() {
            Sort::Scalar if range.is_empty() && node.block_header().is_none() => None,
            Sort::Scalar => Some(match node.block_header() {
                // Blank lines at the end are part of such a text.
                Some(header) if self.text[header.clone()].contains('+') => range.end,
                Some(header) => self.text[..range.end].trim_end().len().max(header.end),
                None => range.end,
            }),
            Sort::Mapping => {
                let last = node.own_entries().last()?;
                Some(self.content_end(last.value).unwrap_or_else(|| self.key_end(last.key)))
            }
            Sort::Sequence => self.content_end(node.items().last()?),
        }
    }

    /// Behind the colon of a key.
    fn key_end(&self, key: NodeRef<'t>) -> usize {
        let end = key.range().end;
        let rest = &self.text[end..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if rest[blanks..].starts_with(':') { end + blanks + 1 } else { end }
    }

    fn behind_colon(&self, entry: Entry<'t>) -> Result<usize, EditError> {
        let end = self.key_end(entry.key);
        let found = self.text[..end].ends_with(':') && end > entry.key.range().end;
        found
            .then_some(end)
            .ok_or(EditError::Unwritable("the key is written in a way that is not changed: edit the file"))
    }

    /// The dash of an item: the last one before it on its line.
    fn dash(&self, item: NodeRef<'t>) -> Option<usize> {
        let start = match item.block_header() {
            Some(header) => header.start,
            None if item.is_alias() || item.is_flow() => item.range().start,
            None => match item.own_entries().next() {
                Some(entry) => self.start(entry.key),
                None => item.items().next().and_then(|inner| self.dash(inner)).unwrap_or(item.range().start),
            },
        };
        let line = self.line_start(start);
        self.text[line..start].rfind("- ").map(|at| line + at)
    }

    fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Behind the line that holds the byte before `at`.
    fn line_end(&self, at: usize) -> usize {
        if self.text[..at].ends_with('\n') {
            return at;
        }
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }
}

fn is(entry: &Entry<'_>, key: &str) -> bool {
    entry.key.text().is_some_and(|text| text == key)
}

fn entry<'t>(node: NodeRef<'t>, key: &str) -> Option<Entry<'t>> {
    node.own_entries().find(|entry| is(entry, key))
}

/// An entry with one of the commas beside it.
fn between_commas(start: usize, end: usize, before: Option<usize>, next: Option<usize>) -> Range<usize> {
    match (next, before) {
        (Some(next), _) => start..next,
        (None, Some(before)) => before..end,
        (None, None) => start..end,
    }
}

fn flow_text(step: &Step, value: &New, shape: Shape<'_>) -> Result<String, EditError> {
    let value = render::inline(value, true, shape)?;
    Ok(match step {
        Step::Key(key) => format!("{}: {value}", render::key(key, true, shape)),
        Step::Index(_) => value,
    })
}
