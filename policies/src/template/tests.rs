use super::Filled;

fn filled(text: &str) -> String {
    Filled::of(text).map_or_else(|| "as it is".to_owned(), |filled| filled.text)
}

#[test]
fn variables_are_where_they_are_used() {
    for (text, wanted) in [
        ("{{ $x := \"a\" }}{{ $x }}", "{{ $x := \"a\" }}a"),
        ("{{ $x := \"a\" }}{{ $x | quote }}", "{{ $x := \"a\" }}\"a\""),
        (
            "{{ $x := .y | default \"a\" }}{{ $x | b64enc }}",
            "{{ $x := .y | default \"a\" }}{{ .y | default \"a\" | b64enc }}",
        ),
        ("{{ $x := dict \"k\" (list \"a\") }}{{ index $x.k 0 }}", "{{ $x := dict \"k\" (list \"a\") }}a"),
        (
            "{{ if .y }}{{ $x := \"a\" }}{{ $x = .z }}{{ end }}{{ $x }}",
            "{{ if .y }}{{ $x := \"a\" }}{{ $x = .z }}{{ end }}a",
        ),
        ("{{ with \"a\" }}{{ . }}{{ end }}", "{{ with \"a\" }}a{{ end }}"),
        (
            "{{ range $k, $v := dict \"p\" \"a\" }}{{ $k }}: {{ $v }}{{ end }}",
            "{{ range $k, $v := dict \"p\" \"a\" }}p: a{{ end }}",
        ),
        ("{{ range list \"a\" \"b\" }}{{ . }};{{ end }}", "{{ range list \"a\" \"b\" }}a;b;{{ end }}"),
        (
            "{{ $d := dict }}{{ $_ := set $d \"k\" \"a\" }}{{ $d.k }}",
            "{{ $d := dict }}{{ $_ := set $d \"k\" \"a\" }}a",
        ),
        ("{{ $_ := set .Values \"k\" \"a\" }}{{ $.Values.k }}", "{{ $_ := set .Values \"k\" \"a\" }}a"),
        ("{% set x = 'a' %}{{ x }}", "{% set x = 'a' %}a"),
        ("{% set x %}a{% endset %}{{ x }}", "{% set x %}a{% endset %}a"),
        ("{% macro p() -%} a {%- endmacro %}{{ p() }}", "{% macro p() -%} a {%- endmacro %}a"),
        (
            "{% macro p(x) %}a-{{ x }}{% endmacro %}{{ p(y) }}",
            "{% macro p(x) %}a-{{ x }}{% endmacro %}a-{{ x }}",
        ),
        ("{{ $a := \"x\" }}{{ printf \"%s-%s\" $a \"y\" }}", "{{ $a := \"x\" }}x-y"),
    ] {
        assert_eq!(filled(text), wanted, "{text}");
    }
}

#[test]
fn named_templates_are_where_they_are_called() {
    let define = "{{- define \"a.b\" -}}\n  {{ .p }}-z\n{{- end -}}";
    assert_eq!(
        filled(&format!("{define}{{{{ include \"a.b\" (dict \"p\" \"y\") }}}}")),
        format!("{define}y-z")
    );
    assert_eq!(filled(&format!("{define}{{{{ template \"a.b\" . }}}}")), format!("{define}{{{{ .p }}}}-z"));
    assert_eq!(
        filled(&format!("d:\n  {{{{- include \"a.b\" . | nindent 2 }}}}\n{define}")),
        format!("d:\n  {{{{ .p }}}}-z\n{define}")
    );
    assert_eq!(filled("{{ include \"of.another.file\" . }}"), "as it is");
}

#[test]
fn what_comes_from_elsewhere_stays() {
    for text in [
        "a: b\n",
        "{{ .Values.x }}",
        "{{ $x := .Values.x }}{{ $y.z }}",
        "{{/* $x := \"a\" */}}{{ $x }}",
        "{{ range .Values.list }}{{ . }}{{ end }}",
        "{{ $x }} {{ not closed",
        "{{ end }}{{ end }}",
        "{% endmacro %}{% macro %}{% endset %}{{ p() }}",
        "{% macro p() %}{{ .x }}",
        "{{ ) ( | , }}",
    ] {
        assert_eq!(filled(text), "as it is", "{text}");
    }
}

#[test]
fn templates_that_call_each_other_or_multiply_come_to_an_end() {
    let circle = "{{ define \"a\" }}{{ include \"a\" . }}x{{ end }}{{ include \"a\" . }}";
    assert!(Filled::of(circle).is_some());
    let mut bomb = String::from("{{ define \"l0\" }}xxxxxxxxxxxxxxxxxxxx{{ end }}");
    for level in 1..20 {
        let call = format!("{{{{ include \"l{}\" . }}}}", level - 1).repeat(10);
        bomb += &format!("{{{{ define \"l{level}\" }}}}{call}{{{{ end }}}}");
    }
    bomb += "{{ include \"l19\" . }}";
    assert!(Filled::of(&bomb).unwrap().is_cut);
    let brackets = format!("{{{{ {}\"a\"{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    filled(&brackets);
}

#[test]
fn what_was_filled_in_is_from_where_it_is_written() {
    let text = "{{ $x := \"a\" }}\nk: {{ $x }}\n";
    let filled = Filled::of(text).unwrap();
    let at = filled.text.rfind('a').unwrap();
    let origin = filled.origin(&(at..at + 1)).unwrap();
    assert_eq!((&text[origin.site], &text[origin.written]), ("{{ $x }}", "\"a\""));
    let key = filled.text.rfind('k').unwrap();
    assert_eq!(&text[filled.origin(&(key..key + 1)).unwrap().written], "k");
}
