//! Is this text a value, or only a place for one?
//!
//! Placeholders and references pass: `${VAR}`, `{{ .Values.x }}`, `<your password>`, nothing. A default
//! inside of one, as in `${VAR:=value}` or `{{ .x | default "value" }}`, is a value.

mod placeholder;
mod rest;

use crate::yaml::{FILLING, NodeRef, Sort};
use placeholder::without_placeholders;
use rest::rest_is_literal;

/// How deep placeholders inside of placeholders are followed.
const DEPTH: u8 = 8;

/// Stands for a placeholder in what is left of a text.
const HOLE: char = '\u{1}';

/// The text of a leaf: a scalar, or a template action, which YAML takes for a map in a map: `{{ .x }}`.
pub fn leaf_text(node: NodeRef<'_>) -> Option<String> {
    match node.sort() {
        Sort::Scalar if node.is_empty_scalar() => Some(String::new()),
        // Of a template, what was written.
        Sort::Scalar if node.raw_text().is_some_and(|text| text.contains(FILLING)) => {
            node.source_text().map(|text| text.trim_matches(['"', '\'']).to_owned())
        }
        Sort::Scalar => node.text().map(std::borrow::Cow::into_owned),
        _ if node.is_template_action() => node.source_text().map(str::to_owned),
        _ => None,
    }
}

/// Whether the text holds a value of its own.
pub fn is_literal(text: &str) -> bool {
    literal(text, DEPTH)
}

/// The same for base64, as in a Secret's `data`: what decodes to nothing but placeholders is none.
pub fn is_base64_literal(text: &str) -> bool {
    if !is_literal(text) {
        return false;
    }
    match crate::yaml::decode_base64(text).map(String::from_utf8) {
        Some(Ok(decoded)) => is_literal(&decoded),
        _ => true,
    }
}

/// What a text becomes where nothing is given for the variables in it: their defaults, and nothing for others. Of a
/// template action that is a text, the text.
pub fn resolved(text: &str) -> String {
    placeholder::with_defaults(text.trim(), DEPTH).trim().to_owned()
}

/// Whether a key is named like one that holds a credential.
pub fn is_credential_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '_', '.'], "");
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential"]
        .iter()
        .any(|word| key.contains(word))
        || ["pass", "pwd", "auth", "pw"].contains(&key.as_str())
}

fn literal(text: &str, depth: u8) -> bool {
    let text = text.trim();
    if depth == 0 {
        return !text.is_empty();
    }
    if is_shell_variable(text) || is_reference(text) {
        return false;
    }
    let Some(rest) = without_placeholders(text, depth) else { return true };
    if !rest.contains(char::is_alphanumeric) {
        // Without any placeholder, marks alone are a value too.
        return !rest.contains(HOLE) && !rest.is_empty();
    }
    !rest.contains(HOLE) || rest_is_literal(&rest)
}

/// `$NAME` in capitals, as envsubst takes it.
fn is_shell_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// How references begin that a tool replaces by a value from a store of secrets before the file is applied:
/// `op inject` of 1Password; vals, which helmfile uses; Bank-Vaults' webhook; helm-secrets.
const REFERENCES: [&str; 7] = ["op://", "ref+", "secretref+", "vault:", "bao:", ">>vault:", "secrets+"];

