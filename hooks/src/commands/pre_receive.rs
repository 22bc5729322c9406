//! `pre-receive`: the hook of a server. Refuses a push before a ref moves.

use crate::audit::{self, Count, Decision, Line};
use crate::config::{self, Config, Enforcement};
use crate::deadline::Deadline;
use crate::edge::{Console, Kind, Outcome};
use crate::git::{Known, RefUpdate, Repository};
use crate::judge::Judge;
use crate::push::{Carrier, PushError, PushVerdict, Terms, Trusted, judge_push};
use crate::report::push::{self, Manner};
use crate::trust::{Pusher, repository_name};
use clap::Args;
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

/// Judge a push, as the hook of a server
///
/// Git starts it in the repository and gives it one line for each ref on standard input. Everything that
/// the push brings is judged; deletions pass. What cannot be judged is refused. What the operator decided is
/// in a file that `git config kubiya.config` names, or the variable KUBIYA_HOOK_CONFIG.
#[derive(Args, Debug)]
pub(crate) struct PreReceiveArgs {}

/// The operator's word on faults, as soon as it is known: a panic and a deadline have to know it, too.
static WORD: OnceLock<(Enforcement, Option<String>)> = OnceLock::new();

/// GitHub Enterprise Server ends all hooks of a push after five seconds, and says nothing of why.
const GITHUB_DEADLINE: Duration = Duration::from_secs(4);

pub(crate) fn run(_args: &PreReceiveArgs, console: &mut Console) -> Outcome {
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
        return Ok(refuse(console, Kind::Unverified, &format!("cannot read standard input: {error}")));
    }
    let updates = match RefUpdate::parse_all(&input) {
        // Git starts no hook for a push of nothing: somebody before us has taken the lines.
        Ok(updates) if updates.is_empty() => {
            let reason =
                "standard input is empty; a script that calls this hook must hand on what Git gives it";
            return Ok(refuse(console, Kind::Usage, reason));
        }
        Ok(updates) => updates,
        Err(error) => return Ok(refuse(console, Kind::Usage, &error.to_string())),
    };
    Ok(judge(console, &updates))
}

/// Judges ref updates of the repository that Git names, and gives the exit code.
pub(crate) fn judge(console: &mut Console, updates: &[RefUpdate]) -> u8 {
    if updates.iter().all(|update| update.new.is_none()) {
        return 0;
    }
    // Git is asked while the repository is opened.
    let asked = std::thread::spawn(config::load);
    let repository = Repository::open_from_env();
    let config = match asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(config) => config,
        Err(error) => {
            let _ = WORD.set((Enforcement::Refuse, error.contact().map(str::to_owned)));
            return refuse(console, Kind::Usage, &error.to_string());
        }
    };
    let _ = WORD.set((config.enforcement, config.contact.clone()));
    let repository = match repository {
        Ok(repository) => repository,
        Err(error) => return refuse(console, Kind::Unverified, &error.to_string()),
    };
    let terms = Terms {
        pusher: Pusher::from_env(&config.identity),
        repository: repository_name(&config, repository.git_dir()),
        config,
        known: Known::Refs,
        trusted: Trusted::Configured,
    };
    let _deadline = match deadline(&terms, updates) {
        Ok(deadline) => deadline,
        Err(error) => return refuse(console, Kind::Unverified, &error.to_string()),
    };
    let judge = Judge::new().with_limit(terms.config.limits.file_size);
    match judge_push(&repository, &judge, updates, &terms) {
        Ok(verdict) => conclude(console, &verdict, updates, &terms),
        Err(error) => {
            if let Err(error) = record_fault(&terms, updates) {
                return refuse_unlogged(console, &error, &terms.config);
            }
            let wrong = matches!(error, PushError::NoTrusted(_));
            refuse(console, if wrong { Kind::Usage } else { Kind::Unverified }, &error.to_string())
        }
    }
}

fn deadline(terms: &Terms, updates: &[RefUpdate]) -> std::io::Result<Option<Deadline>> {
    let github = || std::env::var_os("GITHUB_REPO_NAME").map(|_| GITHUB_DEADLINE);
    let Some(after) = terms.config.limits.timeout.or_else(github) else { return Ok(None) };
    let reason = format!(
        "it took longer than {} to judge",
        jiff::SignedDuration::try_from(after).map(|after| format!("{after:#}")).unwrap_or_default()
    );
    // The thread that judges keeps its own.
    let terms = Terms {
        config: terms.config.clone(),
        pusher: terms.pusher.clone(),
        repository: terms.repository.clone(),
        ..Terms::default()
    };
    let updates = updates.to_vec();
    let late = move || {
        let console = &mut Console::of_process();
        match record_fault(&terms, &updates) {
            Ok(()) => refuse(console, Kind::Timeout, &reason),
            Err(error) => refuse_unlogged(console, &error, &terms.config),
        }
    };
    Deadline::start(after, late).map(Some)
}

/// Writes down that a push as a whole could not be judged.
fn record_fault(terms: &Terms, updates: &[RefUpdate]) -> Result<(), audit::LogError> {
    let decision = Decision::of_refusal(terms.config.enforcement, false);
    let line = Line { code: "fault".to_owned(), decision, ..line(terms, updates, None) };
    record(&terms.config, &[line], &[Count::Push(decision)])
}

