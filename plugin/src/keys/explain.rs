//! What the user reads when no key opens a file.

use super::ring::{Found, KeyRing, Looked, NOT_ASKED};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::keys::{KeyError, Locked};
use kubiya_policies::sops::recipient::Recipient;

impl KeyRing {
    /// The failure for a file that does not open: whom the file is for, where keys were looked for, what was
    /// there by its public keys, what went wrong at each, and what to do. Without a place: the caller knows
    /// the file.
    #[must_use]
    pub fn explain(&self, locked: &Locked) -> Failure {
        let looked = self.looked();
        let none = !looked.iter().any(|place| matches!(place.found, Found::Identities(_)));
        let message = format!("cannot be decrypted: {locked}");
        let mut failure = if none { Failure::usage(message) } else { Failure::unverified(message) };
        for cause in recipients(locked).into_iter().chain(problems(locked)).chain(places(&looked)) {
            failure = failure.because_of(cause);
        }
        failure.hint(self.advice(locked, &looked, none))
    }

    fn advice(&self, locked: &Locked, looked: &[Looked], none: bool) -> String {
        let for_age = locked.tried.iter().any(|tried| matches!(tried.recipient, Recipient::Age(_)));
        let damaged = locked.tried.iter().any(|tried| matches!(tried.error, KeyError::Damaged(_)));
        if let Some(place) = looked.iter().find(|place| place.found == Found::Problem(NOT_ASKED.to_owned())) {
            return format!("age -d {} | … --age-key-file -   # or run it in a terminal", place.name);
        }
        if damaged {
            return "git log -p FILE   # the metadata under `sops` has been changed by hand or in a merge"
                .to_owned();
        }
        if !locked.tried.is_empty() && !for_age {
            return "only age keys are used here; sops itself opens files for other kinds of keys".to_owned();
        }
        match (&self.own_file, none) {
            (Some(path), true) => {
                format!("put the key into {}, or name its file: --age-key-file FILE", path.display())
            }
            _ => "name the key of one of these recipients: --age-key-file FILE, or --from-cluster for Flux's"
                .to_owned(),
        }
    }
}

/// Whom the file is for, a group a line.
fn recipients(locked: &Locked) -> Vec<String> {
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    for tried in &locked.tried {
        let shown = match &tried.recipient {
            Recipient::Age(age) => short(age),
            other => format!("{} {other}", other.kind()),
        };
        match groups.last_mut() {
            Some((group, shown_before)) if *group == tried.group => shown_before.push(shown),
            _ => groups.push((tried.group, vec![shown])),
        }
    }
    let line = |(group, shown): (usize, Vec<String>)| {
        let shown = shown.join(", ");
        if locked.groups > 1 {
            format!("key group {group} is for {shown}")
        } else {
            format!("it is for {shown}")
        }
    };
    groups.into_iter().map(line).collect()
}

/// What went wrong beyond that a key does not fit.
fn problems(locked: &Locked) -> Vec<String> {
    let told = locked.tried.iter().map(|tried| &tried.error);
    let told = told.filter(|error| !matches!(error, KeyError::NoIdentity { .. } | KeyError::NotServed(_)));
    told.map(ToString::to_string).collect()
}

/// Where keys were looked for.
fn places(looked: &[Looked]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut empty = Vec::new();
    for place in looked {
        let name = &place.name;
        match &place.found {
            Found::Nothing => empty.push(name.as_str()),
            Found::Identities(public) => {
                let public = public.iter().map(|public| short(public)).collect::<Vec<_>>();
                lines.push(format!("{name} has {}", public.join(", ")));
            }
            Found::Protected(None) => lines.push(format!("{name} is protected with a passphrase")),
            Found::Protected(Some(public)) => {
                lines.push(format!(
                    "{name} is protected with a passphrase, and not asked for: it is {}",
                    short(public)
                ));
            }
            Found::Problem(problem) => lines.push(format!("{name}: {problem}")),
            Found::NotRun => lines.push(format!("{name} was not run: the file has no age recipient")),
        }
    }
    if !empty.is_empty() {
        lines.push(format!("nothing at {}", empty.join(", ")));
    }
    lines
}

/// Post-quantum and RSA keys go over many lines; their ends tell them apart.
fn short(public: &str) -> String {
    let count = public.chars().count();
    if count <= 100 {
        return public.to_owned();
    }
    let end = public.chars().skip(count - 24).collect::<String>();
    format!("{}…{end}", public.chars().take(32).collect::<String>())
}
