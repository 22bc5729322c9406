//! With what Flux decrypts: nothing, a cloud's key service, keys of an old cluster, keys of other namespaces.

use crate::world::{World, secret};
use kubiya_policies::sops::age::{Identity, IdentityFile};
use kubiya_testdata::harness::eventually;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

impl World {
    /// A bootstrap without a key.
    fn keyless(&self, more: &[&str]) -> crate::world::Said {
        let manifests = self.rig.info().flux_manifests.display().to_string();
        let url = self.url();
        let words =
            ["bootstrap", "--context", "hub", "--url", &url, "--path", "clusters/infra", "--allow-loopback"];
        self.kubiya(&[&words[..], &["--flux-manifests", &manifests], more].concat())
    }

    /// Makes an OpenPGP key, writes its private half to `flux.asc`, and a Secret for it alone into the repository.
    fn write_for_pgp(&self, name: &str, manifest: &str) {
        std::fs::create_dir_all(self.path("gnupg")).unwrap();
        std::fs::set_permissions(self.path("gnupg"), PermissionsExt::from_mode(0o700)).unwrap();
        let run = |program: &Path, words: &[&str]| {
            let output =
                self.command(program).args(words).env("GNUPGHOME", self.path("gnupg")).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let gpg = |words: &[&str]| {
            run(Path::new("gpg"), &[&["--batch", "--quiet", "--passphrase", ""], words].concat())
        };
        gpg(&["--quick-gen-key", "flux", "future-default", "default", "never"]);
        let listed = gpg(&["--list-keys", "--with-colons"]);
        let fingerprint =
            listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':');
        self.write("flux.asc", &gpg(&["--armor", "--export-secret-keys"]));
        self.write_for(name, manifest, &["--pgp", fingerprint], &[]);
        run(Path::new("gpgconf"), &["--kill", "gpg-agent"]);
    }

