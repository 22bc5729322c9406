//! Workers in the repository: credentials in Git, the folder of a worker, its own key.

use super::{LONG, Workers};
use crate::world::{Said, config_map, secret};
use kubiya_policies::sops::age::Identity;
use kubiya_testdata::harness::{eventually, workspace_bin};
use std::path::Path;

const FOLDER: &str = "clusters/infra/workers";

impl Workers {
    /// The rules of the repository: all is for Flux and for a developer.
    fn rules(&self, more: &str) {
        let developer = Identity::generate().recipient().unwrap();
        let flux = self.world.identity.recipient().unwrap();
        let catch_all = format!(
            "  - path_regex: \\.yaml$\n    encrypted_regex: ^(data|stringData)$\n    age: {flux},{developer}\n"
        );
        self.world.write("repo/.sops.yaml", &format!("creation_rules:\n{more}{catch_all}"));
    }

    fn add_in_repository(&self, words: &[&str]) -> Said {
        self.add(&[words, &["--repo", "repo"]].concat())
    }

    /// A file as the real sops opens it with an age key file.
    fn opened(&self, file: &str, key: &str) -> String {
        let mut sops = self.world.command(&self.world.rig.bin("sops"));
        sops.env("SOPS_AGE_KEY_FILE", self.world.path(key)).env("SOPS_DISABLE_VERSION_CHECK", "1");
        let output = sops.arg("decrypt").arg(self.world.path(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn ready(&self, name: &str) -> String {
        let words = ["kustomization", name, "-n", "flux-system"];
        self.world.hub(
            &words,
            "{.status.conditions[?(@.type=='Ready')].status}{.status.conditions[?(@.type=='Ready')].message}",
        )
    }
}

/// The files below a folder that hold a text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if std::fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
            found.push(path.display().to_string());
        }
    }
}

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.shops.example.org}
spec:
  group: shops.example.org
  names: {kind: Shop, plural: shops, singular: shop}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[test]
