//! What `worker add` does in the repository: credentials in Git, the folder of a worker, its own key.

use super::talk::Talk;
use crate::cluster::{Applied, Mode};
use crate::commands::rotate_key::NewKeyArgs;
use crate::secrets::repository_top;
use crate::worker::{
    Hub, InGit, Layout, Place, RuleChange, Terms, key_secret_name, key_secrets, own_recipient,
};
use clap::{Args, ValueEnum};
use kubiya_hook::edge::{Color, Failure};
use kubiya_policies::sops::recipient::age_recipient_problem;
use std::path::{Component, Path, PathBuf};

/// Heading of these flags in the help.
const HEADING: &str = "Repository";

/// What is to be done in the repository.
#[derive(Args, Debug)]
#[command(next_help_heading = HEADING)]
pub(super) struct RepositoryArgs {
    /// Where Flux's credentials are stored
    #[arg(long, value_name = "WHERE", value_enum, default_value = "cluster")]
    store: Where,
    /// With --store git: store them under the creation rule of application secrets, too; who opens those opens the worker
    #[arg(long)]
    force: bool,
    /// Make the worker's folder: Kustomizations for namespaces, definitions, secrets and applications; nothing is
    /// written over
    #[arg(long)]
    layout: bool,
    /// Give the worker an age key of its own, and its folders a creation rule for it: see --store-key
    #[arg(long, conflicts_with = "file")]
    own_key: bool,
    /// With --own-key: public key of somebody who can decrypt when the worker's key is lost; may be repeated
    #[arg(long, value_name = "RECIPIENT", requires = "own_key")]
    recovery: Vec<String>,
    /// With --own-key: nobody is to be able to decrypt when the worker's key is lost
    #[arg(long, requires = "own_key", conflicts_with = "recovery")]
    no_recovery: bool,
    /// Work tree of the repository that Flux follows [default: that of the current folder]
    #[arg(long, value_name = "FOLDER")]
    repo: Option<PathBuf>,
    /// Folder of the repository in which each worker has one [default: `workers` in the folder that Flux follows]
    #[arg(long, value_name = "FOLDER")]
    workers_folder: Option<PathBuf>,
    #[command(flatten)]
    new_key: NewKeyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Where {
    /// In a Secret on the infra cluster
    Cluster,
    /// In the repository, encrypted for Flux under a creation rule of its own; Flux puts it on the infra cluster
    Git,
    /// In both
    Both,
}

/// The repository as far as it is needed.
pub(super) struct Repository<'a> {
    args: &'a RepositoryArgs,
    top: PathBuf,
    folder: PathBuf,
    in_git: Option<InGit>,
    /// What Flux decrypts the worker's folders with.
    decryption: String,
}

impl RepositoryArgs {
    fn is_needed(&self) -> bool {
        self.store != Where::Cluster || self.layout || self.own_key
    }

    /// Finds the repository, where it is needed, and what it knows of these workers.
    ///
    /// # Errors
    /// No work tree, a folder outside of it, no key of Flux's, and files that Flux could not open.
    pub(super) async fn open(
        &self,
        hub: &mut Hub,
        workers: &[&str],
    ) -> Result<Option<Repository<'_>>, Failure> {
        if !self.is_needed() {
            return Ok(None);
        }
        let start = self.repo.as_deref().unwrap_or(Path::new("."));
        let top = repository_top(start).ok_or_else(|| {
            Failure::usage("not in the work tree of a Git repository")
                .hint("--repo FOLDER   # a clone of what Flux follows")
        })?;
        let folder = match &self.workers_folder {
            Some(folder) => folder.clone(),
            None => followed(hub).await?.join("workers"),
        };
        if folder.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(Failure::usage(format!(
                "--workers-folder: a folder inside the repository is wanted: {}",
                folder.display()
            )));
        }
        let folder: PathBuf =
            folder.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let in_git = match self.store {
            Where::Cluster => None,
            _ => Some(InGit::open(hub, top.clone(), folder.clone(), self.force).await?),
        };
        if let Some(in_git) = &in_git {
            for worker in workers {
                hub.learn(in_git.known(worker)?);
            }
        }
        Ok(Some(Repository { args: self, top, folder, in_git, decryption: "sops-age".to_owned() }))
    }
}

/// The folder that Flux follows, without `./`.
async fn followed(hub: &Hub) -> Result<PathBuf, Failure> {
    let sync = hub.appliers().await?.iter().find(|one| {
        one.kind == "Kustomization" && one.namespace() == hub.namespace && one.name() == hub.namespace
    });
    let path = sync.and_then(|sync| sync.spec()["path"].as_str()).unwrap_or_default();
    Ok(PathBuf::from(path.trim_start_matches("./").trim_matches('/')))
}

