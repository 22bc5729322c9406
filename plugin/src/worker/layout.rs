//! The folder of a worker in the repository: how Flux goes there, and in which order. Nothing that is there is
//! written over.

use super::in_git::{self, put};
use super::names::secret_name;
use super::record::{CredentialKind, Scope};
use crate::cluster::{Action, Applied, Mode};
use bstr::ByteSlice as _;
use kubiya_hook::edge::Failure;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What a worker's folder is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The worker.
    pub worker: String,
    /// Namespace of Flux; its GitRepository has the same name.
    pub flux: String,
    /// Namespace of the worker's Kustomizations, where its credentials are.
    pub namespace: String,
    /// Folder of all workers in the repository.
    pub folder: PathBuf,
    /// What its credentials are.
    pub credential: CredentialKind,
    /// How far they reach.
    pub scope: Scope,
    /// The Secret on the infra cluster with the key that decrypts what is in the folder.
    pub decryption: String,
    /// Whether the credentials are in the folder, too.
    pub with_credentials: bool,
}

/// A step on the way to a worker: a folder, what belongs there, which steps come before, and whether the next wait
/// until what it brings works.
struct Step {
    name: &'static str,
    holds: &'static str,
    after: &'static [&'static str],
    waits: bool,
}

/// The file with the Kustomizations.
const FLUX: &str = "flux.yaml";

/// Namespaces before secrets before applications; definitions before objects of their kinds.
const STEPS: [Step; 4] = [
    Step { name: "namespaces", holds: "Namespaces", after: &[], waits: true },
    Step {
        name: "definitions",
        holds: "CustomResourceDefinitions and their controllers",
        after: &["namespaces"],
        waits: true,
    },
    Step { name: "secrets", holds: "Secrets, encrypted", after: &["namespaces"], waits: false },
    Step { name: "applications", holds: "everything else", after: &["definitions", "secrets"], waits: false },
];

impl Layout {
    /// The worker's own folder.
    #[must_use]
    pub fn own_folder(&self) -> PathBuf {
        self.folder.join(&self.worker)
    }

