//! Repositories that are not for everybody: looked at with what Flux will have, before anything is written.

use crate::world::World;
use kubiya_testdata::git_server::{GitFault, Options};

const PASSWORD: &str = "canary-password-7Qx";
const TOKEN: &str = "canary-token-4Zt";

fn private() -> World {
    let world = World::with_server(Options {
        credentials: Some(("flux".to_owned(), PASSWORD.to_owned())),
        token: Some(TOKEN.to_owned()),
        ..Options::default()
    });
    world.write("password", &format!("{PASSWORD}\n"));
    world.write("token", TOKEN);
    world.write("wrong", "canary-wrong\n");
    world
}

/// The names of the entries of the Secret for Git.
fn entries(world: &World, name: &str) -> String {
    let data = world.hub(&["secret", name, "-n", "flux-system"], "{.data}");
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    data.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn without_the_right_credentials_nothing_is_written() {
    let world = private();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("does not accept what Flux will have"), "{}", said.stderr);
    assert!(said.stderr.contains("--password-file"), "{}", said.stderr);
    for more in [
        ["--username", "flux", "--password-file", "wrong"],
        ["--bearer-token-file", "wrong", "--branch", "main"],
    ] {
        let said = world.bootstrap(&more);
        assert_eq!(said.code, 3, "{}", said.stderr);
        assert!(said.stderr.contains("does not accept what Flux will have"), "{}", said.stderr);
        assert!(!said.stderr.contains("canary"), "{}", said.stderr);
    }
    // A Secret of somebody else, which is not there.
    let said = world.bootstrap(&["--secret-name", "git"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("the Secret flux-system/git with the credentials for Git is not there"),
        "{}",
        said.stderr
    );
    // What the user has beside them is not what Flux will have.
    let netrc = format!("default login flux password {PASSWORD}\n");
    world.write(".netrc", &netrc);
    world.write(".gitconfig", &format!("[http]\nextraHeader = Authorization: Bearer {TOKEN}\n"));
    assert_eq!(world.bootstrap(&[]).code, 3);
    // A server that goes wrong: what it refuses is a problem; where it gives no answer, Flux may yet get one.
    let good = ["--username", "flux", "--password-file", "password"];
    let with = |more: &[&'static str]| world.bootstrap(&[&good[..], more].concat());
    for (fault, hint) in [
        (GitFault::Status(401), "the user or the token needs the right to read this repository"),
        (GitFault::Status(403), "the user or the token needs the right to read this repository"),
        (GitFault::Status(404), "is --url right? Many servers say the same of a repository"),
    ] {
        world.server.go_wrong(Some(fault));
        let said = with(&[]);
        assert_eq!(said.code, 3, "{fault:?}: {}", said.stderr);
        assert!(said.stderr.contains("does not accept what Flux will have"), "{fault:?}: {}", said.stderr);
        assert!(said.stderr.contains(hint), "{fault:?}: {}", said.stderr);
    }
    for fault in [GitFault::Status(500), GitFault::Status(503), GitFault::Silence] {
        world.server.go_wrong(Some(fault));
        let said = with(&["--dry-run"]);
        assert_eq!(said.code, 0, "{fault:?}: {}", said.stderr);
        assert!(said.stderr.contains("warning: cannot look at the repository from here"), "{}", said.stderr);
        assert!(said.stderr.contains("--repo CLONE looks at a clone instead"), "{fault:?}: {}", said.stderr);
    }
    assert_eq!(world.versions(), "");
    // Flux gets no answer either: that is said at the deadline, and the same command goes on when the server is back.
    let waited = with(&["--timeout", "10s"]);
    assert_eq!(waited.code, 4, "{}", waited.stderr);
    assert!(waited.stderr.contains("GitRepository flux-system/flux-system"), "{}", waited.stderr);
    world.server.go_wrong(None);
    let healed = with(&[]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    assert!(healed.stderr.contains("applied main@sha1:"), "{}", healed.stderr);
}

#[test]
fn flux_reads_with_a_password_and_a_rerun_keeps_it_or_puts_a_token_in_its_place() {
    let world = private();
    let said = world.bootstrap(&["--username", "flux", "--password-file", "password"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("applied main@sha1:"), "{}", said.stderr);
    assert_eq!(entries(&world, "flux-system"), "password username");
    // A re-run that names no credentials keeps those of Flux, looks with them, and writes nothing.
    let again = world.bootstrap(&["-o", "json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("main at "), "{}", again.stderr);
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(result["changed"], 0, "{}", again.stdout);
    // What another tool left in the Secret goes with the old password.
    let patch = r#"{"data":{"identity.pub":"bGVmdG92ZXI="}}"#;
    world
        .rig
        .hub()
        .run(["-n", "flux-system", "patch", "secret", "flux-system", "--type=merge", "-p", patch])
        .unwrap();
    assert_eq!(entries(&world, "flux-system"), "identity.pub password username");
    let dry = world.bootstrap(&["--bearer-token-file", "token", "--dry-run"]);
    assert!(dry.stderr.contains("would change Secret flux-system/flux-system"), "{}", dry.stderr);
    let token = world.bootstrap(&["--bearer-token-file", "token"]);
    assert_eq!(token.code, 0, "{}", token.stderr);
    assert_eq!(entries(&world, "flux-system"), "bearerToken");
    let before = world.versions();
    assert_eq!(world.bootstrap(&["--bearer-token-file", "token"]).code, 0);
    assert_eq!(before, world.versions());
}

#[test]
fn a_key_for_ssh_is_made_shown_and_used_with_the_known_host_alone() {
    let world = World::new();
    // There is no SSH server here: a program in its place says what it was called with, and serves the repository.
    let program = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\nexec git-upload-pack {}\n",
        world.path("ssh-arguments").display(),
        world.server_path().display()
    );
    world.write_program("path/ssh", &program);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICU5XaFI0cpvZNsDIVItyJG2PTw4Kr4x6PMUEhGQFLIn";
    world.write("known_hosts", &format!("git.example.com {key}\n"));
    let ssh = ["--url", "ssh://git@git.example.com/gitops.git", "--wait=false"];
    let bare = world.bootstrap(&ssh);
    assert_eq!(bare.code, 2, "{}", bare.stderr);
    assert!(bare.stderr.contains("over ssh Flux reads nothing without a key"), "{}", bare.stderr);
    let files =
        ["--private-key-file", "deploy key", "--known-hosts-file", "known_hosts", "--generate-private-key"];
    let dry = world.bootstrap(&[&ssh[..], &files, &["--dry-run"]].concat());
    assert!(dry.code == 2 && !world.path("deploy key").exists(), "{}", dry.stderr);
    let said = world.bootstrap(&[&ssh[..], &files].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("new key ssh-ed25519 "), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("host key git.example.com ED25519 SHA256:xqodVk9VqUG2NSjksfcBXRWKxuuUFli+H94l/+83brA"),
        "{}",
        said.stderr
    );
    let private = std::fs::read_to_string(world.path("deploy key")).unwrap();
    let line = private.lines().nth(1).unwrap();
    assert!(!said.stderr.contains(line) && !said.stdout.contains(line));
    assert_eq!(entries(&world, "flux-system"), "identity identity.pub known_hosts");
    let called = std::fs::read_to_string(world.path("ssh-arguments")).unwrap();
    let path = |name: &str| world.path(name).canonicalize().unwrap().display().to_string();
    for argument in [
        path("deploy key"),
        format!("UserKnownHostsFile=\"{}\"", path("known_hosts")),
        "StrictHostKeyChecking=yes".to_owned(),
    ] {
        assert!(called.lines().any(|line| line == argument), "{argument}\n{called}");
    }
    // A second run finds the key and writes nothing.
    let before = world.versions();
    let again = world.bootstrap(&[&ssh[..], &files].concat());
    assert!(again.code == 0 && again.stderr.contains("deploy key ssh-ed25519 "), "{}", again.stderr);
    assert_eq!(before, world.versions());
    // A server that refuses the key: what to do about it is said with the public half.
    world.write_program(
        "path/ssh",
        "#!/bin/sh\necho 'git@git.example.com: Permission denied (publickey).' >&2\nexit 255\n",
    );
    let refused = world.bootstrap(&[&ssh[..], &files].concat());
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("add the deploy key to the repository (reading is enough): ssh-ed25519 "),
        "{}",
        refused.stderr
    );
    // A server with another key than it is known by.
    world.write_program("path/ssh", "#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n");
    let other = world.bootstrap(&[&ssh[..], &files].concat());
    assert_eq!(other.code, 3, "{}", other.stderr);
    assert!(other.stderr.contains("ask its operator whether it got a new one"), "{}", other.stderr);
    assert_eq!(before, world.versions());
}
