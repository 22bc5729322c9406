//! Contents that hide a value in plain sight, and their like that hold none.

use super::*;

/// The codes of what is refused.
fn refused(path: &str, text: &str) -> Vec<String> {
    refused_as(path, text, Role::File)
}

fn refused_as(path: &str, text: &str, role: Role) -> Vec<String> {
    let report = report(path, text.as_bytes(), None, role);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.code.to_string()).collect()
}

#[test]
fn a_kind_or_version_with_a_default_is_what_it_becomes() {
    for head in [
        "apiVersion: ${V:=v1}\nkind: Secret",
        "apiVersion: v1\nkind: ${KIND:=Secret}",
        "apiVersion: v1\nkind: Secre${T:-t}",
        "apiVersion: /v1\nkind: Secret",
        "apiVersion: v1\nkind: {{ \"Secret\" }}",
    ] {
        let text = format!("{head}\nmetadata: {{name: a}}\ndata: {{x: aHVudGVyMg==}}\n");
        let code = if head.contains("{{") { "KBY030" } else { "KBY001" };
        assert_eq!(refused("a.yaml", &text), [code], "{head}");
    }
    for head in ["apiVersion: ${V:=example.com/v1}\nkind: Secret", "apiVersion: v1\nkind: ${K:=ConfigMap}"] {
        assert_eq!(refused("a.yaml", &format!("{head}\ndata: {{x: y}}\n")), [""; 0], "{head}");
    }
}

