//! What every output keeps to: no value, 80 columns, the server's customs.

use crate::common::{CANARY, World, hook, lines_with, plain_secret};
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::path::Path;

/// Files that hold the canary in many ways, and one that nobody can parse.
fn write_bad(repo: &GitRepo<'_>) {
    repo.write("secret.yaml", plain_secret());
    repo.write("broken.sops.yaml", format!("a: [{CANARY}\n"));
    repo.write("app.enc.env", format!("PASSWORD={CANARY}\n"));
    repo.write(
        "kubeconfig",
        format!(
            "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: {CANARY}\ncontexts: []\n"
        ),
    );
    repo.write("kustomization.yaml", format!("secretGenerator:\n- name: a\n  literals: [p={CANARY}]\n"));
    repo.write("list.yaml", format!("kind: List\napiVersion: v1\nitems:\n- {{kind: Secret, apiVersion: v1, metadata: {{name: a}}, data: {{a: {CANARY}}}}}\n"));
    repo.write("stub.yaml", format!("{}sops: {{}}\n", plain_secret()));
    repo.write("template.yaml", format!("{{{{ if x }}}}\n{}{{{{ end }}}}\n", plain_secret()));
}

#[test]
fn no_value_gets_out() {
    let env = TestEnv::new();
    let world = World::new(&env);
    write_bad(&world.clone);
    let mut outputs = vec![
        env.run(world.clone.command(hook()).args(["scan", "."])),
        env.run(world.clone.command(hook()).args(["scan", ".", "--format", "json"])),
    ];
    let _ = world.clone.ok(["add", "."]);
    outputs.push(env.run(world.clone.command(hook()).arg("pre-commit")));
    world.clone.commit_all("bad");
    outputs.push(world.push(["main"]));
    for output in &outputs {
        assert_eq!(output.code(), Some(1), "{output}");
        let all = format!("{}{}", String::from_utf8_lossy(output.stdout()), output.stderr());
        for part in [CANARY, "canary", "hunter2"] {
            assert!(!all.contains(part), "{part} got out:\n{all}");
        }
    }
}

#[test]
fn lines_fit_beside_the_word_remote_and_have_no_colour() {
    let env = TestEnv::new();
    let world = World::new(&env);
    write_bad(&world.clone);
    world.clone.commit_all("bad");
    let refused = world.push(["main"]);
    let text = refused.stderr();
    assert!(!text.contains('\u{1b}'), "{text}");
    for line in text.lines().filter(|line| line.starts_with("remote:")) {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn gitlab_gets_its_prefix_on_every_line() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = env
        .run(world.clone.command("git").args(["push", "--quiet", "origin", "main"]).env("GL_ID", "user-1"));
    let said = lines_with(&refused, "remote: ");
    assert!(said.len() > 3 && said.iter().all(|line| line.starts_with("remote: GL-HOOK-ERR:")), "{refused}");
}

#[test]
fn input_that_is_no_list_of_refs_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let script = format!("echo nonsense | {} pre-receive", hook().display());
    let refused = env.run(world.server.command("sh").args(["-c", &script]));
    assert_eq!(refused.code(), Some(2), "{refused}");
    let script = format!("printf '\\n\\n' | {} pre-receive", hook().display());
    let refused = env.run(world.server.command("sh").args(["-c", &script]));
    assert_eq!(refused.code(), Some(2), "{refused}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let line = format!("{} {} refs/heads/x", "0".repeat(40), "1".repeat(40));
    let script = format!("echo {line} | {} pre-receive", hook().display());
    let refused = env.run(world.server.command("sh").args(["-c", &script]));
    assert_eq!(refused.code(), Some(3), "{refused}");
    assert_eq!(lines_with(&refused, "error: refused").len(), 1, "{refused}");
    let nowhere = env.run(env.command("sh").args(["-c", &script]).current_dir(Path::new("/")));
    assert_eq!(nowhere.code(), Some(3), "{nowhere}");
}

#[test]
fn a_script_of_two_lines_does_as_well_as_a_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = TestEnv::new();
    let world = World::new(&env);
    let script = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&script).unwrap();
    std::fs::write(&script, format!("#!/bin/sh\nexec '{}' pre-receive\n", hook().display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(lines_with(&world.push(["main"]), "error: push refused").len(), 1);
}
