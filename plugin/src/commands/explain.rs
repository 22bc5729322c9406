//! `explain`: which rule is for a file, and what it does.

use super::formats::{FileArgs, OutputArgs};
use crate::files::Version;
use crate::secrets::{Configs, Governed, failure_of, file_failure, read, repository_top, shown};
use clap::Args;
use kubiya_hook::edge::{Console, Failure, Outcome};
use kubiya_policies::rules::{self as account, Account, Rule};
use serde::Serialize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Explain which rule is for a file, who can read it, and what it encrypts
///
/// The file need not be there yet.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    path: String,
    /// The `.sops.yaml` in force.
    config: Option<String>,
    /// The path as `path_regex` sees it.
    matched_as: Option<String>,
    /// Rules that were looked at, in order; the last one matches, unless none does.
    rules: Vec<Considered>,
    /// Who can read the file: for each key group, its recipients.
    recipients: Vec<Vec<String>>,
    shamir_threshold: Option<u32>,
    /// The selector in force, as `name: pattern`.
    selector: Option<String>,
    mac_only_encrypted: bool,
    /// Keys of the values that the rule encrypts; none where the file is not there.
    encrypted: Option<Vec<String>>,
    /// How an encrypted file differs from its rule.
    deviations: Vec<String>,
    notes: Vec<String>,
    #[serde(skip)]
    account: Option<Account>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Considered {
    /// From 1.
    rule: usize,
    /// Line of the `.sops.yaml`.
    line: u32,
    path_regex: Option<String>,
    matches: bool,
}

pub(crate) fn run(args: &ExplainArgs, console: &mut Console) -> Outcome {
    let path = std::path::absolute(&args.path)
        .map_err(|error| Failure::usage("not a path").at(shown(&args.path)).because(&error))?;
    let path = path.canonicalize().unwrap_or(path);
    let top = path.parent().and_then(repository_top);
    let configs = Configs::new(args.files.config.clone(), top);
    let governed = configs.governing(&path)?;
    let mut explanation = Explanation::of(&path, governed.as_deref());
    explanation.notes.extend(configs.disagreement(governed.as_deref()));
    let rule = governed.as_deref().and_then(|governed| {
        governed.rules.for_path(path.as_os_str().as_bytes()).map(|(_, rule)| rule.clone())
    });
    if let (Some(rule), true) = (&rule, path.is_file()) {
        explanation.content(&path, args, governed.as_deref(), rule)?;
    }
    if !args.output.print(console, &explanation)? {
        for line in explanation.lines() {
            let _ = console.out.line(&line);
        }
    }
    Ok(0)
}

impl Explanation {
    fn of(path: &Path, governed: Option<&Governed>) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let account = governed.map(|governed| governed.rules.account_for(bytes));
        let considered = account.iter().flat_map(|account| &account.rules);
        Self {
            path: shown(path),
            config: governed.map(|governed| shown(&governed.config)),
            matched_as: account.as_ref().map(|account| account.matched_as.clone()),
            rules: considered.map(Considered::from).collect(),
            recipients: account.as_ref().map(|account| account.recipients.clone()).unwrap_or_default(),
            shamir_threshold: account.as_ref().and_then(|account| account.shamir_threshold),
            selector: account.as_ref().and_then(|account| account.selector.clone()),
            mac_only_encrypted: account.as_ref().is_some_and(|account| account.mac_only_encrypted),
            encrypted: None,
            deviations: Vec::new(),
            notes: governed.map(notes).unwrap_or_default(),
            account,
        }
    }

    /// What the file that is there holds.
    fn content(
        &mut self,
        path: &Path,
        args: &ExplainArgs,
        governed: Option<&Governed>,
        rule: &Rule,
    ) -> Result<(), Failure> {
        let version = Version::read(path, None).map_err(|error| file_failure(path, &error))?;
        let secret = read(path, version.bytes(), args.files.format(), governed)?;
        let recipe = rule.recipe();
        self.encrypted = Some(secret.covered(&recipe));
        if secret.metadata().is_some() {
            self.deviations = secret.deviations(&recipe).iter().map(ToString::to_string).collect();
        } else {
            self.notes.push("the file is not encrypted".to_owned());
        }
        if let Some(problem) = secret.hidden_header(&recipe) {
            return Err(failure_of(path, &[problem]));
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{:>11}  {}", "file", self.path)];
        let mut line = |label: &str, text: &str| lines.push(format!("{label:>11}  {text}"));
        match &self.config {
            None => line("rules", "no .sops.yaml at or above it"),
            Some(config) => line("rules", config),
        }
        match &self.account {
            Some(account) => account.lines().iter().for_each(|(label, text)| line(label, text)),
            None => line("result", "no creation rule is for it"),
        }
        if let Some(keys) = &self.encrypted {
            let text = if keys.is_empty() { "nothing in the file".to_owned() } else { keys.join(", ") };
            line("values", &text);
        }
        for text in &self.deviations {
            line("differs", text);
        }
        for text in &self.notes {
            line("note", text);
        }
        lines
    }
}

impl From<&account::Considered> for Considered {
    fn from(rule: &account::Considered) -> Self {
        let path_regex = rule.path_regex.clone();
        Self { rule: rule.rule, line: rule.line, path_regex, matches: rule.matches }
    }
}

fn notes(governed: &Governed) -> Vec<String> {
    let config = shown(&governed.config);
    let mut notes = governed.warnings();
    if governed.rules.destination_rules() > 0 {
        notes.push(format!("{config}: destination_rules are for `sops publish` and mean nothing here"));
    }
    notes
}