#[test]
fn what_was_applied_and_says_no_kind_is_taken_for_a_secret() {
    let applied = |body: &str| {
        let name = "kubectl.kubernetes.io/last-applied-configuration";
        refused(
            "a.yaml",
            &format!("apiVersion: v1\nkind: Secret\nmetadata:\n  annotations:\n    {name}: '{body}'\n"),
        )
    };
    assert_eq!(applied(r#"{"stringData":{"x":"hunter2"}}"#), ["KBY010"]);
    assert_eq!(applied(r#"{"metadata":{"name":"a"},"data":{"x":"aHVudGVyMg=="}}"#), ["KBY010"]);
    assert_eq!(applied(r#"{"data":{"x":"${X}"}}"#), [""; 0]);
    assert_eq!(applied(r#"{"kind":"ConfigMap","data":{"x":"y"}}"#), [""; 0]);
}

#[test]
fn patches_of_objects_of_no_certain_kind_may_be_patches_of_secrets() {
    let patch = |target: &str, patch: &str| {
        refused("kustomization.yaml", &format!("patches:\n- target: {target}\n  patch: '{patch}'\n"))
    };
    let operation = r#"[{"op":"replace","path":"/data/x","value":"aHVudGVyMg=="}]"#;
    let whole = r#"[{"op":"add","path":"/stringData","value":{"x":"hunter2"}}]"#;
    for target in ["{name: a}", "{labelSelector: a=b}", "{version: v1}", "{kind: Secret}"] {
        assert_eq!(patch(target, operation), ["KBY008"], "{target}");
        assert_eq!(patch(target, whole), ["KBY008"], "{target}");
        assert_eq!(patch(target, "data: {x: eA==}"), ["KBY008"], "{target}");
    }
    for target in ["{kind: ConfigMap}", "{group: apps, name: a}"] {
        assert_eq!(patch(target, operation), [""; 0], "{target}");
    }
    assert_eq!(patch("{name: a}", "{kind: ConfigMap, data: {x: y}}"), [""; 0]);
    assert_eq!(patch("{name: a}", r#"[{"op":"add","path":"/spec/x","value":"y"}]"#), [""; 0]);
    let file = "- {op: add, path: /data/x, value: aHVudGVyMg==}\n";
    assert_eq!(refused_as("p.txt", file, Role::PatchOfAny), ["KBY008"]);
    assert_eq!(refused_as("p.yaml", "kind: ConfigMap\ndata: {x: y}\n", Role::PatchOfAny), [""; 0]);
    assert_eq!(refused_as("p.yaml", "data: {x: eA==}\n", Role::PatchOfAny), ["KBY008"]);
}

#[test]
fn operations_that_stand_in_a_release_are_judged_one_by_one() {
    let release = |target: &str| {
        let text = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  postRenderers:\n  - kustomize:\n      patchesJson6902:\n      - target: {target}\n        patch:\n        - {{op: add, path: /data/x, value: aHVudGVyMg==}}\n        - {{op: remove, path: /data/y}}\n"
        );
        refused("a.yaml", &text)
    };
    assert_eq!(release("{kind: Secret, name: a}"), ["KBY008"]);
    assert_eq!(release("{name: a}"), ["KBY008"]);
    assert_eq!(release("{kind: ConfigMap, name: a}"), [""; 0]);
}

#[test]
fn plugins_in_files_of_their_own_name_files_and_put_values_into_secrets() {
    let generator = "apiVersion: builtin\nkind: SecretGenerator\nfiles: [pw=t]\nenvs: [x.env]\n";
    let found = report("apps/g.yaml", generator.as_bytes(), None, Role::File).references;
    let paths = found.iter().map(|reference| (reference.path.as_slice(), reference.role)).collect::<Vec<_>>();
    assert_eq!(paths, [(&b"apps/x.env"[..], Role::SecretSource), (b"apps/t", Role::SecretSource)]);
    let adds = |field: &str, kind: &str, value: &str| {
        let head = "apiVersion: builtin\nkind: ValueAddTransformer";
        let target = format!("targets: [{{fieldPath: {field}, selector: {{kind: {kind}}}}}]");
        refused("t.yaml", &format!("{head}\nvalue: {value}\n{target}\n"))
    };
    assert_eq!(adds("stringData/password", "Secret", "hunter2"), ["KBY008"]);
    assert_eq!(adds("stringData/password", "Secret", "'${PW}'"), [""; 0]);
    assert_eq!(adds("metadata/labels/x", "Secret", "y"), [""; 0]);
    assert_eq!(adds("data/x", "ConfigMap", "y"), [""; 0]);
    let replaces = |select: &str| {
        let target = format!("{{select: {select}, fieldPaths: [stringData.password]}}");
        refused(
            "kustomization.yaml",
            &format!("replacements:\n- sourceValue: hunter2\n  targets: [{target}]\n"),
        )
    };
    assert_eq!(replaces("{kind: Secret}"), ["KBY008"]);
    assert_eq!(replaces("{name: a}"), ["KBY008"]);
    assert_eq!(replaces("{kind: ConfigMap}"), [""; 0]);
}

#[test]
fn metadata_has_no_room_for_anything_that_sops_does_not_write() {
    let files = corpus("good");
    let (_, bytes) = files.iter().find(|(name, _)| name == "secret.sops.yaml").unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(refused("secret.sops.yaml", &text), [""; 0]);
    let with = |field: &str| {
        refused("secret.sops.yaml", &text.replace("\n    mac: ", &format!("\n    {field}\n    mac: ")))
    };
    for field in ["password: hunter2", "data_key: MDAwMDAwMDA=", "x: {y: z}"] {
        assert_eq!(with(field), ["KBY004"], "{field}");
    }
    for field in ["kms: []", "hc_vault: null", "mac_only_encrypted: false", "x: ''"] {
        assert_eq!(with(field), [""; 0], "{field}");
    }
    let in_recipient =
        text.replace("\n          recipient: ", "\n          password: hunter2\n          recipient: ");
    assert_ne!(in_recipient, text);
    assert_eq!(refused("secret.sops.yaml", &in_recipient), ["KBY004"]);
}

#[test]
fn values_of_charts_are_named_from_further_away() {
    let release = |values: &str| {
        refused(
            "a.yaml",
            &format!("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values: {values}\n"),
        )
    };
    for values in [
        "{password: {value: hunter2}}",
        "{env: {DB_PASSWORD: {value: hunter2}}}",
        "{passwords: [hunter2]}",
        "{tokens: {admin: Zq7exampleW3x}}",
        "{args: ['--password', 'hunter2']}",
        "{secret: {data: {any: hunter2}}}",
        "{secrets: {a: {stringData: {any: hunter2}}}}",
    ] {
        assert_eq!(release(values), ["KBY020"], "{values}");
    }
    for values in [
        "{password: {value: '${PW}'}}",
        "{password: {valueFrom: {secretKeyRef: {name: a, key: password}}}}",
        "{passwords: []}",
        "{tokens: {ttl: 3600, issuer: example}}",
        "{args: ['--token', '--verbose', '--password', '$(PASSWORD)']}",
        "{secret: {data: {any: '${X}'}}}",
        "{configMap: {data: {any: thing}}}",
    ] {
        assert_eq!(release(values), [""; 0], "{values}");
    }
}

#[test]
fn kubeconfigs_hold_credentials_in_strings_and_variables_too() {
    let config = "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: hunter2hunter2\n";
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    {}\n",
        config.replace('\n', "\n    ")
    );
    assert!(findings("a.yaml", &map).contains("KBY014"));
    assert!(!findings("a.yaml", &map.replace("hunter2hunter2", "${TOKEN}")).contains("KBY014"));
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(config);
    assert!(
        findings("a.yaml", &format!("apiVersion: v1\nkind: ConfigMap\nbinaryData: {{k: {encoded}}}\n"))
            .contains("KBY014")
    );
    let exec = "kind: Config\nusers:\n- name: a\n  user: {exec: {command: aws, env: [{name: REGION, value: eu}, {name: AWS_SECRET_ACCESS_KEY, value: hunter2}]}}\n";
    assert_snapshot!(findings("a.yaml", exec), @"KBY014 Warning 4:101 doc 0 users[0].user.exec.env[1].value: a credential of a kubeconfig is plaintext");
}

#[test]
fn keys_that_are_spelled_with_escapes_are_keys() {
    use secrecy::ExposeSecret as _;
    let key = crate::sops::age::Identity::generate().expose_line().expose_secret().to_owned();
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7";
    assert_eq!(refused("a.yaml", &format!("k: \"{}\"\n", key.replacen("AGE-", "AGE\\x2d", 1))), ["KBY011"]);
    assert_eq!(refused("a.yaml", &format!("k: \"{}\\\n  {}\"\n", &key[..30], &key[30..])), ["KBY011"]);
    assert_eq!(refused("a.yaml", &format!("k: \"{}\\\n  {}\"\n", &key[..6], &key[6..])), ["KBY011"]);
    let pem = format!("k: \"-----BEGIN PRIV\\x41TE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\"\n");
    assert!(findings("a.yaml", &pem).contains("KBY013"));
}

/// A chart's package, as `helm package` makes it.
fn package(path: &str, content: &str) -> Vec<u8> {
    packages(&[(path, content)])
}

fn packages(files: &[(&str, &str)]) -> Vec<u8> {
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut packer = tar::Builder::new(packer);
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        packer.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    packer.into_inner().unwrap().finish().unwrap()
}

#[test]
fn archives_are_looked_into_and_refused_where_they_must_be_encrypted() {
    let secret = "apiVersion: v1\nkind: Secret\nstringData: {a: hunter2}\n";
    let packed = package("app/templates/s.yaml", secret);
    let as_file = |path: &str, bytes: &[u8]| shown(&report(path, bytes, None, Role::File));
    assert_snapshot!(as_file("charts/app-1.0.0.tgz", &packed), @"KBY031 Warning 1:1 : in the archive, app/templates/s.yaml: a value of a Secret is plaintext");
    let key = crate::sops::age::Identity::generate();
    let key = secrecy::ExposeSecret::expose_secret(key.expose_line()).to_owned();
    let locked = package("keys.txt", &key);
    assert_snapshot!(as_file("backup", &locked), @"KBY031 Error 1:1 : in the archive, keys.txt: a private age identity");
    assert_eq!(as_file("charts/app-1.0.0.tgz", &package("app/Chart.yaml", "name: app\n")), "");
    assert_snapshot!(as_file("a.tar.xz", b"\xfd7zXZ\0x"), @"KBY015 Note 1:1 : not judged: an archive that is broken, locked or packed in another way");
    let calls =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: '{{ include \"b\" . }}'}\n";
    let chart = packages(&[
        ("app/Chart.yaml", "name: app\n"),
        ("app/templates/_b.tpl", "{{ define \"b\" }}hunter2{{ end }}\n"),
        ("app/templates/s.yaml", calls),
    ]);
    assert_snapshot!(as_file("charts/app-1.0.0.tgz", &chart), @"KBY031 Warning 1:1 : in the archive, app/templates/_b.tpl: app/templates/s.yaml, line 4, puts this into a Secret");
    let good = package("app/Chart.yaml", "name: app\n");
    let rules = rules("creation_rules:\n- {path_regex: ^secrets/, pgp: A}\n");
    for path in ["secrets/app.tgz", "secrets/app.env", "secrets/app.yaml", "other/app.sops.tgz"] {
        let report = report(path, &good, Some(&rules), Role::File);
        assert_eq!(report.worst(), Some(Severity::Error), "{path}: {}", shown(&report));
    }
    assert_eq!(report("app.tgz", &good, None, Role::SecretSource).worst(), Some(Severity::Error));
}
