//! Builds what the cache lacks.

use super::{Cache, Part, PartSet, Toolbox, cache, flux_cli, flux_manifests, go, progress};
use crate::talk::say;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KWOK: go::Pin = go::Pin {
    module: "sigs.k8s.io/kwok",
    version: "v0.8.0",
    sum: "h1:OTIOTwgROqPMovcTwxICx2eYQ4AwLpSx5EpjbDKF4SQ=",
};

/// kwok's own stages that make nodes ready, keep them so, and run and remove pods at once.
const STAGES: &[&str] = &[
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
    "pod/fast/pod-ready.yaml",
];

/// See [`Toolbox::ensure`].
pub(super) fn ensure(cache: &Cache, set: PartSet) -> Result<Toolbox> {
    check_git()?;
    let stages = cache.dir().join("stages");
    let manifest = flux_manifests::install_manifest(cache, set.name());
    let cluster = set != PartSet::Quick;
    let toolbox = Toolbox {
        bin: cache.bin(),
        stages: if cluster {
            STAGES.iter().map(|stage| stages.join(file_name(stage))).collect()
        } else {
            vec![]
        },
        flux_manifests: cluster.then(|| manifest.clone()),
    };
    let complete =
        || cache.missing(set.parts()).is_empty() && (!cluster || (stages.is_dir() && manifest.is_file()));
    if complete() {
        return Ok(toolbox);
    }
    let _lock = cache.lock(|| say("waiting for another build of the local control plane to end"))?;
    let mut missing = cache.missing(set.parts());
    let flux = missing.contains(&Part::Flux);
    missing.retain(|part| *part != Part::Flux);
    if !missing.is_empty() {
        build_parts(cache, &missing)?;
    }
    if cluster {
        if !stages.is_dir() {
            copy_stages(cache, &stages)?;
        }
        if !flux_manifests::embedded(cache).is_dir() {
            flux_manifests::render_embedded(cache)?;
        }
        if !manifest.is_file() {
            flux_manifests::assemble(cache, set.name(), set.flux_controllers())?;
        }
    }
    if flux {
        flux_cli::build(cache)?;
    }
    Ok(toolbox)
}

fn check_git() -> Result<()> {
    let found = Command::new("git").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        bail!("`git` is not on PATH\nhint: install Git");
    }
    Ok(())
}

/// Builds all missing parts in one call, so that what they share is compiled once.
fn build_parts(cache: &Cache, parts: &[Part]) -> Result<()> {
    let names = parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
    say(format!("building the local control plane's real parts: {names}"));
    say(format!(
        "this happens once (all parts together: some ten minutes on two cores); they stay in {}",
        cache.dir().display()
    ));
    let module = Path::new(cache::MODULE);
    let packages = parts.iter().filter_map(|part| part.package()).collect::<Vec<_>>();
    let scratch = cache.scratch()?;

    let mut list = go::command(module);
    list.args(["list", "-mod=readonly", "-deps"]).args(&packages);
    let total = list_dependencies("parts", list)?;

    let mut command = go::command(module);
    command.args(["build", "-v"]).args(cache::BUILD_FLAGS).args(["-ldflags", cache::LINKER_FLAGS]);
    // The separator at the end makes `go build` take it for a folder.
    command.arg("-o").arg(scratch.path().join("")).args(&packages);
    progress::follow("parts: building", Some(total), command)?;

    for part in parts {
        let from = scratch.path().join(part.built_as());
        fs::rename(&from, cache.bin().join(part.name()))
            .with_context(|| format!("go built no {}", from.display()))?;
    }
    Ok(())
}

/// How many packages `go list -deps` names: the most that a build can have to compile. It also fetches
/// the sources of all of them.
pub(super) fn list_dependencies(label: &str, command: Command) -> Result<u64> {
    let listed = progress::follow(&format!("{label}: fetching sources"), None, command)?;
    Ok(listed.iter().filter(|byte| **byte == b'\n').count() as u64)
}

/// Copies kwok's stages next to the programs, so that a run reads nothing of Go's module cache.
fn copy_stages(cache: &Cache, target: &Path) -> Result<()> {
    let scratch = cache.scratch()?;
    let source = go::download(scratch.path(), &KWOK)?.join("kustomize/stage");
    let made = scratch.path().join("stages");
    fs::create_dir(&made)?;
    for stage in STAGES {
        let from = source.join(stage);
        fs::write(made.join(file_name(stage)), fs::read(&from)?)
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    fs::rename(&made, target).context("cannot put kwok's stages in place")
}

fn file_name(stage: &str) -> PathBuf {
    Path::new(stage).file_name().map_or_else(|| stage.into(), PathBuf::from)
}
