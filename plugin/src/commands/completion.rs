//! Completion: one answer for kubectl, flux and shells.
//!
//! kubectl runs `kubectl_complete-kubiya WORDS…`, flux runs `flux-kubiya __complete WORDS…`; both read
//! Cobra's protocol: a candidate a line, a tab and its description, then `:DIRECTIVE` (0 lets the shell
//! complete file names, 4 does not).

use crate::cluster::KubeconfigSource;
use crate::invocation::Invocation;
use clap::Args;
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
    let wants_file = previous
        .is_some_and(|p| p.ends_with("-file") || p.ends_with("kubeconfig") || p == "--flux-manifests");
    let _ = console.out.line(if wants_file { ":0" } else { ":4" });
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
