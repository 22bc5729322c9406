//! Many workers in one document, behind a front that counts their requests and lets them go away.

use super::oidc::NOBODY;
use super::{LONG, Workers};
use crate::world::Said;
use kubiya_testdata::crowd::{Behind, Crowd};
use kubiya_testdata::harness::eventually;
use std::path::Path;

const NAMES: usize = 10;

fn name(number: usize) -> String {
    format!("w{number:04}")
}

struct Many<'w> {
    workers: &'w Workers,
    crowd: Crowd,
}

impl<'w> Many<'w> {
    fn new(workers: &'w Workers) -> Self {
        let rig = workers.world.rig;
        let kubeconfig = |name: &str| workers.there(name).kubeconfig().to_owned();
        let crowd = Crowd::start(&Behind {
            hub: rig.hub().kubeconfig().to_owned(),
            workers: vec![kubeconfig("worker01"), kubeconfig("worker02")],
            names: (1..=NAMES).map(name).collect(),
        });
        let crowd = crowd.unwrap();
        workers.world.write("crowd.yaml", crowd.kubeconfig());
        Self { workers, crowd }
    }

    /// Runs a command on workers; no token is ever in what it says.
    fn run(&self, words: &[&str]) -> Said {
        let world = &self.workers.world;
        let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")));
        let said = world.said(
            command.env("KUBECONFIG", world.path("crowd.yaml")).arg("worker").args(words).output().unwrap(),
        );
        assert!(!said.stdout.contains("eyJ") && !said.stderr.contains("eyJ"), "a token was shown");
        said
    }

    /// Writes the document: all names, the first as a copy, and more.
    fn document(&self, more: &str) {
        let mut text = "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec:\n  context: hub\n  \
                        allowLoopback: true\n  workers:\n"
            .to_owned();
        for number in 1..=NAMES {
            let credential = if number == 1 { "credential: copied" } else { "duration: 2d" };
            text += &format!("  - {{name: {0}, context: {0}, {credential}}}\n", name(number));
        }
        self.workers.world.write("many.yaml", &(text + more));
    }

    fn add(&self, more: &[&str]) -> Said {
        self.run(&[&["add", "-f", "many.yaml"], more].concat())
    }
}

/// The infra cluster at its own address, where its issuer is, and the names of the crowd.
fn both(world: &crate::world::World) -> std::ffi::OsString {
    std::env::join_paths([world.rig.hub().kubeconfig(), &world.path("crowd.yaml")]).unwrap()
}