fn credentials_in_git_the_folder_of_a_worker_and_its_own_key() {
    let workers = Workers::new();
    let world = &workers.world;
    let hub = world.rig.hub();
    workers.rules("");
    world.push();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);

    // Not under the rule of application secrets; the rule that the hint shows is enough.
    let said = workers.add_in_repository(&["worker01", "--store", "git"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("creation rule 1 is for application secrets, too"), "{}", said.stderr);
    assert!(said.stderr.contains("on purpose: --force"), "{}", said.stderr);
    assert_eq!(workers.namespace("worker01"), "");
    let rule = said.stderr.split_once("before the other rules:\n").unwrap().1;
    let rule: String = rule
        .lines()
        .take_while(|line| line.starts_with("        "))
        .map(|line| format!("{}\n", &line[6..]))
        .collect();
    workers.rules(&rule);

    let said = workers.add_in_repository(&["worker01", "--store", "git", "--layout", "--own-key"]);
    assert!(said.code == 2 && said.stderr.contains("--no-recovery"), "{}", said.stderr);
    let all =
        ["worker01", "--store", "git", "--layout", "--own-key", "--no-recovery", "--store-key", "w1.agekey"];
    let dry = workers.add_in_repository(&[&all[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!world.path("w1.agekey").exists() && !world.path("repo").join(FOLDER).exists());
    let said = workers.add_in_repository(&all);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(workers.stored("worker01"), "", "Flux puts it there, out of Git");

    // Encrypted as sops does it, and nowhere in clear.
    let file = format!("repo/{FOLDER}/worker01/kubeconfig.yaml");
    let clear = workers.opened(&file, "age.agekey");
    let value = clear.lines().find_map(|line| line.trim().strip_prefix("value: ")).unwrap();
    use base64::Engine as _;
    let kubeconfig = base64::engine::general_purpose::STANDARD.decode(value).unwrap();
    let kubeconfig = String::from_utf8(kubeconfig).unwrap();
    assert!(workers.whoami(&kubeconfig).starts_with("system:serviceaccount:kubiya-"));
    let token = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
    for secret in [token, value] {
        let mut found = Vec::new();
        holding(&world.path("repo"), secret, &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
    let hook = world
        .command(&workspace_bin("kubiya-hook").unwrap())
        .arg("scan")
        .current_dir(world.path("repo"))
        .output()
        .unwrap();
    assert!(hook.status.success(), "{}", String::from_utf8_lossy(&hook.stdout));

    // What is put into its folders goes to the worker, by its own key.
    world.write(
        &format!("repo/{FOLDER}/worker01/namespaces/web.yaml"),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: web}\n",
    );
    let db = secret("of-web", "hunter2").replace("namespace: default", "namespace: web");
    world.write(&format!("repo/{FOLDER}/worker01/secrets/db.yaml"), &db);
    world.write(
        &format!("repo/{FOLDER}/worker01/applications/map.yaml"),
        &config_map("of-web").replace("default", "web"),
    );
    // A definition and an object of its kind, in one push.
    world.write(&format!("repo/{FOLDER}/worker01/definitions/shop.yaml"), DEFINITION);
    let shop =
        "apiVersion: shops.example.org/v1\nkind: Shop\nmetadata: {name: first, namespace: web}\nspec: {}\n";
    world.write(&format!("repo/{FOLDER}/worker01/applications/shop.yaml"), shop);
    let encrypted = world.kubiya(&["encrypt", &format!("repo/{FOLDER}/worker01/secrets")]);
    assert_eq!(encrypted.code, 0, "{}", encrypted.stderr);
    assert!(
        workers.opened(&format!("repo/{FOLDER}/worker01/secrets/db.yaml"), "w1.agekey").contains("hunter2")
    );
    world.push();
    assert_eq!(world.bootstrap(&[]).code, 0);
    let there = workers.there("worker01");
    eventually("Flux went by the layout", LONG, || {
        let found = there.run([
            "get",
            "secret,configmap",
            "of-web",
            "-n",
            "web",
            "--ignore-not-found",
            "-o",
            "jsonpath={.items[*].kind} {.items[*].data.password}",
        ])?;
        if !found.contains("aHVudGVyMg==") {
            return Ok(false);
        }
        Ok(workers.ready("worker01-applications").starts_with("True"))
    })
    .unwrap();
    assert_eq!(workers.stored("worker01"), kubeconfig);
    let shops = there.run(["-n", "web", "get", "shops.shops.example.org", "-o", "name"]).unwrap();
    assert_eq!(shops.trim(), "shop.shops.example.org/first");

    // A re-run changes nothing; what Flux brings is not changed behind Git's back.
    let before = workers.versions("worker01");
    let again = workers.add_in_repository(&[&all[..6], &["-o", "json"]].concat());
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code, &result["changed"]), (0, &0.into()), "{}", again.stderr);
    assert_eq!(
        (workers.versions("worker01"), world.git_line(&["status", "--porcelain"])),
        (before, String::new())
    );
    for words in
        [&["renew", "worker01"][..], &["remove", "worker01"], &["add", "worker01", "--allow-loopback"]]
    {
        let said = workers.run(words);
        assert!(said.code == 2 && said.stderr.contains("comes from Git"), "{words:?} {}", said.stderr);
    }
    let said = workers.add_in_repository(&[&all[..6], &["--new-token"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(workers.whoami(&kubeconfig).starts_with("system:serviceaccount:"), "Flux still has the old one");
    world.push();
    assert_eq!(world.bootstrap(&[]).code, 0);
    eventually("Flux brought the new token", LONG, || Ok(workers.stored("worker01") != kubeconfig)).unwrap();
    let said = workers.add_in_repository(&all[..6]);
    assert!(said.code == 0 && said.stderr.contains("revoked"), "{}", said.stderr);
    workers.until_refused(&kubeconfig);

    // Another worker's ciphertext in this worker's path stays ciphertext, although Flux has both keys.
    let other = [
        "worker02",
        "--copy-credentials",
        "--layout",
        "--own-key",
        "--no-recovery",
        "--store-key",
        "w2.agekey",
    ];
    let said = workers.add_in_repository(&other);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let theirs = format!("repo/{FOLDER}/worker02/secrets/theirs.yaml");
    world.write(&theirs, &secret("theirs", "hunter3"));
    assert_eq!(world.kubiya(&["encrypt", &theirs]).code, 0);
    assert!(workers.opened(&theirs, "w2.agekey").contains("hunter3"));
    std::fs::copy(world.path(&theirs), world.path(&format!("repo/{FOLDER}/worker01/secrets/theirs.yaml")))
        .unwrap();
    world.push();
    assert_eq!(world.bootstrap(&[]).code, 0);
    eventually("Flux refuses it", LONG, || {
        let said = workers.run(&["check", "worker01", "-o", "json"]);
        Ok(said.stdout.contains(r#""state": "decryption""#)
            && said.stdout.contains("Kustomization flux-system/worker01-secrets"))
    })
    .unwrap();
    assert_eq!(there.run(["get", "secret", "theirs", "--ignore-not-found", "-o", "name"]).unwrap(), "");
    let second = workers.there("worker02");
    eventually("its own worker has it", LONG, || {
        Ok(!second.run(["get", "secret", "theirs", "--ignore-not-found", "-o", "name"])?.is_empty())
    })
    .unwrap();
    hub.run(["-n", "flux-system", "delete", "kustomizations", "--all", "--wait=false"]).unwrap();
    eventually("nothing goes to it any more, so it goes, and its own key stays", LONG, || {
        let said = workers.run(&["remove", "worker02"]);
        Ok(said.code == 0 && said.stderr.contains("the age key of its own stays"))
    })
    .unwrap();
    let own = hub.run(["-n", "flux-system", "get", "secret", "worker02-age", "-o", "name"]).unwrap();
    assert_eq!(own.trim(), "secret/worker02-age");
    let left = [
        (&second, ["secret", "theirs"]),
        (&there, ["crd", "shops.shops.example.org"]),
        (&there, ["namespace", "web"]),
    ];
    for (cluster, what) in left {
        cluster.run([&["delete", "--ignore-not-found", "--wait=false"], &what[..]].concat()).unwrap();
    }
}
