//! Every request of a bootstrap goes wrong once in every way: a plain re-run comes to the same cluster, nothing is there
//! twice, no secret is shown, and the run after that writes nothing.
//!
//! A seeded sample by default; all of it with `KUBIYA_FAULTS=all` (`scripts/faults`), another sample with
//! `KUBIYA_FAULTS=NUMBER`.

use crate::world::{Said, World};
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, ResourceQuota, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::{Client, Resource, ResourceExt as _};
use kubiya_testdata::fault_proxy::{Asked, Fault, FaultProxy};
use kubiya_testdata::git_server::Options;
use kubiya_testdata::harness::eventually;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(120);
/// How many cases are tried where not all are.
const SAMPLE: usize = 8;
const NAMESPACE: &str = "flux-system";
const GIT_TOKEN: &str = "canary-git-token-4Jd";
const HUB_TOKEN: &str = "canary-hub-token-9Kx";
const FLUX: &str = "app.kubernetes.io/part-of=flux";

/// A world whose hub is reached by a door that goes wrong.
struct Faulty {
    world: World,
    proxy: FaultProxy,
}

/// One run, and what it asked for.
struct Ran {
    said: Said,
    seen: Vec<Asked>,
    took: Duration,
}

impl Ran {
    fn writes(&self) -> Vec<String> {
        self.seen.iter().filter(|asked| asked.writes()).map(ToString::to_string).collect()
    }
}

impl Faulty {
    fn new() -> Self {
        let mut world =
            World::with_server(Options { token: Some(GIT_TOKEN.to_owned()), ..Options::default() });
        world.hide(HUB_TOKEN);
        let proxy = FaultProxy::to(world.rig.hub().kubeconfig()).unwrap();
        proxy.write_kubeconfig(&world.path("door.yaml"), "hub", HUB_TOKEN).unwrap();
        world.write("git-token", &format!("{GIT_TOKEN}\n"));
        // Without replicas a Deployment is rolled out at once, and no controller runs that would have to be stopped.
        let manifests = std::fs::read_to_string(&world.rig.info().flux_manifests).unwrap();
        world.write("flux.yaml", &manifests.replace("replicas: 1\n", "replicas: 0\n"));
        Self { world, proxy }
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let words = ["--bearer-token-file", "git-token", "--worker", "worker01=worker01"];
        self.world.arguments(&[&words[..], more].concat()).into_iter().skip(1).collect()
    }

