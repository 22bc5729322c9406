//! `set` and `unset`.

use crate::locked::{CANARY, Locked, PLAIN};

#[test]
fn a_value_is_replaced_and_nothing_else_changes() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    let new = format!("{CANARY}-new");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user"], &format!("{new}\n")), @"
    ------- stderr
        updated db.yaml (stringData.user)
    ------- exit code 0
    ");
    let after = locked.read("db.yaml");
    assert_eq!(Locked::changed(&before, &after), ["user", "mac"]);
    assert_eq!(locked.decrypted("db.yaml"), PLAIN.replace(CANARY, &new));
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user", "-"], &new), @"
    ------- stderr
      unchanged db.yaml (stringData.user)
    ------- exit code 0
    ");
    assert_eq!(locked.read("db.yaml"), after);
    assert!(locked.left_in_clear().is_empty());
}

#[test]
fn a_new_key_goes_to_the_end_and_away_again() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    let said = locked.run_with(&["set", "db.yaml", "[\"stringData\"][\"a.b\"]", "--keep-newline"], "x\ny\n");
    insta::assert_snapshot!(said, @r#"
    ------- stderr
        updated db.yaml (stringData["a.b"])
    ------- exit code 0
    "#);
    assert_eq!(Locked::changed(&before, &locked.read("db.yaml")), ["mac"]);
    assert_eq!(locked.decrypted("db.yaml"), format!("{PLAIN}    a.b: |\n        x\n        y\n"));
    insta::assert_snapshot!(locked.run(&["unset", "db.yaml", "stringData.a\\.b"]), @r#"
    ------- stderr
        updated db.yaml (stringData["a.b"])
    ------- exit code 0
    "#);
    assert_eq!(Locked::changed(&before, &locked.read("db.yaml")), ["mac"]);
    assert_eq!(locked.decrypted("db.yaml"), PLAIN);
    insta::assert_snapshot!(locked.run(&["unset", "db.yaml", "stringData.a\\.b"]), @r#"
    ------- stderr
      unchanged db.yaml (stringData["a.b"] is not there)
    ------- exit code 0
    "#);
}

#[test]
fn values_have_types_and_encodings() {
    let locked = Locked::new();
    let set = |words: &[&str], stdin: &str| {
        let said = locked.run_with(&[&["set", "db.yaml"], words].concat(), stdin);
        assert!(said.ends_with("exit code 0\n"), "{said}");
    };
    set(&["data[\"tls.crt\"]", "--base64", "--create"], "\u{1}x");
    set(&["stringData.port", "--type", "int"], "5432\n");
    set(&["stringData.on", "--type", "bool"], "true");
    set(&["stringData.none", "--type", "null"], "");
    set(&["stringData.ratio", "--type", "float"], "0.5");
    set(&["stringData.text"], "5432");
    set(&["stringData.list", "--type", "json"], r#"[1, {"a": "b"}]"#);
    let wanted = "    port: 5432\n    \"on\": true\n    none: null\n    ratio: 0.5\n    text: \"5432\"\n    list:\n        - 1\n        - a: b\ndata:\n    tls.crt: AXg=\n";
    assert_eq!(locked.decrypted("db.yaml"), format!("{PLAIN}{wanted}"));
}

#[test]
fn values_come_from_files_and_commands_too() {
    let locked = Locked::new();
    locked.write("value", &format!("{CANARY}-file\n"));
    locked.run(&["set", "db.yaml", "stringData.user", "--value-file", "value"]);
    std::fs::remove_file(locked.path("value")).unwrap();
    assert!(locked.decrypted("db.yaml").contains(&format!("user: |\n        {CANARY}-file\n")));
    locked.run(&["set", "db.yaml", "stringData.user", "--value-command", "/bin/echo 'a  b' $HOME"]);
    assert!(locked.decrypted("db.yaml").contains("user: a  b $HOME\n"));
    insta::assert_snapshot!(locked.run(&["set", "db.yaml", "stringData.user", "--value-command", "/bin/false"]), @"
    ------- stderr
    error: --value-command: it ended with exit status: 1; the file stays as it was
    ------- exit code 2
    ");
}

#[test]
fn what_is_refused_says_why_and_what_to_type() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    let argument = format!("{CANARY}-argument");
    insta::assert_snapshot!(locked.run(&["set", "db.yaml", "stringData.user", &argument]), @"
    ------- stderr
    error: the value is not given on the command line, where every process can see it

    hint: … | kubectl kubiya set PATH KEY.PATH
    hint: kubectl kubiya set PATH KEY.PATH --value-file FILE
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "spec.x"], CANARY), @"
    ------- stderr
    error: db.yaml: there is no `spec` to put it in

    hint: --create   # to make it
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user.x"], CANARY), @"
    ------- stderr
    error: db.yaml: `stringData.user` is a value, and nothing is below it
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user", "--type", "int"], CANARY), @"
    ------- stderr
    error: the value is not an integer of 64 bits
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user", "--type", "json"], CANARY), @"
    ------- stderr
    error: the value is not JSON
      cause: line 1, column 1
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "sops.x", "--create"], CANARY), @"
    ------- stderr
    error: db.yaml: sops: the key is reserved for the metadata of sops
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "a..b"], CANARY), @"
    ------- stderr
    error: invalid value 'a..b' for '<KEY.PATH>': a key is missing beside a dot

    For more information, try '--help'.
    ------- exit code 2
    ");
    assert_eq!(locked.read("db.yaml"), before);
}

