//! Flux's command line tool.
//!
//! Its published module lacks the rendered manifests that it embeds, so a plain `go build` of it fails.
//! A vendor folder can be completed: the missing files are put there, and the build takes them.

use super::build::list_dependencies;
use super::{Cache, Part, cache, flux_manifests, go, progress};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

const PACKAGE: &str = "github.com/fluxcd/flux2/v2/cmd/flux";

/// Builds the tool. The rendered manifests must be in the cache already.
pub(super) fn build(cache: &Cache) -> Result<()> {
    let scratch = cache.scratch()?;
    let dir = scratch.path();
    for file in ["go.mod", "go.sum", "tools.go"] {
        let from = Path::new(cache::MODULE).join("flux-cli").join(file);
        fs::copy(&from, dir.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    // -e: the files to embed are not there yet, which is an error otherwise.
    let mut vendor = go::command(dir);
    vendor.args(["mod", "vendor", "-e"]);
    progress::follow("flux: fetching sources", None, vendor)?;
    let manifests = dir.join("vendor").join(PACKAGE).join("manifests");
    fs::create_dir(&manifests).with_context(|| format!("cannot make {}", manifests.display()))?;
    for entry in fs::read_dir(flux_manifests::embedded(cache))? {
        let entry = entry?;
        fs::copy(entry.path(), manifests.join(entry.file_name()))?;
    }

    let made = dir.join("flux");
    let version = flux_manifests::FLUX_VERSION.trim_start_matches('v');
    let mut command = go::command(dir);
    command.args(["build", "-v", "-mod=vendor", "-trimpath", "-buildvcs=false"]);
    command.args(["-ldflags", &format!("-s -w -X main.VERSION={version}")]);
    command.arg("-o").arg(&made).arg(PACKAGE);
    let mut list = go::command(dir);
    list.args(["list", "-mod=vendor", "-deps", PACKAGE]);
    let total = list_dependencies("flux", list)?;
    progress::follow("flux: building", Some(total), command)?;
    fs::rename(&made, cache.bin().join(Part::Flux.name())).context("cannot put flux in place")
}