    /// The files, by their paths in the repository.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        let folder = self.own_folder();
        let credentials =
            if self.with_credentials { format!("  - {}\n", in_git::FILE) } else { String::new() };
        let mut files = vec![
            (
                folder.join("kustomization.yaml"),
                format!(
                    "# This is for the infra cluster: how Flux goes to {0}. What the folders beside it hold goes to {0}.\n\
                     apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - flux.yaml\n{credentials}",
                    self.worker
                ),
            ),
            (folder.join(FLUX), self.kustomizations()),
        ];
        files.extend(self.steps().map(|step| {
            let text = format!("{} for {}\n", step.holds, self.worker);
            (folder.join(step.name).join("README.md"), text)
        }));
        files
    }

    /// What is let into some namespaces only brings neither namespaces nor definitions: it may not.
    fn steps(&self) -> impl Iterator<Item = &'static Step> {
        let all = self.scope == Scope::Cluster;
        STEPS.iter().filter(move |step| all || matches!(step.name, "secrets" | "applications"))
    }

    /// What is amiss in Kustomizations that are there already: they decrypt with another key.
    fn other_decryption(&self, name: &Path, bytes: &[u8]) -> Option<String> {
        let flux = name.ends_with(FLUX) && !bytes.contains_str(&self.decryption);
        flux.then(|| {
            format!(
                "Flux does not decrypt with the worker's key there: set spec.decryption.secretRef.name to {}",
                self.decryption
            )
        })
    }

    fn kustomizations(&self) -> String {
        let each = self.steps().map(|step| {
            // A tree of maps with string keys always renders.
            serde_yaml::to_string(&self.kustomization(step)).unwrap_or_default()
        });
        each.collect::<Vec<_>>().join("---\n")
    }

    fn kustomization(&self, step: &Step) -> Value {
        let named = |step: &str| format!("{}-{step}", self.worker);
        let there: Vec<&str> = self.steps().map(|step| step.name).collect();
        let before: Vec<Value> = step
            .after
            .iter()
            .filter(|name| there.contains(name))
            .map(|name| json!({"name": named(name)}))
            .collect();
        let reference = match self.credential {
            CredentialKind::Oidc => "configMapRef",
            _ => "secretRef",
        };
        let mut source = json!({"kind": "GitRepository", "name": self.flux});
        if self.namespace != self.flux {
            source["namespace"] = self.flux.clone().into();
        }
        let mut spec = json!({
            "interval": "10m",
            "retryInterval": "1m",
            "path": format!("./{}", self.own_folder().join(step.name).display()),
            "prune": true,
            "sourceRef": source,
            "kubeConfig": {reference: {"name": secret_name(&self.worker)}},
            "decryption": {"provider": "sops", "secretRef": {"name": self.decryption}},
        });
        if !before.is_empty() {
            spec["dependsOn"] = before.into();
        }
        if step.waits {
            spec["wait"] = true.into();
            spec["timeout"] = "5m".into();
        }
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": named(step.name), "namespace": self.namespace},
            "spec": spec,
        })
    }

    /// Writes the files that are not there yet.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, top: &Path, mode: Mode) -> Result<Vec<Applied>, Failure> {
        let mut all = Vec::new();
        for (name, text) in self.files() {
            let path = top.join(&name);
            let there = in_git::found(&path)?;
            let mut applied = Applied::new("File", name.display().to_string(), Action::Created);
            match there {
                Some(version) => {
                    applied.action = Action::Unchanged;
                    if version.bytes() != text.as_bytes() {
                        applied.notes.push("it is there already and stays as it is".to_owned());
                        applied.notes.extend(self.other_decryption(&name, version.bytes()));
                    }
                }
                None if mode == Mode::Write => put(&path, None, text.as_bytes())?,
                None => {}
            }
            all.push(applied);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            worker: "worker01".to_owned(),
            flux: "flux-system".to_owned(),
            namespace: "flux-system".to_owned(),
            folder: PathBuf::from("clusters/infra/workers"),
            credential: CredentialKind::Minted,
            scope: Scope::Cluster,
            decryption: "sops-age".to_owned(),
            with_credentials: true,
        }
    }

    fn shown(layout: &Layout) -> String {
        layout.files().into_iter().map(|(path, text)| format!("=== {}\n{text}", path.display())).collect()
    }

    #[test]
    fn namespaces_come_before_secrets_before_applications_and_definitions_before_their_objects() {
        insta::assert_snapshot!(shown(&layout()));
    }

    #[test]
    fn who_is_let_into_namespaces_of_a_team_brings_neither_namespaces_nor_definitions() {
        let scoped = Layout {
            namespace: "team".to_owned(),
            credential: CredentialKind::Oidc,
            scope: Scope::of(&["apps".to_owned()]),
            decryption: "worker01-age".to_owned(),
            with_credentials: false,
            ..layout()
        };
        insta::assert_snapshot!(shown(&scoped));
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let top = tempfile::tempdir().unwrap();
        let layout = layout();
        let flux = top.path().join("clusters/infra/workers/worker01/flux.yaml");
        std::fs::create_dir_all(flux.parent().unwrap()).unwrap();
        std::fs::write(&flux, "# mine\n").unwrap();
        let dry = layout.write(top.path(), Mode::Compare).unwrap();
        assert_eq!(dry.iter().filter(|one| one.action == Action::Created).count(), 5);
        assert_eq!(std::fs::read_dir(flux.parent().unwrap()).unwrap().count(), 1);
        layout.write(top.path(), Mode::Write).unwrap();
        let again = layout.write(top.path(), Mode::Write).unwrap();
        assert!(again.iter().all(|one| one.action == Action::Unchanged));
        assert_eq!(again.iter().filter(|one| !one.notes.is_empty()).count(), 1);
        assert_eq!(std::fs::read_to_string(&flux).unwrap(), "# mine\n");
    }
}