#[test]
fn a_dry_run_writes_nothing() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "stringData.user", "--dry-run"], "x"), @"
    ------- stderr
    would be updated db.yaml (stringData.user)
    ------- exit code 0
    ");
    assert_eq!(locked.read("db.yaml"), before);
}

#[test]
fn of_several_documents_one_is_meant_or_named() {
    let locked = Locked::new();
    let plain = "kind: ConfigMap\nmetadata:\n    name: c\n---\nkind: Secret\nmetadata:\n    name: s\nstringData:\n    a: x\n";
    locked.write("db.yaml", plain);
    locked.sops(&["encrypt", "-i", "db.yaml"]);
    let before = locked.read("db.yaml");
    locked.run_with(&["set", "db.yaml", "stringData.a"], "z");
    let changed = Locked::changed(&before, &locked.read("db.yaml"));
    assert_eq!(changed, ["mac", "a", "mac"]);
    assert_eq!(locked.decrypted("db.yaml"), plain.replace("a: x", "a: z"));
    insta::assert_snapshot!(locked.run_with(&["set", "db.yaml", "metadata.x"], "y"), @"
    ------- stderr
    error: db.yaml: `metadata.x` could be in several documents of the file
      cause: document 1: ConfigMap c
      cause: document 2: Secret s

    hint: --document 1   # to name one
    ------- exit code 2
    ");
    locked.run_with(&["set", "db.yaml", "metadata.x", "--allow-plain", "--document", "2"], "z");
    assert_eq!(
        locked.decrypted("db.yaml"),
        plain.replace("a: x", "a: z").replace("name: s", "name: s\n    x: z")
    );
}

#[test]
fn other_formats_are_set_as_they_are_written() {
    let locked = Locked::new();
    locked.rule(".*", &[&locked.recipient()]);
    for (name, plain, key, wanted) in [
        (
            "x.json",
            "{\n\t\"a\": \"x\",\n\t\"n\": 5\n}\n",
            "b",
            "{\n\t\"a\": \"x\",\n\t\"n\": 5,\n\t\"b\": \"new\"\n}\n",
        ),
        ("x.env", "A=x\n", "B", "A=x\nB=new\n"),
        ("x.ini", "[s]\na = x\n", "s.b", "[s]\na = x\nb = new\n"),
    ] {
        locked.write(name, plain);
        locked.sops(&["encrypt", "-i", name]);
        let before = locked.read(name);
        assert!(locked.run_with(&["set", name, key], "new").contains("updated"), "{name}");
        assert_eq!(locked.decrypted(name), wanted);
        locked.run(&["unset", name, key]);
        assert_eq!(locked.decrypted(name), plain);
        let changed = Locked::changed(&before, &locked.read(name));
        assert_eq!(changed.len(), 1, "{name}: {changed:?}");
    }
}
