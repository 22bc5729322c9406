//! Whole checks: a corpus of good and bad files, and properties.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::finding::Severity;
use crate::rules::Rules;

fn corpus(which: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/corpus")).join(which);
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (name(&path), std::fs::read(&path).unwrap()))
        .collect::<Vec<_>>();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn rules(text: &str) -> Rules {
    Rules::parse(b".sops.yaml", text.as_bytes()).unwrap()
}

fn report(path: &str, bytes: &[u8], rules: Option<&Rules>, role: Role) -> Report {
    check(&Input { path: path.as_bytes(), bytes, rules, role })
}

/// One line for each finding.
fn shown(report: &Report) -> String {
    let line = |f: &crate::finding::Finding| {
        let place = f.place.span.as_ref().map_or(String::new(), |s| format!("{}:{}", s.line, s.column));
        let document = f.place.document.map_or(String::new(), |d| format!(" doc {d}"));
        format!("{} {:?} {place}{document} {}: {}\n", f.code, f.severity, f.place.key_path, f.message)
    };
    report.findings.iter().map(line).collect()
}

fn findings(path: &str, text: &str) -> String {
    shown(&report(path, text.as_bytes(), None, Role::File))
}

fn governed(path: &str, text: &str, rule: &str) -> String {
    let rules = rules(&format!(
        "creation_rules:\n  - {rule}\n    age: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n"
    ));
    shown(&report(path, text.as_bytes(), Some(&rules), Role::File))
}

