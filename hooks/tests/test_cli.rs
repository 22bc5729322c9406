//! The command line itself.

use crate::common::hook;
use insta::assert_snapshot;
use kubiya_testdata::env::{TestEnv, Transcript};

fn run<const N: usize>(env: &TestEnv, arguments: [&str; N]) -> Transcript {
    env.run(env.command(hook()).args(arguments))
}

#[test]
fn help_has_examples_and_exit_codes() {
    let env = TestEnv::new();
    assert_snapshot!(run(&env, ["--help"]), @"
    Git hooks that let no plaintext secret in

    Called under the name of a hook, by a link in a `hooks` folder, it is that hook.

    Usage: kubiya-hook <COMMAND>

    Commands:
      pre-receive       Judge a push, as the hook of a server
      update            Judge the update of one ref, as the hook of a server
      pre-commit        Judge what is about to be committed, as the hook of a clone
      pre-merge-commit  Judge a merge that is about to be committed, as the hook of a clone
      pre-applypatch    Judge a patch that `git am` has applied, before it is committed
      commit-msg        Judge the message of a commit, as the hook of a clone
      pre-push          Judge the commits that a push would send, as the hook of a clone
      scan              Judge files, an index, a revision, a history, an archive or a stream
      install           Install the hooks of a clone or a server
      uninstall         Take the hooks of a clone or a server away
      doctor            Prove that the hooks of a clone or a server refuse
      config            Look at the configuration of a server
      explain           Say what a finding means and what to do, or which rule governs a path
      completion        Print a completion script
      man               Write the manual pages into a folder
      help              Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      # On the server: refuse plaintext secrets in every push, and see it refuse
      kubiya-hook install /srv/git/gitops.git
      kubiya-hook doctor /srv/git/gitops.git

      # In your clone: refuse them before they are committed
      kubiya-hook install

      # Look at the files that are there, and at what CI was started for
      kubiya-hook scan .
      kubiya-hook scan --ci
      kubiya-hook scan --format json clusters/ apps/

      # What a finding means and what to do
      kubiya-hook explain KBY001

    Exit codes:
      0    nothing was found that stops a commit or a push
      1    findings
      2    wrong usage or bad input
      3    something could not be verified; hooks refuse then, too
      130  interrupted
    ");
    assert_eq!(run(&env, []).code(), Some(2));
}

#[test]
fn the_version_is_the_crates() {
    let env = TestEnv::new();
    assert_eq!(run(&env, ["--version"]).success(), concat!("kubiya-hook ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_said_and_is_code_two() {
    let env = TestEnv::new();
    assert_snapshot!(run(&env, ["scan", "--format", "xml"]), @"
    ------- stderr -------
    error: invalid value 'xml' for '--format <FORMAT>'
      [possible values: text, json, sarif, junit, github, gitlab, checkstyle]

    For more information, try '--help'.
    [exit status: 2]
    ");
}

#[test]
fn findings_can_be_explained() {
    let env = TestEnv::new();
    assert_snapshot!(run(&env, ["explain", "kby1"]), @"
    KBY001: Plaintext value in a Secret

    Whoever can read the repository, or a clone or a backup of it, can read the
    value. Base64, as under `data`, hides nothing. Git keeps it in the history after
    it is deleted.

    Encrypt the file, and if it was ever pushed make a new value:
      kubectl kubiya encrypt FILE
    ");
    assert_snapshot!(run(&env, ["explain", "KBY999"]), @"
    ------- stderr -------
    error: no finding has the code `KBY999`

    hint: known codes: KBY001 KBY002 KBY003 KBY004 KBY005 KBY006 KBY007 KBY008 KBY009 KBY010 KBY011 KBY012 KBY013 KBY014 KBY015 KBY016 KBY017 KBY018 KBY019 KBY020 KBY021 KBY022 KBY023 KBY024 KBY025 KBY026 KBY027 KBY028 KBY029 KBY030 KBY031
    [exit status: 2]
    ");
}

#[test]
fn shells_and_man_get_their_files() {
    let env = TestEnv::new();
    let script = run(&env, ["completion", "bash"]).success();
    assert!(script.contains("pre-receive") && script.contains("kubiya-hook"));
    std::fs::create_dir(env.root().join("man1")).unwrap();
    assert_snapshot!(run(&env, ["man", "man1"]), @"
    ------- stderr -------
    written: man1/kubiya-hook*.1
    ");
    let page = std::fs::read_to_string(env.root().join("man1/kubiya-hook-scan.1")).unwrap();
    assert!(page.contains("kubiya-hook-scan"));
    assert_eq!(run(&env, ["man", "no/such/folder"]).code(), Some(2));
}

#[test]
fn the_rule_for_a_path_is_explained() {
    let env = TestEnv::new();
    let repo = kubiya_testdata::git::GitRepo::init(&env, "repo");
    repo.write("apps/.sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n  - path_regex: \\.enc\\.yaml$\n    encrypted_regex: ^(data|stringData)$\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    repo.write(".sops.yaml", "creation_rules:\n  - encrypted_suffix: _secret\n");
    let explain = |path: &str| env.run(repo.command(hook()).args(["explain", path]));
    assert_snapshot!(explain("apps/deep/db.enc.yaml"), @"
           file  apps/deep/db.enc.yaml
          rules  $ROOT/repo/apps/.sops.yaml
     matched as  deep/db.enc.yaml
         rule 1  does not match: ^vault/ (line 2)
         rule 2  is for it: \\.enc\\.yaml$ (line 3)
        readers  age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77
       encrypts  encrypted_regex: ^(data|stringData)$
    ");
    let all = explain("values.yaml").to_string();
    assert!(all.contains("is for it: (every file)") && all.contains("not that this file must be"), "{all}");
    let none = env.run(env.command(hook()).args(["explain", "/nowhere/at/all.yaml"]));
    assert!(none.to_string().contains("no .sops.yaml at or above it"), "{none}");
}
