//! The INI store.

use super::*;

const READ: Read = ini::read;

#[test]
fn every_line_is_read_as_sops_reads_it() {
    let text = "; one\n# two\ntop = 1\n\n  ; three\n\n;four\n[s.t]\nk: \"a b\" # five\n\n'k2' = `a;b`\n\
                    ; six\r\n; seven\r\n  \"k=3\" = \"\"\"m\n n\"\"\" ; eight\nempty =\n[s.t]\n[ u ]\n; nine\n";
    let parsed = READ(text.as_bytes(), NONE).unwrap();
    let wanted = [
        ("DEFAULT:top:", "Str(…) 1"),
        ("DEFAULT:", "comment one\n# two"),
        ("s.t:", "comment three"),
        ("s.t:", "comment four"),
        ("s.t:k:", "Str(…) a b"),
        ("s.t:", "comment five"),
        ("s.t:'k2':", "Str(…) a;b"),
        ("s.t:k=3:", "Str(…) m\n n"),
        ("s.t:", "comment six\r\n; seven"),
        ("s.t:", "comment eight"),
        ("s.t:empty:", "Str(…) "),
        (" u :", "comment nine"),
    ];
    assert_eq!(contents(&parsed), wanted.map(|(place, what)| (place.to_owned(), what.to_owned())));
    let duplicates = parsed.duplicate_keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        duplicates,
        ["17:1: [\"s.t\"]: the key is there twice: readers differ in which one they take"]
    );
    there_and_back(READ, text.as_bytes(), NONE);
}

#[test]
fn every_layout_comes_back() {
    for text in [
        "a=b",
        "a=b\n",
        "a=b\n\n\n",
        "a=b\n  ",
        "[s]\r\na = b\r\n\r\n",
        "a = b\r\nc = d",
        "\u{feff}a=b\n",
        "[s]\na=\nb: ''\nc = `x\n`\n",
        "; only a comment",
        ";;;; a\n#\n;# b\n\n\n#c\n  #d\na=b ;; e\n;\n[x]\n;g\n",
        "a = \"C:\\dir\" \nb='\"c d\"  e'\n",
    ] {
        let sealed = there_and_back(READ, text.as_bytes(), NONE);
        assert_eq!(sealed.ends_with('\n'), text.ends_with('\n'), "{sealed}");
    }
    let sealed = there_and_back(READ, b"a=b\n", NONE);
    assert!(sealed.contains("\n\n[sops]\nage__list_0__map_enc       = -----BEGIN AGE"), "{sealed}");
    assert!(sealed.contains("\nencrypted_regex            = `^(a|b;#)$`\n"), "{sealed}");
}

#[test]
fn metadata_goes_from_wherever_it_stands() {
    let metadata = "[sops]\nmac = m\n# c\nversion = v\n";
    for (text, wanted) in [
        (format!("a=b\n{metadata}[s]\nc=d\n"), "a=b\n[s]\nc=d\n"),
        (format!("{metadata}\n[s]\nc=d\n"), "\n[s]\nc=d\n"),
        (format!("a=b\n{metadata}\n\n"), "a=b\n"),
        (format!("a=b\n\n{metadata}"), "a=b\n"),
    ] {
        let parsed = READ(text.as_bytes(), NONE).unwrap();
        let stripped = apply(text.as_bytes(), parsed.layout.strip()).unwrap();
        assert_eq!(String::from_utf8(stripped.to_vec()).unwrap(), wanted);
    }
}

#[test]
fn what_sops_refuses_or_reads_otherwise_is_refused() {
    let hash = "`#` or `;` in a value: sops takes what follows for a comment; put the value in backquotes, \
                    or a blank before a comment";
    let quotes = "something in quotes that sops writes without them, which sops cannot read back";
    let table = [
        ("key\n=x\n[\n[]\n", "1:1: not valid INI: a key without `=` or `:`"),
        ("key\n=x\n[\n[]\n", "2:1: not valid INI: an empty key"),
        ("key\n=x\n[\n[]\n", "3:1: not valid INI: a section without `]`"),
        ("key\n=x\n[\n[]\n", "4:1: not valid INI: a section without a name"),
        ("a = `b\nc", "1:1: not valid INI: a value with a quote that does not end"),
        (
            "a = C:\\\nb = c\n",
            "1:1: not valid INI: a backslash at the end of a value, which joins the next line to it; put it in \
                 quotes",
        ),
        ("[s]\na=1\nb=2\na=3\n", "4:1: s.a: the key is there twice: readers differ in which one they take"),
        (
            "- = b\n",
            "1:1: DEFAULT.-: the key `-`, which sops replaces by a number, which sops cannot read back",
        ),
        ("[s] x\n", "1:1: s: text after the `]` of a section"),
        ("[s]]\n", "1:1: [\"s]\"]: text after the `]` of a section"),
        ("a = b#c\n", &format!("1:5: DEFAULT.a: {hash}")),
        ("a = #c\n", &format!("1:5: DEFAULT.a: {hash}")),
        ("a = \"b # c\"\n", &format!("1:5: DEFAULT.a: {hash}")),
        ("a = `b` c\n", "1:5: DEFAULT.a: text after the quote that ends a value"),
        (
            ";\n; x\na=b\n",
            "1:1: DEFAULT: a comment that begins with an empty line, which sops cannot read back",
        ),
        ("a = \"C:\\\"\n", &format!("1:5: DEFAULT.a: {quotes}")),
        ("a = \"'b'\"\n", &format!("1:5: DEFAULT.a: {quotes}")),
        ("\"#a\" = b\n", &format!("1:8: DEFAULT[\"#a\"]: {quotes}")),
        ("[sops]\na=b\n", "1:1: sops: the key is reserved for the metadata of sops"),
        (
            "[sops]\nmac=m\nversion=v\n[s]\n[sops]\n",
            "5:1: sops: the key is there twice: readers differ in which one they take",
        ),
    ];
    for (text, wanted) in table {
        let problems = problems(READ, text.as_bytes());
        assert!(problems.iter().any(|problem| problem == wanted), "{text:?}: {problems:?}");
    }
    assert_eq!(problems(READ, b"key\n=x\n[\n[]\n").len(), 4);
}

