use super::*;

fn with<R>(text: &str, call: impl FnOnce(&Stream<'_>) -> R) -> R {
    let source = Source::new(text.as_bytes());
    let streams = readings(&source, Limits::DEFAULT);
    call(&streams[0].1)
}

fn root<R>(text: &str, call: impl FnOnce(NodeRef<'_>) -> R) -> R {
    with(text, |stream| {
        assert_eq!(stream.errors(), []);
        call(stream.documents().next().unwrap().1)
    })
}

#[test]
fn scalars_keep_style_place_tag_and_anchor() {
    let text = "a: plain\nb: 'it''s'\nc: \"x\\ty\"\nd: &n !!str 5\ne: *n\nf:\n";
    root(text, |root| {
        let shown = |key: &str| {
            let node = root.get(key).unwrap();
            (node.style().unwrap(), node.source_text().unwrap(), node.text().unwrap().into_owned())
        };
        assert_eq!(shown("a"), (Style::Plain, "plain", "plain".into()));
        assert_eq!(shown("b"), (Style::SingleQuoted, "'it''s'", "it's".into()));
        assert_eq!(shown("c"), (Style::DoubleQuoted, "\"x\\ty\"", "x\ty".into()));
        assert_eq!(shown("d"), (Style::Plain, "5", "5".into()));
        let d = root.get("d").unwrap();
        assert_eq!(d.anchor().map(|(name, range)| (name, &text[range])), Some(("n", "&n")));
        assert_eq!(
            d.tag().map(|tag| (tag.core(), &text[tag.range.clone().unwrap()])),
            Some((Some("str"), "!!str"))
        );
        assert_eq!(d.resolved(), resolve::Resolved::Str);
        let e = root.get("e").unwrap();
        assert!(e.is_alias());
        assert_eq!((&text[e.range()], e.text().unwrap().as_ref()), ("*n", "5"));
        assert!(root.get("f").unwrap().is_empty_scalar());
        assert_eq!(root.get("f").unwrap().raw_text(), Some(""));
    });
}

#[test]
fn block_scalars_know_their_header() {
    let text = "a: |\n  one\n  two\nb: &x|y !!str # a | b\n  >2-\n    three\nc:\n  - |+ # keep\n    four\n\n--- |\n five\n";
    with(text, |stream| {
        assert_eq!(stream.errors(), []);
        let mut headers = Vec::new();
        for (_, root) in stream.documents() {
            leaves(root, &mut KeyPath::root(), &mut |_, node| {
                headers.push(&text[node.block_header().unwrap()]);
            });
        }
        assert_eq!(headers, ["|", ">2-", "|+", "|"]);
    });
}

#[test]
fn comments_are_kept_with_their_place() {
    let text = "# one\na: b # two\n# three\n";
    let source = Source::new(text.as_bytes());
    let streams = readings(&source, Limits::DEFAULT);
    let found = streams[0].1.comments().iter().map(|c| &text[c.range.clone()]).collect::<Vec<_>>();
    assert_eq!(found, ["# one", "# two", "# three"]);
    let many = "# line\n".repeat(5000) + "a: b\n";
    with(&many, |stream| assert_eq!((stream.errors().len(), stream.comments().len()), (0, 5000)));
}

#[test]
fn duplicates_and_merges_all_count() {
    let text =
        "base: &b {x: 1, y: 2}\nmore: &m {z: 3}\nall:\n  x: 0\n  x: 9\n  <<: [*b, *m]\n  '<<': no merge\n";
    root(text, |root| {
        let all = root.get("all").unwrap();
        let values = |key: &str| all.values(key).map(|v| v.text().unwrap().into_owned()).collect::<Vec<_>>();
        assert_eq!(values("x"), ["0", "9", "1"]);
        assert_eq!((values("y"), values("z")), (vec!["2".to_owned()], vec!["3".to_owned()]));
        assert_eq!(values("<<"), ["no merge"]);
        assert_eq!(all.own_entries().count(), 4);
    });
}

#[test]
fn binary_scalars_are_decoded_as_go_does() {
    root("!!binary a2luZA==: !!binary U2VjcmV0\n", |root| assert!(root.says("kind", "Secret")));
}

#[test]
fn documents_around_a_broken_one_are_read() {
    with("a: 1\n---\nb: [1\n---\nc: 3\n", |stream| {
        let documents =
            stream.documents().map(|(d, root)| (d.index, root.own_entries().count())).collect::<Vec<_>>();
        assert_eq!(documents, [(0, 1), (2, 1)]);
        let error = &stream.errors()[0];
        assert_eq!((error.document, error.span.line), (1, 3));
        assert_eq!(&stream.source().text()[error.region.clone()], "---\nb: [1\n");
    });
}

#[test]
fn json_is_read_with_its_escapes_tabs_and_streams() {
    let text =
        "{\n\t\"a\\/b\": \"\\u0053 \\ud83d\\ude00\",\n\t\"n\":1.5e3,\"t\":true,\"z\":null, \"l\":[1,2]\n}\n";
    root(text, |root| {
        assert_eq!(root.get("a/b").unwrap().text().unwrap(), "S \u{1f600}");
        assert_eq!(root.get("n").unwrap().resolved(), resolve::Resolved::Float(1500.0));
        assert_eq!(root.get("l").unwrap().items().count(), 2);
    });
    let text = "{\"a\": 1}\n{\"b\": 2} {\"c\": 3}";
    with(text, |stream| {
        assert_eq!(stream.errors(), []);
        let keys =
            stream.documents().map(|(_, r)| r.own_entries().next().unwrap().key.source_text().unwrap());
        assert_eq!(keys.collect::<Vec<_>>(), ["\"a\"", "\"b\"", "\"c\""]);
    });
}

#[test]
fn yaml_1_1_ends_lines_elsewhere() {
    for end in ["\u{85}", "\u{2028}", "\u{2029}"] {
        let text = format!("# x{end}kind: Secret\n");
        let source = Source::new(text.as_bytes());
        let streams = readings(&source, Limits::DEFAULT);
        assert_eq!(streams.len(), 2);
        let (_, root) = streams[1].1.documents().next().unwrap();
        assert!(root.says("kind", "Secret"));
        assert_eq!(root.get("kind").unwrap().source_text(), Some("Secret"));
    }
    assert_eq!(readings(&Source::new("a: é\n".as_bytes()), Limits::DEFAULT).len(), 1);
}

#[test]
fn limits_end_in_typed_errors() {
    let kind = |text: &str, limits: Limits| {
        let source = Source::new(text.as_bytes());
        readings(&source, limits)[0].1.errors().first().map(|error| error.kind.clone())
    };
    let limits = Limits { bytes: 10_000, depth: 10, expanded_nodes: 100 };
    assert_eq!(kind(&"[".repeat(11), limits), Some(ErrorKind::TooDeep));
    assert_eq!(kind(&"- ".repeat(11), limits), Some(ErrorKind::TooDeep));
    assert_eq!(kind(&"x".repeat(10_001), limits), Some(ErrorKind::TooLarge));
    assert_eq!(kind("&a [*a]", limits), Some(ErrorKind::AliasLoop));
    // Deep through aliases, though no line is.
    let chain =
        (1..12).fold("a0: &a0 [x]\n".to_owned(), |text, n| text + &format!("a{n}: &a{n} [*a{}]\n", n - 1));
    assert_eq!(kind(&chain, limits), Some(ErrorKind::TooDeep));
    let wide = format!("a: &a [{}]\nb: [*a, *a, *a]\n", "x,".repeat(40));
    assert_eq!(kind(&wide, limits), Some(ErrorKind::TooManyAliases));
    assert_eq!(kind("a: *nowhere\n", limits), Some(ErrorKind::Syntax("unknown anchor".into())));
}

#[test]
fn key_paths_are_shown_as_a_person_would_write_them() {
    let mut path = KeyPath::of(&["items"]);
    let shown = path.with(Step::Index(2), |path| path.below(&["data", "tls.crt"]).to_string());
    assert_eq!(shown, r#"items[2].data["tls.crt"]"#);
    assert_eq!(KeyPath::of(&["a", "b\n"]).to_string(), r#"a["b\n"]"#);
    assert_eq!(path.to_string(), "items");
}

#[test]
fn a_forgiving_reader_gets_what_strict_ones_refuse() {
    for text in [
        r#"{"x": "\ud800", "kind": "Secret"}"#,
        r#"{"x": "\udc00\ud83d\ude00", "kind": "Secret"}"#,
        "{\"x\": \"\u{7f}\", \"kind\": \"Secret\"}",
        "# \u{1}\nkind: Secret\n",
    ] {
        let source = Source::new(text.as_bytes());
        let streams = readings(&source, Limits::DEFAULT);
        let secret =
            streams.iter().any(|(_, stream)| stream.documents().any(|(_, root)| root.says("kind", "Secret")));
        assert!(secret, "{text:?} {:?}", streams.last().map(|(_, stream)| stream.errors()));
    }
    let long = format!("{{\"{}\": 1, \"kind\": \"Secret\"}}", "k".repeat(3000));
    root(&long, |root| assert!(root.says("kind", "Secret")));
}
