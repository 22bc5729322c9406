//! Who pushes, and to which repository: what the server's own variables say.

use crate::config::{Bypass, Config, Identity};
use std::path::Path;

/// Who pushes, as far as the server tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pusher {
    /// The name; `None` where the server was not asked or does not say.
    pub name: Option<String>,
    /// What the push says with `--push-option`.
    pub options: Vec<String>,
}

impl Pusher {
    /// Reads the variables that the configuration names. Without one named, nobody is known: which variable a
    /// pusher cannot set, only the operator knows.
    pub fn from_env(identity: &Identity) -> Self {
        let name = identity.pusher.as_deref().and_then(variable);
        let count = variable("GIT_PUSH_OPTION_COUNT").and_then(|count| count.parse::<usize>().ok());
        let options =
            (0..count.unwrap_or(0).min(1000)).filter_map(|n| variable(&format!("GIT_PUSH_OPTION_{n}")));
        Self { name, options: options.collect() }
    }

    /// Whether this is one of the people named.
    pub fn is_one_of(&self, people: &[String]) -> bool {
        self.name.as_ref().is_some_and(|name| people.contains(name))
    }

    /// Whether the push asks to get past findings, and may.
    pub fn bypasses(&self, bypass: Option<&Bypass>) -> bool {
        bypass.is_some_and(|bypass| self.options.contains(&bypass.option) && self.is_one_of(&bypass.users))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the repository is called: by the server's variable, or by its folder, without `.git`.
pub fn repository_name(config: &Config, git_dir: &Path) -> String {
    let named = config.identity.repository.as_deref().and_then(variable);
    let name = named.unwrap_or_else(|| git_dir.to_string_lossy().into_owned());
    let name = name.trim_end_matches('/');
    name.strip_suffix(".git").unwrap_or(name).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_named_gets_past() {
        let bypass = Bypass { option: "let-me".into(), users: vec!["alice".into()] };
        let pusher = |name: Option<&str>, option: &str| Pusher {
            name: name.map(str::to_owned),
            options: vec!["other".into(), option.into()],
        };
        assert!(pusher(Some("alice"), "let-me").bypasses(Some(&bypass)));
        assert!(!pusher(Some("bob"), "let-me").bypasses(Some(&bypass)));
        assert!(!pusher(None, "let-me").bypasses(Some(&bypass)));
        assert!(!pusher(Some("alice"), "let").bypasses(Some(&bypass)));
        assert!(!pusher(Some("alice"), "let-me").bypasses(None));
    }

    #[test]
    fn a_repository_is_called_by_its_folder() {
        let name = |path: &str| repository_name(&Config::default(), Path::new(path));
        assert_eq!(name("/srv/git/team/app.git/"), "/srv/git/team/app");
        assert_eq!(name("/srv/app/.git"), "/srv/app");
    }
}
