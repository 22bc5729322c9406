//! Signed commits: what Flux would refuse is not made its source. The stand-in for source-controller does not check
//! signatures; what it is told to check with is looked at here, and what of it verifies in `hooks/src/git/signed.rs`.

use crate::rotation::Rotated;
use std::path::Path;

const SOURCE: [&str; 4] = ["gitrepository", "flux-system", "-n", "flux-system"];

#[test]
fn a_tip_that_flux_would_refuse_is_refused_before_a_write_and_the_keys_stay() {
    let rotated = Rotated::new();
    let world = &rotated.world;
    let before = world.versions();
    let key = |name: &str| {
        let path = world.path(name);
        let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
        assert!(world.command(Path::new("ssh-keygen")).args(words).arg(&path).status().unwrap().success());
        path
    };
    let (signing, other_key) = (key("signing"), key("other"));
    let refused = world.bootstrap(&["--verify-keys", "signing.pub"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("it is not signed"), "{}", refused.stderr);
    assert_eq!(world.versions(), before);
    for (name, value) in
        [("gpg.format", "ssh"), ("user.signingKey", signing.to_str().unwrap()), ("commit.gpgSign", "true")]
    {
        world.git(&["config", name, value]);
    }
    world.write("repo/clusters/infra/second.yaml", &crate::world::config_map("second"));
    world.push();
    let other = world.bootstrap(&["--verify-keys", "other.pub"]);
    assert_eq!(other.code, 3, "{}", other.stderr);
    assert!(other.stderr.contains("a key that does not count"), "{}", other.stderr);
    assert_eq!(world.versions(), before);
    let good = world.bootstrap(&["--verify-keys", "signing.pub", "--verify-keys", "other.pub"]);
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert!(good.stderr.contains("the tip is signed by SHA256:"), "{}", good.stderr);
    let verify = r#"{"mode":"HEAD","secretRef":{"name":"flux-system-signers"}}"#;
    assert_eq!(world.hub(&SOURCE, "{.spec.verify}"), verify);
    let entries = || {
        let data = world.hub(&["secret", "flux-system-signers", "-n", "flux-system"], "{.data}");
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        data.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(entries(), ["other.sshpub", "signing.sshpub"]);
    // A run without the flag keeps them and checks with them; with it, keys that are not named go.
    let before = world.versions();
    let again = world.bootstrap(&[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("the tip is signed by SHA256:"), "{}", again.stderr);
    assert_eq!(before, world.versions());
    assert_eq!(world.bootstrap(&["--verify-keys", "signing.pub", "--wait=false"]).code, 0);
    assert_eq!(entries(), ["signing.sshpub"]);
    world.git(&["config", "commit.gpgSign", "false"]);
    world.write("repo/clusters/infra/third.yaml", &crate::world::config_map("third"));
    world.push();
    let unsigned = world.bootstrap(&[]);
    assert_eq!(unsigned.code, 3, "{}", unsigned.stderr);
    // A rotation would push commits that Flux refuses; that is said before.
    for (signs, wanted) in
        [("false", "this clone does not sign"), ("true", "would not take those of this clone")]
    {
        world.git(&["config", "commit.gpgSign", signs]);
        world.git(&["config", "user.signingKey", other_key.to_str().unwrap()]);
        let said = rotated.rotate(&["--store-key", "next.agekey", "--dry-run"]);
        assert!(said.stderr.contains(wanted), "{}", said.stderr);
    }
    world.git(&["config", "user.signingKey", signing.to_str().unwrap()]);
    let said = rotated.rotate(&["--store-key", "next.agekey", "--dry-run"]);
    assert!(!said.stderr.contains("signed commits only"), "{}", said.stderr);
}
