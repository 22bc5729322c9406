//! `git-setup`: makes Git of a clone show and merge encrypted files by their values.

use crate::masking::MaskingKey;
use clap::Args;
use kubiya_hook::edge::{self, Console, Failure, Outcome};
use kubiya_hook::git::{ProcessError, clone};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Make git diff and git merge of this clone understand encrypted files
///
/// `git diff`, `git log -p` and `git show` tell which values changed, without showing them: each is named by a
/// hash with a key of this clone. `git merge`, `git rebase` and `git cherry-pick` merge encrypted files by
/// their values, and seal the result. Files that are not encrypted are shown and merged as before.
///
/// Only this clone is changed: the local configuration and info/attributes in the Git folder. A diff of
/// encrypted files that is to be applied needs `git diff --no-textconv`.
#[derive(Args, Debug)]
pub(crate) struct GitSetupArgs {
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Take everything out again
    #[arg(long)]
    remove: bool,
    /// Write the attributes into .gitattributes at the top of the repository, to be committed, in place of
    /// info/attributes; clones without the setup are not affected by them
    #[arg(long)]
    attributes: bool,
}

/// Patterns of attributes know no regular expressions, so all files of these kinds are looked at; the drivers
/// leave alone what is not encrypted.
const PATTERNS: [&str; 5] = ["*.yaml", "*.yml", "*.json", "*.env", "*.ini"];

const BEGIN: &str = "# kubectl kubiya git-setup: begin";
const END: &str = "# kubectl kubiya git-setup: end";

pub(crate) fn run(args: &GitSetupArgs, console: &mut Console) -> Outcome {
    let top = clone::top().map_err(|error| {
        Failure::usage("not in the work tree of a Git repository").because(&error).hint("cd REPOSITORY")
    })?;
    let git_folder = clone::common_folder().map_err(|error| git(&error))?;
    let local = clone::file("info/attributes").map_err(|error| git(&error))?;
    let shared = top.join(".gitattributes");
    let mut work = Work { dry_run: args.dry_run, console };
    if args.remove {
        for (key, _) in settings()? {
            work.unset(key)?;
        }
        work.attributes(&local, "")?;
        if args.attributes {
            work.attributes(&shared, "")?;
        }
        work.remove_key(&git_folder)?;
        return Ok(0);
    }
    for (key, value) in settings()? {
        work.set(key, &value)?;
    }
    if !args.attributes {
        work.warn_of_others()?;
    }
    work.attributes(if args.attributes { &shared } else { &local }, &block())?;
    if !args.dry_run {
        MaskingKey::of(&git_folder).map_err(|error| file(&MaskingKey::path(&git_folder), &error))?;
    }
    Ok(0)
}

/// The settings with their values, which name this executable.
fn settings() -> Result<[(&'static str, OsString); 4], Failure> {
    let executable = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Failure::unverified("cannot tell where this executable is").because(&error))?;
    let program = quoted(executable.as_os_str().as_bytes());
    // An executable that is gone must not keep `git diff` from working.
    let textconv = [b"f() { ", &program[..], b" git-textconv -- \"$1\" || cat -- \"$1\"; }; f"].concat();
    let mut merge = Vec::new();
    // In a driver's command, % begins a placeholder.
    for byte in program {
        merge.extend(std::iter::repeat_n(byte, if byte == b'%' { 2 } else { 1 }));
    }
    merge.extend_from_slice(b" git-merge -- %O %A %B %P %L %S %X %Y");
    Ok([
        ("diff.kubiya.textconv", OsString::from_vec(textconv)),
        // The name of a value depends on keys that come and go.
        ("diff.kubiya.cachetextconv", "false".into()),
        ("merge.kubiya.name", "values of files encrypted by SOPS".into()),
        ("merge.kubiya.driver", OsString::from_vec(merge)),
    ])
}

/// One word of any POSIX shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

fn block() -> String {
    let lines = PATTERNS.map(|pattern| format!("{pattern} diff=kubiya merge=kubiya\n"));
    format!("{BEGIN}\n{}{END}\n", lines.concat())
}

struct Work<'c> {
    dry_run: bool,
    console: &'c mut Console,
}

