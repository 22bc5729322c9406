//! A rotation in a clone and on clusters that are worked in: what others have there stays, and is seen.

use crate::rotate_faults::{AT_ONCE, NEW, in_namespace};
use crate::rotation::{ENCRYPTED, Rotated};
use crate::world::secret;
use insta::assert_snapshot;

#[test]
fn what_the_operator_did_is_not_lost() {
    let world = Rotated::new();
    let file = "repo/clusters/infra/db.yaml";
    let text = std::fs::read_to_string(world.world.path(file)).unwrap();
    // Names such as those of what we write beside files.
    world.world.write("repo/.kubiya-config", "mine");
    world.world.write("repo/clusters/.kubiya-staged-config", "mine");
    // A new password that is only in the index.
    world.world.write_encrypted(file, &secret("rotated-db", "staged"), &world.world.identity);
    world.world.git(&["add", "clusters/infra/db.yaml"]);
    world.world.write(file, &text);
    let staged = world.world.git_line(&["rev-parse", ":clusters/infra/db.yaml"]);
    let said = world.rotate(&NEW);
    assert!(said.code == 2 && said.stderr.contains("changes that are not committed"), "{}", said.stderr);
    assert_eq!(world.world.git_line(&["rev-parse", ":clusters/infra/db.yaml"]), staged);
    assert!(!world.world.path("repo/new.agekey").exists());
    world.world.git(&["reset", "--quiet"]);

    // A file that is about to be committed for the first time is the operator's to commit.
    let fresh = "clusters/infra/fresh.yaml";
    world.world.write_encrypted(&format!("repo/{fresh}"), &secret("fresh", "x"), &world.world.identity);
    world.world.git(&["add", fresh]);
    let said = world.rotate(&[&NEW[..], &["--no-push"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let warning =
        format!("warning: {fresh}: only the old key reads it, and no commit has it: it is left as it is");
    assert!(said.stderr.contains(&warning), "{}", said.stderr);
    assert!(!world.world.git_line(&["ls-tree", "-r", "--name-only", "HEAD"]).contains(fresh));
    assert_eq!(world.world.git_line(&["diff", "--cached", "--name-only"]), fresh);
    world.world.git(&["reset", "--quiet"]);
    // Something of the operator's comes into our commit, and the branch moves on.
    world.world.write("repo/mine.txt", "mine");
    world.world.git(&["add", "mine.txt"]);
    world.world.git(&["commit", "--quiet", "--amend", "--no-edit"]);
    world.clone_again("second");
    let folder = world.world.path("second").display().to_string();
    world.world.git(&["-C", &folder, "commit", "--quiet", "--allow-empty", "-m", "others"]);
    world.world.git(&["-C", &folder, "push", "--quiet"]);
    let said = world.rotate(&["--continue"]);
    assert!(said.code == 2 && said.stderr.contains("they hold more than new keys"), "{}", said.stderr);
    assert!(world.world.path("repo/mine.txt").exists());
    for name in ["repo/.kubiya-config", "repo/clusters/.kubiya-staged-config"] {
        assert_eq!(std::fs::read_to_string(world.world.path(name)).unwrap(), "mine");
    }

    // The way back is found also where the Secret no longer says what is under way.
    world.world.git(&["reset", "--quiet", "--hard", "origin/main"]);
    let words = ["-n", "flux-system", "annotate", "secret", "sops-age", "kubiya.dev/rotation-"];
    world.world.rig.hub().run(words).unwrap();
    let said = world.rotate(&["--abort"]);
    assert!(said.code == 0 && said.stderr.contains("the rotation is given up"), "{}", said.stderr);
    assert_eq!(world.entries(), ["age.agekey"]);
}

#[test]
fn what_a_rotation_leaves_behind_is_seen_by_the_next_run() {
    let world = Rotated::new();
    world.copy_key_to("team");
    world.world.apply(&in_namespace("team", "apps"));
    world.eventually_ready_in("team", "apps");
    // An entry of another tool, which is named as ours are and is not ours.
    let theirs = "{\"stringData\":{\"vault.agekey.retired\":\"theirs\"}}";
    let hub = world.world.rig.hub();
    hub.run(["-n", "flux-system", "patch", "secret", "sops-age", "-p", theirs]).unwrap();
    // A file that Git does not know.
    let file = "repo/clusters/infra/draft.yaml";
    world.world.write_encrypted(file, &secret("draft", "x"), &world.world.identity);
    world.world.write("repo/CODEOWNERS", "/.sops.yaml @security\n");
    // A copy under a name that nothing reads as encrypted.
    let copied = ["clusters/infra/db.yaml", "clusters/infra/db.yaml.bak"]
        .map(|path| world.world.path("repo").join(path));
    std::fs::copy(&copied[0], &copied[1]).unwrap();
    world.world.git(&["add", "clusters/infra/db.yaml.bak"]);
    world.world.git(&["commit", "--quiet", "-m", "a copy"]);
    world.world.git(&["push", "--quiet"]);

    let said = world.rotate(&NEW);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for note in [
        "warning: clusters/infra/draft.yaml: only the old key reads it, and no commit has it",
        "warning: clusters/infra/db.yaml.bak: it names the key that goes, and nothing reads it as rules or as encrypted: \
         it is left as it is",
        "warning: CODEOWNERS gives .sops.yaml to @security: if their review is needed, --pull-request",
    ] {
        assert!(said.stderr.contains(note), "{}", said.stderr);
    }
    // Who read the key of the team is gone; its Secret has both keys even so.
    hub.run(["-n", "team", "delete", "kustomization", "apps"]).unwrap();
    let retire = [&["--retire"][..], &AT_ONCE].concat();
    let said = world.rotate(&retire);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_snapshot!(world.masked(&said.stderr), @"
    error: clusters/infra/draft.yaml: only the old key reads it, and no commit has it

    hint: --keep-old FILE   # in place of --drop-old
    hint: kubectl kubiya rotate-key --no-cluster --new-age-key-file FILE clusters/infra/draft.yaml
    ");
    // Somebody else finishes it, in another clone.
    world.clone_again("second");
    let said = world.said(world.rotate_in("second", &retire).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.entries_in("team"), ["age.agekey"]);
    assert_eq!(world.entries(), ["age.agekey", "vault.agekey.retired"]);
    // The first clone remembers a rotation that is over, which does not keep the next one from beginning.
    assert!(world.world.path("repo/.git/kubiya/rotation.json").exists());
    let said = world.rotate(&[&["--store-key", "third.agekey"][..], &AT_ONCE].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.entries_in("team"), ["age.agekey"]);
    assert_eq!(world.entries(), ["age.agekey", "vault.agekey.retired"]);
    world.eventually_ready();
    assert!(ENCRYPTED.iter().all(|file| world.sops_opens("third.agekey", file)));
    hub.run(["delete", "namespace", "team", "--wait=false"]).unwrap();
}
