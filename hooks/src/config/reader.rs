//! Reading a document field by field, with every problem in it noted at its place.

use super::Patterns;
use kubiya_policies::builtin;
use kubiya_policies::finding::Code;
use kubiya_policies::rules::{Problem, Weight};
use kubiya_policies::yaml::{NodeRef, Sort};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Gathers problems.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn error(&mut self, node: NodeRef<'_>, what: impl Into<String>) {
        self.problems.push(Problem { weight: Weight::Error, what: what.into(), span: node.span() });
    }

    /// The fields of a map: unknown ones and duplicates are problems. Fields without a value are as if they
    /// were not there.
    pub(super) fn fields<'t>(
        &mut self,
        node: NodeRef<'t>,
        what: &str,
        known: &[&str],
    ) -> Vec<(String, NodeRef<'t>)> {
        if node.sort() != Sort::Mapping {
            self.error(node, format!("{what} must be a map"));
            return Vec::new();
        }
        let mut fields: Vec<(String, NodeRef<'t>)> = Vec::new();
        for entry in node.entries() {
            let name = entry.key.text().unwrap_or_default().into_owned();
            if fields.iter().any(|(field, _)| *field == name) {
                self.error(entry.key, format!("`{name}` is there twice"));
            } else if known.contains(&name.as_str()) {
                fields.push((name, entry.value));
            } else {
                let known = known.join(", ");
                self.error(entry.key, format!("`{name}` is no field of {what}; these are: {known}"));
            }
        }
        fields.retain(|(_, value)| !value.is_empty_scalar());
        fields
    }

    pub(super) fn items<'t>(&mut self, node: NodeRef<'t>, name: &str) -> Vec<NodeRef<'t>> {
        if node.sort() == Sort::Sequence {
            return node.items().collect();
        }
        self.error(node, format!("`{name}` must be a list"));
        Vec::new()
    }

    pub(super) fn text(&mut self, node: NodeRef<'_>, name: &str) -> Option<String> {
        let text = node.text().filter(|text| !text.is_empty() && node.sort() == Sort::Scalar);
        if text.is_none() {
            self.error(node, format!("`{name}` must be text"));
        }
        text.map(std::borrow::Cow::into_owned)
    }

    pub(super) fn texts(&mut self, node: NodeRef<'_>, name: &str) -> Vec<String> {
        self.items(node, name).into_iter().filter_map(|item| self.text(item, name)).collect()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: NodeRef<'_>, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.error(node, format!("`{name}` must be one of: {}", words.join(", ")));
        }
        found
    }

    /// A path on the server. From the root, as hooks are started in the folder of a repository.
    pub(super) fn file(&mut self, node: NodeRef<'_>, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(node, name)?);
        if !path.is_absolute() {
            self.error(node, format!("`{name}` must be a path that begins with /"));
        }
        Some(path)
    }

    pub(super) fn variable(&mut self, node: NodeRef<'_>, name: &str) -> Option<String> {
        let text = self.text(node, name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !text.chars().all(plain) {
            self.error(node, format!("`{name}` must be the name of an environment variable"));
        }
        Some(text)
    }

    pub(super) fn patterns(&mut self, node: NodeRef<'_>, name: &str) -> Option<Patterns> {
        let items = self.items(node, name);
        let texts: Vec<_> = items.iter().filter_map(|item| self.text(*item, name)).collect();
        match Patterns::new(&texts) {
            Ok(_) if texts.is_empty() => {
                self.error(node, format!("`{name}` must name at least one pattern"));
                None
            }
            Ok(patterns) => Some(patterns),
            Err((number, reason)) => {
                let at = items.get(number).copied().unwrap_or(node);
                self.error(at, format!("`{name}`: no pattern: {reason}"));
                None
            }
        }
    }

    pub(super) fn code(&mut self, node: NodeRef<'_>, text: &str) -> Option<Code> {
        let code = text.strip_prefix("KBY").and_then(|number| number.parse().ok()).map(Code);
        let code =
            code.filter(|code| code.to_string() == text && builtin::codes().any(|known| known == *code));
        if code.is_none() {
            self.error(node, format!("`{text}` is no code of a finding"));
        }
        code
    }

    /// What a type reads from text.
    pub(super) fn parsed<T: FromStr>(&mut self, node: NodeRef<'_>, name: &str, form: &str) -> Option<T> {
        let text = self.text(node, name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.error(node, format!("`{name}` must be {form}"));
        }
        parsed
    }

    pub(super) fn duration(&mut self, node: NodeRef<'_>, name: &str) -> Option<Duration> {
        let duration: jiff::SignedDuration = self.parsed(node, name, "a duration such as 30s")?;
        let duration = Duration::try_from(duration).ok().filter(|duration| !duration.is_zero());
        if duration.is_none() {
            self.error(node, format!("`{name}` must be longer than nothing"));
        }
        duration
    }

    /// Bytes: a number, with `KiB`, `MiB` or `GiB`.
    pub(super) fn size(&mut self, node: NodeRef<'_>, name: &str) -> Option<u64> {
        let text = self.text(node, name)?;
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let size = digits.parse::<u64>().ok().zip(unit).and_then(|(size, unit)| size.checked_mul(unit));
        if size.is_none() {
            self.error(node, format!("`{name}` must be a size such as 32MiB"));
        }
        size
    }
}
