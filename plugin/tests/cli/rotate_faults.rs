//! `rotate-key --no-cluster` where something is in the way: nothing is lost, no file is half written, and what to
//! do is said.

use crate::repository::{Repository, SECRET};
use crate::rotate_key::{encrypted, opens, public, run, sops};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

const STORE: [&str; 2] = ["--store-key", "new.agekey"];

/// Every file as it was, no key left behind, and nothing of ours beside them.
fn untouched(repository: &Repository<'_>) {
    assert_eq!(repository.git.ok(["status", "--porcelain"]), "", "something was changed");
    assert!(!repository.path("new.agekey").exists(), "a key is left that nothing depends on");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The command as a user whom permissions bind. Root gives the whole test to nobody first.
fn bound(env: &TestEnv, mut command: Command) -> Command {
    const NOBODY: u32 = 65534;
    if rustix::process::geteuid().is_root() {
        let mut chown = env.command("chown");
        let _ = env.run(chown.arg("--recursive").arg(format!("{NOBODY}:{NOBODY}")).arg(env.root())).success();
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn line_ends_of_windows_stay() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let crlf = SECRET.replace('\n', "\r\n");
    repository.git.write("apps/windows.yaml", &crlf);
    repository.run(&["encrypt", "apps/windows.yaml"]);
    // Git has line feeds, and the work tree what Windows wants.
    repository.git.ok(["config", "core.autocrlf", "true"]);
    repository.git.commit_all("windows");
    std::fs::remove_file(repository.path("apps/db.yaml")).unwrap();
    repository.git.ok(["checkout", "--", "apps/db.yaml"]);
    let before = sops(&repository, "age.agekey", "apps/db.yaml").stdout;
    for path in ["apps/db.yaml", "apps/windows.yaml"] {
        assert_eq!(
            repository.read(path).matches('\n').count(),
            repository.read(path).matches("\r\n").count()
        );
    }
    let shown = run(&repository, &STORE);
    assert!(shown.contains("renewed apps/db.yaml") && shown.contains("renewed apps/windows.yaml"), "{shown}");
    for path in ["apps/db.yaml", "apps/windows.yaml"] {
        let text = repository.read(path);
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{path}:\n{text}");
        assert!(opens(&repository, "new.agekey", path) && !opens(&repository, "age.agekey", path), "{path}");
    }
    assert_eq!(sops(&repository, "new.agekey", "apps/db.yaml").stdout, before);
}

#[test]
fn a_submodule_is_left_alone_and_named() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let other = GitRepo::init(&env, "other");
    other.write("apps/db.yaml", repository.read("apps/db.yaml"));
    other.write(".sops.yaml", repository.read(".sops.yaml"));
    other.commit_all("other");
    let other = other.path().to_str().unwrap();
    repository.git.ok([
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "--quiet",
        other,
        "vendor/other",
    ]);
    repository.git.commit_all("submodule");
    let before = repository.read("vendor/other/apps/db.yaml");
    assert_snapshot!(run(&repository, &STORE), @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    warning: vendor/other: a repository of its own, left as it is
    ");
    assert_eq!(repository.read("vendor/other/apps/db.yaml"), before);
    assert!(repository.read("vendor/other/.sops.yaml").contains(&repository.recipient()));
}

#[test]
fn what_a_sparse_checkout_leaves_out_is_not_left_behind() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    repository.git.ok(["sparse-checkout", "set", "--no-cone", "/*", "!/env/"]);
    assert!(!repository.path("env/web.env").exists());
    assert_snapshot!(run(&repository, &STORE), @"
    ------- stderr -------
    error: env/web.env: it is for the key that goes, and it is not in the work tree

    hint: git sparse-checkout disable   # if the checkout is sparse
    hint: git status                    # if they were removed: commit that, or git restore FILE
    [exit status: 3]
    ");
    untouched(&repository);
    repository.git.ok(["sparse-checkout", "disable"]);
    assert!(run(&repository, &STORE).contains("renewed env/web.env"));
    // What another key alone opens may be left out.
    repository.git.commit_all("rotated");
    repository.git.ok(["sparse-checkout", "set", "--no-cone", "/*", "!/env/"]);
    let again = ["--new-age-key-file", "age.agekey", "--old-recipient", &repository.recipient()];
    let shown = run(&repository, &again);
    assert!(shown.contains("nothing to renew"), "{shown}");
}

#[test]
fn a_linked_work_tree_is_rotated_by_itself() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    repository.git.ok(["worktree", "add", "--quiet", "-b", "rotation", "../linked"]);
    let linked = GitRepo::at(&env, "linked");
    let mut command = linked.command(env!("CARGO_BIN_EXE_kubectl-kubiya"));
    command.args(["rotate-key", "--no-cluster", "--age-key-file", "../gitops/age.agekey"]);
    let shown = repository.finish(command.args(["--store-key", "../new.agekey"]));
    assert!(shown.contains("renewed apps/db.yaml") && shown.contains("updated .sops.yaml"), "{shown}");
    untouched(&repository);
    let mut sops = linked.command("sops");
    sops.args(["decrypt", "apps/db.yaml"]).env("SOPS_AGE_KEY_FILE", "../new.agekey");
    assert!(sops.env("SOPS_DISABLE_VERSION_CHECK", "1").output().unwrap().status.success());
}

#[test]
fn a_file_or_folder_that_nobody_may_write_to_keeps_all_as_it_is() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    set_mode(&repository.path("env/web.env"), 0o444);
    let words = [&["rotate-key", "--no-cluster"], &STORE[..]].concat();
    assert_snapshot!(repository.run(&words), @"
    ------- stderr -------
    error: env/web.env: it is read-only

    hint: chmod u+w env/web.env
    [exit status: 2]
    ");
    untouched(&repository);
    set_mode(&repository.path("env/web.env"), 0o644);
    set_mode(&repository.path("env"), 0o555);
    let mut command = bound(&env, repository.command(&words));
    assert_snapshot!(repository.finish(&mut command), @"
    ------- stderr -------
    error: env/web.env: cannot write it
      cause: permission denied

    hint: chmod u+w env   # a new version is written beside the old one
    [exit status: 2]
    ");
    set_mode(&repository.path("env"), 0o755);
    set_mode(&repository.path("apps/db.yaml"), 0);
    let mut command = bound(&env, repository.command(&words));
    assert_snapshot!(repository.finish(&mut command), @"
    ------- stderr -------
    error: apps/db.yaml: cannot read it
      cause: Permission denied (os error 13)

    hint: chmod u+r apps/db.yaml
    [exit status: 2]
    ");
    set_mode(&repository.path("apps/db.yaml"), 0o644);
    assert!(!repository.path("new.agekey").exists());
    let shown = repository.finish(&mut bound(&env, repository.command(&words)));
    assert!(shown.contains("renewed env/web.env") && shown.contains("renewed apps/db.yaml"), "{shown}");
}

#[test]
fn a_full_disk_keeps_all_as_it_is() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let large = format!("LARGE={}\n", "x".repeat(40_000));
    repository.git.write("env/web.env", large);
    repository.run(&["encrypt", "env/web.env"]);
    repository.git.commit_all("large");
    // No room for more than 16 KiB in one file: as on a full disk, the write fails in its middle.
    let mut command = repository.git.command("bash");
    let binary = env!("CARGO_BIN_EXE_kubectl-kubiya");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    command.args(["-c", script, binary, "rotate-key", "--no-cluster"]).args(STORE).env("COLUMNS", "100");
    assert_snapshot!(repository.finish(&mut command), @"
    ------- stderr -------
    error: env/web.env: cannot write it
      cause: file too large

    hint: make room on the disk, and run the same command again
    [exit status: 2]
    ");
    untouched(&repository);
    for folder in ["apps", "env", "."] {
        let names =
            std::fs::read_dir(repository.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let left = names.filter(|name| name.to_string_lossy().starts_with(".kubiya-")).count();
        assert_eq!(left, 0, "{folder}: something is left behind");
    }
}

#[test]
fn a_file_that_changes_meanwhile_keeps_its_change() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    // The store runs after the new versions were made and before they are put in place.
    let store = "sh -c 'cat > ../stored; echo \"# by hand\" >> apps/db.yaml'";
    let shown = run(&repository, &["--store-command", store, "--read-back-command", "cat ../stored"]);
    let new = public(&repository, "../stored");
    assert_snapshot!(shown.replace(&new, "[NEW]"), @"
    ------- stderr -------
    error: apps/db.yaml: it changed on the disk in the meantime; nothing was written over it

    hint: the other files are done: for the rest, run it again with --new-age-key-command, as it is in --read-back-command
    [exit status: 5]
    ");
    assert!(repository.read("apps/db.yaml").ends_with("# by hand\n"));
    assert!(
        opens(&repository, "age.agekey", "apps/db.yaml") && opens(&repository, "../stored", "env/web.env")
    );
    let words = ["--new-age-key-command", "cat ../stored", "--age-key-file", "age.agekey"];
    assert!(run(&repository, &words).contains("renewed apps/db.yaml"));
    assert!(repository.read("apps/db.yaml").contains("# by hand\n"));
    assert!(
        opens(&repository, "../stored", "apps/db.yaml") && !opens(&repository, "age.agekey", "apps/db.yaml")
    );
}

#[test]
fn a_file_that_no_key_at_hand_opens_keeps_all_as_it_is() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    // For the old key by its name, and wrapped for another one.
    let mut keygen = repository.git.command("age-keygen");
    assert!(keygen.args(["-o", "lost.agekey"]).output().unwrap().status.success());
    let lost = public(&repository, "lost.agekey");
    let rules = repository.read(".sops.yaml");
    repository.rules(&rules.replace(&repository.recipient(), &lost));
    repository.git.write("apps/lost.yaml", SECRET);
    repository.run(&["encrypt", "apps/lost.yaml"]);
    repository.rules(&rules);
    let mislabelled = repository.read("apps/lost.yaml").replace(&lost, &repository.recipient());
    repository.git.write("apps/lost.yaml", mislabelled);
    std::fs::remove_file(repository.path("lost.agekey")).unwrap();
    repository.git.commit_all("lost");
    assert_snapshot!(run(&repository, &STORE).replace(&lost, "[LOST]"), @"
    ------- stderr -------
    error: apps/lost.yaml: cannot be decrypted: none of the keys at hand opens it
      cause: it is for [RECIPIENT]
      cause: $ROOT/gitops/age.agekey has [RECIPIENT]
      cause: nothing at SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD, $ROOT/home/.ssh/id_ed25519, $ROOT/home/.ssh/id_rsa, SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, $ROOT/home/.config/sops/age/keys.txt

    hint: name the key of one of these recipients: --age-key-file FILE, or --from-cluster for Flux's
    [exit status: 3]
    ");
    untouched(&repository);
}
