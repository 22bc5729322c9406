use super::*;

const HEAD: &str = "apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\n";

fn problems(text: &str) -> String {
    let problems = Config::parse(format!("{HEAD}{text}").as_bytes()).unwrap_err();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_document_with_nothing_in_it_is_what_is_built_in() {
    let config = Config::parse(HEAD.as_bytes()).unwrap();
    assert_eq!(config.enforcement, Enforcement::Refuse);
    assert_eq!(config.policy_changes, PolicyChanges::Warn);
    assert_eq!(config.profile("any/thing"), Profile::Default);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    insta::assert_snapshot!(problems(
        "enforcment: warn\nenforcement: maybe\nseverities: {KBY999: error, KBY001: bad}\n\
         exemptions:\n- paths: ['a[']\n  expires: tomorrow\nlimits: {timeout: soon, fileSize: 3MB}\n\
         audit: {file: relative.log}\nbypass: {option: x}\nprotected:\n- paths: [a]\n"
    ), @"
    3:1: `enforcment` is no field of a HookConfig; these are: apiVersion, kind, contact, enforcement, identity, trustedRef, policyChanges, policyOwners, protected, profiles, severities, exemptions, baseline, limits, audit, metrics, bypass
    4:14: `enforcement` must be one of: refuse, warn, shadow
    5:14: `KBY999` is no code of a finding
    5:37: `KBY001` must be one of: error, warning, note, off
    7:3: an exemption needs `reason`
    7:11: `paths`: no pattern: unclosed character class; missing ']'
    8:12: `expires` must be a day such as 2027-01-31
    9:19: `timeout` must be a duration such as 30s
    9:35: `fileSize` must be a size such as 32MiB
    10:15: `file` must be a path that begins with /
    11:9: `bypass` needs `option` and `users`
    11:9: `bypass` needs `identity.pusher` to know users by
    13:3: `owners` is missing: who may change it
    13:3: `protected` needs `identity.pusher` or `identity.allowedSigners` to know owners by
    ");
}

#[test]
fn owners_must_be_known_by_something() {
    insta::assert_snapshot!(problems("policyChanges: owners\npolicyOwners: [alice]\n"), @"3:16: `policyChanges: owners` needs `policyOwners`, and `identity.pusher` or `identity.allowedSigners` to know them by");
}

#[test]
fn who_gets_past_findings_is_written_down() {
    let bypass = "identity: {pusher: WHO}\nbypass: {option: x, users: [alice]}\n";
    assert!(problems(bypass).contains("`bypass` needs `audit`"));
    assert!(Config::parse(format!("{HEAD}{bypass}audit: {{file: /var/log/k}}\n").as_bytes()).is_ok());
}

#[test]
fn another_kind_of_document_is_none() {
    let error = Config::parse(b"apiVersion: v2\n").unwrap_err();
    insta::assert_snapshot!(error, @"1:1: `kind: HookConfig` is missing; 1:13: `apiVersion` must be kubiya.dev/v1alpha1");
    insta::assert_snapshot!(Config::parse(b"").unwrap_err(), @"1:1: the file is empty; it must hold a HookConfig");
    insta::assert_snapshot!(Config::parse(b"a: [\n").unwrap_err(), @"1:4: not valid YAML: unclosed flow collection");
}

#[test]
fn the_first_profile_that_fits_counts() {
    let text =
        "profiles:\n- {repositories: ['demo/*'], profile: code}\n- {repositories: ['**'], profile: strict}\n";
    let config = Config::parse(format!("{HEAD}{text}").as_bytes()).unwrap();
    assert_eq!(config.profile("demo/app"), Profile::Code);
    assert_eq!(config.profile("demo/app/fork"), Profile::Strict);
}