    /// Writes a Secret that the real sops encrypted for a key that is not of age.
    fn write_for(&self, name: &str, manifest: &str, key: &[&str], environment: &[(&str, &str)]) {
        self.write(name, manifest);
        let file = self.path(name).display().to_string();
        let words = ["encrypt", "--in-place", "--encrypted-regex", "^(data|stringData)$"];
        let mut command = self.command(&self.rig.bin("sops"));
        command.args(words).args(key).arg(&file).env("GNUPGHOME", self.path("gnupg"));
        let output = command.envs(environment.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn decoded(&self, object: &[&str], jsonpath: &str) -> String {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(self.hub(object, jsonpath)).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

const VAULT_TOKEN: &str = "hvs.canary-vault-2Lm";
const ROLE: &str = "kustomize-controller=eks.amazonaws.com/role-arn=arn:aws:iam::1:role/sops";
const ACCOUNT: [&str; 4] = ["serviceaccount", "kustomize-controller", "-n", "flux-system"];
const SYNC: [&str; 4] = ["kustomization", "flux-system", "-n", "flux-system"];
const SOPS_AGE: [&str; 4] = ["secret", "sops-age", "-n", "flux-system"];

#[test]
fn key_and_workers_are_optional_and_a_clouds_identity_outlives_upgrades() {
    let world = World::new();
    let plain = world.keyless(&[]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert!(plain.stderr.contains("applied main@sha1:"), "{}", plain.stderr);
    assert_eq!(world.hub(&SYNC, "{.spec.decryption}") + &world.hub(&SOPS_AGE, "{.metadata.name}"), "");
    let before = world.versions();
    assert_eq!(world.keyless(&[]).code, 0);
    assert_eq!(before, world.versions());

    // The plan for programs.
    let plan = world.keyless(&["--dry-run", "-o", "yaml"]);
    let plan: serde_yaml::Value = serde_yaml::from_str(&plan.stdout).unwrap();
    let stages = plan["plan"].as_sequence().unwrap();
    let titles: Vec<&str> = stages.iter().map(|stage| stage["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["namespace", "secrets", "definitions and access", "controllers and sync"]);
    assert_eq!(stages[3]["waits"][0]["rolledOut"], "flux-system/helm-controller");

    // A repository with an encrypted file is no place for a Flux that decrypts nothing.
    world.write_encrypted("repo/clusters/infra/db.yaml", &secret("on-the-hub", "hunter1"), &world.identity);
    world.push();
    let refused = world.keyless(&[]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("clusters/infra/db.yaml: it is encrypted"), "{}", refused.stderr);
    world.git(&["rm", "--quiet", "clusters/infra/db.yaml"]);
    world.push();

    // What decrypts by what its account may needs no Secret.
    let role =
        world.keyless(&["--service-account-annotation", ROLE, "--pod-label", "kustomize-controller=a=b"]);
    assert_eq!(role.code, 0, "{}", role.stderr);
    let annotation = r"{.metadata.annotations.eks\.amazonaws\.com/role-arn}";
    let label = ["deployment", "kustomize-controller", "-n", "flux-system"];
    assert_eq!(world.hub(&ACCOUNT, annotation), "arn:aws:iam::1:role/sops");
    assert_eq!(world.hub(&label, "{.spec.template.metadata.labels.a}"), "b");
    assert_eq!(world.hub(&SYNC, "{.spec.decryption}"), r#"{"provider":"sops"}"#);
    // A later run, and other manifests, leave it; a dash takes it away.
    let before = world.versions();
    assert_eq!(world.keyless(&[]).code, 0);
    assert_eq!(before, world.versions());
    let manifests = std::fs::read_to_string(&world.rig.info().flux_manifests).unwrap();
    world.write(
        "newer.yaml",
        &manifests.replace("app.kubernetes.io/version: v2.9.5", "app.kubernetes.io/version: v2.9.9"),
    );
    let url = world.url();
    let upgrade = [
        "bootstrap",
        "--context",
        "hub",
        "--url",
        &url,
        "--path",
        "clusters/infra",
        "--allow-loopback",
        "--flux-manifests",
        "newer.yaml",
        "--wait=false",
    ];
    let upgraded = world.kubiya(&upgrade);
    assert_eq!(upgraded.code, 0, "{}", upgraded.stderr);
    assert_eq!(world.hub(&ACCOUNT, r"{.metadata.labels.app\.kubernetes\.io/version}"), "v2.9.9");
    assert_eq!(world.hub(&ACCOUNT, annotation), "arn:aws:iam::1:role/sops");
    let away =
        ["--service-account-annotation", "kustomize-controller=eks.amazonaws.com/role-arn-", "--wait=false"];
    assert_eq!(world.kubiya(&[&upgrade[..], &away[..2]].concat()).code, 0);
    assert_eq!(world.hub(&ACCOUNT, annotation), "");
}

/// A Kustomization of another namespace that builds a folder of the same repository.
fn of_namespace(namespace: &str, decryption: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {namespace}, namespace: {namespace}}}\n\
         spec:\n  interval: 10m\n  path: ./{namespace}\n  prune: true\n  targetNamespace: {namespace}\n  \
         sourceRef: {{kind: GitRepository, name: flux-system, namespace: flux-system}}\n  decryption: {decryption}\n"
    )
}

#[test]
fn other_namespaces_decrypt_with_a_key_of_their_own_or_with_the_global_one() {
    let mut world = World::new();
    world.hide(VAULT_TOKEN);
    let own = Identity::generate();
    use secrecy::ExposeSecret as _;
    world.write("team.agekey", own.expose_line().expose_secret());
    world.write_encrypted("repo/kubiya-team/db.yaml", &secret("team-db", "hunter3"), &own);
    world.write_encrypted("repo/kubiya-any/db.yaml", &secret("any-db", "hunter4"), &world.identity);
    // What is not for age at all: Flux gets that key, or the token for it, by file.
    world.write_for_pgp("repo/clusters/infra/pgp.yaml", &secret("pgp-db", "hunter5"));
    let transit = format!("{}/v1/transit/keys/flux", crate::vault::serve(VAULT_TOKEN));
    world.write("vault-token", VAULT_TOKEN);
    let in_vault = ["--hc-vault-transit", &transit];
    let manifest = secret("vault-db", "hunter6");
    world.write_for("repo/clusters/infra/vault.yaml", &manifest, &in_vault, &[("VAULT_TOKEN", VAULT_TOKEN)]);
    let secret_ref = "{provider: sops, secretRef: {name: sops-age}}";
    world.write("repo/clusters/infra/team.yaml", &of_namespace("kubiya-team", secret_ref));
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kubiya-any}\n---\n";
    let any = format!("{namespace}{}", of_namespace("kubiya-any", "{provider: sops}"));
    world.write("repo/clusters/infra/any.yaml", &any);
    world.push();
    // The trap: Flux reads no Secret of another namespace.
    let warned = world.bootstrap(&["--dry-run"]);
    assert!(warned.stderr.contains("--decryption-namespace kubiya-team"), "{}", warned.stderr);
    // The main key is not given away unasked.
    let shared = world.bootstrap(&["--decryption-namespace", "kubiya-team=age.agekey"]);
    assert!(shared.code == 2 && shared.stderr.contains("--share-key"), "{}", shared.stderr);

    let flags = ["--decryption-namespace", "kubiya-team=team.agekey", "--global-age-key"];
    let entries = ["--sops-entry", "flux.asc=flux.asc", "--sops-entry", "sops.vault-token=vault-token"];
    let said = world.bootstrap(&[&flags[..], &entries].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let entry = world.decoded(&["secret", "sops-age", "-n", "kubiya-team"], r"{.data.age\.agekey}");
    assert_eq!(IdentityFile::parse(entry.as_bytes()).unwrap().identities(), [own]);
    for (namespace, name, password) in [
        ("kubiya-team", "team-db", "hunter3"),
        ("kubiya-any", "any-db", "hunter4"),
        ("default", "pgp-db", "hunter5"),
        ("default", "vault-db", "hunter6"),
    ] {
        eventually("the Secret is decrypted", LONG, || {
            let found = world.hub(&["secret", name, "-n", namespace], "{.data.password}");
            Ok(!found.is_empty()
                && world.decoded(&["secret", name, "-n", namespace], "{.data.password}") == password)
        })
        .unwrap();
    }
    // A run that says nothing of it leaves the global key.
    let before = world.versions();
    assert_eq!(world.bootstrap(&[]).code, 0);
    assert_eq!(before, world.versions());
    world.rig.hub().run(["delete", "namespace", "kubiya-team", "kubiya-any", "--wait=false"]).unwrap();
}

#[test]
fn the_keys_of_an_old_cluster_and_entries_of_other_kinds_are_merged_with_what_is_there() {
    let world = World::new();
    let old = world.rig.worker("worker01").unwrap();
    let others = Identity::generate();
    use secrecy::ExposeSecret as _;
    world.write("other", others.expose_line().expose_secret());
    let path = |name: &str| world.path(name).display().to_string();
    old.run(["create", "namespace", "flux-system"]).unwrap();
    let from = [
        format!("--from-file=age.agekey={}", path("age.agekey")),
        format!("--from-file=b.agekey={}", path("other")),
    ];
    old.run(["-n", "flux-system", "create", "secret", "generic", "sops-age", &from[0], &from[1]]).unwrap();
    world.write("token", "hvs.canary");
    let said = world.keyless(&[
        "--age-key-from-context",
        "worker01",
        "--sops-entry",
        "sops.vault-token=token",
        "--wait=false",
    ]);
    old.run(["delete", "namespace", "flux-system", "--wait=false"]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!said.stderr.contains("hvs.canary"));
    let entry = world.decoded(&SOPS_AGE, r"{.data.age\.agekey}");
    assert_eq!(IdentityFile::parse(entry.as_bytes()).unwrap().identities(), [world.identity.clone(), others]);
    assert_eq!(world.decoded(&SOPS_AGE, r"{.data.sops\.vault-token}"), "hvs.canary");
    // A key that is made: in a file for its owner alone, beside the others in the Secret,
    // and in the rules of the clone, which are for somebody else so far.
    let recipient = world.identity.recipient().unwrap();
    world.write("repo/.sops.yaml", &format!("creation_rules:\n  - age: {recipient}\n"));
    world.push();
    let make = ["--age-key-file", "made.agekey", "--generate-age-key", "--no-recovery", "--wait=false"];
    let made = world.keyless(&[&make[..], &["--repo", "repo"]].concat());
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(
        made.stderr.contains("it is a recipient in repo/.sops.yaml now: commit and push that"),
        "{}",
        made.stderr
    );
    assert!(made.stderr.contains("are not in the branch `main` yet"), "{}", made.stderr);
    assert_eq!(world.path("made.agekey").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(world.path("made.agekey")).unwrap();
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let public = IdentityFile::parse(text.as_bytes()).unwrap().identities()[0].recipient().unwrap();
    let rules = std::fs::read_to_string(world.path("repo/.sops.yaml")).unwrap();
    assert_eq!(rules, format!("creation_rules:\n  - age: {recipient},{public}\n"));
    assert!(!made.stderr.contains(line) && made.stderr.contains("its public half: age1"), "{}", made.stderr);
    let entry = world.decoded(&SOPS_AGE, r"{.data.age\.agekey}");
    assert!(entry.contains(line) && IdentityFile::parse(entry.as_bytes()).unwrap().identities().len() == 3);
    // What others put beside it is named where Flux passes it over, and refused where it would stop Flux.
    let hub = world.rig.hub();
    let patch = |data: &str| {
        hub.run([
            "-n",
            "flux-system",
            "patch",
            "secret",
            "sops-age",
            "--type=merge",
            "-p",
            &format!(r#"{{"data":{{{data}}}}}"#),
        ])
        .unwrap();
    };
    patch(r#""age.key":"eA==","team.agekey":"IyBub25lCg==""#);
    let ignored = world.keyless(&["--dry-run"]);
    assert_eq!(ignored.code, 0, "{}", ignored.stderr);
    assert!(ignored.stderr.contains("Flux does not read the entry `age.key`"), "{}", ignored.stderr);
    let before = world.versions();
    assert_eq!(world.keyless(&["--wait=false"]).code, 0);
    assert_eq!(before, world.versions());
    patch(r#""team.agekey":"anVuawo=""#);
    let refused = world.keyless(&["--wait=false"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("malformed entry `team.agekey`"), "{}", refused.stderr);
}
