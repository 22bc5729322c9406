//! `encrypt`, `decrypt`, `check`, `explain`: what a user types, and what becomes of the files.

use crate::repository::{CANARIES, Repository, SECRET};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use std::io::Write as _;
use std::process::Stdio;

/// Lines that a change takes away or adds, without the context.
fn changed_lines(repository: &Repository<'_>) -> Vec<String> {
    let diff = repository.git.ok(["diff", "--unified=0"]);
    let lines = diff.lines().filter(|line| {
        line.starts_with(['+', '-']) && !line.starts_with("+++ ") && !line.starts_with("--- ")
    });
    lines.map(|line| line.split("ENC[").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn one_command_encrypts_what_must_be_and_nothing_else() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    repository.git.write("apps/kustomization.yaml", "resources: [db.yaml]\n");
    repository.git.write("apps/config.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n");
    repository.git.write("README.md", "stringData: nothing\n");
    repository.git.commit_all("plain");
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
      encrypted apps/db.yaml (3 values)
    ");
    assert_eq!(repository.git.ok(["diff", "--name-only"]).trim(), "apps/db.yaml");
    let sealed = repository.read("apps/db.yaml");
    assert!(CANARIES.iter().all(|canary| !sealed.contains(canary)));
    assert!(sealed.starts_with("# The database of the shop\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db   # used by shop\n\nstringData:\n"));
    let opened = repository.sops_json("apps/db.yaml");
    assert_eq!(opened["stringData"]["password"], CANARIES[1]);
    assert_eq!(opened["stringData"]["ca"], format!("first line\n{}\n", CANARIES[2]));
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
      unchanged apps/db.yaml
    ");
    assert_eq!(repository.read("apps/db.yaml"), sealed);
    assert_snapshot!(repository.run(&["check"]), @"
    ------- stderr -------
    6 files looked at, 1 of them secrets, checked without keys: 1 as they should be, 0 not
    ");
    assert_snapshot!(repository.run(&["check", "--decrypt"]), @"
    ------- stderr -------
    6 files looked at, 1 of them secrets, opened and verified: 1 as they should be, 0 not
    ");
}

#[test]
fn decrypting_gives_the_bytes_back_and_warns() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    let mut stdout = repository.command(&["decrypt", "--stdout", "apps/db.yaml"]);
    assert_eq!(stdout.output().unwrap().stdout, SECRET.as_bytes());
    let mut elsewhere = repository.command(&["decrypt", "--output", "plain.yaml", "apps/db.yaml"]);
    assert!(elsewhere.status().unwrap().success());
    assert_eq!(repository.read("plain.yaml"), SECRET);
    assert_snapshot!(repository.run(&["decrypt", "--output", "plain.yaml", "apps/db.yaml"]), @"
    ------- stderr -------
    error: plain.yaml: it is there already
    [exit status: 2]
    ");
    assert_snapshot!(repository.run(&["decrypt", "apps/db.yaml"]), @"
    ------- stderr -------
      decrypted apps/db.yaml
    warning: the plain files are in a Git work tree; the hook stops a commit of them
    hint: kubectl kubiya encrypt apps/db.yaml   # before you commit
    ");
    assert_eq!(repository.read("apps/db.yaml"), SECRET);
}

#[test]
fn a_change_of_one_value_changes_one_value() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    repository.git.commit_all("encrypted");
    let _ = repository.run(&["decrypt", "apps/db.yaml"]);
    let plain = repository.read("apps/db.yaml");
    repository.git.write("apps/db.yaml", plain.replace(CANARIES[0], "CANARY-one-1f2e-new"));
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
      encrypted apps/db.yaml (1 value; the rest as it was in Git)
    ");
    let changed = changed_lines(&repository);
    let keys =
        changed.iter().map(|line| line[1..].trim_start()).filter(|line| !line.starts_with("lastmodified"));
    assert_eq!(keys.collect::<Vec<_>>(), ["user: \"", "user: \"", "mac: ", "mac: "]);
    // A value put into the encrypted file by hand is sealed with the file's own key.
    repository.git.commit_all("changed");
    let sealed = repository.read("apps/db.yaml");
    repository
        .git
        .write("apps/db.yaml", sealed.replace("stringData:\n", "stringData:\n  token: CANARY-one-1f2e\n"));
    assert_snapshot!(repository.run(&["check"]), @"
    error: apps/db.yaml:8:10: stringData.token: a value of an encrypted file is plaintext
    ------- stderr -------
    3 files looked at, 1 of them secrets, checked without keys: 0 as they should be, 1 not
    hint: kubectl kubiya encrypt   # makes them as their rules say
    [exit status: 1]
    ");
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
    warning: apps/db.yaml: plain values were put in by hand, so nothing proves what else was changed
        updated apps/db.yaml (newly encrypted: stringData.token)
    ");
    assert_eq!(repository.sops_json("apps/db.yaml")["stringData"]["token"], CANARIES[0]);
    assert!(!changed_lines(&repository).iter().any(|line| line.contains("user")));
}

#[test]
fn recipients_follow_the_rule_and_who_leaves_reads_nothing_new() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let other = kubiya_policies::sops::age::Identity::generate().recipient().unwrap();
    let rules = repository.read(".sops.yaml");
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    repository.git.commit_all("one");
    repository.rules(&rules.replace("age: ", &format!("age: {other},")));
    let mask = |shown: String| shown.replace(&other, "[OTHER]");
    assert_snapshot!(mask(repository.run(&["check"])), @"
    error: apps/db.yaml:14:1: sops: [OTHER] cannot read it, and the rule says so
    ------- stderr -------
    3 files looked at, 1 of them secrets, checked without keys: 0 as they should be, 1 not
    hint: kubectl kubiya encrypt   # makes them as their rules say
    [exit status: 1]
    ");
    assert_snapshot!(mask(repository.run(&["encrypt"])), @"
    ------- stderr -------
        updated apps/db.yaml
    ");
    let user = |text: &str| text.lines().find(|line| line.contains("user:")).unwrap().to_owned();
    let with_both = repository.read("apps/db.yaml");
    assert!(with_both.contains(&other));
    repository.rules(&rules);
    assert_snapshot!(mask(repository.run(&["encrypt"])), @"
    ------- stderr -------
    warning: apps/db.yaml: a new data key: [OTHER] could read it and may no longer
        updated apps/db.yaml
    ");
    let after = repository.read("apps/db.yaml");
    assert!(!after.contains(&other));
    assert_ne!(user(&after), user(&with_both), "a new data key: every value is encrypted anew");
    assert_eq!(repository.sops_json("apps/db.yaml")["stringData"]["user"], CANARIES[0]);
    // Without a key, what needs one is said, and the file stays.
    repository.rules(&rules.replace("age: ", &format!("age: {other},")));
    std::fs::remove_file(repository.path("age.agekey")).unwrap();
    let shown = mask(repository.run(&["encrypt"]));
    assert_snapshot!(shown, @"
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: cannot be decrypted: none of the keys at hand opens it
      cause: it is for [RECIPIENT]
      cause: nothing at SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD, $ROOT/home/.ssh/id_ed25519, $ROOT/home/.ssh/id_rsa, SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, $ROOT/home/.config/sops/age/keys.txt, $ROOT/gitops/age.agekey

    hint: put the key into $ROOT/home/.config/sops/age/keys.txt, or name its file: --age-key-file FILE
    [exit status: 2]
    ");
    assert_eq!(repository.read("apps/db.yaml"), after);
}

#[test]
fn a_document_from_a_pipe_never_touches_the_disk() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let mut command = repository.command(&["encrypt", "--filename", "apps/new.yaml", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(SECRET.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!repository.path("apps/new.yaml").exists());
    repository.git.write("apps/new.yaml", output.stdout);
    assert_eq!(repository.sops_json("apps/new.yaml")["stringData"]["user"], CANARIES[0]);
    assert_snapshot!(repository.run(&["encrypt", "-"]), @"
    ------- stderr -------
    error: what the document on stdin is called is not known

    hint: … | kubectl kubiya encrypt --filename apps/db.yaml - > apps/db.yaml
    [exit status: 2]
    ");
}

#[test]
fn bad_input_is_told_with_its_place_and_the_file_stays() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let table: [(&str, &[u8]); 9] = [
        ("utf16", b"\xff\xfek\0:\0 \0v\0"),
        ("latin1", b"stringData: {a: caf\xe9}\n"),
        ("nul", b"stringData:\n  a: \0\n"),
        ("twice", b"stringData:\n  a: CANARY-one-1f2e\n  a: CANARY-two-3d4c\n"),
        ("number", b"stringData:\n  5: CANARY-one-1f2e\n"),
        ("broken", b"stringData:\n  a: 'CANARY-one-1f2e\n"),
        ("alias", b"x: &a CANARY-one-1f2e\nstringData:\n  a: *a\n"),
        ("binary", b"data:\n  a: !!binary Q0FOQVJZ\n"),
        ("large", b"data:\n  a: 18446744073709551615\n"),
    ];
    let mut shown = String::new();
    for (name, bytes) in table {
        let path = format!("apps/{name}.yaml");
        repository.git.write(&path, bytes);
        shown.push_str(&repository.run(&["encrypt", &path]));
        shown.push_str("\n====\n");
        assert_eq!(std::fs::read(repository.path(&path)).unwrap(), bytes);
    }
    assert_snapshot!(shown, @"
    ------- stderr -------
         failed apps/utf16.yaml
    error: apps/utf16.yaml: UTF-16 text: sops and Flux read UTF-8 only
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/latin1.yaml
    error: apps/latin1.yaml:1:20: not text in UTF-8
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/nul.yaml
    error: apps/nul.yaml:2:6: a NUL character, which no reader of this format takes
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/twice.yaml
    error: apps/twice.yaml:3:3: stringData.a: the key is there twice: readers differ in which one they take
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/number.yaml
    error: apps/number.yaml:2:3: stringData: a key that is a number; sops takes text as keys only
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/broken.yaml
    error: apps/broken.yaml:3:1: not valid YAML: invalid quoted scalar indent
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/alias.yaml
    error: apps/alias.yaml:3:6: stringData.a: an alias (`*…`) stands for this value or for one around it; sops cannot read encrypted aliases

    hint: kubectl kubiya encrypt --expand-aliases apps/alias.yaml
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/binary.yaml
    error: apps/binary.yaml:2:15: data.a: a `!!binary` value, which sops cannot read back
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/large.yaml
    error: apps/large.yaml:2:6: data.a: an integer beyond 64 bits with sign, which sops cannot read back
    [exit status: 2]
    ====
    ");
}

#[test]
fn damage_is_told_apart_from_changes() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    let sealed = repository.read("apps/db.yaml");
    let user = sealed.lines().find(|line| line.contains("user:")).unwrap();
    let value = &user[user.find("ENC[").unwrap()..user.rfind(']').unwrap() + 1];
    let table = [
        ("plain part", sealed.replace("name: db ", "name: other ")),
        ("moved", sealed.replace("  user: ", "  login: ")),
        ("cut", sealed.replace(value, &value.replace(",type:str", ""))),
        ("type", sealed.replace(value, &value.replace("type:str", "type:text"))),
        ("merge", sealed.replace("lastmodified: \"2", "lastmodified: \"3")),
        (
            "no mac",
            sealed.lines().filter(|line| !line.contains(" mac:")).map(|line| format!("{line}\n")).collect(),
        ),
        ("no metadata", sealed[..sealed.find("sops:").unwrap()].to_owned()),
    ];
    let mut shown = String::new();
    for (name, text) in table {
        repository.git.write("apps/db.yaml", &text);
        shown.push_str(&format!("==== {name}\n{}\n", repository.run(&["decrypt", "apps/db.yaml"])));
        assert_eq!(repository.read("apps/db.yaml"), text);
    }
    assert_snapshot!(shown, @"
    ==== plain part
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: the message authentication code does not fit: every encrypted value is whole, so a plain part was changed, or values were moved, added or taken away since the file was encrypted

    hint: git diff HEAD -- apps/db.yaml   # what was changed beside the encrypted values
    hint: kubectl kubiya encrypt --ignore-mac apps/db.yaml   # takes the file as it is, if it is right
    [exit status: 3]
    ==== moved
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml:9:10: stringData.login: it does not open with the file's data key at this place: it was moved, renamed or damaged
    [exit status: 3]
    ==== cut
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml:9:9: stringData.user: only looks encrypted: it is not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]
    [exit status: 2]
    ==== type
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml:9:9: stringData.user: only looks encrypted: its `type` is unknown
    [exit status: 2]
    ==== merge
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: the message authentication code does not fit: it does not open; `lastmodified` or `mac` was changed by itself, as a merge of two versions does

    hint: git log -p -- apps/db.yaml   # the version before the merge or edit
    hint: kubectl kubiya encrypt --ignore-mac apps/db.yaml   # takes the file as it is, if it is right
    [exit status: 3]
    ==== no mac
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: the message authentication code does not fit: there is none

    hint: git log -p -- apps/db.yaml   # the version before the merge or edit
    hint: kubectl kubiya encrypt --ignore-mac apps/db.yaml   # takes the file as it is, if it is right
    [exit status: 3]
    ==== no metadata
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml:9:9: stringData.user: an encrypted value in a file without `sops` metadata: what opens it is lost

    hint: git log -p -- apps/db.yaml   # the metadata may be in an older version
    [exit status: 2]
    ");
}

#[test]
fn keys_of_other_kinds_stay_as_they_are() {
    const FINGERPRINT: &str = "85D77543B3D624B63CEA9E6DBC17301B491B3F21";
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    let entry = format!(
        "  pgp:\n    - created_at: \"2020-01-02T03:04:05Z\"\n      enc: |\n        -----BEGIN PGP MESSAGE-----\n        x\n        -----END PGP MESSAGE-----\n      fp: {FINGERPRINT}\n"
    );
    let sealed = repository.read("apps/db.yaml").replace("  version:", &format!("{entry}  version:"));
    repository.git.write("apps/db.yaml", &sealed);
    let rules = repository.read(".sops.yaml");
    repository.rules(&format!("{rules}    pgp: {}\n", FINGERPRINT.to_lowercase()));
    assert_snapshot!(repository.run(&["check", "--decrypt"]), @"
    ------- stderr -------
    3 files looked at, 1 of them secrets, opened and verified: 1 as they should be, 0 not
    ");
    // A value is added with the data key that the other kind can open, too.
    repository
        .git
        .write("apps/db.yaml", sealed.replace("stringData:\n", "stringData:\n  token: CANARY-one-1f2e\n"));
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
    warning: apps/db.yaml: plain values were put in by hand, so nothing proves what else was changed
        updated apps/db.yaml (newly encrypted: stringData.token)
    ");
    assert!(repository.read("apps/db.yaml").contains(&entry));
    assert_eq!(repository.sops_json("apps/db.yaml")["stringData"]["token"], CANARIES[0]);
    // A new data key could not be wrapped for it: nothing is dropped without a word.
    let before = repository.read("apps/db.yaml");
    repository.rules(
        &rules.replace("age: ", "age: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p #"),
    );
    let gone = repository.read(".sops.yaml");
    repository.rules(&format!("{gone}    pgp: {FINGERPRINT}\n"));
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: recipients of the kind pgp are not served here

    hint: sops wraps data keys for pgp; here they are for age, and files for pgp stay as they are
    [exit status: 2]
    ");
    assert_eq!(repository.read("apps/db.yaml"), before);
}

#[test]
fn aliases_become_copies_where_asked() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let text = "x-common: &common # of all\n  user: shop\nstringData:\n  <<: *common\n  password: &p CANARY-one-1f2e\n  again: *p\n";
    repository.git.write("apps/db.yaml", text);
    assert_snapshot!(repository.run(&["encrypt", "apps/db.yaml"]), @r#"
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: 3 problems; the file stays as it was
    problem: apps/db.yaml:2:9: stringData["<<"].user: an alias (`*…`) stands for this value or for one around it; sops cannot read encrypted aliases
    problem: apps/db.yaml:5:16: stringData.password: an alias (`*…`) stands for this value or for one around it; sops cannot read encrypted aliases
    problem: apps/db.yaml:6:10: stringData.again: an alias (`*…`) stands for this value or for one around it; sops cannot read encrypted aliases

    hint: kubectl kubiya encrypt --expand-aliases apps/db.yaml
    [exit status: 2]
    "#);
    assert_snapshot!(repository.run(&["encrypt", "--expand-aliases", "apps/db.yaml"]), @"
    ------- stderr -------
      encrypted apps/db.yaml (3 values)
    ");
    let opened = repository.sops_json("apps/db.yaml");
    assert_eq!(
        opened["stringData"],
        serde_json::json!({"user": "shop", "password": CANARIES[0], "again": CANARIES[0]})
    );
}

#[test]
fn comments_under_covered_keys_are_secrets_too() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let _ = repository.run(&["encrypt"]);
    let sealed = repository.read("apps/db.yaml");
    repository.git.write("apps/db.yaml", sealed.replace("  user:", "  # old: CANARY-one-1f2e\n  user:"));
    assert_snapshot!(repository.run(&["check"]), @"
    warning: apps/db.yaml:9:4: stringData: a comment that sops would have encrypted is plain
    ------- stderr -------
    3 files looked at, 1 of them secrets, checked without keys: 1 as they should be, 0 not
    ");
    assert_snapshot!(repository.run(&["encrypt"]), @"
    ------- stderr -------
        updated apps/db.yaml
    ");
    assert!(!repository.read("apps/db.yaml").contains(CANARIES[0]));
    repository.git.write("apps/only.yaml", "stringData:\n  # CANARY-one-1f2e\n  a: ''\n");
    let _ = repository.run(&["encrypt", "apps/only.yaml"]);
    assert!(!repository.read("apps/only.yaml").contains(CANARIES[0]));
}
