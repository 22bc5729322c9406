//! What a finding weighs here: by the profile of the repository, by what was there before, by the operator's
//! word.

use super::Baseline;
use crate::config::{Config, Exemption, Profile};
use crate::judge::{Found, Judge, Snapshot, Standing, Verdict, debt};
use jiff::civil::Date;
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Severity};
use kubiya_policies::sops::store::Format;
use std::cell::OnceCell;

/// Credentials that are no Kubernetes Secrets: test keys of a code repository, or the keys of a cluster.
const CARRIERS: [Code; 3] = [builtin::PGP_PRIVATE_KEY, builtin::PEM_PRIVATE_KEY, builtin::KUBECONFIG];

/// Secrets by structure.
const SECRETS: [Code; 7] = [
    builtin::PLAIN_SECRET,
    builtin::TEMPLATE_SECRET,
    builtin::GENERATOR_LITERAL,
    builtin::GENERATOR_SOURCE,
    builtin::SECRET_PATCH,
    builtin::EMBEDDED_SECRET,
    builtin::LAST_APPLIED,
];

/// Literals in files that are not applied as they are, and in plain parts of encrypted files.
const LITERALS: [Code; 3] = [builtin::CREDENTIAL, builtin::URL_CREDENTIALS, builtin::PLAIN_PART];

fn is_credential(code: Code) -> bool {
    CARRIERS.contains(&code) || SECRETS.contains(&code) || LITERALS.contains(&code)
}

/// Whether a finding is about a file that is nothing but credentials: a key, a kubeconfig, an env file.
fn is_carrier(code: Code, path: &[u8]) -> bool {
    CARRIERS.contains(&code) || (LITERALS.contains(&code) && Format::of_path(path) == Format::Dotenv)
}

/// Decides what findings weigh in one repository.
pub struct Ruling<'c> {
    config: &'c Config,
    repository: String,
    profile: Profile,
    /// The operator's date, asked for where an exemption ends: it takes a look at all time zones.
    today: OnceCell<Date>,
    baseline: Option<Baseline>,
    /// Whether the repository is one for Flux or SOPS: asked only where it matters, as it takes a look around.
    gitops: OnceCell<bool>,
    ask: Box<dyn Fn() -> bool + 'c>,
}

