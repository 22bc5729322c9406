//! `rotate-key` from start to end, on a real API server with a real kustomize-controller, a real Git server and the
//! real sops.

use crate::rotation::{ENCRYPTED, Rotated};
use crate::world::secret;

const NEW: &[&str] = &["--store-key", "new.agekey"];

#[test]
fn a_new_key_takes_the_place_of_the_old_one_and_flux_decrypts_all_the_time() {
    let world = Rotated::new();
    let watch = world.watch_decryption();
    let leak = ["--compromised", "--checklist", "leak.md"];
    let said = world.rotate(&[NEW, &["--keep-old", "old.agekey.age"], &leak].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    insta::assert_snapshot!(world.masked(&said.stderr), @"
        stored [NEW short] in new.agekey
         added [NEW short] to Secret flux-system/sops-age of hub
    reconciled 1 Kustomization of hub with both keys
        pushed [COMMIT] of origin/main: 3 files, [NEW short] beside [OLD short]
       applied by 1 Kustomization of hub
        pushed [COMMIT] of origin/main: 3 files, [OLD short] out
       applied by 1 Kustomization of hub
          kept [OLD short] in [DIR]/repo/old.agekey.age, encrypted to the new key
       retired [OLD short] in Secret flux-system/sops-age of hub
    reconciled 1 Kustomization of hub without the old key
       deleted [OLD short] from Secret flux-system/sops-age of hub
          done [NEW short] has taken the place of [OLD short]
         note: what is in Git's history stays readable with the old key: values that leaked need new ones
       exposed clusters/infra/db.yaml Secret default/rotated-db: password
       exposed clusters/infra/web.yaml Secret default/rotated-web: password
    ");
    assert_eq!(watch.failures(), Vec::<String>::new());

    // The real sops opens every file with the new key, and none with the old one.
    for file in ENCRYPTED {
        assert!(world.sops_opens("new.agekey", file), "{file}: the new key does not open it");
        assert!(!world.sops_opens("age.agekey", file), "{file}: the old key opens it");
    }
    // What the old key could read is to be ticked off, and no value is in the list.
    let list = std::fs::read_to_string(world.world.path("repo/leak.md")).unwrap();
    assert!(list.contains("- [ ]") && list.contains("rotated-db") && !list.contains("hunter"), "{list}");
    // Flux has one key, under the usual name, and decrypts a file that comes now.
    assert_eq!(world.entries(), ["age.agekey"]);
    world.change_password("changed");
    world.eventually_applied("changed");
    // What was written down: who, when, which; and the old key is known to be gone.
    let annotations = world.annotations();
    assert!(
        annotations.contains("kubiya.dev/retired-recipients")
            && !annotations.contains("kubiya.dev/rotation\""),
        "{annotations}"
    );
    let events = world.events();
    for reason in ["KeyRotationStarted", "KeyRetired", "KeyRotated"] {
        assert!(events.contains(reason), "{reason}: {events}");
    }
    // The old key is kept where it was asked for, and only the new one opens it.
    assert!(world.age_opens("new.agekey", "old.agekey.age"));
    // bootstrap does not bring the old key back, and is content with the new one.
    let old = world.world.bootstrap(&["--wait=false"]);
    assert!(old.code == 3 && old.stderr.contains("was retired by a rotation"), "{}", old.stderr);
    let new = world.world.bootstrap(&["--age-key-file", "repo/new.agekey"]);
    assert_eq!(new.code, 0, "{}", new.stderr);
    assert_eq!(world.entries(), ["age.agekey"]);
    let again = world.rotate(&["--status"]);
    assert!(again.code == 0 && again.stderr.contains("no rotation is under way"), "{}", again.stderr);
}

#[test]
fn the_old_key_stays_until_it_is_retired_and_reverts_decrypt_until_then() {
    let world = Rotated::new();
    let person = world.somebody_else_reads_it("person.agekey");
    // What would be done is told, and nothing is.
    let planned = world.rotate(&[NEW, &["--dry-run"]].concat());
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    insta::assert_snapshot!(world.masked(&planned.stderr).replace(&person, "[PERSON]"), @"
    rotation a new key comes for [OLD]
      secret Secret flux-system/sops-age of hub: read by 1 Kustomization
      branch origin/main: files and rules for the old key alone 3, for both 0, for the new one alone 0
       stays [PERSON], who also reads 2 files
       next: nothing was changed: the same without --dry-run does it
    ");
    assert!(world.entries() == ["age.agekey"] && !world.world.path("repo/new.agekey").exists());
    let said = world.rotate(NEW);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("next: kubectl kubiya rotate-key --context hub --retire --keep-old FILE   # from "),
        "{}",
        said.stderr
    );
    assert_eq!(world.entries().len(), 2);
    a_leak_is_told_whole(&world);
    // Both commits are reverted, one after the other: Flux decrypts each state.
    for _ in 0..2 {
        world.revert_last_rotation();
        world.eventually_ready();
    }
    let early = world.rotate(&["--retire", "--drop-old"]);
    assert_eq!(early.code, 3, "{}", early.stderr);
    insta::assert_snapshot!(world.masked(&early.stderr), @"
    error: the old key cannot go yet: 4 reasons
    problem: the old key stays for 168h
      cause: nothing has needed it for [LENGTH]
    problem: origin/main: .sops.yaml: the old key still reads it
    problem: origin/main: clusters/infra/db.yaml: the old key still reads it
    problem: origin/main: clusters/infra/web.yaml: the old key still reads it

    hint: kubectl kubiya rotate-key --context hub --retire --retire-after [LENGTH]   # if no revert or old branch will be deployed
    hint: kubectl kubiya rotate-key --context hub --continue   # when this is mended: goes on from here
    ");
    let again = world.rotate(&["--continue", "--retire-after", "0s", "--drop-old"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(world.entries(), ["age.agekey"]);
    world.change_password("after");
    world.eventually_applied("after");
    assert!(ENCRYPTED.iter().all(|file| world.sops_opens("person.agekey", file)), "who else reads it stays");
}

#[test]
fn a_rotation_that_is_given_up_leaves_the_old_key() {
    let world = Rotated::new();
    world.suspend(true);
    let stopped = world
        .rotate(&[NEW, &["--timeout", "3s", "--skip-wait", "flux-system/flux-system", "--no-push"]].concat());
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    world.suspend(false);
    let status = world.rotate(&["--status"]);
    insta::assert_snapshot!(world.masked(&status.stderr), @"
    rotation [NEW] comes for [OLD]
       begun [TIME] by kubernetes-admin (kubiya)
      secret Secret flux-system/sops-age of hub: old key active, new key active; read by 1 Kustomization
      branch origin/main: files and rules for the old key alone 3, for both 0, for the new one alone 0
     applied Kustomization flux-system/flux-system of hub: old key
       next: kubectl kubiya rotate-key --context hub --continue   # goes on
       next: kubectl kubiya rotate-key --context hub --abort      # goes back to the old key
    ");
    // What was proposed and not merged is named.
    let proposed = world.rotate(&["--continue", "--pull-request"]);
    assert_eq!(proposed.code, 0, "{}", proposed.stderr);
    let said = world.rotate(&["--abort"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    insta::assert_snapshot!(world.masked(&said.stderr), @"
    given up [OLD short] stays, and [NEW short] goes out again of Secret flux-system/sops-age of hub
     retired [NEW short] in Secret flux-system/sops-age of hub
     deleted [NEW short] from Secret flux-system/sops-age of hub
        done the rotation is given up: [OLD short] is the key, and [NEW short] is out
       next: git push origin --delete kubiya/rotate-[NEW end]-overlap-main
    ");
    assert_eq!(world.entries(), ["age.agekey"]);
    for file in ENCRYPTED {
        assert!(world.sops_opens("age.agekey", file), "{file}: the old key does not open it");
        assert!(!world.sops_opens("new.agekey", file), "{file}: the new key opens it");
    }
    world.change_password("later");
    world.eventually_applied("later");
}

#[test]
fn going_back_keeps_the_new_key_for_a_commit_that_comes_back_by_a_revert() {
    let world = Rotated::new();
    let said = world.rotate(NEW);
    assert_eq!(said.code, 0, "{}", said.stderr);
    // Nothing on the branch is for the new key alone any more; the commit that was may come back.
    world.revert_last_rotation();
    let said = world.rotate(&["--abort"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.entries().len(), 2, "the new key is gone: {}", said.stderr);
    for file in ENCRYPTED {
        assert!(world.sops_opens("age.agekey", file), "{file}: the old key does not open it");
    }
    world.change_password("later");
    world.eventually_applied("later");
}

/// A rotation that is nearly over turns out to be about a key that leaked: what the new key alone reads now is told
/// with what came for the old key since, also where the clone does not have that yet.
fn a_leak_is_told_whole(world: &Rotated) {
    let file = "clusters/infra/db.yaml";
    let with_token = secret("rotated-db", "hunter1\n  token: t0ken");
    world.world.write_encrypted(&format!("repo/{file}"), &with_token, &world.world.identity);
    world.world.git(&["commit", "--quiet", "--all", "-m", "late"]);
    world.world.git(&["push", "--quiet"]);
    for is_behind in [false, true] {
        if is_behind {
            world.world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        }
        let words = ["--continue", "--compromised", "--drop-old", "--dry-run", "-o", "json"];
        let said = world.rotate(&words);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let account: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let keys = |name: &str| {
            let of = account["exposed"].as_array().unwrap().iter().filter(|one| one["name"] == name);
            of.flat_map(|one| one["keys"].as_array().unwrap()).map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(keys("rotated-db").contains(&"\"token\"".to_owned()), "behind: {is_behind}: {account}");
        assert!(!keys("rotated-web").is_empty(), "behind: {is_behind}: {account}");
    }
    world.world.git(&["pull", "--quiet"]);
    world.world.git(&["checkout", "HEAD~1", "--", file]);
    world.world.git(&["commit", "--quiet", "-m", "as before"]);
    world.world.git(&["push", "--quiet"]);
}
