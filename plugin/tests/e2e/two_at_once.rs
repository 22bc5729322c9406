//! Two runs at once, and what a run leaves for others to see.

use crate::world::World;
use kubiya_policies::sops::age::{Identity, IdentityFile};
use kubiya_testdata::harness::eventually;
use secrecy::ExposeSecret as _;
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);
const LEASE: [&str; 4] = ["lease", "kubectl-kubiya", "-n", "flux-system"];

fn lease_of(holder: &str, renewed: &str) -> String {
    format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: kubectl-kubiya, namespace: flux-system}}\n\
         spec: {{holderIdentity: {holder}, leaseDurationSeconds: 15, renewTime: '{renewed}'}}\n"
    )
}

#[test]
fn two_at_once_come_one_after_the_other_and_neither_loses_what_the_other_brought() {
    let world = World::new();
    let other = Identity::generate();
    world.write("other.agekey", &format!("{}\n", other.expose_line().expose_secret()));
    let way = ["--wait=false"];
    let first = world.begin_bootstrap(&way);
    let second = world.begin_bootstrap(&[&way[..], &["--age-key-file", "other.agekey"]].concat());
    for child in [first, second] {
        let said = world.said(child.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{}", said.stderr);
    }
    let entry = world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.data.age\\.agekey}");
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(entry).unwrap();
    let there = IdentityFile::parse(&bytes).unwrap();
    for identity in [&world.identity, &other] {
        assert!(there.identities().contains(identity), "an identity was lost");
    }
    // Given back, and who did what is written down.
    assert_eq!(world.hub(&LEASE, "{.spec.holderIdentity}"), "");
    let secret = ["secret", "sops-age", "-n", "flux-system"];
    let recipients = world.hub(&secret, "{.metadata.annotations.kubiya\\.dev/recipients}");
    for identity in [&world.identity, &other] {
        assert!(recipients.contains(&identity.recipient().unwrap()), "{recipients}");
    }
    assert_eq!(world.hub(&secret, "{.metadata.annotations.kubiya\\.dev/changed-by}"), "kubernetes-admin");
    let told = world.hub(
        &["events", "-n", "flux-system"],
        "{range .items[?(@.reason==\"Bootstrapped\")]}{.message}{end}",
    );
    assert!(
        told.contains("objects written by kubernetes-admin") && told.contains(&recipients[..20]),
        "{told}"
    );

    // A run with nothing to do takes no Lease, whoever has it; one that writes waits, and says for whom.
    let version = world.hub(&LEASE, "{.metadata.resourceVersion}");
    assert_eq!(world.bootstrap(&way).code, 0);
    assert_eq!(version, world.hub(&LEASE, "{.metadata.resourceVersion}"));
    let later = "2999-01-01T00:00:00.000000Z";
    world.rig.hub().run(["-n", "flux-system", "delete", "lease", "kubectl-kubiya"]).unwrap();
    world.apply(&lease_of("joe", later));
    assert_eq!(world.bootstrap(&way).code, 0);
    world.rig.hub().run(["-n", "flux-system", "delete", "secret", "sops-age"]).unwrap();
    let said = world.bootstrap(&["--wait=false", "--timeout", "2s"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains("cause: joe is changing this cluster"), "{}", said.stderr);
    assert_eq!(world.hub(&secret, "{.metadata.name}"), "");
    let said = world.kubiya(&["uninstall", "--context", "hub", "--yes", "--timeout", "2s"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    // Nobody renews it: it ends.
    let said = world.bootstrap(&way);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.hub(&secret, "{.metadata.name}"), "sops-age");
    assert_eq!(world.hub(&LEASE, "{.spec.holderIdentity}"), "");
    let said = world.kubiya(&["uninstall", "--context", "hub", "--yes"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.hub(&LEASE, "{.metadata.name}"), "");
}

#[test]
fn ctrl_c_says_where_it_stopped_and_gives_the_lease_back() {
    let world = World::new();
    // No pod may be made: what is waited for does not come.
    let hub = world.rig.hub();
    hub.run(["create", "namespace", "flux-system"]).unwrap();
    hub.run(["-n", "flux-system", "create", "quota", "none", "--hard=pods=0"]).unwrap();
    let child = world.begin_bootstrap(&[]);
    eventually("the Deployments are there", LONG, || {
        let words = ["get", "deployments", "-n", "flux-system", "-o", "name"];
        Ok(world.rig.hub().run(words)?.lines().count() == 3)
    })
    .unwrap();
    assert!(!world.hub(&LEASE, "{.spec.holderIdentity}").is_empty());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{}", said.stderr);
    assert!(said.stderr.contains("cause: it stopped while it "), "{}", said.stderr);
    assert!(said.stderr.contains("run the same command again"), "{}", said.stderr);
    assert_eq!(world.hub(&LEASE, "{.spec.holderIdentity}"), "");
    // What the cluster says of it is said where the wait ends.
    let late = world.bootstrap(&["--timeout", "3s"]);
    assert_eq!(late.code, 4, "{}", late.stderr);
    assert!(late.stderr.contains("exceeded quota: none, requested: pods=1"), "{}", late.stderr);
    hub.run(["-n", "flux-system", "delete", "quota", "none"]).unwrap();
    let healed = world.bootstrap(&[]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
}