/// Whether the text as a whole names a place in a store of secrets: `op://vault/item/field`.
fn is_reference(text: &str) -> bool {
    let Some(place) = REFERENCES.iter().find_map(|start| text.strip_prefix(start)) else { return false };
    // A place has folders; what has none may be a password that happens to begin like this.
    let path = place.split_once("://").map_or(place, |(_, path)| path);
    // vals' provider that gives its own name back.
    let echo = place.starts_with("echo:");
    let named = path.trim_start_matches('/').split('/').filter(|part| !part.is_empty()).count() >= 2;
    let plain = !text.contains(|c: char| c.is_control() || (c.is_whitespace() && c != ' '));
    let credentials = path.split('/').next().is_some_and(|authority| authority.contains('@'));
    named && plain && !credentials && !echo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_references_are_no_literals() {
        for text in [
            "",
            "  \n",
            "${VAR}",
            "${VAR:-}",
            "${A:=${B}}",
            "${A}${B}",
            "${USER}:${PASS}",
            "${VAR:0:5}",
            "${VAR^^}",
            "$DB_PASSWORD",
            "{{ .Values.password }}",
            "{{- .Values.password | b64enc | quote -}}",
            "{{ .Values.x | default \"\" }}",
            "{{ include \"chart.fullname\" . }}",
            "{{ required \"a password is needed\" .Values.x }}",
            "{{ randAlphaNum 32 | b64enc }}",
            "{{ printf \"%s:%s\" .a .b | b64enc }}",
            "{{ lookup \"v1\" \"Secret\" .ns .name }}",
            "{{ default .Values.a .Values.b }}",
            "{{ if eq .x \"prod\" }}{{ .y }}{{ end }}",
            "{{ lookup('env', 'TOKEN') }}",
            "${{ secrets.TOKEN }}",
            "#{ cloudflare_token }#",
            "<< bootstrap_cloudflare_token >>",
            "op://kubernetes/1password/OP_CONNECT_TOKEN",
            "op://Private/Wifi at home/password",
            "ref+vault://secret/data/app#/password",
            "ref+sops://secrets.yaml#/db/password",
            "secretref+awsssm://app/db/password",
            "vault:secret/data/app#PASSWORD",
            "<your password>",
            "<user>:<password>",
            "<path:secret/data/x#key>",
            "<path:secret/data/x#key#3>",
            "<REPLACE_ME>",
            "<base64 encoded password>",
            "<your-32-char-key>",
            "<YourPassword>",
            "<%= ENV['X'] %>",
            "${var.password}",
            "${random_password.db[0].result}",
            "${env:PASSWORD}",
            "${V:?is missing}",
            "${V%%suffix}",
            "{{ ansible_password }}",
            "{{ dict \"password\" .Values.password | toYaml }}",
            "{{ include \"common.password\" (dict \"secret\" \"name\" \"context\" $) }}",
            "{{ .a | default .b | trim | b64enc }}",
            "{{ a if b is defined else c }}",
            "{{- with secret \"a/b\" }}{{ .Data.x }}{{ end }}",
            "postgres://app:${PASS}@db:5432/app",
            "postgres://{{ .user }}:{{ .pass }}@db/app?sslmode=disable",
            "Host=db;User=app;Password=${PASS}",
            "[database]\nuser = app\npassword = ${PASS}\n",
            "# of the database\nserver:\n  roles:\n    - admin\n  host: db.svc\n  password: ${PASS}\n",
            "bind 0.0.0.0\nrequirepass ${PASS}\n",
            "machine example.com\nlogin app\npassword ${PASS}\n",
            "CREATE USER app WITH PASSWORD '${PASS}';\nGRANT ALL ON DATABASE app TO app;\n",
            "<config>\n  <user>app</user>\n  <password>${PASS}</password>\n</config>",
            "{\n  \"hosts\": [\n    \"db-1\",\n    \"db-2\"\n  ],\n  \"token\": \"${T}\"\n}",
            "client_id = 0oA1b2C3d4E5f6\nclient_secret = ${S}\n",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ2\n-----END CERTIFICATE-----\n${KEY}",
            "{\"auths\":{\"r.io\":{\"auth\":\"{{ .auth }}\"}}}",
        ] {
            assert!(!is_literal(text), "{text}");
        }
    }

    #[test]
    fn values_and_defaults_are_literals() {
        for text in [
            "abc",
            "12345678",
            "true",
            "***",
            "hunter2${EMPTY}",
            "app-${ENV}",
            "${VAR:=hunter2}",
            "${VAR:-hunter2}",
            "${VAR:-${B:-hunter2}}",
            "${VAR/a/hunter2}",
            "$ecret",
            "{{ .Values.x | default \"hunter2\" }}",
            "{{ default \"hunter2\" .Values.x }}",
            "{{ x | default('hunter2') }}",
            "{{ \"hunter2\" | b64enc }}",
            "{{ $p := \"hunter2\" }}{{ $p }}",
            "{{ .x | default 12345678 }}",
            "{{ printf \"hunter2\" }}",
            "{{ coalesce .a .b \"hunter2\" }}",
            "postgres://app:hunter2@${HOST}/app",
            "Host=${HOST};Password=hunter2",
            "user = ${USER}\npassword = hunter2\n",
            "<config>hunter2</config>",
            "<< \"hunter2\" >>",
            "op://hunter2",
            "vault:hunter2",
            "ref+hunter2",
            "ref+echo://hunter2/hunter2",
            "op://user:hunter2@vault/item",
            "op://vault/item/field\nhunter2",
            "${A}\ncorrecthorsebatterystaple",
            "${A}\ncorrect horse battery staple\n",
            "# ${X}\nhunter2",
            "#hunter2\n${X}",
            "foo=Zq7exampleW3x\nh=${A}",
            "host ${A}\nlogin x\npassphrase hunter2",
            "${A}\naHVudGVyMg==",
            "tokens:\n  - hunter2\nhost: ${H}\n",
            "<c><user>${U}</user><password>hunter2</password></c>",
            "<property><name>fs.s3a.secret.key</name><value>hunter2</value></property>${X}",
            "<c user=\"${U}\" password=\"hunter2\"/>",
            "<hunter2>",
            "<aG7$kk:!x>",
            "<Zq7exampleW3x><Zq7exampleW3x>",
            "<correct><horse>",
            "<a href=\"hunter2\">",
            "<path:hunter2>",
            "${my s3cret pw!}",
            "${hunter2!}",
            "${PASSWORD:hunter2}",
            "{{hunter2!}}",
            "{{ correct horse battery staple }}",
            "{{ 4839201 | quote }}",
            "{{ dict \"password\" \"hunter2\" | toYaml }}",
            "<%= \"hunter2\" %>",
            "<not closed",
            "{{ not closed",
            "${not closed",
            "${}",
        ] {
            assert!(is_literal(text), "{text}");
        }
    }

    #[test]
    fn defaults_are_what_is_left_of_variables() {
        for text in [
            "Secret",
            "${K:=Secret}",
            "${K:-${L:-Secret}}",
            "Secre${T:-t}",
            "Sec${E}ret",
            "{{ \"Secret\" }}",
            " Secret ",
        ] {
            assert_eq!(resolved(text), "Secret", "{text}");
        }
        for text in
            ["${K}", "ConfigMap", "${K:=Secret", "{{ .kind }}", "{{ eq .x \"Secret\" }}", "${K:?Secret}"]
        {
            assert_ne!(resolved(text), "Secret", "{text}");
        }
    }

    #[test]
    fn base64_of_a_placeholder_is_none() {
        assert!(!is_base64_literal("JHtWQVJ9"), "${{VAR}}");
        assert!(!is_base64_literal("PHlvdXIgcGFzc3dvcmQ+"), "<your password>");
        assert!(!is_base64_literal("Cg=="), "a line feed");
        assert!(is_base64_literal("aHVudGVyMg=="));
        assert!(is_base64_literal("not base64!"));
        assert!(is_base64_literal("JHtBfQpodW50ZXIy"), "${{A}} and a line below");
        assert!(is_base64_literal("/9j/"));
    }
}
