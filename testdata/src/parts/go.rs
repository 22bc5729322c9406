//! Calling the `go` command.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Go that can read the pinned modules.
const OLDEST: (u32, u32) = (1, 26);

/// What identifies a Go tool chain: version, system, architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toolchain {
    pub(super) version: String,
    pub(super) os: String,
    pub(super) arch: String,
}

/// The Go command in `dir`, with the settings that every call of the rig shares. What the user set
/// (proxy, checksum database, caches) stays in force.
pub(super) fn command(dir: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(dir).env("CGO_ENABLED", "0").env_remove("GOFLAGS").env("GOWORK", "off");
    command
}

/// Asks for the tool chain that would build in `dir`, and refuses one that is too old.
pub(super) fn toolchain(dir: &Path) -> Result<Toolchain> {
    let output = match command(dir).args(["env", "GOVERSION", "GOOS", "GOARCH"]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "`go` is not on PATH; the local control plane is built with it\n\
             hint: install Go {}.{} or newer",
            OLDEST.0,
            OLDEST.1
        ),
        Err(error) => return Err(error).context("cannot run `go`"),
    };
    if !output.status.success() {
        bail!(
            "`go env` failed: {}\nhint: install Go {}.{} or newer",
            String::from_utf8_lossy(&output.stderr).trim(),
            OLDEST.0,
            OLDEST.1
        );
    }
    let text = String::from_utf8(output.stdout).context("`go env` did not print text")?;
    let mut lines = text.lines().map(str::to_owned);
    let (Some(version), Some(os), Some(arch)) = (lines.next(), lines.next(), lines.next()) else {
        bail!("`go env GOVERSION GOOS GOARCH` printed: {text}");
    };
    if parse_version(&version).is_some_and(|version| version < OLDEST) {
        bail!("Go is {version}, too old\nhint: install Go {}.{} or newer", OLDEST.0, OLDEST.1);
    }
    Ok(Toolchain { version, os, arch })
}

/// `go1.26.8` is `(1, 26)`; a development version is nothing, and is let through.
fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("go")?.split(['.', '-', ' ']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let digits = minor.find(|c: char| !c.is_ascii_digit()).map_or(minor, |end| &minor[..end]);
    Some((major, digits.parse().ok()?))
}

/// A Go module at one version, with the checksum that its content must have.
pub(super) struct Pin {
    pub(super) module: &'static str,
    pub(super) version: &'static str,
    pub(super) sum: &'static str,
}

#[derive(Deserialize)]
struct Download {
    #[serde(rename = "Dir", default)]
    dir: PathBuf,
    #[serde(rename = "Sum", default)]
    sum: String,
    #[serde(rename = "Error", default)]
    error: String,
}

/// Downloads a module (or finds it in Go's module cache), checks what it is, and says where.
pub(super) fn download(scratch: &Path, pin: &Pin) -> Result<PathBuf> {
    let target = format!("{}@{}", pin.module, pin.version);
    let output = command(scratch)
        .args(["mod", "download", "-json", &target])
        .output()
        .context("cannot run `go mod download`")?;
    let answer: Download = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("`go mod download {target}`: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    if !answer.error.is_empty() {
        bail!("`go mod download {target}`: {}", answer.error);
    }
    if answer.sum != pin.sum {
        bail!("{target} has the checksum {}, not the pinned {}", answer.sum, pin.sum);
    }
    Ok(answer.dir)
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("go1.26.8"), Some((1, 26)));
        assert_eq!(parse_version("go1.9"), Some((1, 9)));
        assert_eq!(parse_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_version("devel +abc"), None);
        assert!(parse_version("go1.9") < parse_version("go1.26.8"));
    }
}
