//! The way from the root of a document to a node, and visiting all leaves.

use super::node::{NodeRef, Sort};

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into a map, by key.
    Key(String),
    /// Into a list, by position.
    Index(usize),
}

/// Steps from the root; shown as `items[2].data["tls.crt"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyPath {
    steps: Vec<Step>,
}

impl KeyPath {
    /// The path of the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path of keys.
    pub fn of(keys: &[&str]) -> Self {
        Self { steps: keys.iter().map(|key| Step::Key((*key).to_owned())).collect() }
    }

    /// This path with keys added.
    pub fn below(&self, keys: &[&str]) -> Self {
        let mut below = self.clone();
        below.steps.extend(keys.iter().map(|key| Step::Key((*key).to_owned())));
        below
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The keys alone: what SOPS's selectors look at.
    pub fn keys(&self) -> Vec<&str> {
        self.steps
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .collect()
    }

    /// Whether the last step is this key.
    pub fn ends_with_key(&self, key: &str) -> bool {
        matches!(self.steps.last(), Some(Step::Key(last)) if last == key)
    }

    /// Goes a step down.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Goes a step up.
    pub(crate) fn pop(&mut self) {
        self.steps.pop();
    }

    /// Goes a step down for the time of a call.
    pub fn with<R>(&mut self, step: Step, call: impl FnOnce(&mut Self) -> R) -> R {
        self.steps.push(step);
        let result = call(self);
        self.steps.pop();
        result
    }
}

impl Step {
    /// The step to a value of a map: its key as text; a list or map as key is shown as `?`.
    pub fn key(key: NodeRef<'_>) -> Self {
        Self::Key(key.text().map_or_else(|| "?".to_owned(), std::borrow::Cow::into_owned))
    }
}

impl std::fmt::Display for KeyPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(at) => write!(f, "[{at}]")?,
                Step::Key(key) => show_key(f, key, index > 0)?,
            }
        }
        Ok(())
    }
}

/// A path of keys alone, as [`KeyPath`] shows it.
pub(crate) fn shown_keys(keys: &[&str]) -> String {
    let mut shown = String::with_capacity(keys.iter().map(|key| key.len() + 1).sum());
    for (index, key) in keys.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = show_key(&mut shown, key, index > 0);
    }
    shown
}

fn show_key(f: &mut impl std::fmt::Write, key: &str, dot: bool) -> std::fmt::Result {
    let simple = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    let most_are = (1..=80).contains(&key.len()) && key.as_bytes().iter().all(simple);
    if most_are || (!key.is_empty() && key.chars().count() <= 80 && key.chars().all(plain)) {
        if dot {
            f.write_char('.')?;
        }
        return f.write_str(key);
    }
    // A key can be anything: control characters are escaped, what is long is cut.
    let short = key.chars().take(80).collect::<String>();
    write!(f, "[{short:?}{}]", if short.len() < key.len() { "…" } else { "" })
}

/// Calls `visit` for every scalar below the node, aliases and merge keys followed, in order.
pub(crate) fn leaves<'t>(
    node: NodeRef<'t>,
    path: &mut KeyPath,
    visit: &mut dyn FnMut(&KeyPath, NodeRef<'t>),
) {
    match node.sort() {
        Sort::Scalar => visit(path, node),
        Sort::Sequence => {
            for (index, item) in node.items().enumerate() {
                path.with(Step::Index(index), |path| leaves(item, path, visit));
            }
        }
        // A template action that YAML takes for a map is a leaf.
        Sort::Mapping if node.is_template_action() => visit(path, node),
        Sort::Mapping => {
            for entry in node.entries() {
                path.with(Step::key(entry.key), |path| leaves(entry.value, path, visit));
            }
        }
    }
}
