//! Files that are not judged by structure alone.

use super::*;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

#[test]
fn a_pointer_to_large_file_storage_cannot_be_judged_where_content_must_be_encrypted() {
    assert_snapshot!(findings("a.sops.yaml", POINTER), @"KBY024 Error 1:1 : cannot be judged: the content, which must be encrypted, is in large file storage");
    assert_snapshot!(governed("secrets/a.bin", POINTER, "path_regex: ^secrets/"), @"KBY024 Error 1:1 : cannot be judged: the content, which must be encrypted, is in large file storage");
    assert_eq!(findings("a.yaml", POINTER), "");
    assert_eq!(findings("video.mp4", POINTER), "");
}

#[test]
fn addresses_of_submodules_hold_no_passwords() {
    let modules = "[submodule \"a\"]\n\tpath = a\n\turl = https://me:hunter2@example.com/a.git\n[submodule \"b\"]\n\turl = git@example.com:b.git\n";
    assert_snapshot!(findings(".gitmodules", modules), @"KBY022 Error 3:16 : the address of a submodule has a password in it");
    assert_eq!(findings(".gitmodules", &modules.replace("me:hunter2@", "")), "");
}

#[test]
fn a_sops_config_of_the_wrong_name_is_read_by_nobody() {
    assert_snapshot!(findings("a/.sops.yml", "creation_rules: []\n"), @"KBY017 Warning 1:1 : sops reads `.sops.yaml` only, not this name");
}

#[test]
fn flux_reads_the_kind_before_it_decrypts() {
    let (_, bytes) = corpus("good").into_iter().find(|(name, _)| name == "whole.enc.yaml").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let sealed = text.lines().next().unwrap().strip_prefix("a: ").unwrap();
    let object = format!("apiVersion: {sealed}\nkind: {sealed}\nmetadata: {{}}\n{text}");
    assert_snapshot!(findings("x.yaml", &object), @"KBY023 Warning 2:7 doc 0 kind: the kind is encrypted, so Flux cannot apply the object");
}

