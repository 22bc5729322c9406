//! `rotate-key --client` with a cluster: the key of one client, where other clients have theirs in the repository.

use crate::rotation::{ENCRYPTED, Rotated};
use crate::world::secret;
use kubiya_policies::sops::age::Identity;

const OTHER: &str = "clusters/other/db.yaml";

#[test]
fn a_client_gets_a_new_key_on_its_cluster_and_the_others_keep_theirs() {
    let world = Rotated::new();
    let repo = world.world.path("repo");
    let other = Identity::generate();
    let rules = std::fs::read_to_string(repo.join(".sops.yaml")).unwrap();
    let of_other = format!(
        "creation_rules:\n  - path_regex: ^clusters/other/\n    age: {}\n",
        other.recipient().unwrap()
    );
    let rules = rules.replace("creation_rules:\n", &of_other);
    world.world.write("repo/.sops.yaml", &rules);
    world.world.write_encrypted(&format!("repo/{OTHER}"), &secret("other-db", "hunter3"), &other);
    world.world.push();
    world.reconcile();
    world.eventually_ready();
    let before = std::fs::read_to_string(repo.join(OTHER)).unwrap();

    // Flux on this cluster has no key of the other client.
    let said = world.rotate(&["--client", "other", "--store-key", "new.agekey"]);
    assert!(said.code == 3 && said.stderr.contains("no Secret that Flux decrypts with"), "{}", said.stderr);
    // On another branch the client's key reads what is not the client's.
    let git = |words: &[&str]| world.world.git(words);
    git(&["switch", "--quiet", "-c", "next"]);
    world.world.write_encrypted("repo/stray/db.yaml", &secret("stray", "hunter4"), &world.world.identity);
    git(&["add", "stray"]);
    git(&["commit", "--quiet", "-m", "astray"]);
    git(&["push", "--quiet", "origin", "next"]);
    git(&["switch", "--quiet", "main"]);
    let said = world.rotate(&["--client", "infra", "--store-key", "new.agekey", "--branch", "next"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    insta::assert_snapshot!(world.masked(&said.stderr), @"
    error: origin/next: stray/db.yaml: it is for the key of infra, and not in a folder of that name

    hint: --old-recipient [OLD]   # a new key for all of its files
    ");
    assert!(!repo.join("new.agekey").exists());

    let words = ["--client", "infra", "--store-key", "new.agekey", "--drop-old", "--retire-after", "0s"];
    let said = world.rotate(&words);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for file in ENCRYPTED {
        assert!(world.sops_opens("new.agekey", file), "{file}: the new key does not open it");
        assert!(!world.sops_opens("age.agekey", file), "{file}: the old key opens it");
    }
    assert_eq!(std::fs::read_to_string(repo.join(OTHER)).unwrap(), before);
    assert!(std::fs::read_to_string(repo.join(".sops.yaml")).unwrap().starts_with(&of_other));
    world.change_password("of the client");
    world.eventually_applied("of the client");
}