#[test]
fn good_files_pass_with_and_without_rules() {
    let files = corpus("good");
    assert!(files.len() >= 25);
    let rules = files.iter().find(|(name, _)| name == ".sops.yaml").unwrap();
    let rules = Rules::parse(b".sops.yaml", &rules.1).unwrap();
    let mut wrong = String::new();
    for (name, bytes) in &files {
        for rules in [None, Some(&rules)] {
            let mut report = report(name, bytes, rules, Role::File);
            report.findings.retain(|finding| finding.severity > Severity::Note);
            if !report.findings.is_empty() {
                wrong += &format!("{name}: {}", shown(&report));
            }
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn bad_files_are_found_for_what_they_are() {
    let files = corpus("bad");
    assert!(files.len() >= 55);
    let rules = rules("creation_rules: []");
    let mut wrong = Vec::new();
    for (name, bytes) in &files {
        let report = report(name, bytes, Some(&rules), Role::File);
        let wanted = report
            .findings
            .iter()
            .any(|f| name.starts_with(&f.code.to_string()) && f.severity == Severity::Error);
        if !wanted {
            wrong.push(format!("{name}:\n{}", shown(&report)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn encrypted_files_are_good_generator_sources_and_plain_ones_are_not() {
    for (name, bytes) in corpus("good") {
        let encrypted = name.contains(".sops.") || name.contains(".enc.");
        let text = shown(&report(&name, &bytes, None, Role::SecretSource));
        // Of `suffix` and of Kubernetes manifests, a part is plain by their own selector.
        if encrypted {
            assert_eq!(text, "", "{name}");
        }
    }
    assert_snapshot!(shown(&report("a/db.env", b"USER=${USER}\nPASSWORD=hunter2\n", None, Role::SecretSource)), @"KBY007 Error 2:10 PASSWORD: a secretGenerator names the file, and it is plaintext");
    assert_snapshot!(shown(&report("a/db.env", b"USER=${USER}\n", None, Role::SecretSource)), @"");
    assert_snapshot!(shown(&report("a/settings", b"USER=${USER}\n", None, Role::SecretSource)), @"");
    assert_snapshot!(shown(&report("a/token.txt", b"hunter2\n", None, Role::SecretSource)), @"KBY007 Error 1:1 : a secretGenerator names the file, and it is plaintext");
    assert_snapshot!(shown(&report("a/app.yaml", b"a: 1\n", None, Role::SecretSource)), @"KBY007 Error 1:4 doc 0 a: a secretGenerator names the file, and it is plaintext");
    assert_snapshot!(shown(&report("a/empty", b"", None, Role::SecretSource)), @"");
}

#[test]
fn every_value_of_a_secret_is_named() {
    let text = "---\nkind: ConfigMap\n---\nkind: List\nitems:\n- kind: Secret\n  data: {tls.crt: eA==, n: 1, e: ''}\n  stringData: {list: [a, {b: c}]}\n";
    assert_snapshot!(findings("x.yaml", text), @r#"
    KBY001 Error 7:19 doc 1 items[0].data["tls.crt"]: a value of a Secret is plaintext
    KBY001 Error 7:28 doc 1 items[0].data.n: a value of a Secret is plaintext
    KBY001 Error 8:23 doc 1 items[0].stringData.list[0]: a value of a Secret is plaintext
    KBY001 Error 8:30 doc 1 items[0].stringData.list[1].b: a value of a Secret is plaintext
    "#);
}

#[test]
fn a_rule_made_for_a_file_asks_for_encryption_and_a_catch_all_does_not() {
    let config_map = "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n";
    let values = "database:\n  password: hunter2\n";
    let selector = "path_regex: '.*\\.yaml'\n    encrypted_regex: ^(data|stringData)$";
    assert_eq!(governed("a/b.yaml", config_map, selector), "");
    assert_snapshot!(governed("a/b.yaml", values, "path_regex: '.*\\.yaml'"), @"KBY020 Warning 2:13 doc 0 database.password: a literal under a key that is named like a credential");
    assert_eq!(governed("secrets/b.yaml", config_map, "path_regex: ^secrets/"), "");
    assert_snapshot!(governed("secrets/b.yaml", values, "path_regex: ^secrets/\n    encrypted_regex: ^token$"), @"KBY020 Warning 2:13 doc 0 database.password: a literal under a key that is named like a credential");
    assert_eq!(governed("secrets/b.yaml", "password: ${X}\nempty: ''\n", "path_regex: ^secrets/"), "");
    assert_eq!(governed("secrets/README.md", "words", "path_regex: ^secrets/"), "");
    assert_eq!(governed("secrets/.gitkeep", "", "path_regex: ^secrets/"), "");
    assert_eq!(governed("secrets/kustomization.yaml", "resources: [a.yaml]\n", "path_regex: ^secrets/"), "");
    assert_snapshot!(governed("secrets/b.yaml", values, "path_regex: ^secrets/"), @"KBY003 Error 2:13 doc 0 database.password: creation rule 1 of .sops.yaml is for this file, and it is not encrypted");
    assert_snapshot!(governed("secrets/b.yaml", values, "path_regex: ^secrets/\n    encrypted_regex: ^password$"), @"KBY003 Error 2:13 doc 0 database.password: creation rule 1 of .sops.yaml is for this file, and it is not encrypted");
    assert_snapshot!(governed("secrets/key.bin", "\u{1}\u{2}x", "path_regex: ^secrets/"), @"KBY003 Error 1:1 : creation rule 1 of .sops.yaml is for this file, and it is not encrypted");
    assert_snapshot!(governed("secrets/a.env", "A=b\n", "path_regex: ^secrets/"), @"KBY003 Error 1:3 A: creation rule 1 of .sops.yaml is for this file, and it is not encrypted");
}

#[test]
fn what_cannot_be_read_is_an_error_only_where_it_counts() {
    assert_snapshot!(governed("secrets/b.yaml", "a: [1\n", "path_regex: ^secrets/"), @"KBY015 Error 1:4 doc 0 : cannot be judged: not valid YAML: unclosed flow collection");
    assert_snapshot!(findings("x.sops.yaml", "a: {{ .x }}y\n"), @"KBY015 Error 1:12 doc 0 : cannot be judged: not valid YAML: expected block mapping key");
    assert_snapshot!(findings("x.yaml", "Secret: [1\n"), @"KBY015 Note 1:9 doc 0 : cannot be judged: not valid YAML: unclosed flow collection");
    assert_snapshot!(findings("templates/x.yaml", "kind: Secret\ndata:\n  {{ .x }}\n  a: {{ .y }}\n"), @"");
    let deep = format!("x: Secret data\ny: {}{}\n", "[".repeat(300), "]".repeat(300));
    assert_snapshot!(findings("x.yaml", &deep), @"KBY016 Error 2:132 doc 0 : cannot be judged: nested deeper than what is read");
}

#[test]
fn a_rule_without_selector_does_not_want_the_nature_of_an_object_encrypted() {
    let (_, secret) = corpus("good").into_iter().find(|(name, _)| name == "secret.sops.yaml").unwrap();
    let text = String::from_utf8(secret).unwrap();
    let age = text.lines().find_map(|line| line.trim().split_once("recipient: ")).unwrap().1.to_owned();
    let rules = rules(&format!("creation_rules:\n  - path_regex: secret\n    age: {age}\n"));
    let governed = |text: &str| shown(&report("secret.yaml", text.as_bytes(), Some(&rules), Role::File));
    assert_snapshot!(governed(&text), @"KBY019 Note 11:1 doc 0 sops: its selector is not its rule's, and covers all that the rule's does");
    assert_snapshot!(governed(&format!("# who uses it\n{text}")), @"KBY019 Note 12:1 doc 0 sops: its selector is not its rule's, and covers all that the rule's does");
    // What is no part of that is held to the rule all the same.
    let more = text.replacen("stringData:", "password: hunter2\nstringData:", 1);
    assert_snapshot!(governed(&more), @"
    KBY002 Error 5:11 doc 0 password: a value of an encrypted file is plaintext
    KBY019 Error 12:1 doc 0 sops: its selector leaves out what its rule's covers
    ");
}

#[test]
fn alias_bombs_end_in_a_finding() {
    let mut text = String::from("Secret: &a0 [data, data, data]\n");
    for level in 1..30 {
        let before = level - 1;
        text += &format!("l{level}: &a{level} [*a{before}, *a{before}, *a{before}]\n");
    }
    assert_snapshot!(findings("x.yaml", &text), @"KBY016 Error 12:28 doc 0 : cannot be judged: aliases expand to more than what is read");
    assert_snapshot!(findings("x.yaml", "Secret: &a [data, *a]\n"), @"KBY016 Error 1:19 doc 0 : cannot be judged: an alias is part of what it stands for");
}

#[test]
fn kustomizations_name_what_must_be_judged() {
    let text = "secretGenerator:\n- files: [../a.key, k=b.txt]\npatches:\n- {path: p.yaml, target: {kind: Secret}}\n";
    let report = report("apps/x/kustomization.yaml", text.as_bytes(), None, Role::File);
    assert_eq!(report.findings, []);
    let named = report.references.iter().map(|r| (String::from_utf8_lossy(&r.path).into_owned(), r.role));
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            ("apps/a.key".to_owned(), Role::SecretSource),
            ("apps/x/b.txt".to_owned(), Role::SecretSource),
            ("apps/x/p.yaml".to_owned(), Role::Patch),
        ]
    );
    let patch = |text: &str| shown(&self::report("p.yaml", text.as_bytes(), None, Role::Patch));
    assert_snapshot!(patch("- {op: add, path: /data/a, value: aHVudGVyMg==}\n"), @"KBY008 Error 1:35 doc 0 [0].value: a patch operation puts a plaintext value into a Secret");
    assert_snapshot!(patch("kind: any\ndata: {a: aHVudGVyMg==}\n"), @"KBY008 Error 2:11 doc 0 data.a: the patch puts a plaintext value into a Secret");
    assert_snapshot!(patch("- {op: add, path: /metadata/labels/a, value: b}\n"), @"");
}

#[test]
fn private_keys_weigh_by_what_they_open() {
    use secrecy::ExposeSecret as _;
    let key = crate::sops::age::Identity::generate();
    let key = key.expose_line().expose_secret();
    assert_snapshot!(findings("notes.md", &format!("a\nkey: {key}\n")), @"KBY011 Error 2:6 : a private age identity");
    let pem = "-----BEGIN PRIVATE KEY-----\nVEhJUyBJUyBOT1QgQSBLRVkgQlVUIEEgRklYVFVSRQ==\n-----END PRIVATE KEY-----\n";
    assert_snapshot!(findings("tests/key.pem", pem), @"KBY013 Warning 1:1 : a private key in PEM");
    assert_snapshot!(governed("tests/key.pem", pem, "path_regex: ^secrets/"), @"KBY013 Error 1:1 : a private key in PEM");
    let config = "users: [{user: {token: abc}}]\ncontexts: []\n";
    assert_snapshot!(findings("config", config), @"KBY014 Warning 1:24 doc 0 users[0].user.token: a credential of a kubeconfig is plaintext");
}

#[test]
fn a_sops_config_is_judged_as_one() {
    assert_snapshot!(findings(".sops.yaml", "creation_rules:\n  - path_regexp: x\n    pgp: A\n"), @"KBY017 Warning 2:5 : `path_regexp` is not a key of a rule: sops ignores it (did you mean `path_regex`?)");
    assert_snapshot!(findings("a/.sops.yaml", "creation_rules: 5\n"), @"KBY017 Error 1:17 : `creation_rules` must be a list");
}

#[test]
fn path_classes_hold_what_decides_and_nothing_else() {
    let rules = rules("creation_rules:\n  - path_regex: ^secrets/\n  - path_regex: .*\n");
    let class = |path: &str| path_class(path.as_bytes(), Some(&rules));
    assert_eq!(class("a/x.yaml"), class("b/c/y.yaml"));
    assert_ne!(class("a/x.yaml"), class("secrets/x.yaml"));
    assert_ne!(class("a/x.yaml"), class("a/x.sops.yaml"));
    assert_eq!(class("A/X.SOPS.YAML"), class("a/x.sops.yaml"));
    assert_ne!(class("a/kustomization.yaml"), class("b/kustomization.yaml"));
    assert_eq!(class("a/x.yaml").rule, None);
    assert_eq!(class("secrets/x.yaml").rule, Some(0));
}

mod charts;
mod content;
mod disguises;
mod kinds;
mod likenesses;
mod mutator;
mod properties;
mod rows;
mod rule;
