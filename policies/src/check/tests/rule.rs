//! Encrypted files, held to their rule.

use super::*;

const OTHER: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn secret() -> String {
    let (_, bytes) = corpus("good").into_iter().find(|(name, _)| name == "secret.sops.yaml").unwrap();
    String::from_utf8(bytes).unwrap()
}

fn recipient(text: &str) -> String {
    let at = text.find("recipient: ").unwrap() + "recipient: ".len();
    text[at..].lines().next().unwrap().to_owned()
}

/// The findings for a file under a rule that takes every file; the file's own recipient is shown as `OWN`.
fn held_to(text: &str, rule: &str) -> String {
    let rules = rules(&format!("creation_rules:\n  - {rule}\n"));
    let shown = shown(&report("apps/secret.sops.yaml", text.as_bytes(), Some(&rules), Role::File));
    shown.replace(&recipient(&secret()), "OWN").replace(OTHER, "OTHER")
}

#[test]
fn recipients_are_those_of_the_rule() {
    let text = secret();
    let own = recipient(&text);
    let selector = "encrypted_regex: ^(data|stringData)$";
    assert_eq!(held_to(&text, &format!("age: {own}\n    {selector}")), "");
    assert_snapshot!(held_to(&text, &format!("age: '{own},{OTHER}'\n    {selector}")), @"KBY018 Error 11:1 doc 0 sops: OTHER cannot read it, and the rule says so");
    assert_snapshot!(held_to(&text, &format!("age: {OTHER}\n    {selector}")), @"KBY018 Error 11:1 doc 0 sops: OTHER cannot read it, and the rule says so; OWN can read it, and the rule does not say so");
    assert_snapshot!(held_to(&text, &format!("key_groups:\n      - age: [{own}]\n      - age: [{own}]\n    shamir_threshold: 2\n    {selector}")), @"KBY018 Error 11:1 doc 0 sops: its key groups are not those of the rule");
    // A rule whose keys come from a flag or a variable names nobody.
    assert_eq!(held_to(&text, selector), "");
    // What only stands in the place of a public key is not shown.
    let planted = text.replace(&own, "hunter2");
    assert!(!held_to(&planted, &format!("age: {OTHER}\n    {selector}")).contains("hunter2"));
    // A rule for other paths says nothing.
    assert_eq!(held_to(&text, &format!("path_regex: ^other/\n    age: {OTHER}")), "");
}

#[test]
fn the_selector_covers_at_least_what_the_rule_wants() {
    let text = secret();
    let own = recipient(&text);
    let rule = |selector: &str| format!("age: {own}\n    {selector}");
    assert_snapshot!(held_to(&text, &rule("encrypted_regex: ^stringData$")), @"KBY019 Note 11:1 doc 0 sops: its selector is not its rule's, and covers all that the rule's does");
    let typed = text.replace("stringData:", "spec: {note: x}\nstringData:");
    assert_snapshot!(held_to(&typed, &rule("encrypted_regex: ^(stringData|spec)$")), @"
    KBY002 Error 5:14 doc 0 spec.note: a value of an encrypted file is plaintext
    KBY019 Error 12:1 doc 0 sops: its selector leaves out what its rule's covers
    ");
    // A rule cannot mean what an API server has to read.
    assert_snapshot!(held_to(&text, &format!("age: {own}")), @"KBY019 Note 11:1 doc 0 sops: its selector is not its rule's, and covers all that the rule's does");
    // Encrypted values that the file's own selector does not cover: sops would take them for text.
    let weakened = text.replace("encrypted_regex: ^(data|stringData)$", "encrypted_regex: ^tls$");
    assert_ne!(weakened, text);
    assert_snapshot!(held_to(&weakened, &rule("encrypted_regex: ^(data|stringData)$")), @"KBY019 Error 11:1 doc 0 sops: its selector leaves out what its rule's covers");
    let authenticated = text.replace("    version:", "    mac_only_encrypted: true\n    version:");
    assert_snapshot!(held_to(&authenticated, &rule("encrypted_regex: ^(data|stringData)$")), @"KBY019 Warning 11:1 doc 0 sops: `mac_only_encrypted`: its plain values are not authenticated, and the rule wants them to be");
    assert_snapshot!(held_to(&text, &rule("mac_only_encrypted: true\n    encrypted_regex: ^(data|stringData)$")), @"KBY019 Note 11:1 doc 0 sops: its plain values are authenticated, which its rule does not ask for");
}

#[test]
fn flat_files_are_held_to_their_rule_too() {
    for name in ["app.sops.env", "app.sops.ini", "cert.sops.pem", "settings.sops.json"] {
        let (_, bytes) = corpus("good").into_iter().find(|(file, _)| file == name).unwrap();
        let rules = rules(&format!("creation_rules:\n  - age: {OTHER}\n"));
        let report = report(name, &bytes, Some(&rules), Role::File);
        let found = shown(&report);
        assert!(found.contains("cannot read it") && found.contains("can read it, and"), "{name}: {found}");
    }
}

#[test]
fn comments_where_sops_would_have_encrypted_them_are_worth_a_warning() {
    let text = secret().replace("    empty:", "    # of the database\n    empty:");
    assert_snapshot!(held_to(&text, "path_regex: ^x$"), @"KBY021 Warning 8:6 doc 0 stringData: a comment that sops would have encrypted is plain");
}
