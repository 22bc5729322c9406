//! What the files of a chart make together.

use crate::check::{ChartFile, check_chart};

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n";

/// What is found in a chart of these files: path, line, and keys.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let chart = ("app/Chart.yaml", "name: app\n");
    let all: Vec<_> = std::iter::once(&chart).chain(files).collect();
    let all: Vec<_> =
        all.iter().map(|(path, text)| ChartFile { path: path.as_bytes(), bytes: text.as_bytes() }).collect();
    let found = check_chart(&all).into_iter();
    let place = |place: crate::finding::Place| {
        let line = place.span.map_or(0, |span| span.line);
        format!("{}:{line} {}", String::from_utf8_lossy(&place.path), place.key_path)
    };
    found.map(|finding| place(finding.place)).collect()
}

#[test]
fn a_literal_of_a_named_template_is_found_where_it_is_written() {
    let secret = format!("{SECRET}stringData:\n  password: {{{{ include \"app.password\" . | quote }}}}\n");
    let helpers = "{{- define \"app.name\" -}}\napp\n{{- end }}\n{{- define \"app.password\" -}}\nhunter2\n{{- end }}\n";
    for (path, caller) in [
        ("app/templates/_helpers.tpl", "app/templates/secret.yaml"),
        ("app/templates/zz.tpl", "app/templates/secret.yaml"),
        ("app/charts/common/templates/_all.tpl", "app/templates/db/secret.yaml"),
    ] {
        let wanted = [format!("{path}:5 stringData.password")];
        assert_eq!(found(&[(path, helpers), (caller, &secret)]), wanted);
    }
    let variable = "{{- $_ := set . \"x\" \"y\" }}{{- define \"app.password\" }}{{ $p := \"hunter2\" }}{{ $p }}{{ end }}";
    let wanted = ["app/templates/_h.tpl:1 stringData.password"];
    assert_eq!(found(&[("app/templates/_h.tpl", variable), ("app/templates/s.yaml", &secret)]), wanted);
}

#[test]
fn a_secret_that_is_made_by_a_named_template_is_found() {
    let whole = format!(
        "{{{{ define \"lib.secret\" }}}}\n{SECRET}stringData: {{password: {{{{ .password }}}}}}\n{{{{ end }}}}\n"
    );
    let call = "{{ include \"lib.secret\" (dict \"password\" (include \"app.pw\" .)) }}\n";
    let value = "{{ define \"app.pw\" }}hunter2{{ end }}";
    let files = [
        ("app/templates/_lib.tpl", &*whole),
        ("app/templates/a.yaml", call),
        ("app/templates/_pw.tpl", value),
    ];
    assert!(!found(&files).is_empty());
}

#[test]
fn a_file_that_a_template_puts_into_a_secret_is_found() {
    let files = [("app/conf/db.env", "PASSWORD=hunter2\n"), ("app/conf/sub/x.env", "TOKEN=hunter2\n")];
    for (way, paths) in [
        (
            "stringData:\n  db.env: |-\n{{ .Files.Get \"conf/db.env\" | indent 4 }}\n",
            vec!["app/conf/db.env:1"],
        ),
        ("data:\n  db.env: {{ .Files.Get \"conf/db.env\" | b64enc }}\n", vec!["app/conf/db.env:1"]),
        (
            "data:\n  db.env: {{ $.Files.Get \"./conf/db.env\" | b64enc | quote }}\n",
            vec!["app/conf/db.env:1"],
        ),
        ("data:\n{{ (.Files.Glob \"conf/*\").AsSecrets | indent 2 }}\n", vec!["app/conf/db.env:1"]),
        ("data:\n{{ (.Files.Glob \"**.env\").AsSecrets | nindent 2 }}\n", vec!["app/conf/db.env:1"]),
        (
            "stringData:\n{{- range $path, $_ := .Files.Glob \"conf/{db,other}.env\" }}\n  {{ base $path }}: {{ $.Files.Get $path | quote }}\n{{- end }}\n",
            vec!["app/conf/db.env:1"],
        ),
    ] {
        let template = format!("{SECRET}{way}");
        let all = [files[0], files[1], ("app/templates/s.yaml", &*template)];
        let found: Vec<_> =
            found(&all).into_iter().map(|found| found.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(found, paths, "{way}");
    }
}

#[test]
fn what_makes_no_literal_secret_passes() {
    let get = "data:\n  a: {{ .Files.Get \"a.txt\" | b64enc }}\n";
    let sealed = "a: ENC[AES256_GCM,data:x]\nsops:\n  age: [{enc: x}]\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-secret}\n";
    let secret = format!(
        "{SECRET}stringData:\n  password: {{{{ include \"app.password\" . }}}}\n  host: {{{{ include \"app.host\" . }}}}\n"
    );
    for helper in [
        "{{ define \"app.password\" }}{{ .Values.password }}{{ end }}{{ define \"app.host\" }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}",
        "{{ define \"app.password\" -}}\n{{- if .Values.password -}}\n{{ .Values.password }}\n{{- else -}}\n{{ randAlphaNum 16 }}\n{{- end -}}\n{{- end }}{{ define \"app.host\" }}{{ .Values.host | trunc 63 | trimSuffix \"-\" }}{{ end }}",
        "{{ define \"app.name\" }}hunter2{{ end }}",
    ] {
        assert_eq!(
            found(&[("app/templates/_h.tpl", helper), ("app/templates/s.yaml", &secret)]),
            [""; 0],
            "{helper}"
        );
    }
    let both = format!("{SECRET}data:\n{{{{ (.Files.Glob \"*\").AsSecrets | nindent 2 }}}}\n");
    let files = [("app/a.yaml", sealed), ("app/b.env", "A=hunter2\n"), ("app/templates/s.yaml", &*both)];
    assert_eq!(found(&files).len(), 1);
    assert!(found(&files)[0].starts_with("app/b.env:1 "));
    for (text, head) in [(sealed, SECRET), ("plain", map), ("{{ .Values.all }}", SECRET)] {
        let template = format!("{head}{get}");
        assert_eq!(found(&[("app/a.txt", text), ("app/templates/s.yaml", &template)]), [""; 0], "{text}");
    }
    // A named template of another chart.
    assert_eq!(found(&[("app/templates/s.yaml", &secret)]), [""; 0]);
}
