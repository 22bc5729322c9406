//! Which of the sources on a cluster are branches of the repository at hand.

use super::{Course, Site};
use crate::flux::SourceName;

/// What a source follows, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// A branch that is rotated.
    Ours,
    /// Our repository, but something else of it: what Flux follows, and whether it is a branch.
    Otherwise {
        /// In words.
        what: String,
        /// The branch, if it is one.
        branch: Option<String>,
    },
    /// Something else.
    Elsewhere,
}

impl Course<'_> {
    /// What a source follows.
    #[must_use]
    pub fn followed(&self, site: &Site, name: &SourceName) -> Followed {
        let Some(source) = site.sources.get(name) else { return Followed::Elsewhere };
        let claimed = self.way.sources.contains(&format!("{}/{}", name.namespace, name.name));
        let url = self.checkouts.first().and_then(|checkout| self.tree.url(&checkout.branch.remote).ok());
        if !claimed && !url.is_some_and(|url| is_same_repository(&url, &source.url)) {
            return Followed::Elsewhere;
        }
        let ours = |branch: &String| self.checkouts.iter().any(|checkout| checkout.branch.branch == *branch);
        match &source.branch {
            Some(branch) if ours(branch) => Followed::Ours,
            branch => Followed::Otherwise { what: source.follows.clone(), branch: branch.clone() },
        }
    }
}

/// Whether two URLs name one repository: ways of access, users and `.git` do not count.
#[must_use]
pub fn is_same_repository(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => {
            let same_port = one.port == other.port || one.scheme != other.scheme;
            one.host.eq_ignore_ascii_case(&other.host) && one.path == other.path && same_port
        }
        _ => one == other,
    }
}

struct Parts {
    scheme: String,
    host: String,
    port: Option<u16>,
    path: String,
}

fn parts(text: &str) -> Option<Parts> {
    let path = |path: &str| {
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).to_owned()
    };
    if !text.contains("://") {
        // scp's short form; what has no colon, or one behind a slash, is a folder.
        let (host, rest) = text.split_once(':').filter(|(host, _)| !host.contains('/'))?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        return Some(Parts { scheme: "ssh".to_owned(), host: host.to_owned(), port: None, path: path(rest) });
    }
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str()?.to_owned();
    // ssh's port is no default that the library knows.
    let port = url.port().filter(|port| (url.scheme(), *port) != ("ssh", 22));
    Some(Parts { scheme: url.scheme().to_owned(), host, port, path: path(url.path()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_many_urls() {
        let github = [
            "https://github.com/acme/gitops.git",
            "https://github.com/acme/gitops",
            "ssh://git@github.com/acme/gitops.git",
            "ssh://git@github.com:22/acme/gitops",
            "git@github.com:acme/gitops.git",
            "https://***@GitHub.com/acme/gitops/",
        ];
        for one in github {
            assert!(github.iter().all(|other| is_same_repository(one, other)), "{one}");
            assert!(!is_same_repository(one, "https://github.com/acme/other"), "{one}");
            assert!(!is_same_repository(one, "git@gitlab.com:acme/gitops.git"), "{one}");
        }
        assert!(!is_same_repository("http://localhost:1/r.git", "http://localhost:2/r.git"));
        assert!(
            is_same_repository("/srv/git/r", "/srv/git/r") && !is_same_repository("/srv/git/r", "/srv/git/s")
        );
    }
}
