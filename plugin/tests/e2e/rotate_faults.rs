//! What can go wrong with a rotation that is not its own doing: each is told with what to do, nothing is lost, and
//! the next run finishes.

use crate::proxy::Proxy;
use crate::rotation::{ENCRYPTED, Rotated};
use crate::world::secret;
use insta::assert_snapshot;

pub(crate) const NEW: [&str; 2] = ["--store-key", "new.agekey"];
pub(crate) const AT_ONCE: [&str; 3] = ["--retire-after", "0s", "--drop-old"];

/// A Kustomization that decrypts with `sops-age`.
fn kustomization(name: &str, source: &str, path: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec:\n  interval: 10m\n  retryInterval: 5s\n  path: {path}\n  prune: true\n  sourceRef: {{kind: GitRepository, name: {source}}}\n  \
         decryption: {{provider: sops, secretRef: {{name: sops-age}}}}\n{more}"
    )
}

/// A Kustomization that decrypts with the key in a namespace of its own.
pub(crate) fn in_namespace(namespace: &str, name: &str) -> String {
    kustomization(name, "flux-system", "./clusters/infra", "")
        .replace("namespace: flux-system", &format!("namespace: {namespace}"))
        .replace("name: flux-system}", "name: flux-system, namespace: flux-system}")
}

const DEAD_WORKER: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: dead-worker, namespace: flux-system}
stringData:
  value: |
    apiVersion: v1
    kind: Config
    current-context: dead
    contexts: [{name: dead, context: {cluster: dead, user: dead}}]
    clusters: [{name: dead, cluster: {server: 'https://127.0.0.1:1'}}]
    users: [{name: dead, user: {token: t}}]
";

fn git_repository(name: &str, url: &str, branch: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec: {{interval: 1m, url: '{url}', ref: {{branch: {branch}}}}}\n"
    )
}

