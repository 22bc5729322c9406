//! What holds for any input.

use super::*;

const CANARY: &str = "canary7Qx";

/// A Secret with a canary as its value, spelled in the ways that keep its meaning.
#[derive(Clone, Debug)]
struct Spelling {
    flow: bool,
    key_quote: &'static str,
    value_quote: &'static str,
    line_end: &'static str,
    order: usize,
    comment: bool,
    lead: &'static str,
    encoding: u8,
    nested: u8,
    block: bool,
}

fn spelling() -> impl Strategy<Value = Spelling> {
    (
        (any::<bool>(), prop::sample::select(vec!["", "'", "\""]), prop::sample::select(vec!["", "'", "\""])),
        prop::sample::select(vec!["\n", "\r\n", "\u{85}", "\r"]),
        (0usize..6, any::<bool>()),
        prop::sample::select(vec!["", "---\n", "%YAML 1.1\n---\n", "a: b\n---\n", "# x\u{85}", "\n\n"]),
        (0u8..4, 0u8..3, any::<bool>()),
    )
        .prop_map(
            |(
                (flow, key_quote, value_quote),
                line_end,
                (order, comment),
                lead,
                (encoding, nested, block),
            )| {
                Spelling {
                    flow,
                    key_quote,
                    value_quote,
                    line_end,
                    order,
                    comment,
                    lead,
                    encoding,
                    nested,
                    block,
                }
            },
        )
}

impl Spelling {
    fn bytes(&self) -> Vec<u8> {
        let key = |key: &str| format!("{0}{key}{0}", self.key_quote);
        let value = |value: &str| format!("{0}{value}{0}", self.value_quote);
        let data = if self.flow {
            format!("{}: {{{}: {}}}", key("stringData"), key("password"), value(CANARY))
        } else if self.block {
            format!("{}:\n  {}: |-\n    {CANARY}", key("stringData"), key("password"))
        } else {
            format!("{}:\n  {}: {}", key("stringData"), key("password"), value(CANARY))
        };
        let mut parts =
            [format!("{}: {}", key("kind"), value("Secret")), format!("{}: v1", key("apiVersion")), data];
        parts.rotate_left(self.order % 3);
        if self.order >= 3 {
            parts.swap(0, 1);
        }
        let comment = if self.comment { " # a comment\n# another: one\n" } else { "\n" };
        let mut text = parts.join(comment) + "\n";
        for _ in 0..self.nested {
            let inner = text.lines().map(|line| format!("  {line}\n")).collect::<String>();
            text = format!("items:\n-{}", &inner[1..]);
        }
        let text = (self.lead.to_owned() + &text).replace('\n', self.line_end);
        match self.encoding {
            0 => text.into_bytes(),
            1 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            2 => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

fn all_text(report: &Report) -> String {
    let explained =
        report.findings.iter().map(|f| f.message.clone() + &f.code.to_string()).collect::<String>();
    format!("{report:?}{explained}")
}

fn corpus_file() -> impl Strategy<Value = (String, Vec<u8>)> {
    let mut files = corpus("good");
    files.extend(corpus("bad"));
    prop::sample::select(files)
}

/// Documents with a canary, and what is found in each however it is spelled. Each has one value that is judged.
const BAD: [(&str, u16, &str); 12] = [
    (
        "a Secret",
        1,
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"password":"CANARY"}}"#,
    ),
    (
        "a list of Secrets",
        1,
        r#"{"apiVersion":"v1","kind":"SecretList","items":[{"metadata":{"name":"a"},"data":{"x":"CANARY"}}]}"#,
    ),
    (
        "a sealed template",
        1,
        r#"{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","spec":{"template":{"data":{"x":"CANARY"}}}}"#,
    ),
    (
        "an external template",
        1,
        r#"{"apiVersion":"external-secrets.io/v1","kind":"ExternalSecret","spec":{"target":{"template":{"data":{"token":"CANARY"}}}}}"#,
    ),
    ("a generator", 6, r#"{"apiVersion":"builtin","kind":"SecretGenerator","literals":["a=CANARY"]}"#),
    (
        "a release",
        20,
        r#"{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","spec":{"values":{"db":{"password":"CANARY"}}}}"#,
    ),
    (
        "a release's environment",
        20,
        r#"{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","spec":{"values":{"env":[{"name":"DB_TOKEN","value":"CANARY"}]}}}"#,
    ),
    (
        "values in a string",
        20,
        r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","spec":{"source":{"helm":{"values":"db:\n  password: CANARY\n"}}}}"#,
    ),
    (
        "a substitution",
        20,
        r#"{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","spec":{"postBuild":{"substitute":{"DB_PASSWORD":"CANARY"}}}}"#,
    ),
    (
        "a source",
        22,
        r#"{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","spec":{"url":"https://me:CANARY@example.com/x"}}"#,
    ),
    (
        "a manifest in a string",
        9,
        r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"m":"apiVersion: v1\nkind: Secret\nstringData:\n  a: CANARY\n"}}"#,
    ),
    (
        "a kubeconfig",
        14,
        r#"{"apiVersion":"v1","kind":"Config","clusters":[],"users":[{"name":"u","user":{"token":"CANARY"}}]}"#,
    ),
];