impl std::fmt::Debug for Ruling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ruling").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl<'c> Ruling<'c> {
    /// For a repository of this name. `gitops` says whether it is one for Flux or SOPS.
    pub fn new(config: &'c Config, repository: &str, gitops: impl Fn() -> bool + 'c) -> Self {
        Self {
            config,
            repository: repository.to_owned(),
            profile: config.profile(repository),
            today: OnceCell::new(),
            baseline: None,
            gitops: OnceCell::new(),
            ask: Box::new(gitops),
        }
    }

    /// Takes findings that were there before.
    #[must_use]
    pub fn with_baseline(mut self, baseline: Option<Baseline>) -> Self {
        self.baseline = baseline;
        self
    }

    /// Weighs the findings of a snapshot. `elders` are what was there before; `changed` gives the paths at hand.
    pub fn apply<S: Snapshot, E: Snapshot>(
        &self,
        judge: &Judge,
        snapshot: &S,
        elders: &[E],
        changed: impl FnOnce() -> Vec<Vec<u8>>,
        verdict: &mut Verdict,
    ) {
        self.weigh(verdict);
        debt::forgive(judge, snapshot, elders, changed, verdict);
    }

    /// Weighs findings alone, without looking for debts.
    pub fn weigh(&self, verdict: &mut Verdict) {
        verdict.found.retain_mut(|found| {
            let finding = &mut found.finding;
            let Some(severity) = self.severity(finding.code, &finding.place.path, finding.severity) else {
                return false;
            };
            finding.severity = severity;
            self.forgive(found);
            true
        });
        let limit = |path: &[u8]| self.exemption(path, None).is_some();
        verdict.unverified.retain_mut(|unverified| {
            if unverified.files.is_empty() {
                return !limit(&unverified.path);
            }
            unverified.files.retain(|file| !limit(file));
            !unverified.files.is_empty()
        });
    }

    fn severity(&self, code: Code, path: &[u8], severity: Severity) -> Option<Severity> {
        if let Some(level) = self.config.severities.get(&code) {
            return *level;
        }
        Some(match self.profile {
            Profile::Strict if is_credential(code) => Severity::Error,
            Profile::Code if SECRETS.contains(&code) => severity.min(Severity::Warning),
            Profile::Default
                if severity == Severity::Warning && is_carrier(code, path) && self.is_gitops() =>
            {
                Severity::Error
            }
            Profile::Default | Profile::Code | Profile::Strict => severity,
        })
    }

    fn is_gitops(&self) -> bool {
        *self.gitops.get_or_init(|| (self.ask)())
    }

    /// Takes the weight of what is exempt or listed.
    fn forgive(&self, found: &mut Found) {
        if found.finding.severity < Severity::Warning {
            return;
        }
        let path = &found.finding.place.path;
        if self.exemption(path, Some(found.finding.code)).is_some() {
            found.standing = Standing::Exempt;
        } else if self.baseline.as_ref().is_some_and(|baseline| baseline.lists(found)) {
            found.standing = Standing::Baseline;
        } else {
            return;
        }
        found.finding.severity = Severity::Note;
    }

    /// The exemption for a path, while it lasts; without a code, one for all codes.
    fn exemption(&self, path: &[u8], code: Option<Code>) -> Option<&Exemption> {
        self.config.exemptions.iter().find(|exemption| {
            let repositories = exemption.repositories.as_ref();
            exemption.expires >= *self.today.get_or_init(|| jiff::Zoned::now().date())
                && exemption.paths.matches(path)
                && (exemption.codes.is_empty() || code.is_some_and(|code| exemption.codes.contains(&code)))
                && repositories.is_none_or(|patterns| patterns.matches(self.repository.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(config: &str, gitops: bool, code: Code, severity: Severity) -> Option<(Severity, Standing)> {
        let text = format!("apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\n{config}");
        let config = Config::parse(text.as_bytes()).unwrap();
        let ruling = Ruling::new(&config, "/srv/demo/app", || gitops);
        let found = Found::about(b"docs/a.yaml", None, code, severity, String::new());
        let mut verdict = Verdict { found: vec![found], ..Verdict::default() };
        ruling.weigh(&mut verdict);
        verdict.found.first().map(|found| (found.finding.severity, found.standing))
    }

    #[test]
    fn profiles_weigh_credentials() {
        let (secret, pem, age) = (builtin::PLAIN_SECRET, builtin::PEM_PRIVATE_KEY, builtin::AGE_IDENTITY);
        let profile = |name: &str| format!("profiles: [{{repositories: ['**'], profile: {name}}}]\n");
        let severity =
            |config: &str, gitops, code, severity| weighed(config, gitops, code, severity).unwrap().0;
        let (error, warning) = (Severity::Error, Severity::Warning);
        assert_eq!(severity("", false, pem, warning), warning);
        assert_eq!(severity("", true, pem, warning), error);
        assert_eq!(severity("", false, secret, error), error);
        assert_eq!(severity(&profile("code"), true, secret, error), warning);
        assert_eq!(severity(&profile("code"), true, pem, warning), warning);
        assert_eq!(severity(&profile("code"), false, age, error), error);
        assert_eq!(severity(&profile("strict"), false, pem, warning), error);
    }

    #[test]
    fn the_operators_word_goes_before_profiles() {
        let pem = builtin::PEM_PRIVATE_KEY;
        assert_eq!(
            weighed("severities: {KBY013: note}\n", true, pem, Severity::Warning).unwrap().0,
            Severity::Note
        );
        assert_eq!(weighed("severities: {KBY013: 'off'}\n", true, pem, Severity::Warning), None);
    }

    #[test]
    fn exemptions_end() {
        let exemption =
            |day: &str| format!("exemptions: [{{paths: ['docs/**'], reason: r, expires: {day}}}]\n");
        let code = builtin::PLAIN_SECRET;
        let weighed = |config: &str| weighed(config, false, code, Severity::Error).unwrap();
        assert_eq!(weighed(&exemption("9999-01-01")), (Severity::Note, Standing::Exempt));
        assert_eq!(weighed(&exemption("2001-01-01")), (Severity::Error, Standing::New));
        let other = "exemptions: [{paths: ['docs/**'], codes: [KBY013], reason: r, expires: 9999-01-01}]\n";
        assert_eq!(weighed(other), (Severity::Error, Standing::New));
    }
}
