//! Everything that must be so before the first change, looked at together: what is wrong is told at once.

use super::at_commit::{For, Standing};
use super::checkout::git_failure;
use super::client::is_of;
use super::course::Course;
use super::followed::Followed;
use super::intent::{ROTATION, short};
use super::owners::owners_of;
use super::renew::{Renewal, check};
use super::scope::{Scope, configs_below, rule_change};
use super::{DataKeys, Held, Site};
use crate::flux::{ReadyState, SourceName};
use crate::git_access::signer_keys;
use crate::secrets::{Configs, shown};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::{Unsigned, signer};
use kubiya_policies::rules::{FILE_NAME, RecipientChange};
use kubiya_policies::sops::age::AgeKeys;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files that are named for naming the key that goes; more say nothing new.
const MOST_NAMING: usize = 3;

/// What was found, for the talk.
#[derive(Debug, Default)]
pub struct Found {
    /// Each Secret with its cluster and how many Kustomizations read it.
    pub secrets: Vec<(String, usize)>,
    /// Each branch and what is in it.
    pub branches: Vec<(String, Standing)>,
    /// Other recipients of the files of the key that goes, which stay, with how many of them each reads.
    pub others: BTreeMap<String, usize>,
    /// What should be known and stops nothing.
    pub notes: Vec<String>,
}