impl Work<'_> {
    fn say(&mut self, done: &str, would: &str, what: &str) {
        let did = if self.dry_run { would } else { done };
        // Nobody reads a closed stderr.
        let _ = self.console.err.line(&format!("{did} {what}"));
    }

    fn unchanged(&mut self, what: &str) {
        let _ = self.console.err.line(&format!("unchanged {what}"));
    }

    fn set(&mut self, key: &str, value: &OsStr) -> Result<(), Failure> {
        if clone::setting(key).as_deref() == Some(value) {
            self.unchanged(key);
            return Ok(());
        }
        if !self.dry_run {
            clone::set(key, value).map_err(|error| git(&error))?;
        }
        self.say("set", "would set", &format!("{key} = {}", value.display()));
        Ok(())
    }

    fn unset(&mut self, key: &str) -> Result<(), Failure> {
        if clone::setting(key).is_none() {
            return Ok(());
        }
        if !self.dry_run {
            clone::unset(key).map_err(|error| git(&error))?;
        }
        self.say("removed", "would remove", key);
        Ok(())
    }

    /// Puts our block into a file of attributes, in place of the one that is there; other lines stay. A file
    /// with nothing left in it goes.
    fn attributes(&mut self, path: &Path, block: &str) -> Result<(), Failure> {
        let shown = path.display().to_string();
        let before = match std::fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(file(path, &error)),
        };
        let after = with_block(before.as_deref().unwrap_or_default(), block);
        if before.as_deref().unwrap_or_default() == after {
            if !block.is_empty() {
                self.unchanged(&shown);
            }
            return Ok(());
        }
        if !self.dry_run {
            write(path, &after).map_err(|error| file(path, &error))?;
        }
        if block.is_empty() {
            self.say("removed", "would remove", &format!("the attributes in {shown}"));
        } else {
            self.say("wrote", "would write", &format!("{shown}: {}", PATTERNS.join(" ")));
        }
        Ok(())
    }

    /// Warns of attributes that those in info/attributes take the place of.
    fn warn_of_others(&mut self) -> Result<(), Failure> {
        let patterns = PATTERNS.map(|pattern| format!(":/{pattern}"));
        let patterns = patterns.each_ref().map(String::as_str);
        let found = clone::attributes(&patterns, &["diff", "merge"]).map_err(|error| git(&error))?;
        for (attribute, path) in found.iter().filter(|(attribute, _)| !attribute.ends_with(": kubiya")) {
            let path = edge::shown(path.as_os_str().as_bytes());
            self.console.warn(&format!(
                "{path} has the attribute `{}`, which counts no more in this clone",
                edge::shown(attribute.as_bytes())
            ));
        }
        Ok(())
    }

    fn remove_key(&mut self, git_folder: &Path) -> Result<(), Failure> {
        let path = MaskingKey::path(git_folder);
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        if !self.dry_run {
            std::fs::remove_file(&path).map_err(|error| file(&path, &error))?;
            // It stays where something else is in it.
            let _ = path.parent().map(std::fs::remove_dir);
        }
        self.say("removed", "would remove", &path.display().to_string());
        Ok(())
    }
}

/// The text with our block in the place of the old one, else at the end.
fn with_block(text: &[u8], block: &str) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
    let at = |mark: &str| lines.iter().position(|line| line.trim_ascii_end() == mark.as_bytes());
    match (at(BEGIN), at(END)) {
        (Some(begin), Some(end)) if begin < end => {
            [&lines[..begin].concat(), block.as_bytes(), &lines[end + 1..].concat()].concat()
        }
        _ if block.is_empty() => text.to_vec(),
        _ => {
            let line_end: &[u8] = if text.is_empty() || text.ends_with(b"\n") { b"" } else { b"\n" };
            [text, line_end, block.as_bytes()].concat()
        }
    }
}

/// Writes a file in one step, with the permissions that Git gives its own; takes it away where it is empty.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return std::fs::remove_file(path);
    }
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = target.clone().into_os_string();
    beside.push(".kubiya");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, bytes)?;
    if let Ok(metadata) = target.metadata() {
        std::fs::set_permissions(&beside, metadata.permissions())?;
    }
    std::fs::rename(&beside, &target)
}

fn git(error: &ProcessError) -> Failure {
    Failure::unverified("git refuses").because(error)
}

fn file(path: &Path, error: &io::Error) -> Failure {
    Failure::usage("cannot be written").at(path.display().to_string()).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_written_once_and_taken_out_without_a_trace() {
        for text in ["", "*.png binary\n", "a b\n# kubectl kubiya git-setup: other\n"] {
            let with = with_block(text.as_bytes(), &block());
            assert!(with.starts_with(text.as_bytes()) && with.len() > text.len());
            assert_eq!(with_block(&with, &block()), with);
            assert_eq!(with_block(&with, ""), text.as_bytes());
        }
        let more = [&with_block(b"a b", &block()), &b"c d\n"[..]].concat();
        assert_eq!(with_block(&more, ""), b"a b\nc d\n");
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted(b"/a b/it's $(x)"), br"'/a b/it'\''s $(x)'");
    }
}
