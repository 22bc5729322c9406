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
    ), @"");
}

#[test]
fn owners_must_be_known_by_something() {
    insta::assert_snapshot!(problems("policyChanges: owners\npolicyOwners: [alice]\n"), @"");
}

#[test]
fn another_kind_of_document_is_none() {
    let error = Config::parse(b"apiVersion: v2\n").unwrap_err();
    insta::assert_snapshot!(error, @"");
    insta::assert_snapshot!(Config::parse(b"").unwrap_err(), @"");
    insta::assert_snapshot!(Config::parse(b"a: [\n").unwrap_err(), @"");
}

#[test]
fn the_first_profile_that_fits_counts() {
    let text =
        "profiles:\n- {repositories: ['demo/*'], profile: code}\n- {repositories: ['**'], profile: strict}\n";
    let config = Config::parse(format!("{HEAD}{text}").as_bytes()).unwrap();
    assert_eq!(config.profile("demo/app"), Profile::Code);
    assert_eq!(config.profile("demo/app/fork"), Profile::Strict);
}
