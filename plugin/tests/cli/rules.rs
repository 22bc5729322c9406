//! Rules: which one is for a file, and those that cannot serve.

use crate::repository::{Repository, SECRET};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

#[test]
fn a_rule_is_explained() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let rules = repository.read(".sops.yaml").replace(
        "creation_rules:\n",
        "creation_rules:\n  - path_regex: \\.env$\n    pgp: ABCD\n    encryptedRegex: x\n",
    );
    repository.rules(&(rules + "destination_rules:\n  - s3_bucket: b\n"));
    assert_snapshot!(repository.run(&["explain", "apps/db.yaml"]), @r"
          file  apps/db.yaml
         rules  .sops.yaml
    matched as  apps/db.yaml
        rule 1  does not match: \.env$ (line 2)
        rule 2  is for it: ^apps/ (line 5)
       readers  [RECIPIENT]
      encrypts  encrypted_regex: ^(data|stringData)$
        values  stringData.user, stringData.password, stringData.ca
          note  .sops.yaml:4:5: `encryptedRegex` is not a key of a rule: sops ignores it (did you mean `encrypted_regex`?)
          note  .sops.yaml: destination_rules are for `sops publish` and mean nothing here
          note  the file is not encrypted
    ");
    assert_snapshot!(repository.run(&["explain", "docs/new.yaml"]), @r"
          file  docs/new.yaml
         rules  .sops.yaml
    matched as  docs/new.yaml
        rule 1  does not match: \.env$ (line 2)
        rule 2  does not match: ^apps/ (line 5)
        result  no creation rule is for it
          note  .sops.yaml:4:5: `encryptedRegex` is not a key of a rule: sops ignores it (did you mean `encrypted_regex`?)
          note  .sops.yaml: destination_rules are for `sops publish` and mean nothing here
    ");
    repository.git.write("apps/nested/.sops.yaml", "creation_rules:\n  - age: nonsense\n");
    assert_snapshot!(repository.run(&["explain", "-o", "yaml", "apps/nested/x.env"]), @"
    path: apps/nested/x.env
    config: apps/nested/.sops.yaml
    matchedAs: x.env
    rules:
    - rule: 1
      line: 2
      pathRegex: null
      matches: true
    recipients:
    - - nonsense
    shamirThreshold: null
    selector: 'unencrypted_suffix: _unencrypted'
    macOnlyEncrypted: false
    encrypted: null
    deviations: []
    notes:
    - 'apps/nested/.sops.yaml:2:10: an `age` recipient is neither an age nor an ssh public key'
    - the rules are those of apps/nested/.sops.yaml; sops, run in this folder, would use .sops.yaml
    ");
}

#[test]
fn rules_that_cannot_serve_are_refused() {
    let env = TestEnv::new();
    let repository = Repository::new(&env);
    repository.git.write("apps/db.yaml", SECRET);
    let mut shown = String::new();
    let recipient = repository.recipient();
    for rules in [
        "creation_rules:\n  - path_regex: ^other/\n    pgp: AB\n".to_owned(),
        "creation_rules:\n  - path_regex: ^apps/\n    encrypted_regex: ^data$\n".to_owned(),
        format!("creation_rules:\n  - age: {recipient}\n"),
        "creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    pgp: AB\n".to_owned(),
        "creation_rules:\n  - encrypted_regex: ^stringData$\n    age: age1nonsense\n".to_owned(),
        format!("creation_rules:\n  - encrypted_regex: '('\n    encrypted_suffix: x\n    age: {recipient}\n"),
    ] {
        repository.rules(&rules);
        shown.push_str(&repository.run(&["encrypt", "apps/db.yaml"]));
        shown.push_str("\n====\n");
        assert_eq!(repository.read("apps/db.yaml"), SECRET);
    }
    assert_snapshot!(shown, @"
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: no creation rule is for this file

    hint: kubectl kubiya explain apps/db.yaml
    [exit status: 2]
    ====
    ------- stderr -------
    warning: .sops.yaml:2:5: the rule has no recipient
         failed apps/db.yaml
    error: .sops.yaml:2:5: creation rule 1 has no recipient, and apps/db.yaml needs one

    hint: add to the rule: age: age1…   # the public key that age-keygen shows
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml:2:13: apiVersion: would be encrypted too, and Flux could not apply the object

    hint: in the creation rule of .sops.yaml: encrypted_regex: ^(data|stringData)$
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/db.yaml
    error: apps/db.yaml: recipients of the kind pgp are not served here

    hint: sops wraps data keys for pgp; here they are for age, and files for pgp stay as they are
    [exit status: 2]
    ====
    ------- stderr -------
    warning: .sops.yaml:3:10: an `age` recipient is not a well-formed age public key (its check sum does not fit)
         failed apps/db.yaml
    error: apps/db.yaml: `age1nonsense` is not a well-formed recipient
    [exit status: 2]
    ====
    ------- stderr -------
         failed apps/db.yaml
    error: .sops.yaml:2:22: `encrypted_regex`: not a regular expression that sops accepts: unclosed group
    [exit status: 2]
    ====
    ");
}