/// The same with references in place of values, and neighbours of Secrets.
const GOOD: [&str; 6] = [
    r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"password":"${PASSWORD}","b":"","c":"{{ .c }}","d":"<your token>"}}"#,
    r#"{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","spec":{"values":{"db":{"password":"${PW}","existingSecret":"db-auth","passwordKey":"password"}}}}"#,
    r#"{"apiVersion":"external-secrets.io/v1","kind":"ExternalSecret","spec":{"target":{"template":{"data":{"token":"{{ .token }}","host":"db"}}}}}"#,
    r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"m":"kind: Secret\nmetadata:\n  name: a\n","level":"debug"}}"#,
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}"#,
    r#"{"apiVersion":"kyverno.io/v1","kind":"ClusterPolicy","spec":{"rules":[{"match":{"kinds":["Secret"]},"generate":{"kind":"Secret","apiVersion":"v1","clone":{"name":"a"}}}]}}"#,
];

fn document(json: &str) -> serde_yaml::Value {
    serde_json::from_str(&json.replace("CANARY", CANARY)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn meaning_decides_and_not_spelling(spelling in spelling()) {
        let bytes = spelling.bytes();
        let report = report("x.yaml", &bytes, None, Role::File);
        prop_assert_eq!(report.worst(), Some(Severity::Error), "{:?}", String::from_utf8_lossy(&bytes));
        prop_assert!(!all_text(&report).contains(CANARY));
        for finding in &report.findings {
            let span = finding.place.span.as_ref().unwrap();
            let slice = String::from_utf8_lossy(&bytes[span.bytes.clone()]).replace('\0', "");
            prop_assert!(slice.contains(CANARY), "{slice:?}");
        }
    }

    #[test]
    fn no_spelling_changes_what_is_found(
        (name, code, json) in prop::sample::select(BAD.to_vec()),
        spelling in mutator::spelling(),
    ) {
        let bytes = spelling.bytes(&document(json));
        let rules = rules("creation_rules: []");
        let report = report("x.yaml", &bytes, Some(&rules), Role::File);
        let found = report.findings.iter().any(|finding| {
            // In a string, what is found is the string.
            [code, crate::builtin::EMBEDDED_SECRET.0].contains(&finding.code.0) && finding.severity == Severity::Error
        });
        prop_assert!(found || spelling.hides(name), "{name}: {}\n{}", shown(&report), String::from_utf8_lossy(&bytes));
        prop_assert!(!all_text(&report).contains(CANARY));
    }

    #[test]
    fn no_spelling_makes_good_files_bad(json in prop::sample::select(GOOD.to_vec()), spelling in mutator::spelling()) {
        let bytes = spelling.whole().bytes(&document(json));
        let report = report("x.yaml", &bytes, None, Role::File);
        prop_assert!(report.findings.is_empty(), "{}\n{}", shown(&report), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_give_a_report(bytes in prop::collection::vec(any::<u8>(), 0..400), yaml in any::<bool>()) {
        let name = if yaml { "x.sops.yaml" } else { "x.env" };
        let _ = report(name, &bytes, None, Role::SecretSource);
        let _ = Rules::parse(b".sops.yaml", &bytes);
        let _ = crate::sops::age::IdentityFile::parse(&bytes);
    }

    #[test]
    fn any_yaml_like_text_gives_a_report(text in "([-?:,\\[\\]{}#&*!|>'\"%@` \n\ta-d]|kind: Secret|data|<<: \\*a|&a |\\{\\{ | \\}\\}|\\$\\{A|\u{85}|sops|ENC\\[){0,60}") {
        let _ = report("x.sops.yaml", text.as_bytes(), None, Role::Patch);
        let _ = crate::yaml::tolerant::secret_fields(&text);
        let _ = crate::detect::literal::is_literal(&text);
        let _ = crate::rules::goregex::GoRegex::new(&text);
    }

    #[test]
    fn mutated_files_give_a_report_without_values(
        (name, bytes) in corpus_file(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..6),
    ) {
        let mut bytes = bytes;
        for (index, byte, what) in edits {
            if bytes.is_empty() { break; }
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        for role in [Role::File, Role::Patch, Role::SecretSource] {
            let report = report(&name, &bytes, None, role);
            prop_assert!(!all_text(&report).contains("hunter2"), "{name}");
        }
    }

    #[test]
    fn spans_slice_to_the_scalar(words in prop::collection::vec("[a-zé\u{1f511}]{1,6}", 1..8), crlf in any::<bool>(), wide in any::<bool>()) {
        use crate::yaml::{leaves, KeyPath, Limits, Source, readings};
        let mut text = words.iter().enumerate().map(|(i, w)| format!("k{i}: {w}\n")).collect::<String>();
        if crlf { text = text.replace('\n', "\r\n"); }
        let bytes = if wide { format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect() } else { text.into_bytes() };
        let source = Source::new(&bytes);
        let streams = readings(&source, Limits::DEFAULT);
        let (_, root) = streams[0].1.documents().next().unwrap();
        let mut seen = Vec::new();
        leaves(root, &mut KeyPath::root(), &mut |_, node| {
            let slice = &bytes[node.span().bytes];
            let word = if wide {
                let units = slice.chunks(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect::<Vec<_>>();
                String::from_utf16(&units).unwrap()
            } else { String::from_utf8(slice.to_vec()).unwrap() };
            seen.push(word);
        });
        prop_assert_eq!(seen, words);
    }
}
