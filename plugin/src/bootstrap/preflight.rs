//! Everything outside that must be as expected before the first write: all problems at once.

mod built;
mod content;
mod fight;
mod installation;
mod live;
mod permissions;
mod repository;
mod server;
mod tenants;

use super::carry_out::{self, Carried};
use super::{Inputs, Live, Plan, Workers, plan, sops_age, workers};
use crate::cluster::{Applied, Applier, ClusterError, Connection, Kinds, Manifest, Mode};
use crate::git_access::Look;
use crate::worker::Count;
use kube::api::DynamicObject;
use kubiya_hook::edge::Failure;
use std::time::Duration;

/// What the preflight saw.
#[derive(Debug, Default)]
pub struct Preflight {
    /// The infra cluster, where it answers.
    pub hub: Option<Connection>,
    /// The workers, where the infra cluster could be asked about them.
    pub workers: Option<Workers>,
    /// What is on the infra cluster already.
    pub live: Live,
    /// The way to look at the repository; `None` where this machine cannot.
    pub look: Option<Look>,
    /// The tip of the branch, where it could be seen.
    pub tip: Option<String>,
    /// Who signed that commit, where commits must be signed.
    pub signed_by: Option<String>,
    /// What will be done.
    pub plan: Option<Plan>,
    /// The kinds of the infra cluster, and those that the plan brings.
    pub kinds: Kinds,
    /// What would happen to the objects of the plan, where that was asked.
    pub dry_run: Carried,
    /// What does not stop the run.
    pub warnings: Vec<Failure>,
    /// What does.
    pub problems: Vec<Failure>,
}

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Take over fields of other managers.
    pub force: bool,
    /// Let the API server admit everything without storing it, or compare only.
    pub ask_server: bool,
}

impl How {
    fn mode(self) -> Mode {
        if self.ask_server { Mode::AskServer } else { Mode::Compare }
    }
}

/// Asks everybody at once, with exactly the credentials that will be used. `told` hears how many workers have answered.
pub async fn preflight(inputs: &Inputs, how: How, told: impl FnMut(Count)) -> Preflight {
    let mut found = Preflight::default();
    let hub = async {
        let Some(selection) = &inputs.hub else { return Ok(None) };
        let hub = Connection::open(selection, how.request_timeout).await?;
        let hub = hub.guarded(&inputs.sync.namespace, "bootstrap");
        let live = live::look_at(&hub, inputs).await;
        Ok::<_, ClusterError>(Some((hub, live)))
    };
    let given = repository::given_look(inputs);
    let early = async {
        match &given {
            Some(look) => Some(look.fetch().await),
            None => None,
        }
    };
    let (hub, early) = futures::join!(hub, early);
    let mut signers = None;
    let hub = match hub {
        Ok(Some((hub, Ok((live, for_git))))) => {
            found.live = live;
            found.look = given.or_else(|| repository::later_look(inputs, &for_git, &mut found));
            signers = repository::signers(inputs, &for_git, &mut found);
            found.hub = Some(hub.clone());
            Some(hub)
        }
        Ok(Some((hub, Err(error)))) => {
            found.problems.push(Failure::from(error));
            found.hub = Some(hub);
            None
        }
        Ok(None) => None,
        Err(error) => {
            found.problems.push(Failure::from(error));
            None
        }
    };
    let seen = async {
        match (early, &found.look) {
            (None, Some(look)) => Some(look.fetch().await),
            (early, _) => early,
        }
    };
    let asked = async {
        match (&hub, &found.hub) {
            (Some(hub), _) => Some(ask(hub, inputs, &found.live, how).await),
            // It answers, and does not tell what is there: it is at least said what else is not allowed.
            (None, Some(hub)) => Some(ask_permissions(hub, inputs).await),
            (None, None) => None,
        }
    };
    let looked = async {
        match &found.hub {
            _ if inputs.workers.is_empty() => Ok(None),
            Some(hub) => {
                Workers::look(inputs, hub, how.mode(), told).await.map(Some).map_err(|failure| vec![failure])
            }
            None => Err(workers::problems_alone(inputs).await),
        }
    };
    let (seen, asked, looked) = futures::join!(seen, asked, looked);
    if let Some(asked) = asked {
        asked.told(&mut found);
    }
    match looked {
        Ok(workers) => found.workers = workers,
        Err(problems) => found.problems.extend(problems),
    }
    repository::judge_seen(inputs, seen, signers, &mut found).await;
    found
}

/// What the infra cluster says to the plan.
#[derive(Default)]
struct Asked {
    plan: Option<Plan>,
    kinds: Kinds,
    dry_run: Carried,
    warnings: Vec<Failure>,
    problems: Vec<Failure>,
}

