//! Which files a command is about.

use super::config::Configs;
use super::problems::file_failure;
use crate::files::{FileError, Version};
use bstr::ByteSlice as _;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::Repository;
use kubiya_policies::builtin as codes;
use kubiya_policies::check::{Input, PathKind, Role, check, path_class};
use kubiya_policies::finding::{Code, Severity};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A file to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is; absolute, links resolved.
    pub path: PathBuf,
    /// The user named it, so that it must be worked on; else it was found in a folder.
    pub named: bool,
    /// It has metadata.
    pub encrypted: bool,
    /// It holds something that must be encrypted and is not. `None` where that was not looked at, because the
    /// file was named or is encrypted; see [`Candidate::is_plain`].
    pub plain: Option<bool>,
    /// What a kustomization makes of it.
    pub role: Role,
}

impl Candidate {
    /// Whether it holds something that must be encrypted and is not. `bytes` are what is in it.
    #[must_use]
    pub fn is_plain(&self, bytes: &[u8], configs: &Configs) -> bool {
        self.plain.unwrap_or_else(|| judged(&self.path, bytes, configs, self.role).plain)
    }
}

/// What is looked for in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// What is encrypted, and what the hook would refuse for being plain.
    Secrets,
    /// What is encrypted.
    Encrypted,
}

/// What was chosen.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Files, sorted by path.
    pub candidates: Vec<Candidate>,
    /// How many files were looked at.
    pub looked_at: usize,
    /// Files that could not be read.
    pub failures: Vec<Failure>,
}

/// What encryption mends.
const MENDED: [Code; 6] = [
    codes::PLAIN_SECRET,
    codes::PARTLY_ENCRYPTED,
    codes::NOT_ENCRYPTED,
    codes::GENERATOR_SOURCE,
    codes::SECRET_PATCH,
    codes::KUBECONFIG,
];

/// The top of the work tree that a folder is in.
#[must_use]
pub fn repository_top(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let top = Repository::open_at(&folder).ok()?.work_tree()?.canonicalize().ok()?;
    folder.starts_with(&top).then_some(top)
}

/// The top of the work tree that a command on these paths is about: that of the first, if it is a folder, else
/// of the current folder.
#[must_use]
pub fn top_around(paths: &[PathBuf]) -> Option<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    repository_top(paths.first().filter(|path| path.is_dir()).unwrap_or(&here))
}

/// The files of a command: those named; in folders (without any path, in the repository) those that are sought.
/// Ignored files are passed over in folders.
///
/// # Errors
/// A path that is not there; no path outside of a repository.
pub fn choose(
    paths: &[PathBuf],
    sought: Sought,
    top: Option<&Path>,
    configs: &Configs,
) -> Result<Chosen, Failure> {
    let mut folders = Vec::new();
    let mut chosen = Chosen::default();
    let mut problems = Vec::new();
    for path in paths {
        match path.canonicalize() {
            Ok(path) if path.is_dir() => folders.push(path),
            Ok(resolved) => chosen.named(path, resolved, top),
            Err(error) => problems.push(file_failure(path, &FileError::Read(error))),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::all(format!("{} paths cannot be read", problems.len()), problems));
    }
    if paths.is_empty() {
        let top = top.ok_or_else(|| {
            Failure::usage("not in a Git repository: name the files or folders")
                .hint("kubectl kubiya encrypt PATH …")
        })?;
        folders.push(top.to_owned());
    }
    chosen.look_into(&folders, sought, top, configs);
    chosen.candidates.sort_by(|a, b| a.path.cmp(&b.path));
    chosen.candidates.dedup_by(|a, b| {
        a.path == b.path && {
            b.named |= a.named;
            b.plain = [b.plain, a.plain].into_iter().flatten().reduce(|one, other| one || other);
            b.role = b.role.max(a.role);
            true
        }
    });
    Ok(chosen)
}

impl Chosen {
    fn named(&mut self, given: &Path, resolved: PathBuf, top: Option<&Path>) {
        self.looked_at += 1;
        match Version::read(given, top.filter(|top| within(given, top))) {
            Ok(version) => {
                let encrypted = may_be_encrypted(version.bytes());
                self.candidates.push(Candidate {
                    path: resolved,
                    named: true,
                    encrypted,
                    plain: None,
                    role: Role::File,
                });
            }
            Err(error) => self.failures.push(file_failure(given, &error)),
        }
    }

