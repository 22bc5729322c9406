use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

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

/// Whether a value has the form that a schema says, as far as our schemas go.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(root, root.pointer(name.trim_start_matches('#')).unwrap(), value);
    }
    let list = |name: &str| schema[name].as_array().cloned();
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let types = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        _ => true,
    };
    let constant = schema.get("const").is_none_or(|only| only == value);
    let word = list("enum").is_none_or(|words| words.contains(value));
    let any = ["anyOf", "oneOf"].into_iter().filter_map(list);
    let any = any.into_iter().all(|all| all.iter().any(|schema| fits(root, schema, value)));
    let items = value.as_array().is_none_or(|items| {
        schema.get("items").is_none_or(|schema| items.iter().all(|item| fits(root, schema, item)))
    });
    let fields = value.as_object().is_none_or(|fields| {
        let required = list("required").unwrap_or_default();
        required.iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            && fields.iter().all(|(name, value)| match schema["properties"].get(name) {
                Some(schema) => fits(root, schema, value),
                None => match &schema["additionalProperties"] {
                    Value::Bool(others) => *others,
                    Value::Null => true,
                    schema => fits(root, schema, value),
                },
            })
    });
    types && constant && word && any && items && fields
}

/// The example of the documentation.
fn example() -> String {
    let docs = include_str!("../../../docs/hook-config.md");
    let start = docs.find("apiVersion: kubiya.dev").unwrap();
    docs[start..].split("```").next().unwrap().to_owned()
}

/// Calls back with the document, changed at every map in it.
fn each_map(
    document: &Value,
    change: &dyn Fn(&mut serde_json::Map<String, Value>),
    call: &mut dyn FnMut(&Value),
) {
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                all.push(at.to_owned());
                fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), all));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(number, item)| pointers(item, &format!("{at}/{number}"), all));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    pointers(document, "", &mut all);
    for at in all {
        let mut changed = document.clone();
        change(changed.pointer_mut(&at).unwrap().as_object_mut().unwrap());
        call(&changed);
    }
}

#[test]
fn the_documented_example_has_the_form_of_the_schema_and_every_field_of_it() {
    let (schema, text) = (Config::schema(), example());
    assert!(Config::parse(text.as_bytes()).is_ok());
    let document: Value = serde_yaml::from_str(&text).unwrap();
    assert!(fits(&schema, &schema, &document));
    let described: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let shown: BTreeSet<_> = document.as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, shown);
}

#[test]
fn what_is_no_field_is_refused_by_the_schema_and_by_the_check() {
    let (schema, text) = (Config::schema(), example());
    let document: Value = serde_yaml::from_str(&text).unwrap();
    let mut maps = 0;
    let unknown =
        |map: &mut serde_json::Map<String, Value>| drop(map.insert("noField".to_owned(), "error".into()));
    each_map(&document, &unknown, &mut |changed| {
        maps += 1;
        // The codes of `severities` are keys of a map: the check alone knows them.
        let refused = !fits(&schema, &schema, changed) || changed["severities"].get("noField").is_some();
        assert!(refused, "{changed}");
        assert!(Config::parse(changed.to_string().as_bytes()).is_err(), "{changed}");
    });
    assert!(maps > 10, "{maps}");
}

#[test]
fn every_field_that_the_schema_has_is_one_that_is_read() {
    let schema = Config::schema();
    let known = |part: &Value, kind: &str| {
        for name in part["properties"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            let said = problems(&format!("{kind}{name}: {{no: [value]}}"));
            assert!(!said.contains(&format!("`{name}` is no field")), "{said}");
        }
    };
    for (name, part) in schema["$defs"].as_object().unwrap() {
        let place = match name.as_str() {
            "Identity" => "identity:\n  ",
            "Protected" => "protected:\n- ",
            "ProfileRule" => "profiles:\n- ",
            "Exemption" => "exemptions:\n- ",
            "Baseline" => "baseline:\n  ",
            "Limits" => "limits:\n  ",
            "Bypass" => "bypass:\n  ",
            _ => continue,
        };
        known(part, place);
    }
}

#[test]
fn a_value_that_the_check_refuses_for_its_kind_the_schema_refuses_too() {
    let schema = Config::schema();
    for wrong in [
        "enforcement: maybe",
        "policyChanges: never",
        "policyOwners: alice",
        "protected: {}",
        "profiles: [{profile: x}]",
        "severities: {KBY001: bad}",
        "exemptions: [{paths: [a]}]",
        "limits: {timeout: [1]}",
        "audit: {}",
        "bypass: {option: x}",
        "identity: []",
        "trustedRef: {}",
        "metrics: [a]",
    ] {
        let text = format!("{HEAD}{wrong}\n");
        assert!(Config::parse(text.as_bytes()).is_err(), "{wrong}");
        let document: Value = serde_yaml::from_str(&text).unwrap();
        assert!(!fits(&schema, &schema, &document), "{wrong}");
    }
    let empty: Value = serde_yaml::from_str(HEAD).unwrap();
    assert!(fits(&schema, &schema, &empty));
}
