//! The rig proves itself: Flux's real controllers decrypt a real SOPS file from a real Git server into
//! a worker cluster, processes follow their Deployments, and killed rigs leave nothing behind.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use kubiya_testdata::git_server::{GitServer, Options};
use kubiya_testdata::harness::{Rig, eventually, workspace_bin};
use kubiya_testdata::parts::PartSet;
use kubiya_testdata::rig::RigInfo;
use kubiya_testdata::rig::run_dir::ProcessId;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(90);

fn install_flux(rig: &Rig) {
    let manifests = fs::read_to_string(&rig.info().flux_manifests).unwrap();
    rig.hub().apply(&manifests).unwrap();
    let available = ["-n", "flux-system", "wait", "deployment", "--all", "--for=condition=Available"];
    rig.hub().run(available.iter().chain(&["--timeout=90s"])).unwrap();
}

/// The processes that run a program of this rig with this rig's kubeconfig of a controller.
fn processes(rig: &Rig, program: &str) -> Vec<u32> {
    let home = rig.info().run_dir.join("controllers");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |text: &[u8], part: &str| String::from_utf8_lossy(text).contains(part);
        has(&line, program) && has(&environment, &home.display().to_string())
    })
    .collect()
}

fn hermetic(program: &Path, dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with one SOPS-encrypted Secret under `apps/`, pushed; gives the age identity's file.
fn push_encrypted_secret(rig: &Rig, dir: &Path, url: &str, value: &str) {
    let git = |arguments: &[&str]| hermetic(Path::new("git"), dir, arguments);
    hermetic(&rig.bin("age-keygen"), dir, &["-o", "age.key"]);
    let recipient = hermetic(&rig.bin("age-keygen"), dir, &["-y", "age.key"]);
    fs::create_dir(dir.join("apps")).unwrap();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: default\nstringData:\n  password: {value}\n"
    );
    fs::write(dir.join("apps/db.yaml"), secret).unwrap();
    let recipient = recipient.trim();
    hermetic(
        &rig.bin("sops"),
        dir,
        &[
            "--encrypt",
            "--age",
            recipient,
            "--encrypted-regex",
            "^(data|stringData)$",
            "--in-place",
            "apps/db.yaml",
        ],
    );
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "apps"]);
    git(&["commit", "--quiet", "-m", "first"]);
    git(&["push", "--quiet", url, "main"]);
}

fn sync_objects(url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n\
         metadata: {{name: fleet, namespace: flux-system}}\n\
         spec: {{url: \"{url}\", ref: {{branch: main}}, interval: 1s, secretRef: {{name: git-login}}}}\n---\n\
         apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {{name: apps, namespace: flux-system}}\n\
         spec:\n  interval: 10s\n  retryInterval: 1s\n  path: ./apps\n  prune: true\n\
         \x20 sourceRef: {{kind: GitRepository, name: fleet}}\n\
         \x20 decryption: {{provider: sops, secretRef: {{name: sops-age}}}}\n\
         \x20 kubeConfig: {{secretRef: {{name: worker01-kubeconfig}}}}\n"
    )
}

#[test]
fn a_secret_goes_from_git_through_flux_to_the_worker() {
    let rig = Rig::shared(PartSet::Test);
    let _turn = rig.flux_turn().unwrap();
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let credentials = Some(("ann".to_owned(), "s3cret".to_owned()));
    let server = GitServer::start_with(root.path(), Options { credentials, ..Options::default() }).unwrap();
    server.create_repo("fleet", None).unwrap();
    let with_password = server.url("fleet").replace("http://", "http://ann:s3cret@");
    push_encrypted_secret(rig, work.path(), &with_password, "hunter2");

    let began = Instant::now();
    install_flux(rig);
    let key = work.path().join("age.key");
    let worker = rig.worker("worker01").unwrap();
    let file = |name: &str, path: &Path| format!("--from-file={name}={}", path.display());
    let create = ["-n", "flux-system", "create", "secret", "generic"];
    let hub = rig.hub();
    hub.run(create.map(String::from).iter().chain(&["sops-age".into(), file("age.agekey", &key)])).unwrap();
    let kubeconfig = file("value", worker.kubeconfig());
    hub.run(create.map(String::from).iter().chain(&["worker01-kubeconfig".into(), kubeconfig])).unwrap();
    let login = ["git-login", "--from-literal=username=ann", "--from-literal=password=s3cret"];
    hub.run(create.iter().chain(&login)).unwrap();
    hub.apply(&sync_objects(&server.url("fleet"))).unwrap();

    let get = ["get", "secret", "db", "--ignore-not-found", "-o", "jsonpath={.data.password}"];
    let outcome = eventually("the Secret on the worker", LONG, || Ok(worker.run(get)? == "aHVudGVyMg=="));
    if outcome.is_err() {
        let objects = hub.run(["-n", "flux-system", "get", "gitrepositories,kustomizations", "-o", "yaml"]);
        eprintln!("{}", objects.unwrap());
    }
    outcome.unwrap();
    eprintln!("on the worker {:.1} s after the installation began", began.elapsed().as_secs_f32());
    let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    eventually("Ready", LONG, || {
        Ok(hub.run(["-n", "flux-system", "get", "kustomization", "apps", "-o", ready])? == "True")
    })
    .unwrap();

    // A source that is broken says so, as the real one would.
    hub.run([
        "-n",
        "flux-system",
        "patch",
        "gitrepository",
        "fleet",
        "--type=merge",
        "-p",
        "{\"spec\":{\"ref\":{\"branch\":\"gone\"}}}",
    ])
    .unwrap();
    let reason = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}";
    eventually("GitOperationFailed", LONG, || {
        Ok(hub.run(["-n", "flux-system", "get", "gitrepository", "fleet", "-o", reason])?
            == "GitOperationFailed")
    })
    .unwrap();
    worker.run(["delete", "secret", "db", "--ignore-not-found"]).unwrap();
    rig.uninstall_flux().unwrap();
}

