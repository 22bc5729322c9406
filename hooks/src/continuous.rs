//! What a run of continuous integration is about, by the variables of GitLab and GitHub.

use serde::Deserialize;
use std::path::Path;

/// The commits that a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The last of them.
    pub tip: String,
    /// What was there before, if the service knows it.
    pub base: Option<String>,
    /// The branch that everything goes to in the end, as this clone may know it.
    pub default_branch: Option<String>,
    /// Whether the run is about that branch.
    pub is_default: bool,
}

/// The parts of GitHub's description of an event that matter here.
#[derive(Debug, Default, Deserialize)]
struct Event {
    before: Option<String>,
    pull_request: Option<PullRequest>,
    repository: Option<Repository>,
}

#[derive(Debug, Deserialize)]
struct PullRequest {
    base: Base,
}

#[derive(Debug, Deserialize)]
struct Base {
    sha: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    default_branch: Option<String>,
}

/// Reads the variables; `None` where this is no run of a service that is known.
pub fn run(variable: impl Fn(&str) -> Option<String>) -> Option<Run> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("GITHUB_ACTIONS").is_some() || set("GITHUB_EVENT_PATH").is_some() {
        let event = set("GITHUB_EVENT_PATH").and_then(|path| event(Path::new(&path))).unwrap_or_default();
        let base = event.pull_request.and_then(|request| request.base.sha);
        let base = base.or_else(|| set("GITHUB_BASE_REF").map(|name| format!("origin/{name}")));
        let branch = event.repository.and_then(|repository| repository.default_branch);
        let is_default = branch.is_some() && set("GITHUB_REF_NAME") == branch;
        return Some(Run {
            is_default,
            tip: "HEAD".to_owned(),
            base: base.or(event.before).filter(|base| !is_zero(base)),
            default_branch: branch,
        });
    }
    set("GITLAB_CI").or_else(|| set("CI_COMMIT_SHA"))?;
    let base = set("CI_MERGE_REQUEST_DIFF_BASE_SHA").or_else(|| set("CI_COMMIT_BEFORE_SHA"));
    let branch = set("CI_DEFAULT_BRANCH");
    Some(Run {
        is_default: branch.is_some() && set("CI_COMMIT_BRANCH") == branch,
        tip: set("CI_COMMIT_SHA").unwrap_or_else(|| "HEAD".to_owned()),
        base: base.filter(|base| !is_zero(base)),
        default_branch: branch,
    })
}

/// A new branch has no "before": it is what its commits have that the default branch has not.
fn is_zero(base: &str) -> bool {
    base.bytes().all(|byte| byte == b'0')
}

fn event(path: &Path) -> Option<Event> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Run> {
        run(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn base(variables: &[(&str, &str)]) -> Option<String> {
        of(variables).unwrap().base
    }

    #[test]
    fn gitlab_names_what_was_there_before() {
        let merge_request =
            [("GITLAB_CI", "true"), ("CI_COMMIT_SHA", "c0ffee"), ("CI_DEFAULT_BRANCH", "main")];
        let with = |more: &[(&'static str, &'static str)]| [&merge_request[..], more].concat();
        let run = of(&with(&[("CI_MERGE_REQUEST_DIFF_BASE_SHA", "abc")])).unwrap();
        assert_eq!((run.tip.as_str(), run.base.as_deref()), ("c0ffee", Some("abc")));
        assert_eq!(run.default_branch.as_deref(), Some("main"));
        assert_eq!(base(&with(&[("CI_COMMIT_BEFORE_SHA", "def")])).as_deref(), Some("def"));
        // A new branch, or a pipeline of a merge request.
        let zero = "0000000000000000000000000000000000000000";
        assert_eq!(base(&with(&[("CI_COMMIT_BEFORE_SHA", zero)])), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn github_tells_it_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("event.json");
        let event = |text: &str| {
            std::fs::write(&file, text).unwrap();
            of(&[("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_PATH", file.to_str().unwrap())]).unwrap()
        };
        let run = event(r#"{"before": "abc", "after": "def", "repository": {"default_branch": "trunk"}}"#);
        assert_eq!((run.base.as_deref(), run.default_branch.as_deref()), (Some("abc"), Some("trunk")));
        let zero = r#"{"before": "0000000000000000000000000000000000000000"}"#;
        assert_eq!(event(zero).base, None);
        assert_eq!(event(r#"{"pull_request": {"base": {"sha": "123"}}, "number": 1}"#).base.unwrap(), "123");
        assert_eq!(event("no JSON").base, None);
        let request = [("GITHUB_ACTIONS", "true"), ("GITHUB_BASE_REF", "main")];
        assert_eq!(base(&request).as_deref(), Some("origin/main"));
    }
}
