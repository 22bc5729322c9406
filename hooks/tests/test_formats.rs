//! The reports for programs: each has the fields that its form asks for, says the same in every run, and no value.
//! What is required is written down here by hand, after the published schemas: SARIF 2.1.0 (OASIS), the code quality
//! report of GitLab's documentation, junit-10.xsd of Jenkins' xUnit plugin. Checkstyle has none.

use crate::common::{CANARY, hook, plain_secret};
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const FORMATS: [&str; 6] = ["json", "sarif", "junit", "github", "gitlab", "checkstyle"];

fn scan(repo: &GitRepo<'_>, env: &TestEnv, format: &str) -> Transcript {
    env.run(repo.command(hook()).args(["scan", ".", "--format", format]))
}

fn text(output: &Transcript) -> String {
    String::from_utf8(output.stdout().to_vec()).unwrap()
}

fn json(output: &Transcript) -> Value {
    serde_json::from_slice(output.stdout()).unwrap()
}

/// Findings of all weights in files with all sorts of names, and one that nobody can judge.
fn bad<'e>(env: &'e TestEnv) -> GitRepo<'e> {
    let repo = GitRepo::init(env, "repo");
    repo.write("secret.yaml", plain_secret());
    repo.write("a b/<&\"'>,:%ü.yaml", plain_secret());
    repo.write("line\nbreak\u{202e}.yaml", plain_secret());
    repo.write("broken.yaml", format!("a: [Secret {CANARY}\n"));
    repo.write(
        "two.yaml",
        format!(
            "kind: List\napiVersion: v1\nitems:\n{0}{0}",
            format_args!(
                "- {{kind: Secret, apiVersion: v1, metadata: {{name: a}}, stringData: {{a: {CANARY}, b: {CANARY}2}}}}\n"
            )
        ),
    );
    repo.write("below/.sops.yaml", "creation_rules: 5\n");
    repo.write("below/app.yaml", "a: 1\n");
    repo
}

#[test]
fn no_form_has_a_value_in_it() {
    let env = TestEnv::new();
    let repo = bad(&env);
    for format in FORMATS {
        let output = scan(&repo, &env, format);
        assert_eq!(output.code(), Some(1), "{output}");
        let all = format!("{}{}", text(&output), output.stderr());
        for part in [CANARY, "canary", "hunter2"] {
            assert!(!all.contains(part), "{format}: {part} got out:\n{all}");
        }
        // JSON is for programs, which need the name of a file as it is.
        assert!(format == "json" || !all.contains('\u{202e}'), "{format}:\n{all}");
        assert_eq!(text(&scan(&repo, &env, format)), text(&output), "{format} is not the same again");
    }
}

#[test]
fn nothing_found_is_a_report_too() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("a.yaml", "a: 1\n");
    for format in FORMATS {
        let output = scan(&repo, &env, format);
        assert_eq!(output.code(), Some(0), "{output}");
        match format {
            "github" => assert_eq!(text(&output), ""),
            "gitlab" => assert_eq!(json(&output), serde_json::json!([])),
            "sarif" => assert_eq!(json(&output)["runs"][0]["results"], serde_json::json!([])),
            "junit" => assert_eq!(elements(&text(&output)).len(), 3),
            "checkstyle" => assert_eq!(elements(&text(&output)).len(), 1),
            _ => assert_eq!(json(&output)["findings"], serde_json::json!([])),
        }
    }
}

/// How many things there are to report: findings, and what cannot be judged.
fn reported(repo: &GitRepo<'_>, env: &TestEnv) -> usize {
    let report = json(&scan(repo, env, "json"));
    let number = |field: &str| report[field].as_array().unwrap().len();
    assert!(number("unverified") > 0 && number("findings") > 5, "{report}");
    number("findings") + number("unverified")
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

#[test]
fn sarif_has_what_2_1_0_and_code_scanning_ask_for() {
    let env = TestEnv::new();
    let repo = bad(&env);
    let report = json(&scan(&repo, &env, "sarif"));
    assert_eq!(report["version"], "2.1.0");
    assert!(report["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
    let [run] = report["runs"].as_array().unwrap().as_slice() else { panic!("one run") };
    let driver = &run["tool"]["driver"];
    assert!(is_text(&driver["name"]) && is_text(&driver["semanticVersion"]));
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        for field in ["shortDescription", "fullDescription", "help"] {
            assert!(is_text(&rule[field]["text"]), "{rule}");
        }
        let severity: f32 = rule["properties"]["security-severity"].as_str().unwrap().parse().unwrap();
        assert!((0.0..=10.0).contains(&severity), "{rule}");
        assert!(
            ["note", "warning", "error"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap())
        );
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), reported(&repo, &env));
    let mut fingerprints = BTreeSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(is_text(&result["message"]["text"]), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
        assert!(!uri.starts_with('/') && place["artifactLocation"]["uriBaseId"] == "%SRCROOT%", "{uri}");
        if let Some(region) = place.get("region") {
            assert!(region["startLine"].as_u64() > Some(0) && region["startColumn"].as_u64() > Some(0));
        }
        let fingerprint = result["partialFingerprints"]["kubiyaFinding/v1"].as_str().unwrap();
        assert!(fingerprints.insert(fingerprint.to_owned()), "{fingerprint} is there twice");
    }
}

#[test]
fn a_fingerprint_stays_when_lines_move_and_when_the_value_is_another() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let fingerprint = || {
        let report = json(&scan(&repo, &env, "sarif"));
        let results = report["runs"][0]["results"].as_array().unwrap().clone();
        assert_eq!(results.len(), 1, "{results:?}");
        results[0]["partialFingerprints"].clone()
    };
    repo.write("secret.yaml", plain_secret());
    let before = fingerprint();
    repo.write("secret.yaml", format!("# one\n# two\n{}", plain_secret().replace(CANARY, "another-value")));
    assert_eq!(fingerprint(), before);
    repo.write("secret.yaml", plain_secret().replace("password:", "token:"));
    assert_ne!(fingerprint(), before);
}

