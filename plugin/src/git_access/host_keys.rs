//! A server whose keys are not known: what it shows is shown to somebody who can compare, and taken only on their word.

use super::ssh::{host_of, keygen, port_of};
use crate::keys::Ask;
use kubiya_hook::edge::Failure;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Asks whether the keys that the server of a URL shows are its own, and writes them to the file of known hosts.
///
/// # Errors
/// Nobody can be asked, or does not say yes; the server shows no keys; the file cannot be written.
pub(super) fn ask_for(path: &Path, url: &str, ask: &dyn Ask, unknown: Failure) -> Result<(), Failure> {
    let host = host_of(url);
    let keys = match scan(url) {
        Ok(keys) => keys,
        Err(why) => return Err(unknown.because_of(why)),
    };
    let shown = fingerprints(&keys)?;
    ask.say(&format!("The server {host} is not known. The keys that it shows:"));
    for line in &shown {
        ask.say(&format!("  {line}"));
    }
    let question = format!(
        "Are they its own, as its operator publishes them? They are kept in {}. Type yes:",
        path.display()
    );
    match ask.line(&question) {
        Some(answer) if answer.trim() == "yes" => keep(path, &keys),
        Some(_) => Err(unknown.because_of("the keys that it shows were not confirmed")),
        None => Err(unknown.because_of("nobody can be asked here whether these keys are its own")),
    }
}

/// The keys that a server shows to anybody, as lines of known hosts.
fn scan(url: &str) -> Result<String, String> {
    let parsed = url::Url::parse(url).map_err(|error| error.to_string())?;
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut command = Command::new("ssh-keyscan");
    command.args(["-T", "10", "-p", &port_of(&parsed).to_string(), "--", &host]);
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    let output = output.map_err(|error| format!("its keys cannot be looked at: ssh-keyscan: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let keys: String =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    if !keys.is_empty() {
        return Ok(keys);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.starts_with('#') && !line.trim().is_empty());
    Err(format!("the server showed no key: {}", last.unwrap_or("it did not answer")))
}

/// `host TYPE SHA256:…` each.
fn fingerprints(keys: &str) -> Result<Vec<String>, Failure> {
    let mut file = tempfile::NamedTempFile::new()
        .map_err(|error| Failure::unverified("cannot make a temporary file").because(&error))?;
    file.write_all(keys.as_bytes())
        .map_err(|error| Failure::unverified("cannot write a temporary file").because(&error))?;
    let output = keygen(&["-l", "-f"], file.path())?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `BITS SHA256:… HOST (TYPE)`.
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (print, host, kind) = (words.next()?, words.next()?, words.next()?);
        Some(format!("{host} {} {print}", kind.trim_matches(['(', ')'])))
    };
    let found: Vec<String> = text.lines().filter_map(line).collect();
    match found.is_empty() {
        true => Err(Failure::unverified("what the server shows are no keys that ssh-keygen knows")),
        false => Ok(found),
    }
}

/// Writes lines below those that are there.
fn keep(path: &Path, keys: &str) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::usage("--known-hosts-file: cannot write it").at(path.display().to_string()).because(error)
    };
    let before = std::fs::read(path).unwrap_or_default();
    let lead = if before.is_empty() || before.ends_with(b"\n") { "" } else { "\n" };
    let file = std::fs::File::options().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{lead}{keys}").as_bytes()))
        .map_err(|error| failed(&error))
}
