//! Which files the commands choose, which they refuse, and what they leave alone.

use crate::repository::{CANARIES, Repository, SECRET};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use std::process::Stdio;

#[test]
fn another_repository_inside_of_this_one_is_not_touched() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    repository.git.write("apps/vendored/db.yaml", SECRET);
    // A submodule has a file of this name, a clone a folder.
    repository.git.write("apps/vendored/.git", "gitdir: ../../.git/modules/vendored\n");
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
      encrypted apps/db.yaml (3 values)
    ");
    assert_eq!(repository.read("apps/vendored/db.yaml"), SECRET);
    assert!(repository.run(&["encrypt", "apps/vendored"]).contains("encrypted"), "it can be named");
}

#[test]
fn links_and_read_only_files_are_not_written_through() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/real.yaml", SECRET);
    repository.git.link("apps/link.yaml", "real.yaml");
    let outside = repository.path("../outside.yaml");
    std::fs::write(&outside, SECRET).unwrap();
    repository.git.link("apps/out.yaml", "../../outside.yaml");
    assert_snapshot!(repository.run(&["encrypt", "apps/out.yaml"]), @"
    ------- stderr -------
    error: apps/out.yaml: it is a symbolic link that leads out of the repository
    [exit status: 2]
    ");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), SECRET);
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(repository.path("apps/real.yaml"), mode(0o444)).unwrap();
    assert_snapshot!(repository.run(&["encrypt", "apps/link.yaml"]), @"
    ------- stderr -------
         failed apps/real.yaml
    error: apps/real.yaml: it is read-only

    hint: chmod u+w apps/real.yaml
    [exit status: 2]
    ");
    std::fs::set_permissions(repository.path("apps/real.yaml"), mode(0o640)).unwrap();
    assert_snapshot!(repository.run(&["encrypt", "apps/link.yaml"]), @"
    ------- stderr -------
      encrypted apps/real.yaml (3 values)
    ");
    assert!(repository.path("apps/link.yaml").is_symlink());
    assert!(repository.read("apps/real.yaml").contains("ENC["));
}

#[test]
fn what_a_generator_makes_a_secret_of_is_found() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let recipient = repository.recipient();
    repository.rules(&format!("creation_rules:\n  - age: {recipient}\n"));
    let kustomization = "secretGenerator:\n  - name: db\n    envs: [db.env]\n";
    repository.git.write("apps/kustomization.yaml", kustomization);
    repository.git.write("apps/db.env", "PASSWORD=CANARY-one-1f2e\n");
    repository.git.write("apps/other.env", "MODE=fast\n");
    assert_snapshot!(repository.run(&["encrypt", "-o", "yaml"]), @"
    - path: apps/db.env
      result: encrypted
      newlyEncrypted:
      - PASSWORD
      released: []
      kept: 0
    ");
    assert_eq!(repository.sops_json("apps/db.env")["PASSWORD"], CANARIES[0]);
    assert_eq!(repository.read("apps/kustomization.yaml"), kustomization);
}

#[test]
fn rules_can_be_named() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let rules = repository.read(".sops.yaml");
    repository.git.write("other.yaml", rules.replace("^(data|stringData)$", "^stringData$"));
    let selector = |shown: String| shown.lines().filter(|line| line.contains("encrypts")).collect::<String>();
    let by_flag = repository.run(&["explain", "--config", "other.yaml", "apps/db.yaml"]);
    assert_snapshot!(selector(by_flag), @"   encrypts  encrypted_regex: ^stringData$");
    let mut command = repository.command(&["explain", "apps/db.yaml"]);
    command.env("SOPS_CONFIG", "other.yaml");
    assert_snapshot!(selector(repository.finish(&mut command)), @"   encrypts  encrypted_regex: ^stringData$");
    assert_snapshot!(selector(repository.run(&["explain", "apps/db.yaml"])), @"   encrypts  encrypted_regex: ^(data|stringData)$");
}

#[test]
fn nothing_encrypted_becomes_plain_unasked() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let rules = repository.read(".sops.yaml");
    repository.git.write("apps/db.yaml", format!("{SECRET}data:\n  b: eA==\n"));
    let _ = repository.run(&["encrypt"]);
    let sealed = repository.read("apps/db.yaml");
    repository.rules(&rules.replace("(data|stringData)", "data"));
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: encrypted values would become plain, because the rule no longer covers them: stringData.user, stringData.password, stringData.ca

    hint: in .sops.yaml, make the rule's selector cover them again
    hint: kubectl kubiya encrypt --allow-plain apps/db.yaml   # if they are no secrets
    [exit status: 2]
    ");
    for words in [["unset", "apps/db.yaml", "data.b"], ["set", "apps/db.yaml", "data.b"]] {
        let mut command = repository.command(&words);
        command.stdin(Stdio::piped());
        assert!(repository.finish(&mut command).contains("exit status: 2"));
    }
    assert_eq!(repository.read("apps/db.yaml"), sealed);
    // A value where nobody covers it, and one moved out of cover in the editor.
    repository.rules(&rules);
    let mut set =
        repository.command(&["set", "apps/db.yaml", "password", "--value-command", "echo CANARY-one-1f2e"]);
    assert_snapshot!(repository.finish(&mut set), @"
    ------- stderr -------
    error: apps/db.yaml: the file's selector does not cover it, so the value would stand there in plain: password

    hint: a Secret's values belong below `stringData` or `data`; or let the rule in .sops.yaml cover the key
    hint: --allow-plain   # if it is no secret
    [exit status: 2]
    ");
    let mut edit = repository.command(&["edit", "apps/db.yaml"]);
    edit.env("EDITOR", "sed -i s/stringData/stringdata/");
    assert_snapshot!(repository.finish(&mut edit), @"
    ------- stderr -------
    error: apps/db.yaml: the file's selector does not cover it, so the value would stand there in plain: stringdata.user, stringdata.password, stringdata.ca

    hint: a Secret's values belong below `stringData` or `data`; or let the rule in .sops.yaml cover the key
    hint: --allow-plain   # if it is no secret
    [exit status: 2]
    ");
    assert_eq!(repository.read("apps/db.yaml"), sealed);
}

#[test]
fn what_the_hook_would_refuse_is_never_said_to_be_well() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    // The usual rule for Flux covers nothing in these.
    repository.git.write("apps/kustomization.yaml", "secretGenerator:\n  - name: g\n    envs: [g.env]\n");
    repository.git.write("apps/g.env", "A=CANARY-one-1f2e\n");
    // No rule, ignored and yet tracked.
    repository.git.write("ignored/t.yaml", SECRET);
    repository.git.write(".gitignore", "age.agekey\nignored/\n");
    repository.git.ok(["add", "--force", "ignored/t.yaml"]);
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
         failed apps/g.env
         failed ignored/t.yaml
    error: 2 files could not be encrypted
    problem: apps/g.env: it holds plaintext secrets, and creation rule 1 encrypts nothing of it
    problem: ignored/t.yaml: no creation rule is for this file

    hint: in .sops.yaml, before that rule: one for this path without a selector, or with one that covers its keys
    hint: kubectl kubiya explain ignored/t.yaml
    [exit status: 2]
    ");
    assert_snapshot!(repository.run(&["check"]), @"
    error: apps/g.env:1:3: A: a secretGenerator names the file, and it is plaintext
    error: apps/g.env: its creation rule encrypts nothing of it
    error: ignored/t.yaml:9:9: stringData.user: a value of a Secret is plaintext
    error: ignored/t.yaml:10:13: stringData.password: a value of a Secret is plaintext
    error: ignored/t.yaml:13:5: stringData.ca: a value of a Secret is plaintext
    error: ignored/t.yaml: no creation rule is for it
    ------- stderr -------
    5 files looked at, 2 of them secrets, checked without keys: 0 as they should be, 2 not
    hint: kubectl kubiya encrypt   # makes them as their rules say
    [exit status: 1]
    ");
    assert_snapshot!(repository.run(&["check", "ignored/t.yaml"]), @"
    error: ignored/t.yaml:9:9: stringData.user: a value of a Secret is plaintext
    error: ignored/t.yaml:10:13: stringData.password: a value of a Secret is plaintext
    error: ignored/t.yaml:13:5: stringData.ca: a value of a Secret is plaintext
    error: ignored/t.yaml: no creation rule is for it
    ------- stderr -------
    1 file looked at, 1 of them secrets, checked without keys: 0 as they should be, 1 not
    hint: kubectl kubiya encrypt   # makes them as their rules say
    [exit status: 1]
    ");
    let mut piped = repository.command(&["encrypt", "--filename", "apps/x.env", "-"]);
    piped.stdin(Stdio::from(std::fs::File::open(repository.path("apps/g.env")).unwrap()));
    assert_snapshot!(repository.finish(&mut piped), @"
    ------- stderr -------
    error: apps/x.env: it holds plaintext secrets, and creation rule 1 encrypts nothing of it

    hint: in .sops.yaml, before that rule: one for this path without a selector, or with one that covers its keys
    [exit status: 2]
    ");
}