impl Course<'_> {
    /// Looks at everything. `fresh` is a rotation that has not begun.
    ///
    /// # Errors
    /// All problems at once; nothing was changed.
    pub fn preflight(&mut self, fresh: bool) -> Result<Found, Failure> {
        let mut found = Found::default();
        let mut problems = Vec::new();
        if fresh {
            self.settle()?;
        }
        for site in &self.sites {
            self.look_at_site(site, fresh, &mut found, &mut problems);
        }
        self.look_at_sources(&mut found, &mut problems);
        let mut standings = Vec::new();
        for index in 0..self.checkouts.len() {
            match self.standing(index) {
                Ok(standing) => standings.push(standing),
                Err(problem) => problems.push(problem),
            }
        }
        if fresh {
            problems.extend(self.look_at_work_tree().err());
            self.look_at_files(&standings, &mut found, &mut problems);
            self.look_at_commits(&mut problems);
            self.look_at_pushes(&mut problems);
            self.look_at_owners(&standings, &mut found);
            found.notes.extend(naming(&standings));
        }
        self.look_at_the_end(&mut problems);
        let branches = self.checkouts.iter().map(|checkout| checkout.branch.to_string());
        found.branches = branches.zip(standings).collect();
        if problems.is_empty() {
            return Ok(found);
        }
        let count = problems.len();
        Err(Failure::all(format!("{count} problems; nothing was changed"), problems))
    }

    fn look_at_site(&self, site: &Site, fresh: bool, found: &mut Found, problems: &mut Vec<Failure>) {
        let context = &site.connection.context;
        if site.secrets.is_empty() {
            problems.push(
                Failure::unverified(format!("no Secret that Flux decrypts with holds the key of {}", self.intent.old))
                    .at(context.clone())
                    .hint("--old-recipient age1…   # the public key that goes")
                    .hint(format!("kubectl --context {context} get kustomizations -A   # who decrypts, and with which Secret")),
            );
        }
        for secret in &site.secrets {
            let readers = site.readers_of(secret).count();
            found.secrets.push((site.place(secret), readers));
            match site.entries(secret) {
                Ok(entries) if fresh && entries.held(&self.intent.old) != Held::Active => {
                    problems.push(
                        Failure::unverified("it does not hold the key that goes").at(site.place(secret)),
                    );
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
            if fresh && secret.immutable {
                let (context, namespace, name) = (&site.connection.context, &secret.namespace, &secret.name);
                problems.push(Failure::unverified("it is immutable, so no key can be added to it").at(site.place(secret)).hint(
                    format!("kubectl --context {context} -n {namespace} get secret {name} -o yaml | sed '/^immutable:/d' | kubectl --context {context} replace --force -f -"),
                ));
            }
            if fresh && secret.annotations.contains_key(ROTATION) {
                problems.extend(super::course::refuse_other(secret, &self.intent, &site.place(secret)).err());
            }
        }
        if !fresh {
            return;
        }
        for reader in site.readers.iter().filter(|reader| !self.way.skip_wait.contains(&reader.key())) {
            let place = format!("Kustomization {} of {context}", reader.key());
            let problem = |what: String| {
                Failure::unverified(what).at(place.clone()).hint(format!(
                    "--skip-wait {}   # goes on without it; it may need the old key longer",
                    reader.key()
                ))
            };
            if reader.suspended {
                problems.push(problem(
                    "it is suspended, so that it cannot be seen to read the new key".to_owned(),
                ));
                continue;
            }
            match reader.state(|_| true) {
                ReadyState::Ready { .. } => {}
                ReadyState::Waiting { message } | ReadyState::Failed { message } => {
                    problems.push(problem("it is not ready".to_owned()).because_of(message));
                }
            }
        }
    }

    fn look_at_sources(&self, found: &mut Found, problems: &mut Vec<Failure>) {
        let mut ours = 0;
        for site in &self.sites {
            for name in site.source_names() {
                let followed = self.followed(site, name);
                if followed == Followed::Ours {
                    ours += 1;
                    self.look_at_our_source(site, name, found, problems);
                } else if !self.way.sources_done.contains(&name.to_string()) {
                    look_at_other_source(site, name, &followed, found, problems);
                }
            }
        }
        if ours == 0 && self.sites.iter().any(|site| !site.readers.is_empty()) {
            problems.push(self.no_source_of_ours());
        }
    }

    fn look_at_our_source(
        &self,
        site: &Site,
        name: &SourceName,
        found: &mut Found,
        problems: &mut Vec<Failure>,
    ) {
        let Some(source) = site.sources.get(name) else { return };
        let problem =
            |what: &str| Failure::unverified(what).at(format!("{name} of {}", site.connection.context));
        if source.suspended {
            problems.push(
                problem("it is suspended, so that new commits do not reach Flux")
                    .hint(format!("flux resume source git {} -n {}", name.name, name.namespace)),
            );
        } else if source.verified && self.tree.setting("commit.gpgsign").as_deref() != Some("true") {
            problems.push(
                problem("it takes signed commits only, and this clone does not sign")
                    .hint("git config commit.gpgsign true   # with a key that Flux knows"),
            );
        } else if let Some(secret) = &source.signers {
            match self.signs_as_wanted(site, &name.namespace, secret) {
                Ok(()) => {}
                Err(error @ Unsigned::Unknown(_)) => found.notes.push(format!(
                    "{name} takes signed commits only; whether it takes those of this clone: {error}"
                )),
                Err(error) => problems.push(
                    problem("it takes signed commits only, and would not take those of this clone")
                        .because(&error)
                        .hint(format!(
                            "kubectl -n {} get secret {secret}   # has the public keys that count",
                            name.namespace
                        ))
                        .hint("git config user.signingKey KEY   # one of those"),
                ),
            }
        }
        if source.submodules {
            let note = "takes submodules along; their files are rotated in their own repositories";
            found.notes.push(format!("{name} {note}"));
        }
    }

    /// Whether the keys of a Secret are those by which this clone signs: proven by a commit that is not kept.
    fn signs_as_wanted(&self, site: &Site, namespace: &str, secret: &str) -> Result<(), Unsigned> {
        let unknown = |error: &dyn std::fmt::Display| Unsigned::Unknown(error.to_string());
        let read = self.runtime.block_on(site.connection.secret(namespace, secret));
        let data = match read.map_err(|error| unknown(&error))? {
            Some(secret) => secret.data,
            None => return Err(unknown(&format!("the Secret {namespace}/{secret} is not there"))),
        };
        let keys = signer_keys(data.iter().map(|(name, bytes)| (name, bytes.as_slice())));
        let commit = self.tree.signed_trial().map_err(|error| unknown(&error))?;
        signer(&commit, &keys).map(|_| ())
    }

    fn no_source_of_ours(&self) -> Failure {
        let first = self.checkouts.first();
        let branch = first.map(|checkout| checkout.branch.to_string()).unwrap_or_default();
        let url = first.and_then(|checkout| self.tree.url(&checkout.branch.remote).ok());
        let what = format!("no GitRepository that Flux decrypts from follows {branch}");
        let problem = Failure::unverified(what)
            .because_of(format!("the clone's remote is {}", url.unwrap_or_default()));
        let sources = self.sites.iter().flat_map(|site| &site.sources);
        sources.fold(problem, |problem, (name, source)| {
            let claim = format!("--source {}/{}", name.namespace, name.name);
            problem
                .because_of(format!("{name} follows {} of {}", source.follows, source.url))
                .hint(format!("{claim}   # if that is the same repository"))
        })
    }

    /// Every file opens with a key at hand and could be renewed.
    fn look_at_files(&self, standings: &[Standing], found: &mut Found, problems: &mut Vec<Failure>) {
        let count = standings
            .iter()
            .map(|standing| standing.count(For::Old) + standing.count(For::Both))
            .sum::<usize>();
        if count == 0 && standings.len() == self.checkouts.len() {
            problems.push(
                Failure::usage(format!("no file and no rule of the repository is for {}", self.intent.old))
                    .hint("--old-recipient age1…   # the public key that goes"),
            );
            return;
        }
        if standings.len() == self.checkouts.len() {
            problems.extend(self.of_others(standings));
        }
        let Some(own) = self.checkouts.iter().find(|checkout| checkout.own) else { return };
        let top = own.tree.top();
        let configs = Configs::new(None, Some(top.to_owned()));
        let scope = match Scope::of(top, &configs) {
            Ok(scope) => scope,
            Err(problem) => return problems.push(problem),
        };
        let renewal = Renewal {
            change: Some(RecipientChange::Add(&self.intent.old, &self.intent.new)),
            data_keys: DataKeys::New,
            foreign: self.foreign,
            keys: self.keys,
            proof: None::<&AgeKeys>,
        };
        let configs_here = configs_below(top);
        let changeable = configs_here.iter().filter_map(|path| Some((path, renewal.change?)));
        problems.extend(changeable.filter_map(|(path, change)| rule_change(path, change).err()));
        let of_old = scope.files.iter().filter(|(_, recipients)| recipients.contains(&self.intent.old));
        for recipient in of_old.flat_map(|(_, recipients)| recipients) {
            if *recipient != self.intent.old && *recipient != self.intent.new {
                *found.others.entry(recipient.clone()).or_default() += 1;
            }
        }
        let files = scope.readable_by(&self.intent.old).map(Path::to_owned).collect::<Vec<PathBuf>>();
        let failed =
            files.par_iter().filter_map(|path| check(path, &renewal, &configs).err()).collect::<Vec<_>>();
        problems.extend(failed);
        found.notes.extend(self.uncommitted(&scope).iter().map(|path| {
            format!("{}: only the old key reads it, and no commit has it: it is left as it is", shown(path))
        }));
        if let Some(standing) = standings.first() {
            let here = |path: &Path| top.join(path).symlink_metadata().is_ok();
            let away = standing.paths(For::Old).filter(|path| !here(path));
            problems.extend(away.map(|path| {
                Failure::unverified("it is on the branch and not in the work tree")
                    .at(shown(path))
                    .hint("git pull   # or, in a sparse work tree: git sparse-checkout disable")
            }));
        }
    }

    /// Encrypted files of the work tree that the last commit does not have.
    pub(super) fn uncommitted(&self, scope: &Scope) -> Vec<PathBuf> {
        let (top, committed) = (self.tree.top(), self.tree.committed().unwrap_or_default());
        let known = |path: &Path| path.strip_prefix(top).is_ok_and(|path| committed.contains(path));
        scope.readable_by(&self.intent.old).filter(|path| !known(path)).map(Path::to_owned).collect()
    }

    /// What the key of a client reads on the branches and is not the client's. Rules are for many; whose files they
    /// are about was looked at when the key was found.
    fn of_others(&self, standings: &[Standing]) -> Vec<Failure> {
        let Some(client) = &self.client else { return Vec::new() };
        let mut problems = Vec::new();
        for (checkout, standing) in self.checkouts.iter().zip(standings) {
            let files = standing.paths(For::Old).chain(standing.paths(For::Both));
            let others = files.filter(|path| !path.ends_with(FILE_NAME) && !is_of(client, path));
            problems.extend(others.map(|path| {
                Failure::unverified(format!(
                    "it is for the key of {client}, and not in a folder of that name"
                ))
                .at(format!("{}: {}", checkout.branch, shown(path)))
                .hint(format!("--old-recipient {}   # a new key for all of its files", self.intent.old))
            }));
        }
        problems
    }

    /// Whether this clone can commit at all.
    fn look_at_commits(&self, problems: &mut Vec<Failure>) {
        let place = shown(self.tree.top());
        if let Err(error) = self.tree.knows_its_user() {
            problems.push(
                Failure::unverified("this clone cannot commit")
                    .at(place.clone())
                    .because(&error)
                    .hint("git config user.name NAME")
                    .hint("git config user.email ADDRESS"),
            );
        }
        // By pull requests, commits are made in a work tree of their own.
        if let Some(command) = self.tree.unfinished().filter(|_| !self.way.pull_request) {
            problems.push(
                Failure::usage(format!("a {command} is not finished, so that no other commit can be made"))
                    .at(place)
                    .hint(format!("git {command} --continue   # or --abort")),
            );
        }
    }

    fn look_at_pushes(&self, problems: &mut Vec<Failure>) {
        if self.way.no_push || self.way.pull_request {
            return;
        }
        for checkout in &self.checkouts {
            // A tip of our own is always taken; what is asked is whether anything is.
            if let Err(error) = self.tree.may_push(&checkout.branch)
                && checkout.own
                && !error.to_string().contains("[rejected]")
            {
                problems.push(
                    git_failure("cannot push to", &checkout.branch, &error)
                        .hint("--pull-request   # by a branch that others merge"),
                );
            }
        }
    }

    /// Whose review the commits need, if the server asks for it: that is known only when it refuses a push.
    fn look_at_owners(&self, standings: &[Standing], found: &mut Found) {
        if self.way.pull_request {
            return;
        }
        let paths = standings.iter().flat_map(|standing| standing.files.keys()).map(PathBuf::as_path);
        let paths = paths.collect::<BTreeSet<_>>();
        let Some((place, owned)) = owners_of(self.tree.top(), paths.into_iter()) else { return };
        found.notes.extend(owned.iter().map(|(owners, paths)| {
            let what = match paths[..] {
                [one] => shown(one),
                [first, ..] => format!("{} files, such as {}", paths.len(), shown(first)),
                [] => String::new(),
            };
            format!("{place} gives {what} to {owners}: if their review is needed, --pull-request")
        }));
    }

    /// What will be asked at the end is better asked now, if the end is in this run.
    fn look_at_the_end(&self, problems: &mut Vec<Failure>) {
        let at_once = self.intent.compromised || self.retire_after() == Duration::ZERO;
        if at_once && !self.intent.given_up && self.way.keep_old.is_none() && !self.way.drop_old {
            problems.push(
                Failure::usage(format!(
                    "where {} is to be kept is not said: only it reads what is in Git's history",
                    short(&self.intent.old)
                ))
                .hint("--keep-old FILE   # a new file, encrypted to the new key")
                .hint("--drop-old        # if it is kept elsewhere, or nothing is to be read any more"),
            );
        }
    }
}

/// What names the key that goes and is not renewed: it may be a text, or a file that sops reads under another name.
fn naming(standings: &[Standing]) -> Vec<String> {
    let all = standings.iter().flat_map(|standing| &standing.naming).collect::<BTreeSet<_>>();
    let note = |path: &&PathBuf| {
        format!(
            "{}: it names the key that goes, and nothing reads it as rules or as encrypted: it is left as it is",
            shown(path)
        )
    };
    let mut notes = all.iter().take(MOST_NAMING).map(note).collect::<Vec<_>>();
    if all.len() > MOST_NAMING {
        notes.push(format!("{} more files name the key that goes", all.len() - MOST_NAMING));
    }
    notes
}

/// A source that is no branch of ours keeps the old key with Flux; a branch of the repository could be rotated too.
fn look_at_other_source(
    site: &Site,
    name: &SourceName,
    followed: &Followed,
    found: &mut Found,
    problems: &mut Vec<Failure>,
) {
    let done = format!("--source-done {name}");
    match followed {
        Followed::Ours => {}
        Followed::Otherwise { what, branch: Some(branch) } => problems.push(
            Failure::unverified(format!("it follows {what} of this repository, which is not rotated"))
                .at(format!("{name} of {}", site.connection.context))
                .hint(format!("--branch {branch}   # rotates it too"))
                .hint(format!("{done}   # if none of its files need the old key")),
        ),
        Followed::Otherwise { what, .. } => {
            found.notes.push(format!("{name} follows {what}: the old key stays until {done}"));
        }
        Followed::Elsewhere => {
            found.notes.push(format!("{name} is another repository: the old key stays until {done}"));
        }
    }
}