    /// The plugin, with the door as the way to the hub.
    fn command(&self, words: &[String]) -> Command {
        let door = self.world.path("door.yaml").display().to_string();
        let all = format!("{door}:{}", self.world.rig.info().kubeconfig.display());
        let mut command = self.world.command(Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")));
        command.args(words).env("KUBECONFIG", all);
        command
    }

    /// A bootstrap through the door; not by kubectl, which would only cost time.
    fn bootstrap(&self, fault: Option<(Asked, Fault)>, more: &[&str]) -> Ran {
        let mut command = self.command(&self.words(more));
        if fault.is_some() {
            command.args(["--request-timeout", "3s"]);
        }
        self.proxy.begin(fault);
        let started = Instant::now();
        let said = self.world.said(command.output().unwrap());
        Ran { said, seen: self.proxy.seen(), took: started.elapsed() }
    }

    /// Takes away what bootstrap makes. Of the definitions only the one that is asked about, and the namespace only when
    /// it is: the API server takes its time with both.
    fn forget(&self, about: &str) {
        let gone = async |client: Client| {
            let inside = || client.clone();
            for (group, kind) in [("source", "GitRepository"), ("kustomize", "Kustomization")] {
                let gvk = GroupVersionKind::gvk(&format!("{group}.toolkit.fluxcd.io"), "v1", kind);
                let resource = ApiResource::from_gvk(&gvk);
                let api: Api<DynamicObject> = Api::namespaced_with(inside(), NAMESPACE, &resource);
                let _ = api.delete(NAMESPACE, &DeleteParams::default()).await;
            }
            futures::try_join!(
                delete_all::<ClusterRole>(Api::all(inside()), FLUX),
                delete_all::<ClusterRoleBinding>(Api::all(inside()), FLUX),
                delete_all::<Deployment>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<Secret>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<ServiceAccount>(Api::namespaced(inside(), NAMESPACE), FLUX),
                delete_all::<Service>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<NetworkPolicy>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<ResourceQuota>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<Lease>(Api::namespaced(inside(), NAMESPACE), ""),
                delete_all::<Event>(Api::namespaced(inside(), NAMESPACE), ""),
            )?;
            if let Some(rest) = about.split("/customresourcedefinitions/").nth(1) {
                let name = rest.split(['?', ' ']).next().unwrap_or_default();
                delete_definition(&Api::all(inside()), name).await?;
            }
            let namespaces: Api<Namespace> = Api::all(client.clone());
            if about.contains("/namespaces/flux-system?") && namespaces.get_opt(NAMESPACE).await?.is_some() {
                namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
                while namespaces.get_opt(NAMESPACE).await?.is_some() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Ok(())
        };
        self.proxy.beside(gone).unwrap();
    }

    /// Kinds and names of all that is there: what is there twice is one more.
    fn there(&self) -> BTreeSet<String> {
        let listed = async |client: Client| {
            let inside = |client: &Client| client.clone();
            let lists = futures::try_join!(
                names::<CustomResourceDefinition>(Api::all(inside(&client)), FLUX),
                names::<ClusterRole>(Api::all(inside(&client)), FLUX),
                names::<ClusterRoleBinding>(Api::all(inside(&client)), FLUX),
                names::<Deployment>(Api::namespaced(inside(&client), NAMESPACE), ""),
                names::<Secret>(Api::namespaced(inside(&client), NAMESPACE), ""),
                names::<ServiceAccount>(Api::namespaced(inside(&client), NAMESPACE), FLUX),
                names::<Service>(Api::namespaced(inside(&client), NAMESPACE), ""),
                names::<NetworkPolicy>(Api::namespaced(inside(&client), NAMESPACE), ""),
                names::<ResourceQuota>(Api::namespaced(inside(&client), NAMESPACE), ""),
                names::<Lease>(Api::namespaced(inside(&client), NAMESPACE), ""),
            )?;
            let (a, b, c, d, e, f, g, h, i, j) = lists;
            Ok([a, b, c, d, e, f, g, h, i, j].into_iter().flatten().collect())
        };
        let mut all: BTreeSet<String> = self.proxy.beside(listed).unwrap();
        let sync = self.world.hub(
            &["gitrepositories,kustomizations", "-A"],
            "{range .items[*]}{.kind}/{.metadata.name} {end}",
        );
        all.extend(sync.split_whitespace().map(str::to_owned));
        all
    }
}

/// Takes a definition away that has no objects. The finalizer is the API server's own, which may wait for minutes when
/// it is busy; without objects there is nothing that it would have to do.
async fn delete_definition(api: &Api<CustomResourceDefinition>, name: &str) -> Result<()> {
    if api.delete(name, &DeleteParams::default()).await.is_err() {
        return Ok(());
    }
    let patch = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
    while api.get_opt(name).await?.is_some() {
        let _ = api.patch(name, &PatchParams::default(), &patch).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn delete_all<K>(api: Api<K>, labels: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = ListParams::default().labels(labels);
    let found = api.list_metadata(&params).await?;
    let names: Vec<String> = found.iter().map(kube::ResourceExt::name_any).collect();
    try_join_all(names.iter().map(async |name| match api.delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code != 404 => Err(kube::Error::Api(status)),
        _ => Ok(()),
    }))
    .await?;
    let end = Instant::now() + LONG;
    while !names.is_empty() && !api.list_metadata(&params).await?.items.is_empty() {
        ensure!(Instant::now() < end, "{} stay", K::kind(&()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn names<K>(api: Api<K>, labels: &str) -> Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let found = api.list_metadata(&ListParams::default().labels(labels)).await?;
    Ok(found.iter().map(|one| format!("{}/{}", K::kind(&()), one.name_any())).collect())
}

/// All cases, or a seeded sample of so many that is spread over all faults and all requests.
pub(crate) fn chosen(cases: Vec<(Asked, Fault)>, sample: usize) -> Vec<(Asked, Fault)> {
    let told = std::env::var("KUBIYA_FAULTS").unwrap_or_default();
    if told == "all" {
        // What changes something comes first: whoever breaks the sweep off has seen most of what can go wrong.
        let (writes, reads): (Vec<_>, Vec<_>) = cases.into_iter().partition(|(asked, _)| asked.writes());
        return [writes, reads].concat();
    }
    let mut state: u64 = told.parse().unwrap_or(6);
    let mut pick = Vec::new();
    while pick.len() < sample.min(cases.len()) {
        // The generator of Knuth's MMIX: any would do, as long as a number always gives the same sample.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A small sample has faults of all sorts as well.
        let fault =
            Fault::ALL[pick.len() * Fault::ALL.len() / sample.min(Fault::ALL.len()) % Fault::ALL.len()];
        // Most requests are questions; every second case is a change.
        let writes = pick.len() % 2 == 0 && cases.iter().any(|(asked, _)| asked.writes());
        let those: Vec<&Asked> =
            cases.iter().map(|(asked, _)| asked).filter(|asked| !writes || asked.writes()).collect();
        let index = usize::try_from(state >> 33).unwrap() % those.len();
        let case = (those[index].clone(), fault);
        if !pick.contains(&case) {
            pick.push(case);
        }
    }
    pick
}

/// Every fault at every request.
pub(crate) fn all_cases(requests: &[Asked]) -> Vec<(Asked, Fault)> {
    requests.iter().flat_map(|asked| Fault::ALL.map(|fault| (asked.clone(), fault))).collect()
}

/// Tokens that a run makes are not known beforehand, but how they begin is.
pub(crate) fn shows_no_token(said: &Said) {
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains("eyJhbGciOi"), "a token was shown");
    }
}

#[test]
fn after_any_fault_at_any_request_a_plain_rerun_comes_to_the_same_cluster() {
    let faulty = Faulty::new();
    let way = ["--wait=false", "--flux-manifests", "flux.yaml"];
    // From nothing.
    let first = faulty.bootstrap(None, &way);
    assert_eq!(first.said.code, 0, "{}", first.said.stderr);
    let mut requests = first.seen;
    let wanted = faulty.there();
    let again = faulty.bootstrap(None, &way);
    assert_eq!((again.said.code, again.writes()), (0, Vec::new()), "{}", again.said.stderr);
    faulty.forget("");
    // With a namespace more can be asked beforehand.
    requests.extend(faulty.bootstrap(None, &way).seen);
    assert_eq!(faulty.there(), wanted);
    requests.sort();
    requests.dedup();
    let cases = chosen(all_cases(&requests), SAMPLE);
    println!("{} requests, {} cases of {}", requests.len(), cases.len(), requests.len() * Fault::ALL.len());
    let mut clean = false;
    for (asked, fault) in cases {
        if !clean
            || ["/namespaces/flux-system?", "/customresourcedefinitions/"]
                .iter()
                .any(|part| asked.what.contains(part))
        {
            faulty.forget(&asked.what);
        }
        let case = format!("{fault:?} at {asked}");
        let ran = faulty.bootstrap(Some((asked.clone(), fault)), &way);
        shows_no_token(&ran.said);
        assert!([0, 3, 4, 5].contains(&ran.said.code), "{case}: {} {}", ran.said.code, ran.said.stderr);
        assert!(ran.said.code == 0 || ran.said.stderr.contains("error: "), "{case}: {}", ran.said.stderr);
        let (was_met, wrote) = (ran.seen.contains(&asked), ran.writes().len());
        // Without a write the cluster is as it was, and what a run makes of that was seen above.
        clean = ran.said.code != 0 && wrote == 0;
        let mut end = "nothing was written";
        if !clean {
            let healed = faulty.bootstrap(None, &way);
            shows_no_token(&healed.said);
            assert_eq!(healed.said.code, 0, "{case}: {}", healed.said.stderr);
            end = "the same run had gone on";
            if ran.said.code == 0 {
                assert_eq!(healed.writes(), [""; 0], "{case}");
            } else if !healed.writes().is_empty() {
                let after = faulty.bootstrap(None, &way);
                assert_eq!((after.said.code, after.writes()), (0, Vec::new()), "{case}");
                end = "the next run went on";
            }
            assert_eq!(faulty.there(), wanted, "{case}");
        }
        let met = if was_met { "" } else { " (not asked in this run)" };
        println!(
            "fault: {case}{met}: exit {} after {} writes, {:.1} s: {end}",
            ran.said.code,
            wrote,
            ran.took.as_secs_f32()
        );
    }
}

#[test]
fn waits_outlast_any_fault_and_a_run_with_nothing_to_do_writes_nothing_whatever_happens() {
    let faulty = Faulty::new();
    let said = faulty.bootstrap(None, &[]).said;
    assert_eq!(said.code, 0, "{}", said.stderr);
    let without = faulty.bootstrap(None, &["--wait=false"]).seen;
    let mut requests = faulty.bootstrap(None, &[]).seen;
    requests.sort();
    let cases = chosen(all_cases(&requests), SAMPLE);
    println!("{} requests, {} cases of {}", requests.len(), cases.len(), requests.len() * Fault::ALL.len());
    for (asked, fault) in cases {
        let case = format!("{fault:?} at {asked}");
        let ran = faulty.bootstrap(Some((asked.clone(), fault)), &[]);
        shows_no_token(&ran.said);
        assert_eq!(ran.writes(), [""; 0], "{case}: {}", ran.said.stderr);
        if without.contains(&asked) {
            assert!([0, 3, 4, 5].contains(&ran.said.code), "{case}: {}", ran.said.stderr);
        } else {
            assert_eq!(ran.said.code, 0, "{case}: {}", ran.said.stderr);
        }
        println!(
            "fault: {case}: exit {}, {:.1} s: nothing was written",
            ran.said.code,
            ran.took.as_secs_f32()
        );
    }
    eventually("a plain run is content", LONG, || Ok(faulty.bootstrap(None, &[]).said.code == 0)).unwrap();
}

#[test]
fn a_run_that_is_killed_at_any_write_is_finished_by_the_next_one() {
    let faulty = Faulty::new();
    let way = ["--wait=false", "--flux-manifests", "flux.yaml"];
    assert_eq!(faulty.bootstrap(None, &way).said.code, 0);
    let wanted = faulty.there();
    faulty.forget("");
    let killed = |number: usize| {
        let log = faulty.world.path("failpoints");
        let _ = std::fs::remove_file(&log);
        let words = faulty.words(&way);
        let mut command = faulty.command(&words);
        command.env("KUBIYA_FAILPOINT", number.to_string()).env("KUBIYA_FAILPOINT_LOG", &log);
        let output = command.output().unwrap();
        let places = std::fs::read_to_string(&log).unwrap();
        (output, places.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let (output, places) = killed(usize::MAX);
    assert!(output.status.success() && places.len() > 20, "{places:?}");
    let all = std::env::var("KUBIYA_FAULTS").is_ok_and(|told| told == "all");
    for number in (1..=places.len()).filter(|number| all || number % 17 == 5) {
        faulty.forget("");
        let (output, passed) = killed(number);
        assert!(output.status.code().is_none(), "{number}: {}", String::from_utf8_lossy(&output.stderr));
        shows_no_token(&faulty.world.said(output));
        // That a Lease ends by itself is seen at the first; for the others its end is not waited for.
        if number > 5 {
            let free =
                async |client: Client| delete_all::<Lease>(Api::namespaced(client, NAMESPACE), "").await;
            faulty.proxy.beside(free).unwrap();
        }
        let healed = faulty.bootstrap(None, &way);
        assert_eq!(healed.said.code, 0, "{number}: {}", healed.said.stderr);
        shows_no_token(&healed.said);
        let after = faulty.bootstrap(None, &way);
        assert_eq!((after.said.code, after.writes()), (0, Vec::new()), "{number}");
        assert_eq!(faulty.there(), wanted, "{number}");
        println!("killed at {}: finished by the next run", passed[number - 1]);
    }
}
