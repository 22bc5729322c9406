//! Whose review a change needs, as `CODEOWNERS` says it to GitHub, GitLab, Gitea and Forgejo: patterns as in
//! `.gitignore`, and the last one that fits counts.

use ignore::gitignore::GitignoreBuilder;
use std::collections::BTreeMap;
use std::path::Path;

/// Where the servers look for it.
const PLACES: [&str; 7] = [
    ".github/CODEOWNERS",
    ".gitlab/CODEOWNERS",
    ".gitea/CODEOWNERS",
    ".forgejo/CODEOWNERS",
    "CODEOWNERS",
    "docs/CODEOWNERS",
    ".bitbucket/CODEOWNERS",
];

/// The owners of some paths of a work tree, each set of them with its paths, and the name of the file that says so.
/// `None` without such a file.
pub(super) fn owners_of<'p>(
    top: &Path,
    paths: impl Iterator<Item = &'p Path>,
) -> Option<(&'static str, BTreeMap<String, Vec<&'p Path>>)> {
    let (place, text) =
        PLACES.into_iter().find_map(|place| Some((place, std::fs::read_to_string(top.join(place)).ok()?)))?;
    let rules = text.lines().filter_map(rule).filter_map(|(pattern, owners)| {
        let mut builder = GitignoreBuilder::new(top);
        // What no pattern can be made of owns nothing, as on the servers.
        builder.add_line(None, pattern).ok()?;
        Some((builder.build().ok()?, owners))
    });
    let rules = rules.collect::<Vec<_>>();
    let mut owned: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for path in paths {
        let mut latest_first = rules.iter().rev();
        let rule =
            latest_first.find(|(pattern, _)| pattern.matched_path_or_any_parents(path, false).is_ignore());
        if let Some((_, owners)) = rule.filter(|(_, owners)| !owners.is_empty()) {
            owned.entry(owners.clone()).or_default().push(path);
        }
    }
    Some((place, owned))
}

/// A pattern and its owners; `None` for a comment, a section of GitLab's, and what is no rule.
fn rule(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '[', '^', '!']) {
        return None;
    }
    let bytes = line.as_bytes();
    let is_end = |at: usize| bytes[at].is_ascii_whitespace() && (at == 0 || bytes[at - 1] != b'\\');
    let end = (0..bytes.len()).find(|at| is_end(*at)).unwrap_or(bytes.len());
    let owners = line[end..].split(" #").next().unwrap_or_default();
    Some((&line[..end], owners.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_tells_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        let paths =
            [".sops.yaml", "clusters/infra/db.yaml", "clusters/my app/x.yaml", "docs/a.md", "free/b.yaml"];
        let paths = paths.map(Path::new);
        assert_eq!(owners_of(top, paths.into_iter()), None);
        let text = "# who reviews\n* @everybody\n[Section]\n/.sops.yaml @org/security @lead # rules\nclusters/ @org/platform\n\
                    clusters/my\\ app/ @app\n*.md\nfree/**\n";
        std::fs::write(top.join("CODEOWNERS"), text).unwrap();
        let (place, owned) = owners_of(top, paths.into_iter()).unwrap();
        assert_eq!(place, "CODEOWNERS");
        let owned = owned.into_iter().collect::<Vec<_>>();
        assert_eq!(
            owned,
            [
                ("@app".to_owned(), vec![paths[2]]),
                ("@org/platform".to_owned(), vec![paths[1]]),
                ("@org/security @lead".to_owned(), vec![paths[0]]),
            ]
        );
    }
}
