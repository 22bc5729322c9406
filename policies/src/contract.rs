//! What goes into a check, and what comes out.

use crate::finding::Finding;

/// Why a file is looked at: what the caller knows of its part in the repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A file like any other: its content and the rules decide.
    #[default]
    File,
    /// A `secretGenerator` of a kustomization names it: its content becomes a Secret, so it must be encrypted.
    SecretSource,
    /// A kustomization includes it as a patch of Secrets.
    Patch,
    /// A kustomization includes it as a patch of what it knows by another property than its kind: where the file
    /// does not say a kind either, it may be a patch of Secrets.
    PatchOfAny,
}

/// A file to judge.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Path in the repository, `/`-separated bytes.
    pub path: &'a [u8],
    /// The content.
    pub bytes: &'a [u8],
    /// The `.sops.yaml` that governs the path, if any: the nearest one at or above the file's folder.
    pub rules: Option<&'a crate::rules::Rules>,
    /// Its part in the repository.
    pub role: Role,
}

/// A file that another file names and that must be judged in the given role, in the same tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Path in the repository, normalised (`.` and `..` resolved).
    pub path: Vec<u8>,
    /// The role to judge it in.
    pub role: Role,
}

/// What a check gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found, in the order of the file.
    pub findings: Vec<Finding>,
    /// Files named by this one, to be judged by the caller in their role.
    pub references: Vec<Reference>,
}

impl Report {
    /// The same report for the same content at another path of the same class (see
    /// [`PathClass`](crate::check::PathClass)): what a cache gives back.
    #[must_use]
    pub fn at(mut self, path: &[u8]) -> Self {
        for finding in &mut self.findings {
            path.clone_into(&mut finding.place.path);
        }
        self
    }

    /// The greatest severity of a finding.
    pub fn worst(&self) -> Option<crate::finding::Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
