//! Worker clusters on a real control plane: a hub and two more clusters.

mod add;
mod check;
mod life;
mod many;
mod oidc;
mod repository;

use crate::world::{Said, World};
use base64::Engine as _;
use kubiya_testdata::harness::{Cluster, eventually};
use std::cell::RefCell;
use std::time::Duration;

pub(super) const LONG: Duration = Duration::from_secs(120);

/// A world whose workers know nothing of the hub, and whose output never shows a token.
pub(super) struct Workers {
    pub(super) world: World,
    tokens: RefCell<Vec<String>>,
}

impl Workers {
    pub(super) fn new() -> Self {
        let world = World::new();
        world.rig.hub().run(["create", "namespace", "flux-system"]).unwrap();
        let workers = Self { world, tokens: RefCell::default() };
        for name in ["worker01", "worker02"] {
            workers.forget(name);
        }
        workers
    }

    fn forget(&self, name: &str) {
        let there = self.there(name);
        let ours = ["-l", "app.kubernetes.io/managed-by=kubectl-kubiya", "--ignore-not-found"];
        there.run([&["delete", "namespaces"], &ours[..]].concat()).unwrap();
        for kind in ["clusterrolebindings", "roles", "rolebindings"] {
            let everywhere: &[&str] = if kind == "clusterrolebindings" { &[] } else { &["-A"] };
            let names = "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
            let found = there.run([&["get", kind], everywhere, &ours[..], &["-o", names]].concat()).unwrap();
            for line in found.lines() {
                let (namespace, object) = line.split_once(' ').unwrap();
                there.run(["-n", namespace, "delete", kind, object]).unwrap();
            }
        }
    }

    pub(super) fn there(&self, name: &str) -> Cluster<'_> {
        self.world.rig.worker(name).unwrap()
    }

    /// `kubectl kubiya worker …`. Whatever it says, none of the tokens that were ever stored is in it.
    pub(super) fn run(&self, words: &[&str]) -> Said {
        let words = [&["worker"], words, &["--context", "hub"]].concat();
        self.remember_tokens();
        let said = self.world.kubiya(&words);
        self.remember_tokens();
        for token in self.tokens.borrow().iter() {
            assert!(!said.stdout.contains(token) && !said.stderr.contains(token), "a token was shown");
        }
        said
    }

    /// `worker add` as it is called on this machine.
    pub(super) fn add(&self, words: &[&str]) -> Said {
        self.run(&[&["add", "--allow-loopback"], words].concat())
    }

    /// The namespace that the hub has on a worker.
    pub(super) fn namespace(&self, worker: &str) -> String {
        let ours =
            ["-l", "app.kubernetes.io/managed-by=kubectl-kubiya", "-o", "jsonpath={.items[*].metadata.name}"];
        self.there(worker).run([&["get", "namespaces"], &ours[..]].concat()).unwrap()
    }

    /// The kubeconfig that is stored for a worker, empty where there is none.
    pub(super) fn stored(&self, worker: &str) -> String {
        let name = format!("{worker}-kubeconfig");
        let data = self.world.hub(&["secret", &name, "-n", "flux-system"], "{.data.value}");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn remember_tokens(&self) {
        for name in ["worker01", "worker02"] {
            // What a worker without a credential has is no secret.
            let stored = self.stored(name);
            let token = stored.lines().find_map(|line| line.trim().strip_prefix("token: "));
            self.tokens.borrow_mut().extend(token.map(str::to_owned));
        }
    }

    /// Who a kubeconfig is, or what kubectl says instead.
    pub(super) fn whoami(&self, kubeconfig: &str) -> String {
        self.world.write("tried.kubeconfig", kubeconfig);
        let path = self.world.path("tried.kubeconfig").display().to_string();
        let words = ["--kubeconfig", &path, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
        let output = self.world.command(&self.world.rig.bin("kubectl")).args(words).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Waits until a kubeconfig is refused: an API server remembers a token for ten seconds.
    pub(super) fn until_refused(&self, kubeconfig: &str) {
        eventually("the old credentials are refused", LONG, || {
            Ok(self.whoami(kubeconfig).contains("Unauthorized")
                || self.whoami(kubeconfig).contains("must be logged in"))
        })
        .unwrap();
    }

    /// Names and versions of all that `worker` writes: equal when nothing was written.
    pub(super) fn versions(&self, worker: &str) -> String {
        let versions =
            "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
        let ours = ["-l", "app.kubernetes.io/managed-by=kubectl-kubiya", "-o", versions];
        let kinds = "namespaces,clusterrolebindings";
        let there = self.there(worker);
        let mut all = there.run([&["get", kinds], &ours[..]].concat()).unwrap();
        all += &there
            .run([&["get", "-A", "serviceaccounts,secrets,roles,rolebindings"], &ours[..]].concat())
            .unwrap();
        all + &self.world.rig.hub().run([&["get", "-A", "secrets"], &ours[..]].concat()).unwrap()
    }
}
