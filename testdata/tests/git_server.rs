//! The Git server against the real git: pushes, fetches, refusals, passwords.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use kubiya_testdata::git_server::{GitServer, Options};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Git in a folder, with nothing of the user's configuration.
fn git(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
        .output()
        .unwrap()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A repository with one commit of one file.
fn repository(dir: &Path, content: &[u8]) {
    good(&git(dir, &["init", "--quiet", "--initial-branch=main"]));
    fs::write(dir.join("file"), content).unwrap();
    good(&git(dir, &["add", "file"]));
    good(&git(dir, &["commit", "--quiet", "-m", "first"]));
}

#[test]
fn what_is_pushed_can_be_cloned() {
    let (root, work, copy) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = GitServer::start(root.path()).unwrap();
    server.create_repo("fleet", None).unwrap();
    // More than Git puts into one buffer, so that the push comes in chunks; and not compressible.
    let mut seed = 1_u32;
    let content = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    });
    let content = content.take(3_000_000).collect::<Vec<u8>>();
    repository(work.path(), &content);
    good(&git(work.path(), &["push", "--quiet", &server.url("fleet"), "main"]));
    good(&git(copy.path(), &["clone", "--quiet", &server.url("fleet"), "clone"]));
    assert!(fs::read(copy.path().join("clone/file")).unwrap() == content);
    assert_eq!(
        good(&git(work.path(), &["rev-parse", "HEAD"])),
        good(&git(&server.path("fleet"), &["rev-parse", "main"]))
    );
}

#[test]
fn a_pre_receive_hook_refuses_and_the_pusher_reads_why() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hook = work.path().join("hook");
    fs::write(&hook, "#!/bin/sh\nread old new ref\necho \"no $ref for you, $WHO\" >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let options = Options { environment: vec![("WHO".into(), "Ann".into())], ..Options::default() };
    let server = GitServer::start_with(root.path(), options).unwrap();
    server.create_repo("fleet", Some(&hook)).unwrap();
    repository(work.path(), b"content");
    let push = git(work.path(), &["push", &server.url("fleet"), "main"]);
    assert!(!push.status.success());
    let said = String::from_utf8(push.stderr).unwrap();
    assert!(said.contains("remote: no refs/heads/main for you, Ann"), "{said}");
    assert!(said.contains("pre-receive hook declined"), "{said}");
    assert!(!git(&server.path("fleet"), &["rev-parse", "--verify", "main"]).status.success());
}

#[test]
fn a_password_is_asked_for() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = Options { credentials: Some(("ann".into(), "s3cret".into())), ..Options::default() };
    let server = GitServer::start_with(root.path(), options).unwrap();
    server.create_repo("fleet", None).unwrap();
    repository(work.path(), b"content");
    let url = server.url("fleet");
    assert!(!git(work.path(), &["push", &url, "main"]).status.success());
    let wrong = url.replace("http://", "http://ann:wrong@");
    assert!(!git(work.path(), &["push", &wrong, "main"]).status.success());
    let right = url.replace("http://", "http://ann:s3cret@");
    good(&git(work.path(), &["push", "--quiet", &right, "main"]));
}

#[test]
fn what_does_not_exist_is_an_error_and_a_name_is_used_once() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = GitServer::start(root.path()).unwrap();
    assert!(!git(work.path(), &["ls-remote", &server.url("none")]).status.success());
    server.create_repo("fleet", None).unwrap();
    assert!(server.create_repo("fleet", None).is_err());
}