/// Refuses what cannot be written down, also where findings refuse nothing: nobody would know of it.
fn refuse_unlogged(console: &mut Console, error: &audit::LogError, config: &Config) -> u8 {
    say(console, &push::cannot_verify(&error.to_string(), config.contact.as_deref()));
    Kind::Unverified.exit_code()
}

/// Says what was found, writes it down, and gives the exit code.
fn conclude(console: &mut Console, verdict: &PushVerdict, updates: &[RefUpdate], terms: &Terms) -> u8 {
    let enforcement = terms.config.enforcement;
    let kind = verdict.refusal();
    let bypassed = terms.pusher.bypasses(terms.config.bypass.as_ref());
    let outcome = match kind {
        Some(_) => Decision::of_refusal(enforcement, bypassed),
        None => Decision::Passed,
    };
    let refused = outcome == Decision::Refused;
    let (lines, counts) = decisions(verdict, updates, terms, bypassed, outcome);
    if let Err(error) = record(&terms.config, &lines, &counts) {
        return refuse_unlogged(console, &error, &terms.config);
    }
    if enforcement != Enforcement::Shadow {
        let option = terms.config.bypass.as_ref().map(|bypass| bypass.option.as_str());
        let manner = Manner {
            refused,
            contact: terms.config.contact.as_deref(),
            bypass: option.filter(|_| outcome == Decision::Bypassed),
        };
        say(console, &push::lines(verdict, updates, &manner));
    }
    kind.filter(|_| refused).map_or(0, Kind::exit_code)
}

fn line<'l>(terms: &'l Terms, updates: &'l [RefUpdate], update: Option<usize>) -> Line<'l> {
    // A push of one ref is about that one.
    let update = update.or((updates.len() == 1).then_some(0)).and_then(|number| updates.get(number));
    Line {
        time: jiff::Timestamp::now().to_string(),
        who: terms.pusher.name.as_deref(),
        repository: &terms.repository,
        reference: update.map(|update| update.name.as_slice()).unwrap_or_default(),
        oid: update.and_then(|update| update.new).map(|id| id.to_string()),
        code: String::new(),
        path: b"",
        decision: Decision::Passed,
    }
}

/// What is to be written down.
fn decisions<'l>(
    verdict: &'l PushVerdict,
    updates: &'l [RefUpdate],
    terms: &'l Terms,
    bypassed: bool,
    outcome: Decision,
) -> (Vec<Line<'l>>, Vec<Count>) {
    let enforcement = terms.config.enforcement;
    let mut lines = Vec::new();
    let mut counts = vec![Count::Push(outcome)];
    let asked = |bypass: &&config::Bypass| terms.pusher.options.contains(&bypass.option);
    if terms.config.bypass.as_ref().filter(asked).is_some() {
        let decision = if bypassed { Decision::Bypassed } else { Decision::Denied };
        lines.push(Line { code: "bypass".to_owned(), decision, ..line(terms, updates, None) });
    }
    for pushed in &verdict.pushed {
        let Some(decision) = Decision::of(&pushed.found, enforcement, bypassed) else { continue };
        let finding = &pushed.found.finding;
        let id = match pushed.carrier {
            Carrier::Commit { id, .. } | Carrier::Tagged(id) | Carrier::Loose(id) => id,
        };
        counts.push(Count::Finding(finding.code.to_string(), decision));
        lines.push(Line {
            oid: Some(id.to_string()),
            code: finding.code.to_string(),
            path: &finding.place.path,
            decision,
            ..line(terms, updates, pushed.update)
        });
    }
    for unverified in &verdict.unverified {
        let decision = Decision::of_refusal(enforcement, bypassed);
        lines.push(Line {
            code: "unverified".to_owned(),
            path: &unverified.path,
            decision,
            ..line(terms, updates, None)
        });
    }
    (lines, counts)
}

/// Writes decisions down.
fn record(config: &Config, lines: &[Line<'_>], counts: &[Count]) -> Result<(), audit::LogError> {
    if let Some(metrics) = &config.metrics {
        // A counter more or less decides nothing.
        let _ = audit::count(metrics, counts);
    }
    match &config.audit {
        Some(log) => audit::write(log, lines),
        None => Ok(()),
    }
}

/// Says why the push as a whole is refused, and gives the exit code. Where the operator only wants to be told,
/// the push passes.
pub(crate) fn refuse(console: &mut Console, kind: Kind, reason: &str) -> u8 {
    let none = (Enforcement::Refuse, None);
    let (enforcement, contact) = WORD.get().unwrap_or(&none);
    match enforcement {
        Enforcement::Refuse => {
            say(console, &push::cannot_verify(reason, contact.as_deref()));
            kind.exit_code()
        }
        Enforcement::Warn => {
            say(console, &push::not_verified(reason));
            0
        }
        Enforcement::Shadow => 0,
    }
}

/// Writes lines to the pusher. GitLab's pages show only what has its prefix.
fn say(console: &mut Console, lines: &[String]) {
    let prefix = if std::env::var_os("GL_ID").is_some() { "GL-HOOK-ERR: " } else { "" };
    for line in lines {
        // A pusher who is gone changes nothing about the verdict.
        let _ = console.err.line(format!("{prefix}{line}").trim_end());
    }
}