impl Asked {
    fn told(self, found: &mut Preflight) {
        found.plan = self.plan;
        found.kinds = self.kinds;
        found.dry_run = self.dry_run;
        found.warnings.extend(self.warnings);
        found.problems.extend(self.problems);
    }
}

/// Makes the plan and asks the API server about it and about itself.
async fn ask(hub: &Connection, inputs: &Inputs, live: &Live, how: How) -> Asked {
    let mut asked = Asked::default();
    asked.problems.extend(server::too_old(&hub.version, inputs.flux.version.as_deref()));
    let (kinds, installed, ahead) = futures::join!(
        Kinds::discover(&hub.client),
        installation::installed(hub),
        server::seconds_ahead(hub)
    );
    asked.warnings.extend(ahead.and_then(server::other_time));
    match installed {
        Ok(installed) => {
            installation::judge(&installed, inputs, live, &mut asked.problems, &mut asked.warnings);
        }
        Err(error) => asked.problems.push(error.into()),
    }
    match kinds {
        Ok(kinds) => asked.kinds = kinds,
        Err(error) => {
            asked.problems.push(error.into());
            return asked;
        }
    }
    objects(inputs).for_each(|object| asked.kinds.define(object));
    asked.problems.extend(live.no_pull_secret.as_ref().map(no_pull_secret));
    if live.in_repository {
        asked.warnings.extend(inputs.settings.for_repository(&inputs.sync.namespace));
        asked.warnings.extend(gone(live));
    }
    for secret in live.age_secrets.values() {
        sops_age::judge(secret, &mut asked.problems, &mut asked.warnings);
    }
    match plan(inputs, live) {
        Ok(plan) => ask_about(hub, inputs, &plan, how, &mut asked).await.then(|| asked.plan = Some(plan)),
        Err(error) => {
            asked.problems.push(error.into());
            None
        }
    };
    asked
}

/// Flux cannot bring back what it is made of.
fn gone(live: &Live) -> Option<Failure> {
    let names: Vec<String> = live.gone.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    (!names.is_empty()).then(|| {
        Failure::unverified(format!("of the Flux that comes out of the repository is gone: {}", names.join(", ")))
            .hint("it is written again from the manifests of this run; Flux then makes of it what the repository says")
    })
}

/// Pods would wait for an image that nobody lets them have.
fn no_pull_secret(name: &String) -> Failure {
    Failure::unverified(format!("the Secret {name}, by which images are to be pulled, is not there"))
        .hint("let it be written: --image-pull-secret-file FILE")
}

/// All objects that may define kinds.
fn objects(inputs: &Inputs) -> impl Iterator<Item = &DynamicObject> {
    inputs.flux.objects.iter().chain(inputs.install.own.iter().map(Manifest::object))
}

/// Only what is not allowed.
async fn ask_permissions(hub: &Connection, inputs: &Inputs) -> Asked {
    let mut asked = Asked::default();
    if let (Ok(mut kinds), Ok(plan)) = (Kinds::discover(&hub.client).await, plan(inputs, &Live::default())) {
        objects(inputs).for_each(|object| kinds.define(object));
        asked
            .problems
            .extend(permissions::missing(hub, &inputs.sync.namespace, &plan, &kinds).await.ok().flatten());
    }
    asked
}

/// Whether we may, and whether the API server would take every object.
async fn ask_about(hub: &Connection, inputs: &Inputs, plan: &Plan, how: How, asked: &mut Asked) -> bool {
    let applier =
        Applier { connection: hub.clone(), kinds: asked.kinds.clone(), force: how.force, mode: how.mode() };
    let (missing, results) = futures::join!(
        permissions::missing(hub, &inputs.sync.namespace, plan, &asked.kinds),
        carry_out::dry_run(plan, &applier)
    );
    let mut refused = false;
    match missing {
        Ok(missing) => {
            refused = missing.is_some();
            asked.problems.extend(missing);
        }
        Err(error) => asked.problems.push(error.into()),
    }
    for result in results {
        match result {
            Ok(applied) => asked.dry_run.applied.push(applied),
            // Said once, for all objects.
            Err(ClusterError::Refused { code: 403, .. }) if refused => {}
            Err(error) if cannot_be_asked(&error) => {
                asked.warnings.push(Failure::from(error).hint("it is found out when it is written"));
            }
            Err(error) => asked.problems.push(error.into()),
        }
    }
    asked.problems.is_empty()
}

/// A webhook that takes part in no dry run.
fn cannot_be_asked(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Refused { reason, .. } if reason.contains("does not support dry run"))
}

/// What the dry run found as it should be: it need not be asked again a moment later.
pub(super) fn settled(dry_run: &Carried) -> impl Iterator<Item = &Applied> {
    dry_run.applied.iter().filter(|applied| applied.action == crate::cluster::Action::Unchanged)
}