#[test]
fn gitlab_gets_the_five_fields_of_each_issue() {
    let env = TestEnv::new();
    let repo = bad(&env);
    let report = json(&scan(&repo, &env, "gitlab"));
    let issues = report.as_array().unwrap();
    assert_eq!(issues.len(), reported(&repo, &env));
    let mut fingerprints = BTreeSet::new();
    for issue in issues {
        assert!(is_text(&issue["description"]) && is_text(&issue["check_name"]), "{issue}");
        assert!(
            ["info", "minor", "major", "critical", "blocker"].contains(&issue["severity"].as_str().unwrap())
        );
        let path = issue["location"]["path"].as_str().unwrap();
        assert!(!path.starts_with('/') && !path.starts_with("./"), "{path}");
        assert!(issue["location"]["lines"]["begin"].as_u64() > Some(0), "{issue}");
        assert!(fingerprints.insert(issue["fingerprint"].as_str().unwrap().to_owned()), "{issue}");
    }
}

#[test]
fn each_line_for_github_is_one_whole_command() {
    let env = TestEnv::new();
    let repo = bad(&env);
    let report = text(&scan(&repo, &env, "github"));
    assert_eq!(report.lines().count(), reported(&repo, &env));
    for line in report.lines() {
        let (command, rest) = line.strip_prefix("::").unwrap().split_once(' ').unwrap();
        assert!(["notice", "warning", "error"].contains(&command), "{line}");
        let (properties, message) = rest.split_once("::").unwrap();
        assert!(!message.is_empty(), "{line}");
        let properties: BTreeMap<_, _> =
            properties.split(',').map(|property| property.split_once('=').unwrap()).collect();
        assert!(properties["title"].starts_with("KBY") || properties["title"].starts_with("unverified"));
        assert!(!properties["file"].is_empty() && !properties["file"].contains(':'), "{line}");
        assert!(properties.keys().all(|key| ["file", "line", "col", "title"].contains(key)), "{line}");
    }
}

/// The elements of a well-formed document in their order, each with its attributes, and how deep it is.
fn elements(document: &str) -> Vec<(usize, String, BTreeMap<String, String>)> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    let mut all = Vec::new();
    let mut depth = 0;
    let element = |depth: usize, start: &BytesStart<'_>| {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = quick_xml::escape::unescape(&attribute.value).unwrap().into_owned();
            (attribute.key.as_ref().to_owned(), value)
        });
        (depth, start.name().as_ref().to_owned(), attributes.collect())
    };
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                all.push(element(depth, &start));
                depth += 1;
            }
            Event::Empty(start) => all.push(element(depth, &start)),
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    all
}

#[test]
fn junit_counts_what_it_lists() {
    let env = TestEnv::new();
    let repo = bad(&env);
    let all = elements(&text(&scan(&repo, &env, "junit")));
    let named = |name: &str| all.iter().filter(|(_, element, _)| element == name).collect::<Vec<_>>();
    assert_eq!((all[0].1.as_str(), all[1].1.as_str()), ("testsuites", "testsuite"));
    for (_, _, attributes) in &all[..2] {
        assert_eq!(attributes["name"], "kubiya-hook");
        assert_eq!(attributes["tests"], named("testcase").len().to_string());
        assert_eq!(attributes["failures"], named("failure").len().to_string());
        assert_eq!(attributes["errors"], named("error").len().to_string());
    }
    assert_eq!(named("testcase").len(), reported(&repo, &env));
    assert!(named("testcase").iter().all(|(depth, _, has)| *depth == 2 && !has["name"].is_empty()));
    let inside = all.iter().filter(|(depth, _, _)| *depth == 3).map(|(_, name, _)| name.as_str());
    assert!(inside.clone().all(|name| ["failure", "error", "system-out"].contains(&name)));
    assert_eq!(inside.count(), named("testcase").len());
    let broken = named("testcase").into_iter().find(|(_, _, has)| has["classname"].contains("<&\""));
    assert!(broken.is_some(), "names come back as they are");
}

#[test]
fn checkstyle_names_each_file_once() {
    let env = TestEnv::new();
    let repo = bad(&env);
    let all = elements(&text(&scan(&repo, &env, "checkstyle")));
    assert_eq!((all[0].1.as_str(), all[0].2["version"].as_str()), ("checkstyle", "4.3"));
    let files: Vec<_> =
        all.iter().filter(|(_, name, _)| name == "file").map(|(_, _, has)| &has["name"]).collect();
    assert_eq!(files.len(), files.iter().collect::<BTreeSet<_>>().len(), "{files:?}");
    let errors: Vec<_> = all.iter().filter(|(_, name, _)| name == "error").collect();
    assert_eq!(errors.len(), reported(&repo, &env));
    for (depth, _, has) in errors {
        assert_eq!(*depth, 2);
        assert!(has["line"].parse::<u32>().unwrap() > 0 && has["column"].parse::<u32>().unwrap() > 0);
        assert!(["info", "warning", "error"].contains(&has["severity"].as_str()));
        assert!(has["source"].starts_with("kubiya.") && !has["message"].is_empty());
    }
}
