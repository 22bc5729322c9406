//! A hub that is bootstrapped from a repository with encrypted files, and what rotations of its key are judged by.

use crate::world::{Said, World, secret};
use kubiya_testdata::harness::eventually;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(180);
const RULES: &str = "\
creation_rules:
  - path_regex: ^clusters/.*\\.yaml$
    encrypted_regex: ^(data|stringData)$
    # the hub
    age: RECIPIENT
";

/// The files that are encrypted at first.
pub(crate) const ENCRYPTED: [&str; 2] = ["clusters/infra/db.yaml", "clusters/infra/web.yaml"];

pub(crate) struct Rotated {
    pub(crate) world: World,
}

/// Looks again and again whether Flux decrypts.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Watch {
    /// What Flux said when it could not, until now.
    pub(crate) fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Rotated {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let rules = RULES.replace("RECIPIENT", &world.identity.recipient().unwrap());
        world.write("repo/.sops.yaml", &rules);
        world.write_encrypted(
            "repo/clusters/infra/db.yaml",
            &secret("rotated-db", "hunter1"),
            &world.identity,
        );
        world.write_encrypted(
            "repo/clusters/infra/web.yaml",
            &secret("rotated-web", "hunter2"),
            &world.identity,
        );
        world.push();
        world.git(&["branch", "--set-upstream-to=origin/main"]);
        let said = world.bootstrap(&[]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        Self { world }
    }

    /// `kubectl kubiya rotate-key` in the clone, by the real kubectl.
    pub(crate) fn rotate(&self, more: &[&str]) -> Said {
        self.said(self.rotate_command(more).output().unwrap())
    }

    pub(crate) fn rotate_command(&self, more: &[&str]) -> std::process::Command {
        let mut command = self.world.command(&self.world.rig.bin("kubectl"));
        command.args(["kubiya", "rotate-key", "--context", "hub"]).args(more);
        command.current_dir(self.world.path("repo"));
        command
    }

    /// The output, in which no private key is.
    pub(crate) fn said(&self, output: Output) -> Said {
        let said = self.world.said(output);
        for file in ["repo/new.agekey", "new.agekey"] {
            let text = std::fs::read_to_string(self.world.path(file)).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY")) {
                assert!(!said.stdout.contains(line) && !said.stderr.contains(line), "the new key was shown");
            }
        }
        said
    }

    /// The text without what differs from run to run.
    pub(crate) fn masked(&self, text: &str) -> String {
        let mut masked = text.replace(self.world.path("").to_str().unwrap(), "[DIR]");
        let old = self.world.identity.recipient().unwrap();
        let new = self.recipient("new.agekey");
        for (recipient, name) in [(old, "OLD"), (new, "NEW")] {
            if recipient.is_empty() {
                continue;
            }
            masked = masked.replace(&recipient, &format!("[{name}]"));
            masked = masked.replace(&kubectl_kubiya::rotation::short(&recipient), &format!("[{name} short]"));
            masked = masked.replace(&recipient[recipient.len() - 8..], &format!("[{name} end]"));
        }
        let mut words = Vec::new();
        for line in masked.lines() {
            let line = line.split(' ').map(|word| {
                let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                let is_commit = bare.len() == 10 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
                let is_time = bare.len() == 20 && bare.starts_with("20") && bare.ends_with('Z');
                let is_length = bare.ends_with('s') && bare[..bare.len() - 1].parse::<u32>().is_ok();
                match (is_commit, is_time, is_length) {
                    (true, ..) => word.replace(bare, "[COMMIT]"),
                    (_, true, _) => word.replace(bare, "[TIME]"),
                    (_, _, true) => word.replace(bare, "[LENGTH]"),
                    _ => word.to_owned(),
                }
            });
            words.push(line.collect::<Vec<_>>().join(" "));
        }
        words.join("\n")
    }

    fn recipient(&self, key: &str) -> String {
        let path = self.world.path("repo").join(key);
        let output =
            self.world.command(&self.world.rig.bin("age-keygen")).arg("-y").arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Whether the real sops opens a file of the clone; `age.agekey` is the old key, other keys are in the clone.
    pub(crate) fn sops_opens(&self, key: &str, file: &str) -> bool {
        let key = if key == "age.agekey" { self.world.path(key) } else { self.world.path("repo").join(key) };
        let mut command = self.world.command(&self.world.rig.bin("sops"));
        command.arg("decrypt").arg(self.world.path("repo").join(file)).env("SOPS_AGE_KEY_FILE", key);
        command.output().unwrap().status.success()
    }

    pub(crate) fn age_opens(&self, key: &str, file: &str) -> bool {
        let repo = self.world.path("repo");
        let mut command = self.world.command(&self.world.rig.bin("age"));
        let output = command.args(["-d", "-i"]).arg(repo.join(key)).arg(repo.join(file)).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains("AGE-SECRET-KEY-1")
    }

    /// Names of the entries of `sops-age`.
    pub(crate) fn entries(&self) -> Vec<String> {
        let data = self.world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.data}");
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        data.as_object().unwrap().keys().cloned().collect()
    }

    pub(crate) fn annotations(&self) -> String {
        self.world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.metadata.annotations}")
    }

    pub(crate) fn events(&self) -> String {
        self.world.hub(&["events", "-n", "flux-system"], "{.items[*].reason}")
    }

    /// A new password in an encrypted file, by the real sops, pushed.
    pub(crate) fn change_password(&self, password: &str) {
        let key = self.world.path("repo/new.agekey");
        let key = if key.exists() { key } else { self.world.path("age.agekey") };
        let mut command = self.world.command(&self.world.rig.bin("sops"));
        command.args(["set", "clusters/infra/db.yaml", "[\"stringData\"][\"password\"]"]);
        command.arg(format!("{password:?}")).current_dir(self.world.path("repo"));
        let keys = std::fs::read_to_string(self.world.path("age.agekey")).unwrap()
            + &std::fs::read_to_string(key).unwrap();
        let output = command.env("SOPS_AGE_KEY", keys).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.world.git(&["commit", "--quiet", "--all", "-m", "a new password"]);
        self.world.git(&["push", "--quiet"]);
        self.reconcile();
    }

    pub(crate) fn reconcile(&self) {
        let now = format!("reconcile.fluxcd.io/requestedAt={:?}", std::time::SystemTime::now());
        let words = [
            "-n",
            "flux-system",
            "annotate",
            "--overwrite",
            "gitrepository/flux-system",
            "kustomization/flux-system",
        ];
        self.world.rig.hub().run(words.into_iter().chain([now.as_str()])).unwrap();
    }

    pub(crate) fn eventually_applied(&self, password: &str) {
        use base64::Engine as _;
        let wanted = base64::engine::general_purpose::STANDARD.encode(password);
        eventually("the new password is on the hub", LONG, || {
            Ok(self.world.hub(&["secret", "rotated-db"], "{.data.password}") == wanted)
        })
        .unwrap();
    }

    /// Waits until the tip of the branch is applied.
    pub(crate) fn eventually_ready(&self) {
        let tip = self.world.git_line(&["rev-parse", "origin/main"]);
        let path = "{.status.lastAppliedRevision} {.status.conditions[?(@.type=='Ready')].status}";
        eventually("the tip is applied", LONG, || {
            let state = self.world.hub(&["kustomization", "flux-system", "-n", "flux-system"], path);
            Ok(state == format!("main@sha1:{tip} True"))
        })
        .unwrap();
    }

    /// Reverts the newest commit of a rotation that is not reverted yet, and pushes.
    pub(crate) fn revert_last_rotation(&self) {
        let log = self.world.git_line(&["log", "--format=%H %s", "origin/main"]);
        let reverted = log.lines().filter(|line| line.contains(" Revert ")).count();
        let mut ours = log.lines().filter(|line| !line.contains(" Revert ") && line.contains("age key"));
        let commit = ours.nth(reverted).unwrap().split(' ').next().unwrap().to_owned();
        self.world.git(&["revert", "--no-edit", &commit]);
        self.world.git(&["push", "--quiet"]);
        self.reconcile();
    }

    pub(crate) fn suspend(&self, suspended: bool) {
        let patch = format!("{{\"spec\":{{\"suspend\":{suspended}}}}}");
        let words =
            ["-n", "flux-system", "patch", "kustomization", "flux-system", "--type=merge", "-p", &patch];
        self.world.rig.hub().run(words).unwrap();
    }

    /// Asks every 100 ms whether Flux decrypts.
    pub(crate) fn watch_decryption(&self) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let path = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status} {.status.conditions[?(@.type=='Ready')].message}{\"\\n\"}{end}";
        let thread = std::thread::spawn({
            let (stop, kubectl) = (stop.clone(), self.world.rig.bin("kubectl"));
            let kubeconfig = self.world.rig.info().kubeconfig.clone();
            move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let output = std::process::Command::new(&kubectl)
                        .env("KUBECONFIG", &kubeconfig)
                        .args([
                            "--context",
                            "hub",
                            "get",
                            "kustomizations",
                            "-A",
                            "-o",
                            &format!("jsonpath={path}"),
                        ])
                        .output()
                        .unwrap();
                    let text = String::from_utf8(output.stdout).unwrap();
                    failures.extend(
                        text.lines()
                            .filter(|line| line.starts_with("False") && line.contains("decrypt"))
                            .map(str::to_owned),
                    );
                    std::thread::sleep(Duration::from_millis(100));
                }
                failures
            }
        });
        Watch { stop, thread }
    }
}