#[test]
fn a_controller_lives_and_dies_with_its_deployment() {
    let rig = Rig::shared(PartSet::Test);
    let _turn = rig.flux_turn().unwrap();
    install_flux(rig);
    let program = "kustomize-controller";
    let running = || processes(rig, program);
    eventually("a process", LONG, || Ok(running().len() == 1)).unwrap();
    let first = running();

    let hub = rig.hub();
    let add = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--concurrent=7"}]"#;
    hub.run(["-n", "flux-system", "patch", "deployment", program, "--type=json", "-p", add]).unwrap();
    eventually("another process with the new argument", LONG, || {
        let now = running();
        Ok(now.len() == 1
            && now != first
            && String::from_utf8_lossy(&fs::read(format!("/proc/{}/cmdline", now[0]))?)
                .contains("--concurrent=7"))
    })
    .unwrap();
    hub.run(["-n", "flux-system", "scale", "deployment", program, "--replicas=0"]).unwrap();
    eventually("no process at no replicas", LONG, || Ok(running().is_empty())).unwrap();
    hub.run(["-n", "flux-system", "scale", "deployment", program, "--replicas=1"]).unwrap();
    eventually("a process again", LONG, || Ok(running().len() == 1)).unwrap();
    hub.run(["-n", "flux-system", "delete", "deployment", program]).unwrap();
    eventually("no process without a Deployment", LONG, || Ok(running().is_empty())).unwrap();
    rig.uninstall_flux().unwrap();
    assert!(processes(rig, "source-controller").is_empty());
}

/// Objects by kind, namespace and name.
fn objects(manifest: &str) -> BTreeMap<(String, String, String), Value> {
    let documents =
        serde_yaml::Deserializer::from_str(manifest).map(|document| Value::deserialize(document).unwrap());
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    documents
        .filter(|object| !object.is_null())
        .map(|object| {
            let key = (
                text(&object, "/kind"),
                text(&object, "/metadata/namespace"),
                text(&object, "/metadata/name"),
            );
            (key, object)
        })
        .collect()
}

#[test]
fn the_assembled_manifest_is_what_the_flux_tool_exports() {
    let rig = Rig::shared(PartSet::Test);
    let home = tempfile::tempdir().unwrap();
    let components = "--components=source-controller,kustomize-controller,helm-controller";
    let exported = hermetic(&rig.bin("flux"), home.path(), &["install", components, "--export"]);
    let assembled = fs::read_to_string(&rig.info().flux_manifests).unwrap();
    assert!(exported.contains("Deployment"));
    assert_eq!(objects(&exported), objects(&assembled));
}

/// A supervisor of one's own, whose end is in the test's hands.
fn supervisor() -> (Child, RigInfo) {
    let mut child = Command::new(workspace_bin("kubiya-rig").unwrap())
        .args(["up", "--set", "demo", "--workers", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn recorded(rig: &RigInfo) -> Vec<ProcessId> {
    let list = fs::read_to_string(rig.run_dir.join("processes")).unwrap();
    let numbers = list.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap());
    numbers.filter_map(ProcessId::of).collect()
}

#[test]
fn two_rigs_run_at_once_and_the_next_start_cleans_up_after_a_killed_one() {
    let shared = Rig::shared(PartSet::Test);
    let (mut killed, killed_info) = supervisor();
    let left = recorded(&killed_info);
    assert!(left.len() >= 5 && left.iter().all(|process| process.is_alive()));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(left.iter().all(|process| process.is_alive()), "nobody has cleaned up yet");

    let began = Instant::now();
    let (mut next, next_info) = supervisor();
    assert!(began.elapsed() < Duration::from_secs(20), "up after {:?}", began.elapsed());
    assert!(!left.iter().any(|process| process.is_alive()));
    assert!(!killed_info.run_dir.exists());
    let namespaces = [shared.fresh_namespace().unwrap(), shared.fresh_namespace().unwrap()];
    assert_ne!(namespaces[0], namespaces[1]);

    let own = recorded(&next_info);
    drop(next.stdin.take());
    assert!(next.wait().unwrap().success());
    assert!(!own.iter().any(|process| process.is_alive()));
    assert!(!next_info.run_dir.exists());
    shared.hub().run(["get", "nodes"]).unwrap();
}

#[test]
fn an_interrupt_while_it_comes_up_leaves_nothing() {
    let mut child = Command::new(workspace_bin("kubiya-rig").unwrap())
        .args(["up", "--set", "demo", "--workers", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let children = || {
        let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        list.split_ascii_whitespace().filter_map(|pid| ProcessId::of(pid.parse().ok()?)).collect::<Vec<_>>()
    };
    eventually("API servers", LONG, || Ok(children().len() >= 3)).unwrap();
    let started = children();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert!(child.wait().unwrap().success());
    assert!(!started.iter().any(|process| process.is_alive()));
}