#[test]
fn in_encrypted_files_doubts_do_not_count() {
    let sealed = there_and_back(READ, b"a = b\n", NONE);
    let parsed = READ(format!("d = e#f\n{sealed}").as_bytes(), NONE).map(|_| ());
    assert_eq!(parsed, Ok(()));
}

#[test]
fn a_value_takes_other_quotes_where_it_needs_them() {
    let table = [
        ("", "a;b", "`a;b`"),
        ("", " a", "\" a\""),
        ("", "a\nb", "\"\"\"a\nb\"\"\""),
        ("", "'a'", "\"'a'\""),
        ("", "C:\\", "\"C:\\\""),
        ("\"", "a", "\"a\""),
        ("\"", "a\"", "a\""),
        ("'", "a\"", "'a\"'"),
        ("`", "a", "`a`"),
        ("", "`;\"\"\"", "\"\"\"`;\"\"\"\"\"\""),
    ];
    for (quote, value, wanted) in table {
        let sealed = there_and_back(READ, format!("a = {quote}x{quote}\n").as_bytes(), NONE);
        let parsed = READ(sealed.as_bytes(), NONE).unwrap();
        let edits = parsed.layout.open(Site(0), &Plain::text(value)).unwrap();
        assert_eq!(String::from_utf8_lossy(&edits[0].text), wanted);
    }
    let sealed = there_and_back(READ, b"a = b\n", NONE);
    for value in ["\0", "`\"\"\"\nx"] {
        unwritable(READ, &sealed, &Plain::text(value));
    }
}

#[test]
fn a_comment_must_stay_one() {
    let parsed = READ(b"; a\nb = c ; d\n", NONE).unwrap();
    let (above, inline) = (Site(1), Site(2));
    for text in ["x\ny", "x\n\n; y", " x", "x ", "x\0"] {
        assert!(parsed.layout.comment(above, text).is_err(), "{text:?}");
    }
    assert!(parsed.layout.comment(above, "x\n; y").is_ok());
    assert_eq!(parsed.layout.comment(above, "; x").unwrap()[0].text.as_slice(), b"# ; x");
    assert!(parsed.layout.comment(inline, "x\n; y").is_err());
    assert!(parsed.layout.comment(inline, "x").is_ok());
    let parsed = READ(b"[s] ; a\n", NONE).unwrap();
    assert_eq!(contents(&parsed), [("s:".to_owned(), "comment a".to_owned())]);
    assert!(parsed.layout.comment(Site(0), "ENC[x]").is_err());
    assert!(parsed.layout.comment(Site(0), "x").is_ok());
}

#[test]
fn only_what_differs_is_stamped() {
    let sealed = there_and_back(READ, b"a=b\n", NONE);
    let (gone, come) = restamped(READ, &sealed, |block| block.set("mac", Meta::Text("new".into())));
    assert!(gone.len() == 1 && come == ["mac                        = new"], "{gone:?} {come:?}");
    let (gone, come) = restamped(READ, &sealed, drop_a_recipient);
    assert!(gone.len() == 2 && come.is_empty(), "{gone:?} {come:?}");
}

#[test]
fn any_file_that_can_be_read_comes_back() {
    use proptest::prelude::*;
    let piece = proptest::sample::select(vec![
        "a",
        "b = ",
        "c=",
        "d :",
        " ",
        "  ",
        "\n",
        "\n",
        "\r\n",
        "#",
        ";",
        "; x",
        "\"",
        "'",
        "`",
        "\"\"\"",
        "\\",
        "[s]\n",
        "[t]\n",
        "\n\n",
        "é",
        "k1 = v\n",
        "k2=`x\ny`\n",
        "; c\n",
    ]);
    let mut config = ProptestConfig::with_cases(2000);
    config.max_global_rejects = 1_000_000;
    proptest!(config, |(pieces in proptest::collection::vec(piece, 1..14))| {
        let text = pieces.concat();
        prop_assume!(READ(text.as_bytes(), NONE).is_ok());
        there_and_back(READ, text.as_bytes(), NONE);
    });
}
