//! From a key that is made to a Flux that goes again.

use crate::typist::{CTRL_C, Typist};
use crate::world::{Said, World};
use kubiya_policies::sops::age::Identity;

fn uninstall(world: &World, more: &[&str]) -> Said {
    let words = [&["kubiya", "uninstall", "--context", "hub"], more].concat();
    world.said(world.command(&world.rig.bin("kubectl")).args(words).output().unwrap())
}

#[test]
fn a_key_is_made_and_kept_where_it_can_be_read_back() {
    let world = World::new();
    let recovery = Identity::generate().recipient().unwrap();
    let make = ["--age-key-file", "made.agekey", "--generate-age-key"];
    let said = world.bootstrap(&make);
    assert!(said.code == 2 && said.stderr.contains("--no-recovery"), "{}", said.stderr);
    let said = world.bootstrap(&[&make[..], &["--no-recovery", "--dry-run"]].concat());
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(!world.path("made.agekey").exists());
    let with = [&make[..], &["--recovery", &recovery, "--repo", "repo"]].concat();
    let said = world.bootstrap(&with);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let key = std::fs::read_to_string(world.path("made.agekey")).unwrap();
    let line = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    assert!(!said.stderr.contains(line) && !said.stdout.contains(line));
    let public = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    assert!(said.stderr.contains(&format!("its public half: {public}")), "{}", said.stderr);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(world.path("made.agekey").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let rules = std::fs::read_to_string(world.path("repo/.sops.yaml")).unwrap();
    assert!(rules.contains(public) && rules.contains(&recovery), "{rules}");
    // The same command once more finds the key and writes nothing.
    world.push();
    let before = world.versions();
    assert_eq!(world.bootstrap(&with).code, 0);
    assert_eq!(std::fs::read_to_string(world.path("made.agekey")).unwrap(), key);
    assert_eq!(before, world.versions());
}

#[test]
fn flux_goes_and_what_it_applied_and_the_key_stay() {
    let world = World::new();
    let hub = world.rig.hub();
    let said = world.bootstrap(&["--worker", "worker01=worker01"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let before = world.versions();
    let unasked = uninstall(&world, &[]);
    assert!(unasked.code == 2 && unasked.stderr.contains("nobody can be asked here"), "{}", unasked.stderr);
    // Somebody at a terminal is asked, and may go another way.
    for (keys, code, wanted) in [(CTRL_C, 130, "error: interrupted"), ("no\n", 2, "not confirmed")] {
        let mut command = world.command(std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")));
        let mut typist = Typist::start(command.args(["uninstall", "--context", "hub"]));
        typist.answer("Type yes: ", keys);
        let (ended, shown) = typist.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(wanted), "{shown}");
    }
    let dry = uninstall(&world, &["--dry-run", "-o", "json"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(
        dry.stderr.contains("goes Kustomization flux-system/flux-system (its 1 objects stay"),
        "{}",
        dry.stderr
    );
    assert!(!dry.stderr.contains("sops-age"), "{}", dry.stderr);
    let plan: serde_json::Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(plan["controllers"].as_array().unwrap().len(), 3, "{}", dry.stdout);
    assert_eq!(before, world.versions());

    let gone = uninstall(&world, &["--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.stderr);
    assert!(gone.stderr.contains("the Secret flux-system/sops-age stays"), "{}", gone.stderr);
    let crds = hub.run(["get", "crds", "-o", "name"]).unwrap();
    assert!(!crds.contains("fluxcd.io"), "{crds}");
    let left = "deployments,services,networkpolicies,resourcequotas,secrets";
    let left = world.hub(&[left, "-n", "flux-system"], "{.items[*].metadata.name}");
    assert_eq!(left, "sops-age");
    let roles = world.hub(
        &["clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=flux"],
        "{.items[*].metadata.name}",
    );
    assert_eq!(roles, "");
    // What Flux had applied was not pruned on the way.
    assert_eq!(world.hub(&["configmap", "first", "-n", "default"], "{.metadata.name}"), "first");
    let again = uninstall(&world, &["--yes"]);
    assert!(
        again.code == 0 && again.stderr.contains("nothing of Flux is in flux-system"),
        "{}",
        again.stderr
    );
    let back = world.bootstrap(&[]);
    assert_eq!(back.code, 0, "{}", back.stderr);
}
