//! The real programs that the rig is made of, and how they come into the cache.
//!
//! All but one are `package main` inside Go modules that one `go.mod` pins, so one `go build` makes
//! them and their common packages are compiled once. The flux command line tool is the exception, see
//! `flux_cli`.

mod build;
mod cache;
mod flux_cli;
mod flux_manifests;
mod go;
mod progress;

pub use cache::Cache;
pub use flux_manifests::{CONTROLLERS, FLUX_VERSION};

use anyhow::Result;
use std::path::PathBuf;

/// The version that the Kubernetes programs report.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// One program of the rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The store behind all API servers of a rig.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers of Kubernetes itself.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The command line client.
    Kubectl,
    /// Plays nodes and pods.
    Kwok,
    /// Flux's kustomize-controller.
    KustomizeController,
    /// Flux's helm-controller.
    HelmController,
    /// The reference implementation of SOPS files.
    Sops,
    /// The reference implementation of age files.
    Age,
    /// Makes age identities.
    AgeKeygen,
    /// Flux's command line tool.
    Flux,
}

impl Part {
    /// The name of the program in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::KustomizeController => "kustomize-controller",
            Self::HelmController => "helm-controller",
            Self::Sops => "sops",
            Self::Age => "age",
            Self::AgeKeygen => "age-keygen",
            Self::Flux => "flux",
        }
    }

    /// The Go package that `go build` makes it from; nothing for the one that is built apart.
    fn package(self) -> Option<&'static str> {
        Some(match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::KustomizeController => "github.com/fluxcd/kustomize-controller",
            Self::HelmController => "github.com/fluxcd/helm-controller",
            Self::Sops => "github.com/getsops/sops/v3/cmd/sops",
            Self::Age => "filippo.io/age/cmd/age",
            Self::AgeKeygen => "filippo.io/age/cmd/age-keygen",
            Self::Flux => return None,
        })
    }

    /// The file name that `go build` gives it: the last element of its import path that is no
    /// major version.
    fn built_as(self) -> &'static str {
        if self == Self::Etcd { "server" } else { self.name() }
    }
}

/// Which parts somebody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PartSet {
    /// Encryption only: sops and age-keygen, no cluster.
    Quick,
    /// What the demo shows.
    Demo,
    /// Everything, helm-controller and the flux command line tool included.
    Test,
}

impl PartSet {
    /// The parts of the set.
    #[must_use]
    pub fn parts(self) -> &'static [Part] {
        match self {
            Self::Quick => &[Part::Sops, Part::AgeKeygen],
            Self::Demo => &[
                Part::Etcd,
                Part::KubeApiserver,
                Part::KubeControllerManager,
                Part::KubeScheduler,
                Part::Kubectl,
                Part::Kwok,
                Part::KustomizeController,
                Part::Sops,
                Part::Age,
                Part::AgeKeygen,
            ],
            Self::Test => &[
                Part::Etcd,
                Part::KubeApiserver,
                Part::KubeControllerManager,
                Part::KubeScheduler,
                Part::Kubectl,
                Part::Kwok,
                Part::KustomizeController,
                Part::HelmController,
                Part::Sops,
                Part::Age,
                Part::AgeKeygen,
                Part::Flux,
            ],
        }
    }

    /// The name as the command line takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Demo => "demo",
            Self::Test => "test",
        }
    }

    /// Flux's controllers in the install manifest of this set.
    #[must_use]
    pub fn flux_controllers(self) -> &'static [&'static str] {
        match self {
            Self::Quick => &[],
            Self::Demo => &["source-controller", "kustomize-controller"],
            Self::Test => &["source-controller", "kustomize-controller", "helm-controller"],
        }
    }
}

/// Everything of a set, built and in its place.
#[derive(Clone, Debug)]
pub struct Toolbox {
    /// The folder of the programs.
    pub bin: PathBuf,
    /// kwok's stages, one file each; empty for [`PartSet::Quick`].
    pub stages: Vec<PathBuf>,
    /// Flux's install manifest; nothing for [`PartSet::Quick`].
    pub flux_manifests: Option<PathBuf>,
}

impl Toolbox {
    /// Builds what the cache lacks of a set and says where everything is.
    ///
    /// # Errors
    /// When Go or Git is missing or too old, or when a download or a build fails.
    pub fn ensure(set: PartSet) -> Result<Self> {
        build::ensure(&Cache::open()?, set)
    }

    /// The path of one program, whether or not the set had it.
    #[must_use]
    pub fn program(&self, part: Part) -> PathBuf {
        self.bin.join(part.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_contains_the_smaller_one() {
        let has = |set: PartSet, part: &Part| set.parts().contains(part);
        assert!(PartSet::Quick.parts().iter().all(|part| has(PartSet::Demo, part)));
        assert!(PartSet::Demo.parts().iter().all(|part| has(PartSet::Test, part)));
    }

    #[test]
    fn the_demo_needs_neither_helm_nor_the_flux_tool() {
        assert!(!PartSet::Demo.parts().contains(&Part::HelmController));
        assert!(!PartSet::Demo.parts().contains(&Part::Flux));
    }

    #[test]
    fn every_part_but_flux_is_pinned_as_a_tool() {
        let pins = include_str!("../../rig/go.mod");
        for part in PartSet::Test.parts() {
            match part.package() {
                Some(package) => assert!(pins.contains(&format!("\t{package}\n")), "{package}"),
                None => assert_eq!(*part, Part::Flux),
            }
        }
    }
}
