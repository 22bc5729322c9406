//! The admission policies on a real API server: whom they warn, whom they refuse, whom they leave alone.

use kubiya_testdata::harness::{Cluster, Rig, eventually};
use kubiya_testdata::parts::PartSet;
use std::process::{Command, Output};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// The policies go with the value, whatever the test came to.
struct Applied<'a>(Cluster<'a>);

impl Drop for Applied<'_> {
    fn drop(&mut self) {
        let kinds = "validatingadmissionpolicybindings,validatingadmissionpolicies";
        let _ = self.0.kubectl(["delete", kinds, "-l", "app.kubernetes.io/managed-by=kubectl-kubiya"]);
    }
}

fn printed(words: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kubectl-kubiya")).arg("policies").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn hands_are_warned_or_refused_and_programs_go_on() {
    let rig = Rig::shared(PartSet::Test);
    let hub = rig.hub();
    let namespace = rig.fresh_namespace().unwrap();
    let create = |who: &[&str], kind: &[&str], name: &str, entry: &str| {
        let words = [&["-n", &namespace, "create", "--dry-run=server"], kind, &[name, entry], who].concat();
        hub.kubectl(words).unwrap()
    };
    let secret = ["secret", "generic"];
    let robot = [
        "--as=system:serviceaccount:default:robot",
        "--as-group=system:serviceaccounts",
        "--as-group=system:masters",
    ];
    let jane = ["--as=jane", "--as-group=system:masters"];
    let _applied = Applied(hub);
    hub.apply(&printed(&["--only-namespace", &namespace])).unwrap();
    // It takes the API server a moment to take a policy up.
    eventually("a Secret by hand is warned of", LONG, || {
        let output = create(&jane, &secret, "s", "--from-literal=a=b");
        assert!(output.status.success(), "{}", stderr(&output));
        Ok(stderr(&output).contains("this Secret was written by jane, past Git"))
    })
    .unwrap();
    // The other default action is for the audit log; the API server counts what it has put there.
    let metrics = hub.run(["get", "--raw", "/metrics"]).unwrap();
    let counted =
        metrics.lines().filter(|line| line.starts_with("apiserver_validating_admission_policy_check_total{"));
    let audited =
        counted.filter(|line| line.contains("enforcement_action=\"audit\"") && line.contains("kubiya"));
    assert!(audited.count() > 0, "{metrics}");
    let quiet = create(&robot, &secret, "s", "--from-literal=a=b");
    assert!(quiet.status.success() && stderr(&quiet).is_empty(), "{}", stderr(&quiet));

    hub.apply(&printed(&["--only-namespace", &namespace, "--deny", "--allow-user", "jane"])).unwrap();
    eventually("a key in a ConfigMap is refused", LONG, || {
        let output = create(&jane, &["configmap"], "c", "--from-literal=a=AGE-SECRET-KEY-1X");
        Ok(!output.status.success() && stderr(&output).contains("no place for a private age key"))
    })
    .unwrap();
    let kubeconfig = create(&robot, &["configmap"], "c", "--from-literal=a=users: [{user: {token: x}}]");
    assert!(stderr(&kubeconfig).contains("no place for a kubeconfig"), "{}", stderr(&kubeconfig));
    let plain = create(&robot, &["configmap"], "c", "--from-literal=a=b");
    assert!(plain.status.success(), "{}", stderr(&plain));
    eventually("others are refused", LONG, || {
        Ok(stderr(&create(&["--as=joe", "--as-group=system:masters"], &secret, "s", "--from-literal=a=b"))
            .contains("written by joe"))
    })
    .unwrap();
    for who in [&jane[..], &robot] {
        let output = create(who, &secret, "s", "--from-literal=a=b");
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    }
    let release = ["secret", "generic", "--type=helm.sh/release.v1"];
    let output = create(&["--as=joe", "--as-group=system:masters"], &release, "s", "--from-literal=a=b");
    assert!(output.status.success(), "{}", stderr(&output));
}
