//! Kubeconfig files, found and merged as kubectl does it.

use super::ClusterError;
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use kubiya_hook::edge::in_shell;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where a kubeconfig comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KubeconfigSource {
    /// One file, named by a flag; it must exist.
    File(PathBuf),
    /// The files of `KUBECONFIG`, else `~/.kube/config`. Files that do not exist are skipped, as
    /// kubectl does.
    Ambient,
}

/// One context of a kubeconfig with what it points to.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Name of the context.
    pub context: String,
    /// The cluster entry.
    pub cluster: Cluster,
    /// The user entry; empty when the context names none, which is anonymous access.
    pub user: AuthInfo,
    /// kubectl with the flags that choose the same, for hints; `None` where it is in no kubeconfig file.
    pub kubectl: Option<String>,
}

impl KubeconfigSource {
    /// Reads and merges the files.
    ///
    /// # Errors
    /// No file at all, a file that cannot be read, or one that is no kubeconfig. The text of a broken
    /// file is never part of the error: it may hold a token.
    pub fn load(&self) -> Result<Kubeconfig, ClusterError> {
        let paths = match self {
            KubeconfigSource::File(path) => vec![path.clone()],
            KubeconfigSource::Ambient => ambient_paths(),
        };
        let present: Vec<&PathBuf> =
            paths.iter().filter(|path| matches!(self, KubeconfigSource::File(_)) || path.exists()).collect();
        if present.is_empty() {
            return Err(ClusterError::NoKubeconfig { looked_at: paths });
        }
        let mut merged = Kubeconfig::default();
        for path in present {
            let next = Kubeconfig::read_from(path).map_err(|error| broken(path, &error))?;
            merged = merged.merge(next).map_err(|error| broken(path, &error))?;
        }
        Ok(merged)
    }

    /// Reads the files and picks a context; the current one unless another is named.
    ///
    /// # Errors
    /// Those of [`Self::load`], and a context that is not there.
    pub fn select(&self, context: Option<&str>) -> Result<Selection, ClusterError> {
        Ok(self.asked(select(&self.load()?, context, None, None)?))
    }

    /// A selection of this source, with what to type to have it from kubectl.
    pub(super) fn asked(&self, selection: Selection) -> Selection {
        let file = match self {
            Self::File(path) => format!(" --kubeconfig {}", in_shell(path.as_os_str().as_bytes())),
            Self::Ambient => String::new(),
        };
        let context = in_shell(selection.context.as_bytes());
        Selection { kubectl: Some(format!("kubectl{file} --context {context}")), ..selection }
    }
}

/// Kubeconfigs, each read once: a thousand contexts may be in one file.
#[derive(Default)]
pub struct Kubeconfigs(HashMap<KubeconfigSource, Kubeconfig>);

impl Kubeconfigs {
    /// As [`KubeconfigSource::select`].
    ///
    /// # Errors
    /// The same.
    pub fn select(
        &mut self,
        source: &KubeconfigSource,
        context: Option<&str>,
    ) -> Result<Selection, ClusterError> {
        if !self.0.contains_key(source) {
            self.0.insert(source.clone(), source.load()?);
        }
        let none = Kubeconfig::default();
        Ok(source.asked(select(self.0.get(source).unwrap_or(&none), context, None, None)?))
    }
}

/// The paths kubectl looks at when no flag names one.
fn ambient_paths() -> Vec<PathBuf> {
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    if !listed.is_empty() {
        return listed;
    }
    std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect()
}

/// A reading error without the text that was read.
fn broken(path: &Path, error: &KubeconfigError) -> ClusterError {
    let reason = match error {
        KubeconfigError::ReadConfig(io, _) => io.to_string(),
        KubeconfigError::Parse(parse) => match parse.location() {
            Some(at) => format!("not a kubeconfig: line {}, column {}", at.line(), at.column()),
            None => "not a kubeconfig".to_owned(),
        },
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            "its kind or apiVersion differs from the other files'".to_owned()
        }
        _ => "not a kubeconfig".to_owned(),
    };
    ClusterError::BrokenKubeconfig { path: path.to_owned(), reason }
}

/// Picks a context, and its cluster and user unless others are named.
///
/// # Errors
/// A name that the kubeconfig does not have; the error lists the names it has.
pub(super) fn select(
    kubeconfig: &Kubeconfig,
    context: Option<&str>,
    cluster: Option<&str>,
    user: Option<&str>,
) -> Result<Selection, ClusterError> {
    let contexts = || kubeconfig.contexts.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    let name = context
        .or(kubeconfig.current_context.as_deref())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| ClusterError::NoCurrentContext { known: contexts() })?;
    let found = kubeconfig.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.as_ref());
    let found = found.ok_or_else(|| missing("context", name, contexts()))?;
    let cluster_name = cluster.unwrap_or(&found.cluster);
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|c| c.name == cluster_name)
        .and_then(|c| c.cluster.clone())
        .ok_or_else(|| {
            missing("cluster", cluster_name, kubeconfig.clusters.iter().map(|c| c.name.clone()).collect())
        })?;
    let user_name = user.or(found.user.as_deref()).filter(|name| !name.is_empty());
    let user = match user_name {
        None => AuthInfo::default(),
        Some(user_name) => kubeconfig
            .auth_infos
            .iter()
            .find(|u| u.name == user_name)
            .map(|u| u.auth_info.clone().unwrap_or_default())
            .ok_or_else(|| {
                missing("user", user_name, kubeconfig.auth_infos.iter().map(|u| u.name.clone()).collect())
            })?,
    };
    Ok(Selection { context: name.to_owned(), cluster, user, kubectl: None })
}

fn missing(what: &'static str, name: &str, known: Vec<String>) -> ClusterError {
    ClusterError::NoSuchEntry { what, name: name.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig() -> Kubeconfig {
        Kubeconfig::from_yaml(
            "current-context: hub\n\
             clusters: [{name: c, cluster: {server: https://hub}}, {name: d, cluster: {server: https://d}}]\n\
             users: [{name: u, user: {token: t}}]\n\
             contexts: [{name: hub, context: {cluster: c, user: u}}, {name: bad, context: {cluster: x}}]\n",
        )
        .unwrap()
    }

    #[test]
    fn the_current_context_unless_another_is_named() {
        let chosen = select(&kubeconfig(), None, None, None).unwrap();
        assert_eq!((chosen.context.as_str(), chosen.cluster.server.as_deref()), ("hub", Some("https://hub")));
        assert!(chosen.user.token.is_some());
        let chosen = select(&kubeconfig(), Some("hub"), Some("d"), None).unwrap();
        assert_eq!(chosen.cluster.server.as_deref(), Some("https://d"));
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = select(&kubeconfig(), Some("hubb"), None, None).unwrap_err();
        assert_eq!(error.to_string(), "no context `hubb` in the kubeconfig (it has: hub, bad)");
        let error = select(&kubeconfig(), Some("bad"), None, None).unwrap_err();
        assert_eq!(error.to_string(), "no cluster `x` in the kubeconfig (it has: c, d)");
        let error = select(&kubeconfig(), None, None, Some("w")).unwrap_err();
        assert_eq!(error.to_string(), "no user `w` in the kubeconfig (it has: u)");
    }

    #[test]
    fn a_broken_file_is_named_but_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "users:\n- name: u\n  user: {token: CANARY-TOKEN\n").unwrap();
        let error = KubeconfigSource::File(path).load().unwrap_err();
        assert!(error.to_string().contains("not a kubeconfig: line "), "{error}");
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }
}
