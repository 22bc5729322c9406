//! Which `.sops.yaml` is for a file.

use super::problems::shown;
use crate::files::Version;
use kubiya_hook::edge::Failure;
use kubiya_policies::rules::{FILE_NAME, Rules};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The rules of one `.sops.yaml`. Paths are absolute, for matching too.
#[derive(Debug)]
pub struct Governed {
    /// Where it is.
    pub config: PathBuf,
    /// What it says.
    pub rules: Rules,
}

impl Governed {
    /// What is odd in the file and does not stop sops, with its place.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let config = shown(&self.config);
        let problems = self.rules.problems().iter();
        problems
            .map(|problem| {
                format!("{config}:{}:{}: {}", problem.span.line, problem.span.column, problem.what)
            })
            .collect()
    }
}

type Found = Result<Option<Arc<Governed>>, Failure>;

/// Finds the rules for files, and reads each `.sops.yaml` once.
#[derive(Debug)]
pub struct Configs {
    explicit: Option<PathBuf>,
    /// Where the search ends: the top of the repository, or the root.
    top: Option<PathBuf>,
    read: Mutex<HashMap<PathBuf, Found>>,
}

impl Configs {
    /// `explicit` is the flag `--config`, or the variable `SOPS_CONFIG`; `top` the repository.
    #[must_use]
    pub fn new(explicit: Option<PathBuf>, top: Option<PathBuf>) -> Self {
        let variable =
            || std::env::var_os("SOPS_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { explicit: explicit.or_else(variable), top, read: Mutex::default() }
    }

    /// The rules for a file: those named, else of the nearest `.sops.yaml` at or above its folder within the
    /// repository. `None` where there is none.
    ///
    /// # Errors
    /// A `.sops.yaml` that cannot be used, with all its problems.
    pub fn governing(&self, file: &Path) -> Found {
        if let Some(config) = &self.explicit {
            let config = config.canonicalize().map_err(|error| {
                Failure::usage("cannot read the configuration").at(shown(config)).because(&error)
            })?;
            return self.read(&config);
        }
        for folder in file.ancestors().skip(1) {
            let config = folder.join(FILE_NAME);
            let there = || config.symlink_metadata().is_ok();
            match self.known(&config) {
                Some(Ok(None)) => {}
                None if !there() => {
                    self.lock().insert(config, Ok(None));
                }
                _ => return self.read(&config),
            }
            if self.top.as_deref() == Some(folder) {
                break;
            }
        }
        Ok(None)
    }

    /// The `.sops.yaml` that sops would take, which looks from the current folder upwards: told where it is
    /// another one than ours.
    #[must_use]
    pub fn disagreement(&self, governed: Option<&Governed>) -> Option<String> {
        if self.explicit.is_some() {
            return None;
        }
        let here = std::env::current_dir().ok()?.canonicalize().ok()?;
        let theirs = here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|config| config.exists());
        let ours = governed.map(|governed| governed.config.clone());
        if theirs == ours {
            return None;
        }
        let name = |config: Option<&PathBuf>| config.map_or("none".to_owned(), |config| shown(config));
        Some(format!(
            "the rules are those of {}; sops, run in this folder, would use {}",
            name(ours.as_ref()),
            name(theirs.as_ref())
        ))
    }

    /// What is odd in the files that were read and does not stop sops: unknown keys, recipients that look
    /// wrong, rules that never apply.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let read = self.lock();
        let mut configs = read.values().filter_map(|found| found.as_ref().ok()?.as_ref()).collect::<Vec<_>>();
        configs.sort_by(|a, b| a.config.cmp(&b.config));
        configs.iter().flat_map(|governed| governed.warnings()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Found>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found there before.
    fn known(&self, config: &Path) -> Option<Found> {
        self.lock().get(config).cloned()
    }

    fn read(&self, config: &Path) -> Found {
        if let Some(found) = self.lock().get(config) {
            return found.clone();
        }
        let found = parse(config).map(|governed| Some(Arc::new(governed)));
        self.lock().insert(config.to_owned(), found.clone());
        found
    }
}

fn parse(config: &Path) -> Result<Governed, Failure> {
    let version =
        Version::read(config, None).map_err(|error| super::problems::file_failure(config, &error))?;
    let rules = Rules::parse(config.as_os_str().as_bytes(), version.bytes()).map_err(|problems| {
        let failures = problems.0.iter().map(|problem| {
            let place = format!("{}:{}:{}", shown(config), problem.span.line, problem.span.column);
            Failure::usage(problem.what.clone()).at(place)
        });
        Failure::all(format!("{} cannot be used", shown(config)), failures.collect())
    })?;
    Ok(Governed { config: config.to_owned(), rules })
}