#[test]
fn those_that_fail_keep_no_other_and_an_unchanged_worker_costs_twelve_requests_at_most() {
    let workers = Workers::new();
    let many = Many::new(&workers);
    many.document(
        "  - {name: twin, context: w0003}\n  - {name: itself, context: hub}\n  - {name: nobody, context: nowhere}\n",
    );
    // One does not answer at all; another goes away between its first writes and its token.
    many.crowd.go_away_after(&name(4), Some(0));
    many.crowd.go_away_after(&name(5), Some(20));
    let said = many.add(&["--concurrency", "3"]);
    assert_eq!(said.code, 5, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("5 workers failed, 8 did not"), "{}", said.stderr);
    for why in [
        "worker twin: this cluster is known already, as worker `w0003`",
        "worker itself: this is the infra cluster itself",
        "worker nobody: no context `nowhere`",
        "worker w0004: cannot reach",
        "worker w0005: ",
    ] {
        assert!(said.stderr.contains(why), "{why}\n{}", said.stderr);
    }
    let lines = |word: &str| said.stdout.lines().filter(|line| line.contains(word)).count();
    assert_eq!((lines(" changed "), lines(" failed ")), (8, 5), "{}", said.stdout);
    assert!(!said.stderr.contains("[="), "a bar is for terminals: {}", said.stderr);

    // What is mended heals by a re-run, which leaves the others alone.
    many.document("");
    many.crowd.go_away_after(&name(4), None);
    many.crowd.go_away_after(&name(5), None);
    let dry = many.add(&["--dry-run"]);
    assert!(dry.code == 0 && dry.stderr.contains("10 workers, 2 would change"), "{}", dry.stderr);
    let said = many.add(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let result: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let items = result["items"].as_array().unwrap();
    let changed: Vec<&str> =
        items.iter().filter(|item| item["changed"] != 0).filter_map(|item| item["name"].as_str()).collect();
    assert_eq!((items.len(), changed), (NAMES, vec!["w0004", "w0005"]), "{}", said.stdout);

    drop(many.crowd.take_counts());
    let said = many.add(&[]);
    assert!(said.code == 0 && said.stderr.contains("10 workers, 0 changed"), "{}", said.stderr);
    let counts = many.crowd.take_counts();
    let all: u64 = counts.values().sum();
    assert!(all <= 12 * NAMES as u64, "{all} requests: {counts:?}");

    // The other commands on many: a broken one is said, the others are served.
    many.crowd.go_away_after(&name(6), Some(0));
    let said = many.run(&["check", "--all", "--context", "hub"]);
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("w0006: broken") && said.stdout.contains("w0007: ok"), "{}", said.stdout);
    let said = many.run(&["list", "--context", "hub", "-o", "wide"]);
    let unreachable: Vec<&str> = said.stdout.lines().filter(|line| line.contains("unreachable")).collect();
    assert!(said.code == 0 && unreachable.len() == 1, "{}", said.stdout);
    assert!(unreachable[0].starts_with("w0006"), "{}", said.stdout);
    let said = many.run(&["renew", "--all", "--context", "hub", "--duration", "2d"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains("error: worker w0006: cannot reach"), "{}", said.stderr);
    assert_eq!(said.stderr.matches("     renewed ").count(), NAMES - 2, "{}", said.stderr);

    // One without a credential costs no more.
    let world = &workers.world;
    let direct = world
        .command(Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")))
        .env("KUBECONFIG", both(world))
        .args(["worker", "add", "w0007", "--oidc", "--print", "file", "--context", "hub", "--allow-loopback"])
        .output()
        .unwrap();
    let configuration = world.said(direct);
    assert_eq!(configuration.code, 0, "{}", configuration.stderr);
    workers.trust("worker01", &configuration.stdout);
    let oidc = ["add", "w0007", "--oidc", "--context", "hub", "--allow-loopback"];
    eventually("the worker trusts the issuer", LONG, || Ok(many.run(&oidc).code == 0)).unwrap();
    drop(many.crowd.take_counts());
    let said = many.run(&oidc);
    assert!(said.code == 0 && said.stderr.contains("nothing to change"), "{}", said.stderr);
    // What is asked once in a run: version, name, UID, two lists, and kustomize-controller's gate.
    let all: u64 = many.crowd.take_counts().values().sum();
    assert!(all <= 12 + 6, "{all} requests");
    workers.trust("worker01", NOBODY);
}

#[test]
fn what_is_wrong_with_the_document_is_said_at_once_and_changes_nothing() {
    let workers = Workers::new();
    let many = Many::new(&workers);
    many.document(
        "  - {name: w0001, context: w0001}\n  - {name: Upper, context: w0002}\n  - {name: nowhere}\n  \
         - {name: far, context: x, credential: copied, duration: 2d}\n  - {name: a, context: x, audience: b}\n",
    );
    let said = many.add(&[]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    for problem in [
        "the worker `w0001` is named twice",
        "`Upper` is not a DNS label",
        "the worker `nowhere` has neither context nor kubeconfig",
        "worker far: scopeNamespaces and duration are not for copied credentials",
        "worker a: an audience is for workers with `credential: oidc`",
    ] {
        assert!(said.stderr.contains(problem), "{problem}\n{}", said.stderr);
    }
    assert!(many.crowd.take_counts().is_empty());
}

#[test]
fn a_rebuilt_infra_cluster_mints_anew_and_names_those_that_trust_the_old_issuer() {
    let workers = Workers::new();
    let many = Many::new(&workers);
    let world = &workers.world;
    let hub = world.rig.hub();
    many.document("");
    let only = ["add", "w0001", "--context", "hub", "--allow-loopback", "--duration", "2d"];
    assert_eq!(many.run(&only).code, 0);
    let old = workers.stored("w0001");
    // What the infra cluster knew is gone, and it is another one; on the worker, its predecessor still has access.
    hub.run(["-n", "flux-system", "delete", "secret", "w0001-kubeconfig"]).unwrap();
    let document = format!(
        "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec:\n  context: rebuilt\n  allowLoopback: true\n  \
         git: {{url: {}, path: clusters/infra}}\n  age: {{keyFile: age.agekey}}\n  flux: {{manifests: {}}}\n  \
         workers:\n  - {{name: w0001, context: w0001, duration: 2d}}\n  - {{name: w0002, context: w0002, credential: oidc}}\n",
        world.url(),
        world.rig.info().flux_manifests.display()
    );
    world.write("kubiya.yaml", &document);
    let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")));
    command.env("KUBECONFIG", world.path("crowd.yaml")).args([
        "bootstrap",
        "-f",
        "kubiya.yaml",
        "--wait=false",
    ]);
    let said = world.said(command.output().unwrap());
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(
        said.stderr.contains("another infra cluster has access here, by namespace kubiya-"),
        "{}",
        said.stderr
    );
    for why in [
        "worker w0002: worker `w0002` does not accept the infra cluster's tokens",
        "still trusts the old one's",
    ] {
        assert!(said.stderr.contains(why), "{why}\n{}", said.stderr);
    }
    let new = workers.stored("w0001");
    let who = |kubeconfig: &str| workers.whoami(kubeconfig);
    assert!(
        who(&new).starts_with("system:serviceaccount:kubiya-") && who(&new) != who(&old),
        "{}",
        who(&new)
    );
}
