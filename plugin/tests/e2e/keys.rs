//! Keys out of the cluster's own Secret.

use kubectl_kubiya::cluster::ConnectionArgs;
use kubectl_kubiya::keys::{KeyArgs, KeyRing};
use kubiya_hook::edge::{Console, Failure};
use kubiya_policies::sops::age::Identity;
use kubiya_policies::sops::keys::{DataKey, KeyBytes, KeyService as _};
use kubiya_policies::sops::recipient::Recipient;
use kubiya_testdata::harness::Rig;
use kubiya_testdata::parts::PartSet;
use secrecy::ExposeSecret as _;

fn gather(rig: &Rig, namespace: &str) -> Result<KeyRing, Failure> {
    let connection = ConnectionArgs {
        kubeconfig: Some(rig.info().kubeconfig.clone()),
        namespace: namespace.to_owned(),
        ..ConnectionArgs::default()
    };
    let keys = KeyArgs { from_cluster: true, ..KeyArgs::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(keys.gather(&connection))
}

fn told(failure: Failure) -> String {
    let (console, _, err) = Console::captured();
    console.finish(Err(failure));
    err.take()
}

#[test]
fn the_keys_of_flux_open_what_is_for_it() {
    let rig = Rig::shared(PartSet::Test);
    let namespace = rig.fresh_namespace().unwrap();
    let failure = told(gather(rig, &namespace).unwrap_err());
    assert!(
        failure.contains(&format!("Secret {namespace}/sops-age of hub: there is no such Secret")),
        "{failure}"
    );

    let keys = [Identity::generate(), Identity::generate()];
    let line = |index: usize| keys[index].expose_line().expose_secret();
    let entries = [
        format!("--from-literal=age.agekey={}", line(0)),
        format!("--from-literal=old.agekey=# old\n{}\n", line(1)),
        "--from-literal=broken.agekey=canary-Zx81".to_owned(),
        "--from-literal=other=canary-Zx81".to_owned(),
    ];
    let create = ["-n", &namespace, "create", "secret", "generic", "sops-age"];
    let create = create.into_iter().chain(entries.iter().map(String::as_str));
    assert!(rig.kubectl(create).unwrap().status.success());
    let ring = gather(rig, &namespace).unwrap();
    for identity in &keys {
        let secret = KeyBytes::Whole(DataKey::new([7; 32]));
        let wrapped = ring.wrap(&secret, &Recipient::Age(identity.recipient().unwrap())).unwrap();
        assert_eq!(ring.unwrap(&wrapped).unwrap(), secret);
    }

    let patch = r#"{"data": {"age.agekey": null, "old.agekey": null}}"#;
    let patch = ["-n", &namespace, "patch", "secret", "sops-age", "--type=merge", "-p", patch];
    assert!(rig.kubectl(patch).unwrap().status.success());
    let failure = told(gather(rig, &namespace).unwrap_err());
    assert!(failure.contains("broken.agekey in Secret") && !failure.contains("canary"), "{failure}");
}
