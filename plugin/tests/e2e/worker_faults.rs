//! A worker's API server that goes wrong at any request of a bootstrap: the worker is left out with a word on why, the
//! infra cluster is as it should be, and the next run takes the worker in. A sample, or all of it with `KUBIYA_FAULTS=all`.

use crate::every_fault::{all_cases, chosen, shows_no_token};
use crate::world::{Said, World};
use kubiya_testdata::fault_proxy::{Asked, Fault, FaultProxy};

const TOKEN: &str = "canary-worker-token-6Pw";
/// How many cases are tried where not all are.
const SAMPLE: usize = 3;

struct Faulty {
    world: World,
    door: FaultProxy,
}

impl Faulty {
    fn new() -> Self {
        let mut world = World::new();
        world.hide(TOKEN);
        let door = FaultProxy::to_worker(world.rig.worker("worker01").unwrap().kubeconfig()).unwrap();
        door.write_kubeconfig(&world.path("door.yaml"), "worker01", TOKEN).unwrap();
        // What Flux makes of it is seen elsewhere.
        let manifests = std::fs::read_to_string(&world.rig.info().flux_manifests).unwrap();
        world.write("flux.yaml", &manifests.replace("replicas: 1\n", "replicas: 0\n"));
        Self { world, door }
    }

    fn bootstrap(&self, fault: Option<(Asked, Fault)>) -> (Said, Vec<Asked>) {
        let way = [
            "--worker-kubeconfig",
            "worker01=door.yaml",
            "--wait=false",
            "--flux-manifests",
            "flux.yaml",
            "--request-timeout",
            "3s",
        ];
        self.door.begin(fault);
        let said = self.world.bootstrap(&way);
        shows_no_token(&said);
        (said, self.door.seen())
    }

    /// Takes the worker away again, on both sides.
    fn forget(&self) {
        let hub = self.world.rig.hub();
        hub.run(["-n", "flux-system", "delete", "secret", "worker01-kubeconfig", "--ignore-not-found"])
            .unwrap();
        self.world
            .rig
            .worker("worker01")
            .unwrap()
            .run(["delete", "namespace", "-l", "kubiya.dev/hub"])
            .unwrap();
    }

    /// What the worker has for Flux.
    fn there(&self) -> String {
        let kinds = "namespaces,serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings";
        let words = ["get", kinds, "-A", "-l", "kubiya.dev/hub", "-o", "name"];
        self.world.rig.worker("worker01").unwrap().run(words).unwrap()
    }
}

#[test]
fn a_worker_that_goes_wrong_is_left_out_with_a_word_and_taken_in_by_the_next_run() {
    let faulty = Faulty::new();
    let (first, mut requests) = faulty.bootstrap(None);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let wanted = faulty.there();
    assert!(wanted.contains("serviceaccount/flux"), "{wanted}");
    requests.sort();
    requests.dedup();
    let cases = chosen(all_cases(&requests), SAMPLE);
    println!("{} requests, {} cases of {}", requests.len(), cases.len(), requests.len() * Fault::ALL.len());
    for (asked, fault) in cases {
        let case = format!("{fault:?} at {asked}");
        faulty.forget();
        let (ran, seen) = faulty.bootstrap(Some((asked.clone(), fault)));
        assert!([0, 5].contains(&ran.code), "{case}: {} {}", ran.code, ran.stderr);
        if ran.code == 5 {
            assert!(
                ran.stderr.contains("worker01") && ran.stderr.contains("hint: "),
                "{case}: {}",
                ran.stderr
            );
        }
        let (healed, _) = faulty.bootstrap(None);
        assert_eq!(healed.code, 0, "{case}: {}", healed.stderr);
        assert_eq!(faulty.there(), wanted, "{case}");
        let (after, requests) = faulty.bootstrap(None);
        let writes: Vec<String> =
            requests.iter().filter(|one| one.writes()).map(ToString::to_string).collect();
        assert_eq!((after.code, writes), (0, Vec::new()), "{case}: {}", after.stderr);
        let met = if seen.contains(&asked) { "" } else { " (not asked in this run)" };
        println!("fault: worker: {case}{met}: exit {}: the next run took it in", ran.code);
    }
    faulty.forget();
}
