//! Completion: one answer for kubectl, flux and shells.
//!
//! kubectl runs `kubectl_complete-kubiya WORDS…`, flux runs `flux-kubiya __complete WORDS…`; both read
//! Cobra's protocol: a candidate a line, a tab and its description, then `:DIRECTIVE` (0 lets the shell
//! complete file names, 4 does not).

use crate::cluster::KubeconfigSource;
use crate::invocation::Invocation;
use clap::{Arg, Args, ValueHint};
use clap_complete::engine::CompletionCandidate;
use clap_complete::{Shell, generate};
use kubiya_hook::edge::{Console, Outcome};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Print a completion script for the plain executable `kubectl-kubiya`
///
/// `kubectl kubiya <TAB>` needs no script: `plugin install` puts a link beside the executable that
/// kubectl asks.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// Shell to complete in
    shell: Shell,
}

/// Candidates in Cobra's protocol; the last word is the one to complete
#[derive(Args, Debug)]
pub(crate) struct CompleteArgs {
    /// The words after the plugin's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

pub(crate) fn print_script(
    args: &CompletionArgs,
    _invocation: &Invocation,
    console: &mut Console,
) -> Outcome {
    let mut script = Vec::new();
    let mut command = crate::cli::command(Invocation::Kubectl).bin_name("kubectl-kubiya");
    generate(args.shell, &mut command, "kubectl-kubiya", &mut script);
    let _ = console.out.bytes(&script);
    Ok(0)
}

/// Answers with candidates. Silent when something is wrong: a completion must not disturb the prompt.
pub(crate) fn candidates(words: &[OsString], invocation: &Invocation, console: &mut Console) -> Outcome {
    let last = words.last().cloned().unwrap_or_default();
    let previous = words.len().checked_sub(2).and_then(|at| words[at].to_str());
    let found = match contexts_for(previous, &last) {
        Some(contexts) => contexts,
        None => by_definition(words, *invocation),
    };
    for (value, help) in &found {
        let line = help.as_ref().map_or_else(|| value.clone(), |help| format!("{value}\t{help}"));
        let _ = console.out.line(&line);
    }
    let wants_path = wants_path(words, previous, &last.to_string_lossy(), *invocation);
    let _ = console.out.line(if wants_path { ":0" } else { ":4" });
    Ok(0)
}

/// Contexts of the kubeconfig where one is wanted: `--context NAME` and `--worker NAME=CONTEXT`.
fn contexts_for(previous: Option<&str>, last: &OsStr) -> Option<Vec<(String, Option<String>)>> {
    let last = last.to_str()?;
    let (prefix, typed) = match previous? {
        "--context" => ("", last),
        "--worker" => last.split_once('=').map(|(name, typed)| (&last[..=name.len()], typed))?,
        _ => return None,
    };
    let kubeconfig = KubeconfigSource::Ambient.load().ok()?;
    let names = kubeconfig.contexts.into_iter().map(|c| c.name).filter(|name| name.starts_with(typed));
    Some(names.map(|name| (format!("{prefix}{name}"), None)).collect())
}

/// Whether a path is to be typed here: the value of a flag that takes one, or a file that a command works on.
fn wants_path(words: &[OsString], previous: Option<&str>, last: &str, invocation: Invocation) -> bool {
    let root = crate::cli::command(invocation);
    let command = words
        .iter()
        .filter_map(|word| word.to_str())
        .find_map(|word| root.find_subcommand(word))
        .unwrap_or(&root);
    let is_path = |argument: &Arg| {
        matches!(argument.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
    };
    let flag = previous.and_then(|previous| previous.strip_prefix("--")).and_then(|name| {
        command.get_arguments().chain(root.get_arguments()).find(|argument| argument.get_long() == Some(name))
    });
    match flag.filter(|flag| flag.get_action().takes_values()) {
        // What may also be `-` or an address is text to clap; its name tells.
        Some(flag) => {
            let names = flag.get_value_names().unwrap_or_default();
            is_path(flag) || names.iter().any(|name| name.as_str().starts_with("FILE"))
        }
        None => !last.starts_with('-') && command.get_positionals().any(is_path),
    }
}

/// What the command line's own definition offers at this place.
fn by_definition(words: &[OsString], invocation: Invocation) -> Vec<(String, Option<String>)> {
    let mut command = crate::cli::command(invocation);
    let mut all = vec![OsString::from("kubectl-kubiya")];
    all.extend(words.iter().cloned());
    if words.is_empty() {
        all.push(OsString::new());
    }
    let index = all.len() - 1;
    let here: Option<PathBuf> = None;
    let found =
        clap_complete::engine::complete(&mut command, all, index, here.as_deref()).unwrap_or_default();
    let shown = |candidate: &CompletionCandidate| {
        let value = candidate.get_value().to_str()?.to_owned();
        let help =
            candidate.get_help().map(|help| help.to_string().lines().next().unwrap_or_default().to_owned());
        Some((value, help))
    };
    found.iter().filter(|candidate| !candidate.is_hide_set()).filter_map(shown).collect()
}
