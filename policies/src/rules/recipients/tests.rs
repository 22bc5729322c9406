//! Recipients that come, go and change places, by the bytes of the file.

use super::*;

const OLD: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const NEW: &str = "age1lzd99uklcjnc0e7d860axevet2cz99ce9pq6tzuzd05l5nr28ams36nvun";
const MATE: &str = "age1tmaae3ld5vpevmsh5yacsauzx8jetg300mpvc4ugp5zr5l6ssq9sla97ep";

fn change(text: &str, change: RecipientChange<'_>) -> Result<String, RecipientChangeError> {
    let long = text.replace("OLD", OLD).replace("NEW", NEW).replace("MATE", MATE);
    let after = change_recipients(long.as_bytes(), change)?;
    let after = after.map_or(long, |after| String::from_utf8(after).unwrap());
    Ok(after.replace(OLD, "OLD").replace(NEW, "NEW").replace(MATE, "MATE"))
}

/// A file, with the new recipient beside the old one, and after all.
const TABLE: [(&str, &str, &str); 10] = [
    ("- age: OLD # ops", "- age: OLD,NEW # ops", "- age: NEW # ops"),
    ("- age: 'MATE, OLD'", "- age: 'MATE, OLD, NEW'", "- age: 'MATE, NEW'"),
    (
        "- age: >-\n    OLD,\n    MATE\n  path_regex: a",
        "- age: >-\n    OLD,\n    NEW,\n    MATE\n  path_regex: a",
        "- age: >-\n    NEW,\n    MATE\n  path_regex: a",
    ),
    ("- age: >-\n    OLD\n", "- age: >-\n    OLD,\n    NEW\n", "- age: >-\n    NEW\n"),
    (
        "- age:\n    # ops\n    - OLD # 2024\n    - \"MATE\"",
        "- age:\n    # ops\n    - OLD # 2024\n    - NEW\n    - \"MATE\"",
        "- age:\n    # ops\n    - NEW # 2024\n    - \"MATE\"",
    ),
    ("- age: [MATE, \"OLD\"]", "- age: [MATE, \"OLD\", \"NEW\"]", "- age: [MATE, \"NEW\"]"),
    (
        "- key_groups:\n    - age:\n        - OLD\n      pgp: [AB]\n    - age: [MATE]",
        "- key_groups:\n    - age:\n        - OLD\n        - NEW\n      pgp: [AB]\n    - age: [MATE]",
        "- key_groups:\n    - age:\n        - NEW\n      pgp: [AB]\n    - age: [MATE]",
    ),
    (
        "- path_regex: a\n  age: &all [OLD, MATE]\n- age: *all",
        "- path_regex: a\n  age: &all [OLD, NEW, MATE]\n- age: *all",
        "- path_regex: a\n  age: &all [NEW, MATE]\n- age: *all",
    ),
    (
        "- path_regex: a\n  age: &ops OLD\n- age: *ops",
        "- path_regex: a\n  age: &ops OLD,NEW\n- age: *ops",
        "- path_regex: a\n  age: &ops NEW\n- age: *ops",
    ),
    (
        "- path_regex: a\n  age: MATE\n- age: OLD\r\n",
        "- path_regex: a\n  age: MATE\n- age: OLD,NEW\r\n",
        "- path_regex: a\n  age: MATE\n- age: NEW\r\n",
    ),
];

#[test]
fn a_recipient_comes_beside_another_and_takes_its_place() {
    for (before, both, after) in TABLE {
        let head = "# who may read\ncreation_rules:\n";
        let [before, both, after] = [before, both, after].map(|text| format!("{head}{text}"));
        assert_eq!(change(&before, RecipientChange::Add(OLD, NEW)).unwrap(), both);
        assert_eq!(change(&both, RecipientChange::Add(OLD, NEW)).unwrap(), both, "again");
        assert_eq!(change(&both, RecipientChange::Replace(OLD, NEW)).unwrap(), after);
        assert_eq!(change(&before, RecipientChange::Replace(OLD, NEW)).unwrap(), after, "at once");
        assert_eq!(change(&both, RecipientChange::Remove(NEW)).unwrap(), before, "taken back");
    }
}

