//! `rotate-key --no-cluster`: who reads afterwards, and who no longer does; the real sops is the judge.

use crate::repository::{Repository, SECRET};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use std::process::Output;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n";

/// A repository with two encrypted files under a rule with a comment.
pub(crate) fn encrypted(env: &TestEnv) -> Repository<'_> {
    let repository = Repository::new(env);
    repository.git.write(".gitignore", "*.agekey\n");
    let rules = repository.read(".sops.yaml").replace("    age:", "    # the hub\n    age:");
    repository.rules(&rules);
    repository.git.write("apps/db.yaml", SECRET);
    repository.git.write("env/web.env", "PASSWORD=CANARY-one-1f2e\n");
    repository.git.write("apps/config.yaml", CONFIG);
    let rest = "  - path_regex: \\.env$\n    age: RECIPIENT\n";
    repository.rules(&(rules + &rest.replace("RECIPIENT", &repository.recipient())));
    repository.run(&["encrypt", "apps/db.yaml", "env/web.env"]);
    repository.git.commit_all("encrypted");
    repository
}

pub(crate) fn sops(repository: &Repository<'_>, key: &str, path: &str) -> Output {
    let mut command = repository.git.command("sops");
    command.args(["decrypt", path]).env("SOPS_AGE_KEY_FILE", key).env("SOPS_DISABLE_VERSION_CHECK", "1");
    command.output().expect("sops is on PATH; scripts/test puts it there")
}

pub(crate) fn opens(repository: &Repository<'_>, key: &str, path: &str) -> bool {
    sops(repository, key, path).status.success()
}

