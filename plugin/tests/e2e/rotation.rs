//! A hub that is bootstrapped from a repository with encrypted files, and what rotations of its key are judged by.

use crate::world::{Said, World, secret};
use kubiya_policies::sops::age::{Identity, IdentityFile};
use kubiya_testdata::harness::eventually;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const LONG: Duration = Duration::from_secs(180);
const READY: &str = "{.status.conditions[?(@.type=='Ready')].status}";
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
    /// How many keys there were.
    keys: std::cell::Cell<usize>,
    /// The file of the key that Flux has now, and the commit since when.
    at_hand: std::cell::RefCell<(String, String)>,
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
        world.git(&["remote", "set-url", "origin", &world.url()]);
        world.git(&["branch", "--set-upstream-to=origin/main"]);
        let said = world.bootstrap(&[]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let tip = world.git_line(&["rev-parse", "HEAD"]);
        let at_hand = std::cell::RefCell::new(("age.agekey".to_owned(), tip));
        Self { world, keys: std::cell::Cell::new(0), at_hand }
    }

    /// A person becomes a recipient of all files; gives the public key.
    pub(crate) fn somebody_else_reads_it(&self, key: &str) -> String {
        let person = Identity::generate();
        let recipient = person.recipient().unwrap();
        let line = secrecy::ExposeSecret::expose_secret(person.expose_line());
        self.world.write(&format!("repo/{key}"), &format!("{line}\n"));
        let old = self.world.path("age.agekey").display().to_string();
        let said = self.rotate(&["--no-cluster", "--add-recipient", &recipient, "--age-key-file", &old]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        self.world.git(&["commit", "--quiet", "--all", "-m", "a person"]);
        self.world.git(&["push", "--quiet"]);
        self.reconcile();
        self.eventually_ready();
        recipient
    }

    /// The name of a file for one more key.
    pub(crate) fn next_key(&self) -> String {
        self.keys.set(self.keys.get() + 1);
        self.last_key()
    }

    pub(crate) fn last_key(&self) -> String {
        format!("key-{}.agekey", self.keys.get())
    }

    /// From now on this is the key.
    pub(crate) fn accept(&self, key: &str) {
        *self.at_hand.borrow_mut() = (key.to_owned(), self.world.git_line(&["rev-parse", "HEAD"]));
    }

    pub(crate) fn key_at_hand(&self) -> String {
        self.at_hand.borrow().0.clone()
    }

    /// The commit since when the key at hand is the key.
    pub(crate) fn accepted(&self) -> String {
        self.at_hand.borrow().1.clone()
    }

    /// The identities that Flux has, a line each.
    pub(crate) fn flux_keys(&self) -> String {
        use base64::Engine as _;
        let data = self.world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.data}");
        let data: std::collections::BTreeMap<String, String> = serde_json::from_str(&data).unwrap();
        let active = data.into_iter().filter(|(name, _)| name.ends_with(".agekey"));
        let texts = active.map(|(_, text)| base64::engine::general_purpose::STANDARD.decode(text).unwrap());
        texts.map(|text| String::from_utf8(text).unwrap() + "\n").collect()
    }

    /// Whether the real sops opens a text with some keys.
    pub(crate) fn sops_opens_text(&self, keys: &str, text: &str) -> bool {
        let file = self.world.path("judged.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = self.world.command(&self.world.rig.bin("sops"));
        command.arg("decrypt").arg(file).env("SOPS_AGE_KEY", keys).output().unwrap().status.success()
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
        let keys = std::fs::read_dir(self.world.path("repo")).unwrap().flatten().map(|entry| entry.path());
        for file in keys.filter(|path| path.extension().is_some_and(|end| end == "agekey")) {
            let text = std::fs::read_to_string(file).unwrap();
            for line in text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY")) {
                assert!(!said.stdout.contains(line) && !said.stderr.contains(line), "the new key was shown");
            }
        }
        said
    }

    /// The text without what differs from run to run.
    pub(crate) fn masked(&self, text: &str) -> String {
        let mut masked = text.replace(self.world.path("").to_str().unwrap(), "[DIR]/");
        masked = masked.replace(self.world.url().trim_end_matches("/gitops"), "[SERVER]");
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
        // A line now and then while it is waited says only that the machine is slow.
        for line in masked.lines().filter(|line| !line.trim_start().starts_with("waiting ")) {
            // What the controller says of its own temporary folder.
            let line = line.split("stat /").next().unwrap_or_default();
            // Which object it came to first.
            let line = line.split("ReconciliationFailed: ").next().unwrap_or_default();
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

    pub(crate) fn reconcile_source(&self, name: &str) {
        let now = format!("reconcile.fluxcd.io/requestedAt={:?}", std::time::SystemTime::now());
        let source = format!("gitrepository/{name}");
        self.world.rig.hub().run(["-n", "flux-system", "annotate", "--overwrite", &source, &now]).unwrap();
    }

    fn eventually_status(&self, namespace: &str, name: &str, path: &str, wanted: &str) {
        eventually(&format!("Kustomization {name} is {wanted}"), LONG, || {
            Ok(self.world.hub(&["kustomization", name, "-n", namespace], path) == wanted)
        })
        .unwrap();
    }

    pub(crate) fn eventually_failing(&self, name: &str) {
        self.eventually_status("flux-system", name, READY, "False");
    }

    pub(crate) fn eventually_ready_named(&self, name: &str) {
        self.eventually_status("flux-system", name, READY, "True");
    }

    pub(crate) fn eventually_ready_in(&self, namespace: &str, name: &str) {
        self.eventually_status(namespace, name, READY, "True");
    }

    /// Waits until the tip of another repository is applied.
    pub(crate) fn eventually_applied_by(&self, name: &str, url: &str) {
        let tip = self.world.git_line(&["ls-remote", url, "refs/heads/main"]);
        let tip = tip.split_whitespace().next().unwrap();
        let path = "{.status.lastAppliedRevision}";
        self.eventually_status("flux-system", name, path, &format!("main@sha1:{tip}"));
    }

    /// Another clone of the repository, in a folder of that name.
    pub(crate) fn clone_again(&self, name: &str) {
        let to = self.world.path(name).display().to_string();
        self.world.git(&["clone", "--quiet", &self.world.url(), &to]);
    }

    /// A work tree that is linked to a clone with one commit.
    pub(crate) fn shallow_linked(&self, name: &str) {
        let [clone, linked] = ["shallow", name].map(|name| self.world.path(name).display().to_string());
        self.world.git(&["clone", "--quiet", "--depth=1", &self.world.url(), &clone]);
        self.world.git(&["-C", &clone, "switch", "--quiet", "--detach"]);
        self.world.git(&["-C", &clone, "worktree", "add", "--quiet", &linked, "main"]);
    }

    /// `kubectl kubiya rotate-key` in another clone.
    pub(crate) fn rotate_in(&self, folder: &str, more: &[&str]) -> std::process::Command {
        let mut command = self.rotate_command(more);
        command.current_dir(self.world.path(folder));
        command
    }

    /// Somebody merges what was proposed: squashed, with a change of their own, and the branch is gone.
    pub(crate) fn squash_merge_proposed(&self) {
        let _ = std::fs::remove_dir_all(self.world.path("merger"));
        self.clone_again("merger");
        let folder = self.world.path("merger").display().to_string();
        let git = |words: &[&str]| self.world.git_line(&[&["-C", &folder], words].concat());
        let branch = git(&["for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin/kubiya/"]);
        assert_eq!(branch.lines().count(), 1, "{branch}");
        git(&["merge", "--quiet", "--squash", &format!("origin/{branch}")]);
        std::fs::write(self.world.path("merger/note.md"), &branch).unwrap();
        git(&["add", "note.md"]);
        git(&["commit", "--quiet", "-m", "Merged by somebody"]);
        git(&["push", "--quiet", "origin", "HEAD", &format!(":{branch}")]);
    }

    /// One key is left, and nothing else of a rotation.
    pub(crate) fn check_over(&self, key: &str) {
        assert_eq!(self.entries(), ["age.agekey"]);
        for file in ENCRYPTED {
            assert!(self.sops_opens(key, file), "{file}: {key} does not open it");
        }
        let status = self.world.git_line(&[
            "status",
            "--porcelain",
            "--untracked-files=all",
            "--",
            "clusters",
            ".sops.yaml",
        ]);
        assert_eq!(status, "");
        assert!(!self.world.path("repo/.git/kubiya/rotation.json").exists());
        assert_eq!(self.world.git_line(&["worktree", "list"]).lines().count(), 1);
        assert!(!self.annotations().contains("kubiya.dev/rotation\""), "{}", self.annotations());
        self.eventually_ready();
    }

    /// The key of the hub, in a namespace of its own.
    pub(crate) fn copy_key_to(&self, namespace: &str) {
        let hub = self.world.rig.hub();
        hub.run(["create", "namespace", namespace]).unwrap();
        let file = format!("--from-file=age.agekey={}", self.world.path("age.agekey").display());
        hub.run(["-n", namespace, "create", "secret", "generic", "sops-age", &file]).unwrap();
    }

    pub(crate) fn entries_in(&self, namespace: &str) -> Vec<String> {
        let data = self.world.hub(&["secret", "sops-age", "-n", namespace], "{.data}");
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        data.as_object().unwrap().keys().cloned().collect()
    }

    /// Makes the code of a file wrong that authenticates it.
    pub(crate) fn break_mac(&self, file: &str) {
        let path = self.world.path("repo").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("namespace: default", "namespace: other", 1)).unwrap();
    }

    pub(crate) fn key_in_clone(&self, key: &str) -> Identity {
        let text = std::fs::read(self.world.path("repo").join(key)).unwrap();
        IdentityFile::parse(&text).unwrap().identities()[0].clone()
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