    fn look_into(&mut self, folders: &[PathBuf], sought: Sought, top: Option<&Path>, configs: &Configs) {
        let files = files_of(folders, top);
        self.looked_at += files.len();
        let look_at = |path: &PathBuf| look(path, sought, configs, Role::File);
        let looked = files.par_iter().map(look_at).collect::<Vec<_>>();
        let mut references = BTreeMap::new();
        for (path, looked) in files.iter().zip(looked) {
            match looked {
                Ok(Look { candidate, references: named }) => {
                    self.candidates.extend(candidate);
                    references.extend(named);
                }
                Err(error) => self.failures.push(file_failure(path, &error)),
            }
        }
        // What a kustomization makes a Secret of, or patches one with, is judged in that role.
        let here = files.iter().collect::<BTreeSet<_>>();
        let inside = |path: &PathBuf| here.contains(path) || top.is_some_and(|top| path.starts_with(top));
        let resolved =
            references.into_iter().filter_map(|(path, role)| Some((path.canonicalize().ok()?, role)));
        for (path, role) in resolved.filter(|(path, _)| inside(path) && path.is_file()) {
            if let Ok(Look { candidate: Some(candidate), .. }) = look(&path, sought, configs, role) {
                self.candidates.push(candidate);
            }
        }
    }
}

/// Whether a path, links in it not followed, is below a folder.
fn within(given: &Path, top: &Path) -> bool {
    std::path::absolute(given).is_ok_and(|path| path.starts_with(top))
}

/// All files below folders that Git does not ignore, and those that it tracks even so. `top` is that of the work tree.
#[must_use]
pub fn files_of(folders: &[PathBuf], top: Option<&Path>) -> Vec<PathBuf> {
    let mut files = files_below(folders);
    files.extend(tracked_below(folders, top));
    files.sort();
    files.dedup();
    files
}

/// Files that Git tracks, whatever it ignores: those of the index, links aside.
fn tracked_below(folders: &[PathBuf], top: Option<&Path>) -> Vec<PathBuf> {
    let Some(top) = top else { return Vec::new() };
    let index = Repository::open_at(top).and_then(|repository| repository.index()).unwrap_or_default();
    let paths = index.entries.iter().map(|entry| top.join(OsStr::from_bytes(&entry.path)));
    paths
        .filter(|path| folders.iter().any(|folder| path.starts_with(folder)))
        .filter(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()))
        .collect()
}

/// All files below folders, without what Git ignores, Git's own, and other repositories in them: a submodule
/// has its own rules, keys and history.
#[must_use]
pub fn files_below(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in folders {
        let mut walk = ignore::WalkBuilder::new(folder);
        walk.hidden(false).ignore(false).filter_entry(|entry| {
            let other_repository = entry.depth() > 0 && entry.path().join(".git").exists();
            entry.file_name() != ".git" && !other_repository
        });
        let found = walk.build().filter_map(Result::ok);
        files.extend(
            found
                .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
                .map(ignore::DirEntry::into_path),
        );
    }
    files.sort();
    files.dedup();
    files
}

#[derive(Default)]
struct Look {
    candidate: Option<Candidate>,
    references: Vec<(PathBuf, Role)>,
}

fn look(path: &Path, sought: Sought, configs: &Configs, role: Role) -> Result<Look, FileError> {
    let kind = path_class(path.as_os_str().as_bytes(), None).kind;
    // Who reads what is no secret.
    if kind == PathKind::SopsConfig {
        return Ok(Look::default());
    }
    let version = match Version::found(path.to_owned()) {
        // Nothing that large is encrypted by SOPS; the hook judges it.
        Err(FileError::TooLarge) => return Ok(Look::default()),
        version => version?,
    };
    let encrypted = may_be_encrypted(version.bytes());
    // What is encrypted is chosen whatever is said of it; what it names counts where it may be a kustomization.
    let is_chosen = encrypted && !matches!(kind, PathKind::Kustomization(_));
    let judged =
        (sought == Sought::Secrets && !is_chosen).then(|| judged(path, version.bytes(), configs, role));
    let plain = judged.as_ref().map(|judged| judged.plain);
    let candidate = (encrypted || plain == Some(true)).then(|| Candidate {
        path: path.to_owned(),
        named: false,
        encrypted,
        plain,
        role,
    });
    Ok(Look { candidate, references: judged.map(|judged| judged.references).unwrap_or_default() })
}

/// What the hook says of a file.
struct Judged {
    /// Something in it must be encrypted and is not.
    plain: bool,
    references: Vec<(PathBuf, Role)>,
}

fn judged(path: &Path, bytes: &[u8], configs: &Configs, role: Role) -> Judged {
    let governed = configs.governing(path).ok().flatten();
    let rules = governed.as_deref().map(|governed| &governed.rules);
    let report = check(&Input { path: path.as_os_str().as_bytes(), bytes, rules, role });
    let mut errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let plain = errors.any(|finding| MENDED.contains(&finding.code));
    let references = report.references.into_iter().map(|reference| {
        let path = Path::new("/").join(OsStr::from_bytes(&reference.path));
        (path, reference.role)
    });
    Judged { plain, references: references.collect() }
}

/// Whether the bytes hold what all encrypted files do; reading them tells for sure.
#[must_use]
pub fn may_be_encrypted(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.contains_str(needle);
    has(b"ENC[AES256_GCM,") && has(b"sops") && has(b"lastmodified")
}