#[test]
fn credentials_weigh_by_where_they_stand() {
    let values = "db:\n  password: hunter2\n  host: db\n";
    assert_snapshot!(findings("values.yaml", values), @"KBY020 Warning 2:13 doc 0 db.password: a literal under a key that is named like a credential");
    assert_eq!(findings("README.md", values), "");
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{env: [{name: DB_PASSWORD, value: hunter2}]}]}}}\n";
    assert_snapshot!(findings("d.yaml", deployment), @"KBY020 Warning 3:73 doc 0 spec.template.spec.containers[0].env[0].value: a literal under a key that is named like a credential");
    assert_snapshot!(governed("secrets/d.yaml", deployment, "path_regex: ^secrets/"), @"KBY020 Error 3:73 doc 0 spec.template.spec.containers[0].env[0].value: a literal under a key that is named like a credential");
    assert_eq!(
        governed("secrets/d.yaml", &deployment.replace("hunter2", "'${PW}'"), "path_regex: ^secrets/"),
        ""
    );
    let kustomization = "configMapGenerator:\n- literals: [DB_PASSWORD=hunter2]\n";
    assert_snapshot!(findings("kustomization.yaml", kustomization), @"KBY020 Warning 2:14 doc 0 configMapGenerator[0].literals[0]: a literal under a key that is named like a credential");
    assert_snapshot!(governed("kustomization.yaml", kustomization, "path_regex: ^secrets/"), @"KBY020 Error 2:14 doc 0 configMapGenerator[0].literals[0]: a literal under a key that is named like a credential");
    assert_snapshot!(findings("dev.env", "A=b\nDB_PASSWORD=hunter2\nURL=https://me:hunter2@db\n"), @"
    KBY020 Warning 2:13 DB_PASSWORD: a literal under a key that is named like a credential
    KBY022 Warning 3:5 URL: an address with a user and a password in it
    ");
    assert_snapshot!(findings(".env.production", "DB_PASSWORD=hunter2\n"), @"KBY020 Warning 1:13 DB_PASSWORD: a literal under a key that is named like a credential");
    assert_snapshot!(findings("app.properties", "[db]\nspring.datasource.password=hunter2\n"), @r#"KBY020 Warning 2:28 db["spring.datasource.password"]: a literal under a key that is named like a credential"#);
    assert_snapshot!(governed("secrets/a.env", "DB_PASSWORD=hunter2\n", "path_regex: ^secrets/"), @"KBY003 Error 1:13 DB_PASSWORD: creation rule 1 of .sops.yaml is for this file, and it is not encrypted");
}

#[test]
fn one_fault_is_one_finding() {
    let key = "-----BEGIN EC PRIVATE KEY-----\n    VEhJUyBJUyBOT1QgQSBLRVkgQlVUIEEgRklYVFVSRSBGT1IgVEVTVFMh\n    -----END EC PRIVATE KEY-----\n";
    let secret = format!("apiVersion: v1\nkind: Secret\nstringData:\n  tls.key: |\n    {key}");
    assert_snapshot!(findings("a.yaml", &secret), @r#"KBY001 Error 5:5 doc 0 stringData["tls.key"]: a value of a Secret is plaintext"#);
    let claimed = "database:\n  password: hunter2\n";
    assert_snapshot!(findings("a.sops.yaml", claimed), @"KBY003 Error 2:13 doc 0 database.password: the name says that the file is encrypted, and it is not");
    let raw = "{% raw %}\n---\nkind: Secret\nstringData:\n  a: hunter2\n---\nkind: Other\n{% endraw %}\n";
    assert_eq!(findings("a.yaml", raw).lines().count(), 1, "{}", findings("a.yaml", raw));
}

#[test]
fn templates_are_read_as_what_they_become() {
    let template = "{{- if .on }}\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .name }}\n  labels:\n    {{- include \"labels\" . | nindent 4 }}\nstringData:\n  a: {{ .a | quote }}\n  b: \"x-{{ .b }}\"\n  c: {{ .c | default \"hunter2\" }}\n{{- end }}\n";
    assert_snapshot!(findings("templates/s.yaml", template), @"
    KBY030 Error 10:6 doc 0 stringData.b: a value of a Secret is plaintext
    KBY030 Error 11:6 doc 0 stringData.c: a value of a Secret is plaintext
    ");
    assert_snapshot!(findings("s.sops.yaml", template), @"
    KBY030 Error 10:7 doc 0 stringData.b: a value of a Secret is plaintext (read line by line)
    KBY030 Error 11:6 doc 0 stringData.c: a value of a Secret is plaintext (read line by line)
    ");
}

#[test]
fn a_literal_in_a_template_is_named_where_it_is_written() {
    let template = "{{- $p := \"hunter2\" }}\nkind: Secret\nstringData:\n  a: {{ $p }}\n  b: {{ $p | default .b }}\n  c: {{ .c }}\n";
    assert_snapshot!(findings("templates/s.yaml", template), @"KBY030 Error 1:11 doc 0 stringData.a: the template puts this into a Secret at line 4");
    let in_place = "kind: Secret\nstringData:\n  {{- dict \"p\" \"hunter2\" | toYaml | nindent 2 }}\n";
    assert_snapshot!(findings("templates/s.yaml", in_place), @r#"KBY030 Error 3:16 doc 0 stringData.p: a value of a Secret is plaintext where the template is filled in"#);
    let elsewhere = "{{- $p := \"hunter2\" }}\nkind: ConfigMap\ndata:\n  a: {{ $p }}\n---\nkind: Secret\nstringData:\n  a: {{ .p }}\n";
    assert_eq!(findings("templates/s.yaml", elsewhere), "");
    let bomb = "{{ define \"a\" }}{{ include \"b\" . }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ range list 1 2 3 4 5 6 7 8 9 }}{{ range list 1 2 3 4 5 6 7 8 9 }}{{ range list 1 2 3 4 5 6 7 8 9 }}{{ range list 1 2 3 4 5 6 7 8 9 }}{{ range list 1 2 3 4 5 6 7 8 9 }}x{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}\nkind: Secret\nstringData:\n  a: {{ include \"a\" . }}\n";
    assert!(
        findings("templates/s.yaml", bomb).contains("KBY016 Error"),
        "{}",
        findings("templates/s.yaml", bomb)
    );
}

#[test]
fn keys_behind_escapes_and_in_other_encodings_are_keys() {
    use secrecy::ExposeSecret as _;
    let key = crate::sops::age::Identity::generate();
    let key = key.expose_line().expose_secret().to_owned();
    let escaped = key.replace("SECRET", "S\\x45CRET");
    assert_snapshot!(findings("a.yaml", &format!("key: \"{escaped}\"\n")), @"KBY011 Error 1:6 doc 0 key: a private age identity");
    let over_lines = format!("{}\\\n  {}", &key[..20], &key[20..]);
    assert_snapshot!(findings("a.yaml", &format!("key: \"{over_lines}\"\n")), @"KBY011 Error 1:6 doc 0 key: a private age identity");
    let wide = format!("\u{feff}key: {key}\n").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    assert_snapshot!(shown(&report("a.txt", &wide, None, Role::File)), @"KBY011 Error 1:6 : a private age identity");
}