#[test]
fn anchors_kept_in_a_list_of_their_own_are_followed() {
    let file = "keys:\n  - &ops OLD # the hub\n  - &mate MATE\ncreation_rules:\n  - path_regex: a\n    age: [*mate]\n  - key_groups:\n      - age:\n          - *ops\n          - *mate\n";
    let both = file.replace("- *ops\n", "- *ops\n          - NEW\n");
    assert_eq!(change(file, RecipientChange::Add(OLD, NEW)).unwrap(), both);
    assert_eq!(change(&both, RecipientChange::Replace(OLD, NEW)).unwrap(), file.replace("OLD", "NEW"));
    let without = file.replace("          - *mate\n", "");
    let error = change(file, RecipientChange::Remove(MATE)).unwrap_err();
    assert!(matches!(error, RecipientChangeError::Alone(6)), "{error}");
    assert_eq!(
        change(&without, RecipientChange::Add(MATE, NEW)).unwrap(),
        without.replace("[*mate]", "[*mate, NEW]")
    );
}

#[test]
fn somebody_joins_the_rules_that_count_for_some_files_and_no_other() {
    let added = |text: &str| {
        let long = text.replace("OLD", OLD).replace("NEW", NEW).replace("MATE", MATE);
        let paths = ["clusters/infra/a.yaml", "clusters/infra/b.json"].map(str::as_bytes);
        let after = add_recipient(b".sops.yaml", long.as_bytes(), paths, NEW)?;
        let after = after.map_or(long, |after| String::from_utf8(after).unwrap());
        Ok(after.replace(OLD, "OLD").replace(NEW, "NEW").replace(MATE, "MATE"))
    };
    let file = "creation_rules:\n- path_regex: ^apps/\n  age: OLD\n- path_regex: infra/.*yaml$\n  age: OLD,MATE\n- path_regex: json$\n  key_groups: [{age: [OLD]}]\n- age: OLD\n";
    let both = file.replace("OLD,MATE", "OLD,MATE,NEW").replace("[OLD]", "[OLD, NEW]");
    assert_eq!(added(file).unwrap(), both);
    assert_eq!(added(&both).unwrap(), both, "again");
    let elsewhere = "creation_rules:\n- path_regex: ^apps/\n  age: OLD\n";
    assert_eq!(added(elsewhere).unwrap(), elsewhere);
    // Where it belongs cannot be told.
    for rule in ["pgp: 85D77543B3D624B63CEA9E6DBC17301B491B3F21", "key_groups: [{age: [OLD]}, {age: [MATE]}]"]
    {
        let error = added(&format!("creation_rules:\n- {rule}\n")).unwrap_err();
        assert!(matches!(error, RecipientChangeError::NoList(2)), "{error}");
    }
    // What rules share cannot be changed for one of them.
    let shared = "creation_rules:\n- path_regex: ^apps/\n  age: &all [OLD]\n- age: *all\n";
    assert!(matches!(added(shared).unwrap_err(), RecipientChangeError::Unproven));
}

#[test]
fn what_cannot_be_changed_is_said_with_its_line() {
    let only = "creation_rules:\n  - age: OLD\n";
    assert!(matches!(change(only, RecipientChange::Remove(OLD)), Err(RecipientChangeError::Alone(2))));
    let escaped = only.replace("OLD", &format!("\"\\x61{}\"", &OLD[1..]));
    assert!(matches!(change(&escaped, RecipientChange::Add(OLD, NEW)), Err(RecipientChangeError::Layout(2))));
    let broken = "creation_rules: 5\n";
    assert!(matches!(change(broken, RecipientChange::Add(OLD, NEW)), Err(RecipientChangeError::Problems(_))));
    assert_eq!(
        change("creation_rules: []\n", RecipientChange::Add(OLD, NEW)).unwrap(),
        "creation_rules: []\n"
    );
}
