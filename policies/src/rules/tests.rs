use super::*;

const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn rules(text: &str) -> Rules {
    Rules::parse(b".sops.yaml", text.as_bytes()).unwrap()
}

fn problems(text: &str) -> String {
    match Rules::parse(b".sops.yaml", text.as_bytes()) {
        Ok(rules) => rules.problems().iter().map(|p| format!("warning {p}\n")).collect(),
        Err(problems) => problems.iter().map(|p| format!("error {p}\n")).collect(),
    }
}

#[test]
fn the_first_match_wins_below_the_folder_of_the_file() {
    let text = format!(
        "creation_rules:\n  - path_regex: ^prod/.*\\.yaml$\n    encrypted_regex: ^(data|stringData)$\n    age: {AGE}\n  - path_regex: prod\n    age: {AGE}\n  - age: {AGE}\n"
    );
    let rules = Rules::parse(b"infra/.sops.yaml", text.as_bytes()).unwrap();
    let number = |path: &str| rules.for_path(path.as_bytes()).map(|(number, _)| number);
    assert_eq!(number("infra/prod/a.yaml"), Some(0));
    assert_eq!(number("infra/x/prod/a.yaml"), Some(1));
    assert_eq!(number("infra/dev/a.yaml"), Some(2));
    assert_eq!(number("prod/a.yaml"), Some(0), "a path outside is matched as it is");
    assert!(rules.rules()[0].selector.as_ref().is_some_and(|s| s.name() == "encrypted_regex"));
    assert_eq!(rules.rules()[2].selector, None);
    assert_eq!(rules.rules()[2].effective_selector().pattern(), "_unencrypted");
}

#[test]
fn catch_alls_are_told_from_rules_for_a_place() {
    let table = [
        ("", true),
        (r"path_regex: ''", true),
        (r"path_regex: '.*'", true),
        (r"path_regex: '.*\.ya?ml'", true),
        (r"path_regex: '\.yaml$'", true),
        (r"path_regex: '^[^/]*\.yaml$'", false),
        (r"path_regex: 'secrets/.*'", false),
        (r"path_regex: '\.sops\.yaml$'", false),
        (r"path_regex: '\.env$'", false),
    ];
    for (line, wanted) in table {
        let rules = rules(&format!("creation_rules:\n  - age: {AGE}\n    {line}\n"));
        assert_eq!(rules.rules()[0].is_catch_all(), wanted, "{line}");
    }
}