#[test]
fn everything_that_is_in_the_way_is_told_at_once_and_nothing_is_changed() {
    let world = Rotated::new();
    world.world.git(&["push", "--quiet", "origin", "main:staging"]);
    world.world.apply(&git_repository("staging", &world.world.url(), "staging"));
    world.world.apply(&kustomization("on-staging", "staging", "./clusters/infra", ""));
    world.world.apply(&kustomization("suspended", "flux-system", "./clusters/infra", "  suspend: true\n"));
    world.world.apply(&kustomization("no-path", "flux-system", "./nowhere", ""));
    // To a worker that is dead.
    world.world.apply(DEAD_WORKER);
    let remote = "  kubeConfig: {secretRef: {name: dead-worker}}\n";
    world.world.apply(&kustomization("on-dead-worker", "flux-system", "./clusters/infra", remote));
    world.copy_key_to("team");
    world
        .world
        .rig
        .hub()
        .run(["-n", "team", "patch", "secret", "sops-age", "-p", "{\"immutable\":true}"])
        .unwrap();
    world.world.apply(&in_namespace("team", "apps"));
    world.eventually_ready_in("team", "apps");
    world.eventually_failing("no-path");
    world.eventually_failing("on-dead-worker");
    world.eventually_ready_named("on-staging");
    // Sound, but not committed.
    world.world.write_encrypted("repo/clusters/infra/db.yaml", &secret("edited", "x"), &world.world.identity);
    world.world.write_encrypted("repo/clusters/infra/lost.yaml", &secret("lost", "x"), &world.world.identity);
    world.break_mac("clusters/infra/lost.yaml");
    world.world.git(&["add", "clusters/infra/lost.yaml"]);
    // Rules that nobody can change byte by byte.
    let old = world.world.identity.recipient().unwrap();
    world.world.write("repo/apps/.sops.yaml", &format!("creation_rules: [{{age: \"{old}\\n\"}}]\n"));
    world.world.git(&["add", "apps/.sops.yaml"]);
    let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    std::fs::set_permissions(world.world.path("repo/clusters/infra/web.yaml"), read_only).unwrap();

    let said = world.rotate(&NEW);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_snapshot!(world.masked(&said.stderr), @"
    error: 9 problems; nothing was changed
    problem: Secret team/sops-age of hub: it is immutable, so no key can be added to it
    problem: Kustomization flux-system/no-path of hub: it is not ready
      cause: ArtifactFailed: kustomization path not found: 
    problem: Kustomization flux-system/on-dead-worker of hub: it is not ready
      cause: 
    problem: Kustomization flux-system/suspended of hub: it is suspended, so that it cannot be seen to read the new key
    problem: GitRepository/flux-system/staging of hub: it follows branch staging of this repository, which is not rotated
    problem: clusters/infra/db.yaml: it has changes that are not committed
    problem: apps/.sops.yaml: the recipients of the rules cannot be changed
      cause: line 1: recipients written like this cannot be changed: edit the file
    problem: clusters/infra/lost.yaml: the message authentication code does not fit: every encrypted value is whole, so a plain part was changed, or values were moved, added or taken away since the file was encrypted
    problem: clusters/infra/web.yaml: it is read-only

    hint: kubectl --context hub -n team get secret sops-age -o yaml | sed '/^immutable:/d' | kubectl --context hub replace --force -f -
    hint: --skip-wait flux-system/no-path   # goes on without it; it may need the old key longer
    hint: --skip-wait flux-system/on-dead-worker   # goes on without it; it may need the old key longer
    hint: --skip-wait flux-system/suspended   # goes on without it; it may need the old key longer
    hint: --branch staging   # rotates it too
    hint: --source-done GitRepository/flux-system/staging   # if none of its files need the old key
    hint: git commit or git stash what is not committed, then run this again
    hint: git diff HEAD -- clusters/infra/lost.yaml   # what was changed beside the encrypted values
    hint: kubectl kubiya encrypt --ignore-mac clusters/infra/lost.yaml   # takes the file as it is, if it is right
    hint: chmod u+w clusters/infra/web.yaml
    ");
    assert_eq!(world.entries(), ["age.agekey"]);
    assert!(!world.world.path("repo/new.agekey").exists());
    assert!(!world.annotations().contains("kubiya.dev/rotation"));

    // A clone that could not commit, and a remote that is not there: nothing has begun that could be gone on with.
    let head = world.world.git_line(&["rev-parse", "HEAD"]);
    world.world.write("repo/.git/MERGE_HEAD", &format!("{head}\n"));
    world.world.git(&["config", "user.useConfigOnly", "true"]);
    world.world.git(&["remote", "set-url", "origin", "http://127.0.0.1:1/nowhere"]);
    let mut command = world.rotate_command(&NEW);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env_remove(format!("GIT_{role}_NAME")).env_remove(format!("GIT_{role}_EMAIL"));
    }
    let said = world.said(command.output().unwrap());
    assert_eq!(said.code, 3, "{}", said.stderr);
    for part in ["this clone cannot commit", "a merge is not finished", "cannot fetch origin/main"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("rotate-key --context hub --continue"), "{}", said.stderr);
    world.world.rig.hub().run(["delete", "namespace", "team", "--wait=false"]).unwrap();
}