pub(crate) fn public(repository: &Repository<'_>, key: &str) -> String {
    let mut command = repository.git.command("age-keygen");
    let output = command.args(["-y", key]).output().expect("age-keygen is on PATH");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The output with the new public key masked.
pub(crate) fn run(repository: &Repository<'_>, words: &[&str]) -> String {
    let shown = repository.run(&[&["rotate-key", "--no-cluster"], words].concat());
    let new = public(repository, "new.agekey");
    if new.is_empty() { shown } else { shown.replace(&new, "[NEW]") }
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_everywhere() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let before = ["apps/db.yaml", "env/web.env"].map(|path| sops(&repository, "age.agekey", path).stdout);
    assert_snapshot!(run(&repository, &["--store-key", "new.agekey"]), @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    let rules = repository.read(".sops.yaml");
    assert!(rules.contains("# the hub") && !rules.contains(&repository.recipient()), "{rules}");
    for (path, before) in ["apps/db.yaml", "env/web.env"].iter().zip(before) {
        assert_eq!(sops(&repository, "new.agekey", path).stdout, before, "{path}");
        assert!(!opens(&repository, "age.agekey", path), "{path}: the old key opens it");
    }
    assert_eq!(repository.read("apps/config.yaml"), CONFIG);
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(repository.path("new.agekey").metadata().unwrap().mode() & 0o777, 0o600);
    // The comment of the Secret, and everything else that is no value, is as it was.
    let diff = repository.git.ok(["diff", "--unified=0", "--", "apps/db.yaml"]);
    assert!(!diff.contains("The database of the shop") && !diff.contains("used by shop"), "{diff}");
    assert_snapshot!(repository.run(&["check", "--decrypt", "--age-key-file", "new.agekey"]), @"
    ------- stderr -------
    5 files looked at, 2 of them secrets, opened and verified: 2 as they should be, 0 not
    ");
    let again = run(&repository, &["--new-age-key-file", "new.agekey", "--age-key-file", "age.agekey"]);
    assert!(again.contains("no key at hand reads any of the files"), "{again}");
}

#[test]
fn rules_that_a_killed_run_left_are_done_by_the_next_one() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    run(&repository, &["--store-key", "new.agekey"]);
    repository.git.ok(["checkout", "--quiet", "--", ".sops.yaml"]);
    assert_snapshot!(run(&repository, &["--new-age-key-file", "new.agekey"]), @"
    ------- stderr -------
        updated .sops.yaml
    ");
    assert!(!repository.read(".sops.yaml").contains(&repository.recipient()));
}

#[test]
fn first_both_keys_open_then_only_the_new_one() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let rules = repository.read(".sops.yaml");
    assert_snapshot!(run(&repository, &["--store-key", "new.agekey", "--stage", "overlap"]), @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    for key in ["age.agekey", "new.agekey"] {
        assert!(opens(&repository, key, "apps/db.yaml") && opens(&repository, key, "env/web.env"), "{key}");
    }
    let both = repository.read("apps/db.yaml");
    assert_snapshot!(run(&repository, &["--new-age-key-file", "new.agekey", "--age-key-file", "age.agekey"]), @"
    ------- stderr -------
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    assert!(
        !opens(&repository, "age.agekey", "apps/db.yaml") && opens(&repository, "new.agekey", "apps/db.yaml")
    );
    let new = public(&repository, "new.agekey");
    assert_eq!(repository.read(".sops.yaml"), rules.replace(&repository.recipient(), &new));
    // Who kept the data key of the overlap reads nothing: every value is another ciphertext.
    let ciphertexts = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("ENC[")).map(str::to_owned).collect()
    };
    let after = ciphertexts(&repository.read("apps/db.yaml"));
    assert!(ciphertexts(&both).iter().all(|line| !after.contains(line)));
}

#[test]
fn somebody_comes_and_leaves() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let mut keygen = repository.git.command("age-keygen");
    assert!(keygen.args(["-o", "new.agekey"]).output().unwrap().status.success());
    let mate = public(&repository, "new.agekey");
    let before = repository.read("apps/db.yaml");
    assert_snapshot!(run(&repository, &["--add-recipient", &mate]), @"
    ------- stderr -------
        updated .sops.yaml
        renewed apps/db.yaml
        renewed env/web.env
    ");
    assert!(opens(&repository, "new.agekey", "apps/db.yaml"));
    let value = |text: &str| text.lines().find(|line| line.contains("password:")).map(str::to_owned);
    assert_eq!(value(&repository.read("apps/db.yaml")), value(&before), "values keep their ciphertext");
    assert_snapshot!(run(&repository, &["--remove-recipient", &mate]), @"
    ------- stderr -------
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    assert!(
        !opens(&repository, "new.agekey", "apps/db.yaml") && opens(&repository, "age.agekey", "apps/db.yaml")
    );
    assert_ne!(value(&repository.read("apps/db.yaml")), value(&before), "a new data key");
    // Somebody who is no recipient may be one whose key was typed wrongly.
    let again = run(&repository, &["--remove-recipient", &mate]);
    assert_snapshot!(again, @"
    ------- stderr -------
    nothing to renew
    warning: no rule and no file names [NEW]
    ");
    assert_snapshot!(run(&repository, &["--remove-recipient", &mate[..50]]).replace(&mate[..50], "[CUT]"), @"
    ------- stderr -------
    nothing to renew
    warning: no rule and no file names [CUT]
    ");
    assert_snapshot!(run(&repository, &["--remove-recipient", &repository.recipient()]), @"
    ------- stderr -------
    error: 2 files cannot be renewed, so nothing was changed
    problem: apps/db.yaml: nobody would be left who can read it
    problem: env/web.env: nobody would be left who can read it
    [exit status: 2]
    ");
    assert_snapshot!(run(&repository, &["--only-data-keys", "env/web.env"]), @"
    ------- stderr -------
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
}

#[test]
fn rules_that_git_ignores_and_tracks_even_so_are_changed_too() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    repository.git.write(".gitignore", ".*\n*.agekey\n");
    // Rules that are wrong, and that the key is not in.
    repository.git.write("fixtures/.sops.yaml", "creation_rules: 1\n");
    assert!(run(&repository, &["--store-key", "new.agekey"]).contains("updated .sops.yaml"));
    assert!(!repository.read(".sops.yaml").contains(&repository.recipient()));
}

#[test]
fn who_comes_to_files_with_split_data_keys_and_which_keys_could_be_meant() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    let keygen = |name: &str| {
        let mut command = repository.git.command("age-keygen");
        assert!(command.args(["-o", name]).output().unwrap().status.success());
        public(&repository, name)
    };
    let (own, mate, third) = (repository.recipient(), keygen("mate.agekey"), keygen("new.agekey"));
    repository.rules(&format!(
        "creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    shamir_threshold: 2\n    key_groups:\n      - age: [{own}]\n      - age: [{mate}]\n"
    ));
    repository.git.write("apps/db.yaml", SECRET);
    let encrypted = repository.run(&["encrypt", "apps/db.yaml"]);
    assert!(repository.read("apps/db.yaml").contains("ENC["), "{encrypted}");
    let keys = ["--age-key-file", "age.agekey", "--age-key-file", "mate.agekey"];
    let words = [&["--add-recipient", &third][..], &keys].concat();
    let shown = run(&repository, &words);
    for one in ["[RECIPIENT]", &mate] {
        assert!(shown.contains(&format!("hint: --old-recipient {one}")), "{shown}");
    }

    let words = [&words[..], &["--old-recipient", &own]].concat();
    let shown = run(&repository, &words);
    assert!(shown.contains("renewed apps/db.yaml (new data key)"), "{shown}");
    let both = ["mate.agekey", "new.agekey"].map(|name| repository.read(name)).concat();
    repository.git.write("both.agekey", both);
    assert!(opens(&repository, "both.agekey", "apps/db.yaml"));
    assert!(!opens(&repository, "new.agekey", "apps/db.yaml"), "one share is not enough");
}

#[test]
fn what_cannot_be_renewed_keeps_all_as_it_is() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let damaged = repository.read("env/web.env").replacen("data:", "data:AAAA", 1);
    repository.git.write("env/web.env", &damaged);
    let before = repository.read("apps/db.yaml");
    assert_snapshot!(run(&repository, &["--store-key", "new.agekey"]), @"
    ------- stderr -------
    error: env/web.env:1:10: PASSWORD: it does not open with the file's data key at this place: it was moved, renamed or damaged
    [exit status: 3]
    ");
    assert_eq!(repository.read("apps/db.yaml"), before);
    assert!(!repository.path("new.agekey").exists(), "no key is left behind that nothing depends on");
    repository.git.ok(["checkout", "--", "env/web.env"]);
    repository.git.write("there.agekey", "something");
    assert_snapshot!(run(&repository, &["--store-key", "there.agekey"]), @"
    ------- stderr -------
    error: there.agekey: it is there already

    hint: --new-age-key-file FILE   # if this is the new key already
    [exit status: 2]
    ");
    assert_snapshot!(run(&repository, &[]), @"
    ------- stderr -------
    error: where the new key is, or is to be stored, is not said

    hint: --store-key FILE          # makes one
    hint: --store-command 'gopass insert -m NAME' --read-back-command 'gopass show NAME'
    hint: --new-age-key-file FILE   # takes one that is there
    [exit status: 2]
    ");
    let planned = run(&repository, &["--store-key", "new.agekey", "--dry-run", "-o", "yaml"]);
    // A key that was only made to plan with is not named: another one will come.
    assert_snapshot!(planned, @"
    oldRecipient: [RECIPIENT]
    rules:
    - .sops.yaml
    files:
    - path: apps/db.yaml
      result: renewed
      newDataKey: true
    - path: env/web.env
      result: renewed
      newDataKey: true
    ");
    assert_snapshot!(run(&repository, &["--store-key", "new.agekey", "--dry-run"]), @"
    ------- stderr -------
    would be stored new.agekey
    would be updated .sops.yaml
    would be renewed apps/db.yaml (new data key)
    would be renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    assert_eq!(repository.read("apps/db.yaml"), before);
    assert!(!repository.path("new.agekey").exists());
}

#[test]
fn what_becomes_of_files_that_other_kinds_of_keys_read_too_is_a_choice() {
    let pgp = "  pgp:\n    - created_at: \"2020-01-02T03:04:05Z\"\n      enc: |\n        -----BEGIN PGP MESSAGE-----\n        x\n        -----END PGP MESSAGE-----\n      \
               fp: 85D77543B3D624B63CEA9E6DBC17301B491B3F21\n";
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let sealed = repository.read("apps/db.yaml").replace("  version:", &format!("{pgp}  version:"));
    repository.git.write("apps/db.yaml", &sealed);
    repository.git.commit_all("for a PGP key, too");
    assert_snapshot!(run(&repository, &["--store-key", "new.agekey"]), @"
    ------- stderr -------
    error: apps/db.yaml: a new data key cannot be wrapped for 85D77543B3D624B63CEA9E6DBC17301B491B3F21, which can read it too

    hint: --foreign keep-data-key   # who leaves keeps the data key of these files
    hint: --foreign skip            # these files stay as they are; renew them with sops
    [exit status: 2]
    ");
    assert!(!repository.path("new.agekey").exists());

    let skipped = run(&repository, &["--store-key", "new.agekey", "--foreign", "skip"]);
    assert_snapshot!(skipped, @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        skipped apps/db.yaml
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    assert_eq!(repository.read("apps/db.yaml"), sealed);
    assert!(opens(&repository, "new.agekey", "env/web.env"));

    let words = ["--new-age-key-file", "new.agekey", "--age-key-file", "age.agekey"];
    let kept = run(&repository, &[&words[..], &["--foreign", "keep-data-key"]].concat());
    assert_snapshot!(kept, @"
    ------- stderr -------
        renewed apps/db.yaml
    ");
    let after = repository.read("apps/db.yaml");
    assert!(after.contains(pgp), "{after}");
    let value = |text: &str| text.lines().find(|line| line.contains("password:")).map(str::to_owned);
    assert_eq!(value(&after), value(&sealed), "the data key stays");
    assert!(opens(&repository, "new.agekey", "apps/db.yaml"));
    assert!(!opens(&repository, "age.agekey", "apps/db.yaml"));
}