#[test]
fn recipients_come_flat_in_lists_and_in_groups() {
    let text = format!(
        "creation_rules:
  - age: '{AGE}, {AGE},'
    pgp: [ABCD, EF 01]
    kms: arn:aws:kms:eu:1:key/2+arn:aws:iam::1:role/r
    aws_profile: p
    azure_keyvault: https://v.vault.azure.net/keys/k/1
    hc_vault_transit_uri: https://v:8200/v1/sops/keys/one
  - shamir_threshold: 2
    mac_only_encrypted: true
    key_groups:
      - age: [{AGE}, {AGE}]
        hc_vault: ['https://v:8200/v1/sops/keys/one']
      - merge:
          - pgp: [ABCD]
        kms: [{{arn: a, context: {{b: c}}}}]
        gcp_kms: [{{resource_id: r}}]
        azure_keyvault: [{{vaultUrl: u, key: k, version: v}}]
        hckms: [{{key_id: h}}]
"
    );
    let rules = rules(&text);
    let shown = |rule: &Rule| {
        let group =
            |g: &KeyGroup| g.recipients.iter().map(|r| format!("{}={r}", r.kind())).collect::<Vec<_>>();
        rule.groups.iter().map(group).collect::<Vec<_>>()
    };
    let flat = shown(&rules.rules()[0]);
    assert_eq!(flat.len(), 1);
    assert_eq!(flat[0].len(), 7, "a flat list keeps what is there twice: {flat:?}");
    assert!(flat[0].contains(&"pgp=EF01".to_owned()));
    insta::assert_debug_snapshot!(shown(&rules.rules()[1]), @r#"
    [
        [
            "age=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
            "hc_vault=https://v:8200/v1/sops/keys/one",
        ],
        [
            "pgp=ABCD",
            "kms=a",
            "gcp_kms=r",
            "azure_kv=u/keys/k/v",
            "hckms=h",
        ],
    ]
    "#);
    assert_eq!(rules.rules()[1].shamir_threshold, Some(2));
    assert!(rules.rules()[1].mac_only_encrypted);
}

#[test]
fn null_rules_are_no_rules_and_an_empty_list_is_a_list() {
    assert!(!rules("creation_rules:\n").has_creation_rules());
    assert!(!rules("").has_creation_rules());
    assert!(!rules("stores: {yaml: {indent: 2}}\n").has_creation_rules());
    assert!(rules("creation_rules: []\n").has_creation_rules());
}

#[test]
fn what_sops_refuses_is_an_error_with_its_place() {
    insta::assert_snapshot!(problems("creation_rules:\n  - encrypted_regex: a\n    unencrypted_suffix: b\n    age: x\n"), @"error 3:25: a rule cannot have more than one selector (encrypted_… or unencrypted_…)");
    insta::assert_snapshot!(problems("creation_rules:\n  - path_regex: a(?!b)\n    encrypted_regex: '['\n"), @r"
    error 2:17: `path_regex`: look-around `?!` is not supported by sops
    error 3:22: `encrypted_regex`: not a regular expression that sops accepts: missing closing ]
    ");
    insta::assert_snapshot!(problems("creation_rules: {a: b}\n"), @"error 1:17: `creation_rules` must be a list");
    insta::assert_snapshot!(problems("creation_rules:\n  - path_regex: a\n    path_regex: b\n"), @"error 3:5: `path_regex` is there twice");
    insta::assert_snapshot!(problems("creation_rules:\n\t- x\n"), @"error 2:2: not valid YAML: tab in block indentation");
}

#[test]
fn what_sops_ignores_is_a_warning() {
    let text = format!(
        "creation_rules:\n  - path_regexp: a\n    encryptedRegex: b\n    age: {AGE}\n  - age: age1nonsense\nfoo: 1\n"
    );
    insta::assert_snapshot!(problems(&text), @r"
    warning 2:5: `path_regexp` is not a key of a rule: sops ignores it (did you mean `path_regex`?)
    warning 3:5: `encryptedRegex` is not a key of a rule: sops ignores it (did you mean `encrypted_regex`?)
    warning 5:5: the rule never applies: an earlier one takes every file
    warning 5:10: an `age` recipient is not a well-formed age public key (its check sum does not fit)
    warning 6:1: `foo` is not a key of the file: sops ignores it
    ");
}

#[test]
fn a_rule_behind_one_that_takes_all_is_told() {
    let behind = |pattern: &str| {
        let text = format!(
            "creation_rules:\n- path_regex: '{pattern}'\n  age: {AGE}\n- path_regex: b\n  age: {AGE}\n"
        );
        problems(&text).contains("never applies")
    };
    for pattern in ["", ".*", "^.*", "x*", "(a|)"] {
        assert!(behind(pattern), "{pattern}");
    }
    for pattern in ["^$", "a", "\\.yaml$", ".*\\.yaml$", "[^/]+"] {
        assert!(!behind(pattern), "{pattern}");
    }
}

#[test]
fn stores_are_read() {
    let rules = rules(
        "stores:\n  yaml: {indent: 2}\n  json: {indent: -1}\n  json_binary: {indent: 4}\ndestination_rules: [{}, {}]\n",
    );
    let settings = rules.stores();
    assert_eq!(
        (settings.yaml_indent, settings.json_indent, settings.json_binary_indent),
        (Some(2), Some(-1), Some(4))
    );
    assert_eq!(rules.destination_rules(), 2);
    insta::assert_snapshot!(problems("stores: {yaml: {indent: -2}, toml: {}, ini: {indents: 1}}\n"), @"error 1:25: sops takes no such indentation");
}

#[test]
fn the_fingerprint_follows_bytes_and_place() {
    let at = |path: &[u8], text: &str| Rules::parse(path, text.as_bytes()).unwrap().fingerprint();
    assert_eq!(at(b".sops.yaml", "stores: {}"), at(b".sops.yaml", "stores: {}"));
    assert_ne!(at(b".sops.yaml", "stores: {}"), at(b"a/.sops.yaml", "stores: {}"));
    assert_ne!(at(b".sops.yaml", "stores: {}"), at(b".sops.yaml", "stores: {} "));
}

#[test]
fn the_strictest_rules_are_for_one_path_alone() {
    for path in ["a.yaml", "a/b c+.env", "ä/ö(1)"] {
        let rules = Rules::strictest(path.as_bytes()).unwrap();
        let (_, rule) = rules.for_path(path.as_bytes()).unwrap();
        assert!(!rule.is_catch_all(), "{path}");
        assert!(rules.for_path(format!("{path}x").as_bytes()).is_none());
    }
    assert!(Rules::strictest(b"a/\xff").is_none());
}

#[test]
fn a_key_that_sops_ignores_may_hold_anchors() {
    let text = |keys: &str| format!("keys:\n  - {keys}{AGE}\ncreation_rules:\n  - age: {AGE}\n");
    assert_eq!(problems(&text("&admin ")), "");
    assert!(problems(&text("")).contains("`keys` is not a key"));
}