#[test]
fn a_push_that_the_server_refuses_is_told_and_gone_on_from() {
    let world = Rotated::new();
    // First, what is under way cannot be written down: the new key is stored, and nothing depends on it.
    world.world.write("repo/.git/kubiya", "in the way");
    let said = world.rotate(&[&NEW[..], &AT_ONCE].concat());
    assert_snapshot!(world.masked(&said.stderr), @"
          stored [NEW short] in new.agekey
    error: [DIR]/repo/.git/kubiya/rotation.json: cannot write what is under way
      cause: File exists (os error 17)

    hint: the new key is stored, and nothing else was changed: when this is mended, run it again with --new-age-key-file new.agekey
    ");
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_eq!(world.entries(), ["age.agekey"]);
    std::fs::remove_file(world.world.path("repo/.git/kubiya")).unwrap();
    world.world.server_hook("#!/bin/sh\necho 'rules are changed by the platform team' >&2\nexit 1\n");
    let said = world.rotate(&[&["--new-age-key-file", "new.agekey"][..], &AT_ONCE].concat());
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert_snapshot!(world.masked(&said.stderr), @"
           added [NEW short] to Secret flux-system/sops-age of hub
      reconciled 1 Kustomization of hub with both keys
    error: origin/main does not take the push
      cause: remote: rules are changed by the platform team
             error: failed to push some refs to '[SERVER]'
             HEAD:refs/heads/main [remote rejected] (pre-receive hook declined)

    hint: kubectl kubiya rotate-key --context hub --continue   # when this is mended: goes on from here
    hint: kubectl kubiya rotate-key --context hub --continue --pull-request   # by a branch that others merge
    ");
    // Flux has both keys, and what is pushed is as it was.
    assert_eq!(world.entries().len(), 2);
    world.world.server_hook("#!/bin/sh\nexit 0\n");
    let said = world.rotate(&["--continue"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    world.check_over("new.agekey");
}

#[test]
fn a_branch_that_moves_on_is_renewed_with_what_came_in() {
    let world = Rotated::new();
    // After each of the first two commits of the rotation, somebody else is faster with a Secret for the old key.
    world.world.write_encrypted("late-1.yaml", &secret("late-1", "late"), &world.world.identity);
    world.world.write_encrypted("late-2.yaml", &secret("late-2", "late"), &world.world.identity);
    let dir = world.world.path("").display().to_string();
    let url = world.world.url();
    let hook = format!(
        "#!/bin/sh\nunset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE\ncd {dir} || exit 1\n\
         n=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n >count; [ $n -le 2 ] || exit 0\n\
         rm -rf other && git clone --quiet {url} other && cd other && cp ../late-$n.yaml clusters/infra/ && git add . &&\n\
         git commit --quiet -m 'a late Secret' && git push --quiet\n"
    );
    world.world.write_program("repo/.git/hooks/post-commit", &hook);
    let watch = world.watch_decryption();
    let leak = ["--compromised", "--drop-old", "--checklist", "../leak.md"];
    let said = world.rotate(&[&NEW[..], &leak].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(watch.failures(), Vec::<String>::new());
    world.check_over("new.agekey");
    let list = std::fs::read_to_string(world.world.path("leak.md")).unwrap();
    for late in ["clusters/infra/late-1.yaml", "clusters/infra/late-2.yaml"] {
        assert!(list.contains(late), "the old key could read {late}: {list}");
        assert!(world.sops_opens("new.agekey", late) && !world.sops_opens("age.agekey", late), "{late}");
    }
    // One commit of ours for each step, and both of theirs.
    let log = world.world.git_line(&["log", "--format=%s", "-4"]);
    assert_eq!(log.lines().filter(|line| line.contains("age key")).count(), 2, "{log}");
}

#[test]
fn a_second_operator_is_refused_and_may_go_on_without_the_journal() {
    let world = Rotated::new();
    let said = world.rotate(&[&NEW[..], &["--no-push"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    world.clone_again("second");
    let begun = world.said(world.rotate_in("second", &["--store-key", "other.agekey"]).output().unwrap());
    assert_eq!(begun.code, 3, "{}", begun.stderr);
    assert_snapshot!(world.masked(&begun.stderr), @"
    error: a rotation is under way: [OLD short] to [NEW short]
      cause: kubernetes-admin (kubiya) began it at [TIME]

    hint: kubectl kubiya rotate-key --context hub --status
    hint: kubectl kubiya rotate-key --context hub --continue   # or --abort
    ");
    assert!(!world.world.path("second/other.agekey").exists());
    // The first one's commit never came: the second finishes from what is on the cluster, and pushes by itself only
    // because it says so.
    let done = world.said(
        world.rotate_in("second", &[&["--continue", "--push"][..], &AT_ONCE].concat()).output().unwrap(),
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(world.entries(), ["age.agekey"]);
    // The first one finds that all is done, and has no commit left that would be pushed.
    let first = world.rotate(&[&["--continue"][..], &AT_ONCE].concat());
    assert_eq!(first.code, 0, "{}", first.stderr);
    world.check_over("new.agekey");
}

#[test]
fn an_api_server_that_goes_away_in_the_middle_is_told_and_gone_on_from() {
    let world = Rotated::new();
    let proxy = Proxy::to(&world.world.hub_address());
    // Gone from the moment of the first commit.
    let down = world.world.path("down");
    proxy.down_while(down.clone());
    world
        .world
        .write_program("repo/.git/hooks/pre-commit", &format!("#!/bin/sh\ntouch {}\n", down.display()));
    let server = proxy.url();
    let said = world.rotate(&[&NEW[..], &["--server", &server, "--timeout", "3s"]].concat());
    assert!(matches!(said.code, 3..=5), "{}: {}", said.code, said.stderr);
    assert!(
        said.stderr.contains("hint: kubectl kubiya rotate-key --context hub --continue"),
        "{}",
        said.stderr
    );
    std::fs::remove_file(down).unwrap();
    std::fs::remove_file(world.world.path("repo/.git/hooks/pre-commit")).unwrap();
    let said = world.rotate(&[&["--continue"][..], &AT_ONCE].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    world.check_over("new.agekey");
}

#[test]
fn by_pull_requests_that_are_squashed_with_other_changes() {
    let world = Rotated::new();
    let mut said = world.rotate(&[&NEW[..], &["--pull-request"]].concat());
    for round in 0..2 {
        assert_eq!(said.code, 0, "{}", said.stderr);
        if round == 0 {
            assert_snapshot!(world.masked(&said.stderr), @"
                stored [NEW short] in new.agekey
                 added [NEW short] to Secret flux-system/sops-age of hub
            reconciled 1 Kustomization of hub with both keys
              proposed kubiya/rotate-[NEW end]-overlap-main: [NEW short] beside [OLD short]
                 next: have kubiya/rotate-[NEW end]-overlap-main merged, then: kubectl kubiya rotate-key --context hub --continue
            ");
            // Not merged yet: said again, and nothing more.
            let again = world.rotate(&["--continue"]);
            assert!(
                again.code == 0 && again.stderr.contains("next: have kubiya/rotate-"),
                "{}",
                again.stderr
            );
        }
        if round == 1 {
            // What a reviewer adds to the branch is not lost when the branch is to be made again.
            world.clone_again("reviewer");
            let folder = world.world.path("reviewer").display().to_string();
            let git = |words: &[&str]| world.world.git_line(&[&["-C", &folder], words].concat());
            let branch =
                git(&["for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin/kubiya/"]);
            git(&["commit", "--quiet", "--allow-empty", "-m", "main moves on"]);
            git(&["push", "--quiet", "origin", "main"]);
            git(&["switch", "--quiet", &branch]);
            world.world.write("reviewer/review.txt", "r");
            git(&["add", "review.txt"]);
            git(&["commit", "--quiet", "-m", "reviewed"]);
            git(&["push", "--quiet", "origin", &branch]);
            let said = world.rotate(&["--continue"]);
            assert!(said.code == 5 && said.stderr.contains("has commits of others"), "{}", said.stderr);
            assert!(!git(&["ls-remote", "origin", &branch]).is_empty());
            git(&["fetch", "--quiet"]);
            assert_eq!(git(&["show", &format!("origin/{branch}:review.txt")]), "r");
        }
        world.squash_merge_proposed();
        said = world.rotate(&["--continue"]);
    }
    assert!(said.code == 0 && said.stderr.contains("--retire --keep-old FILE"), "{}", said.stderr);
    let said = world.rotate(&[&["--retire"][..], &AT_ONCE].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    world.world.git(&["pull", "--quiet", "--rebase"]);
    world.check_over("new.agekey");
}

#[test]
fn a_kustomization_that_cannot_do_without_the_old_key_gets_it_back() {
    let world = Rotated::new();
    // Another repository, whose file only the old key reads, although the operator says that it is done.
    let other = world.world.create_repo("other");
    world.world.write_encrypted("theirs/app/db.yaml", &secret("theirs", "x"), &world.world.identity);
    world.world.publish("theirs", &other);
    world.world.apply(&git_repository("other", &other, "main"));
    world.world.apply(&kustomization("theirs", "other", "./app", ""));
    world.eventually_ready_named("theirs");
    let done = ["--source-done", "GitRepository/flux-system/other"];
    let said = world.rotate(&[&NEW[..], &AT_ONCE].concat());
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("hint: --source-done GitRepository/flux-system/other"), "{}", said.stderr);
    let said = world.rotate(&[&["--retire"][..], &AT_ONCE, &done].concat());
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert_snapshot!(world.masked(&said.stderr), @"
         retired [OLD short] in Secret flux-system/sops-age of hub
        restored [OLD short] in Secret flux-system/sops-age of hub
      reconciled 2 Kustomizations of hub with the old key again
    error: hub: Kustomization flux-system/theirs failed
      cause: decryption failed for 'Secret.v1.[noGrp]/theirs': failed to decrypt and format 'default/theirs' Secret data: cannot get sops data key: Failed to get the data key required to decrypt the SOPS file.
             
             Group 0: FAILED
               [OLD]: FAILED
                 - | failed to create reader for decrypting sops data key with
                   | age: identity did not match any of the recipients: incorrect
                   | identity for recipient block
             
             Recovery failed because no master key was able to decrypt the file. In
             order for SOPS to recover the file, at least one key has to be successful,
             but none were.
      cause: the old key is with Flux again

    hint: kubectl kubiya rotate-key --context hub --retire   # when this is mended
    ");
    assert_eq!(world.entries().len(), 2);
    world.eventually_ready_named("theirs");
    // Mended, it can go.
    world.world.write_encrypted(
        "theirs/app/db.yaml",
        &secret("theirs", "y"),
        &world.key_in_clone("new.agekey"),
    );
    world.world.publish("theirs", &other);
    world.reconcile_source("other");
    world.eventually_applied_by("theirs", &other);
    let said = world.rotate(&[&["--retire"][..], &AT_ONCE, &done].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    world.check_over("new.agekey");
}

#[test]
fn two_branches_two_namespaces_and_a_shallow_linked_work_tree() {
    let world = Rotated::new();
    // A file that is only there.
    world.world.git(&["switch", "--quiet", "--create", "staging"]);
    let file = "repo/clusters/infra/tried.yaml";
    world.world.write_encrypted(file, &secret("tried", "x"), &world.world.identity);
    world.world.git(&["add", "--all"]);
    world.world.git(&["commit", "--quiet", "-m", "tried"]);
    world.world.git(&["push", "--quiet", "origin", "staging"]);
    world.world.git(&["switch", "--quiet", "main"]);
    world.world.apply(&git_repository("staging", &world.world.url(), "staging"));
    world.world.apply(&kustomization("on-staging", "staging", "./clusters/infra", ""));
    world.copy_key_to("team");
    world.world.apply(&in_namespace("team", "apps"));
    world.eventually_ready_named("on-staging");
    world.eventually_ready_in("team", "apps");
    world.shallow_linked("linked");
    let words = [&NEW[..], &AT_ONCE, &["--branch", "staging", "--compromised"]].concat();
    let said = world.said(world.rotate_in("linked", &words).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let exposed = said.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("exposed "));
    assert_eq!(
        exposed.collect::<Vec<_>>(),
        [
            "clusters/infra/db.yaml Secret default/rotated-db: password",
            "clusters/infra/web.yaml Secret default/rotated-web: password",
            "staging: clusters/infra/tried.yaml Secret default/tried: password",
        ]
    );
    assert_eq!(world.entries(), ["age.agekey"]);
    assert_eq!(world.entries_in("team"), ["age.agekey"]);
    let key = std::fs::read_to_string(world.world.path("linked/new.agekey")).unwrap();
    world.world.git(&["fetch", "--quiet"]);
    for branch in ["origin/main", "origin/staging"] {
        for file in ENCRYPTED {
            let text = world.world.git_line(&["show", &format!("{branch}:{file}")]);
            assert!(world.sops_opens_text(&key, &text), "{branch}: {file}");
        }
    }
    world.world.rig.hub().run(["delete", "namespace", "team", "--wait=false"]).unwrap();
}

#[test]
fn another_cluster_that_holds_the_key_gets_the_new_one_too() {
    let world = Rotated::new();
    let there = world.another_cluster("elsewhere");
    // Nothing runs on it that would reconcile.
    let words = [&NEW[..], &AT_ONCE, &["--also-context", "worker01"]].concat();
    let done = ["--skip-wait", "elsewhere/apps", "--source-done", "GitRepository/elsewhere/apps"];
    let said = world.rotate(&words);
    assert!(
        said.code == 3 && said.stderr.contains("Kustomization elsewhere/apps of worker01"),
        "{}",
        said.stderr
    );
    let said = world.rotate(&[&words[..], &done, &["-o", "json"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let account: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(account["state"], "done");
    assert_eq!(account["commits"].as_array().unwrap().len(), 2);
    let secrets = account["secrets"].as_array().unwrap();
    let held = secrets.iter().map(|secret| (secret["oldKey"].as_str(), secret["newKey"].as_str()));
    assert_eq!(held.collect::<Vec<_>>(), [(Some("absent"), Some("active")); 2]);
    assert_eq!(there.entries(), ["age.agekey"]);
    world.check_over("new.agekey");
}
