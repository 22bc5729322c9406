//! The folder outside the checkout where built parts are kept.

use super::{Part, flux_manifests, go};
use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The pins of all parts but the flux tool, where this crate was compiled: it never leaves its checkout.
pub(super) const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rig");

/// Changes when the layout of the cache or the way of building changes, though no pin does.
const LAYOUT: &str = "1";

/// How the names of temporary folders in the cache begin.
const SCRATCH: &str = ".making-";

/// The flags that every build shares.
pub(super) const BUILD_FLAGS: &[&str] = &["-mod=readonly", "-trimpath", "-buildvcs=false"];

/// The linker flags: small binaries, and the version that Kubernetes is to report; without it
/// `/version` says v0.0.0 and every check of a least version fails.
pub(super) const LINKER_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36";

/// The cache folder for exactly these pins, flags and tool chain.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Finds the folder: below `$KUBIYA_RIG_CACHE`, else below the user's cache folder.
    ///
    /// # Errors
    /// When Go is missing or too old, or when the folder cannot be made.
    pub fn open() -> Result<Self> {
        let module = Path::new(MODULE);
        let read = |name: &str| {
            let path = module.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let pins = [read("go.mod")?, read("go.sum")?, read("flux-cli/go.mod")?, read("flux-cli/go.sum")?];
        let key = key(&pins, &go::toolchain(module)?);
        let dir = root()?.join(key);
        fs::create_dir_all(dir.join("bin"))
            .with_context(|| format!("cannot make the cache folder {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The folder itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Those of the parts that are not built yet.
    #[must_use]
    pub fn missing(&self, parts: &[Part]) -> Vec<Part> {
        parts.iter().copied().filter(|part| !self.bin().join(part.name()).is_file()).collect()
    }

    /// Waits until no other process builds into this folder, and removes what an interrupted one left.
    /// The lock ends with the value.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&file, FlockOperation::LockExclusive)
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(file)
    }

    /// A temporary folder on the same file system, so that what is made there can be renamed into
    /// place.
    pub(super) fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.dir).context("no scratch folder")
    }
}

/// Where all cache folders are.
fn root() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = set("KUBIYA_RIG_CACHE") {
        return Ok(chosen);
    }
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("kubiya-rig"))
        .context("none of KUBIYA_RIG_CACHE, XDG_CACHE_HOME and HOME is set: no place for the built parts")
}

/// The first 16 hexadecimal digits of a hash over all that decides what is built.
fn key(pins: &[Vec<u8>], toolchain: &go::Toolchain) -> String {
    let mut hash = Sha256::new();
    // Every item is preceded by its length, so that nothing can move from one into the next.
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(LAYOUT.as_bytes());
    pins.iter().for_each(|pin| add(pin));
    BUILD_FLAGS.iter().for_each(|flag| add(flag.as_bytes()));
    add(LINKER_FLAGS.as_bytes());
    flux_manifests::pins().for_each(|pin| add(pin.sum.as_bytes()));
    add(toolchain.version.as_bytes());
    add(toolchain.os.as_bytes());
    add(toolchain.arch.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(version: &str) -> go::Toolchain {
        go::Toolchain { version: version.into(), os: "linux".into(), arch: "amd64".into() }
    }

    #[test]
    fn the_key_follows_every_pin_and_the_tool_chain() {
        let pins = |a: &str, b: &str| vec![a.as_bytes().to_vec(), b.as_bytes().to_vec()];
        let base = key(&pins("mod", "sum"), &toolchain("go1.26.8"));
        assert_eq!(base.len(), 16);
        assert!(base.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(base, key(&pins("mod", "sum"), &toolchain("go1.26.8")));
        assert_ne!(base, key(&pins("mod", "sum2"), &toolchain("go1.26.8")));
        assert_ne!(base, key(&pins("mods", "um"), &toolchain("go1.26.8")));
        assert_ne!(base, key(&pins("mod", "sum"), &toolchain("go1.26.9")));
    }

    #[test]
    fn the_linker_flags_name_the_version_that_the_parts_are_said_to_have() {
        assert!(LINKER_FLAGS.contains(super::super::KUBERNETES_VERSION));
    }
}