impl Repository<'_> {
    /// Where credentials are stored.
    pub(super) fn place(this: Option<&Self>) -> Place<'_> {
        match this {
            Some(this) => Place { cluster: this.args.store != Where::Git, git: this.in_git.as_ref() },
            None => Place::CLUSTER,
        }
    }

    /// Gives a worker its own key, unless it has one: stored where the operator says and read back, then on the infra
    /// cluster, then its rule. Interrupted, a later run goes on with `--new-age-key-file`. Gives what was changed, and
    /// has said it.
    ///
    /// # Errors
    /// What is missing or contradicts, before anything is changed; then those of storing.
    pub(super) async fn own_key(
        &mut self,
        hub: &Hub,
        worker: &str,
        terms: &Terms,
        mode: Mode,
        talk: &mut Talk<'_>,
    ) -> Result<Vec<Applied>, Failure> {
        let args = self.args;
        let namespaces =
            if terms.namespaces.is_empty() { vec![hub.namespace.clone()] } else { terms.namespaces.clone() };
        let has = own_recipient(hub, &namespaces[0], worker).await?;
        if !args.own_key {
            // One that was given before stays in force.
            if has.is_some() {
                self.decryption = key_secret_name(worker);
            }
            return Ok(Vec::new());
        }
        self.decryption = key_secret_name(worker);
        let plan =
            |recipient: &str| RuleChange::plan(&self.top, &self.folder, worker, recipient, &args.recovery);
        if let Some(recipient) = has {
            let changed = vec![plan(&recipient).map_err(Failure::from)?.make(mode)?];
            talk.applied("repository", &changed);
            return Ok(changed);
        }
        self.refuse_no_recovery()?;
        if mode != Mode::Write {
            let name = format!("{}/{}", namespaces[0], self.decryption);
            let would = vec![Applied::new("Secret", name, crate::cluster::Action::Created)];
            talk.applied("infra", &would);
            return Ok(would);
        }
        let identity = args.new_key.identity()?.ok_or_else(|| {
            Failure::usage("--own-key: where is the worker's key to be kept?")
                .hint("--store-key FILE, or --store-command COMMAND with --read-back-command COMMAND")
                .hint("--new-age-key-file FILE, if there is one already")
        })?;
        let rule = plan(identity.recipient()).map_err(Failure::from)?;
        identity.store()?;
        talk.say("stored", Color::Green, &format!("{worker}: its own age key, {}", identity.recipient()));
        let secrets = key_secrets(worker, &namespaces, identity.identity());
        let mut changed = hub.apply(&secrets, terms.force, mode).await?;
        talk.applied("infra", &changed);
        let rule = rule.make(mode)?;
        talk.applied("repository", std::slice::from_ref(&rule));
        changed.push(rule);
        Ok(changed)
    }

    fn refuse_no_recovery(&self) -> Result<(), Failure> {
        for recipient in &self.args.recovery {
            if let Some(why) = age_recipient_problem(recipient) {
                return Err(Failure::usage(format!("--recovery: no public key of age: {why}")));
            }
        }
        if self.args.recovery.is_empty() && !self.args.no_recovery {
            return Err(Failure::usage("--own-key: who can decrypt when the worker's key is lost?")
                .hint("--recovery age1…   # the public half of a key that is kept elsewhere; may be repeated")
                .hint("--no-recovery where nobody is to"));
        }
        Ok(())
    }

    /// Makes the folder of a worker, where that was asked for.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn layout(
        &self,
        hub: &Hub,
        worker: &str,
        terms: &Terms,
        mode: Mode,
    ) -> Result<Vec<Applied>, Failure> {
        if !self.args.layout {
            return Ok(Vec::new());
        }
        let layout = Layout {
            worker: worker.to_owned(),
            flux: hub.namespace.clone(),
            namespace: terms.namespaces.first().unwrap_or(&hub.namespace).clone(),
            folder: self.folder.clone(),
            credential: terms.credential,
            scope: terms.scope.clone(),
            decryption: self.decryption.clone(),
            with_credentials: self.in_git.is_some(),
        };
        layout.write(&self.top, mode)
    }

    /// What is left to do by hand.
    pub(super) fn next(&self, workers: &[&str]) -> String {
        let folder = self.folder.display();
        let what = match workers {
            [one] => format!("{folder}/{one}"),
            _ => folder.to_string(),
        };
        let rules = if self.args.own_key { " .sops.yaml" } else { "" };
        format!(
            "git -C {} add {what}{rules}, commit and push: Flux applies it from there",
            self.top.display()
        )
    }

    /// A kustomization of the operator's own takes in what it names, and nothing else.
    pub(super) fn unnamed(&self, worker: &str) -> Option<String> {
        let above = self
            .top
            .join(&self.folder)
            .ancestors()
            .take_while(|f| f.starts_with(&self.top))
            .map(Path::to_owned)
            .find_map(|folder| {
                let file = folder.join("kustomization.yaml");
                file.is_file().then_some((folder, file))
            });
        let (folder, file) = above?;
        let own = self.top.join(&self.folder).join(worker);
        let own = own.strip_prefix(folder).ok()?.display().to_string();
        let text = std::fs::read_to_string(&file).ok()?;
        (!text.contains(&own))
            .then(|| format!("{} does not name {own} in its resources: add it", file.display()))
    }
}
