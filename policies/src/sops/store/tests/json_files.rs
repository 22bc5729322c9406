//! The JSON store.

use super::*;

const READ: Read = json::read;

#[test]
fn every_value_has_the_type_that_sops_gives_it() {
    let text = r#"{"a": {"b": [1, -0, 1.0, 1e3, 9223372036854775807, 9223372036854776000, [true, null, ""]]},
            "": "\u00e9\ud83d\ude00\n\/", "a": false, "sops_": {}}"#;
    let parsed = READ(text.as_bytes(), NONE).unwrap();
    let wanted = [
        ("a:b:", "Int(…) 1"),
        ("a:b:", "Int(…) 0"),
        ("a:b:", "Float(…) 1"),
        ("a:b:", "Float(…) 1000"),
        ("a:b:", "Int(…) 9223372036854775807"),
        ("a:b:", "Float(…) 9223372036854776000"),
        ("a:b:", "Bool(…) True"),
        ("a:b:", "Str(…) "),
        (":", "Str(…) é😀\n/"),
        ("a:", "Bool(…) False"),
    ];
    assert_eq!(contents(&parsed), wanted.map(|(place, what)| (place.to_owned(), what.to_owned())));
    let duplicates = parsed.duplicate_keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(duplicates, ["2:43: a: the key is there twice: readers differ in which one they take"]);
}

#[test]
fn every_layout_comes_back() {
    for text in [
        "{}",
        "{ }\n",
        "{\n}\n",
        "{\"a\":1}",
        "{\"a\": 1, \"b\": \"x\"}\n",
        "{\"a\":1,\"b\":[1,2,{\"c\":null}]}\n",
        "{\n  \"a\": \"b\",\n  \"c\": [\n    \"d\"\n  ]\n}\n",
        "{\n\t\"a\": \"b\"\n}",
        "{\r\n    \"a\": \"b\",\r\n    \"c\": {}\r\n}\r\n",
        "\n  {\n    \"a\" : \"b\"\n  ,\n   \"c\":\"\\u0000 \u{2028} <&> \\\"\\\\\"\n\n}  \n",
        "{\n\"a\": 1.5,\n\"b\": -1e-7,\n\"c\": 1e+21,\n\"d\": 123456789012345680000\n}\n",
    ] {
        let sealed = there_and_back(READ, text.as_bytes(), NONE);
        assert!(serde_json::from_str::<serde_json::Value>(&sealed).is_ok(), "{sealed}");
        there_and_back(READ, text.as_bytes(), StoreSettings { json_indent: Some(-1), ..NONE });
    }
}

#[test]
fn the_metadata_takes_the_indentation_of_the_file_or_of_the_settings() {
    let text = "{\n  \"a\": \"\"\n}\n";
    let sealed = there_and_back(READ, text.as_bytes(), NONE);
    let begin =
        "{\n  \"a\": \"\",\n  \"sops\": {\n    \"age\": [\n      {\n        \"enc\": \"-----BEGIN AGE";
    assert!(sealed.starts_with(begin), "{sealed}");
    assert!(sealed.ends_with("\n    \"version\": \"3.13.3\"\n  }\n}\n"), "{sealed}");
    for (indent, unit) in [(-1, "\t"), (0, ""), (3, "   ")] {
        let sealed =
            there_and_back(READ, text.as_bytes(), StoreSettings { json_indent: Some(indent), ..NONE });
        assert!(sealed.contains(&format!("\n  {unit}\"version\": \"3.13.3\"\n  }}\n}}\n")), "{sealed}");
    }
    let sealed = there_and_back(READ, b"{\"a\":\"\"}", NONE);
    assert!(sealed.starts_with("{\"a\":\"\",\"sops\":{\"age\":[{\"enc\":"), "{sealed}");
    assert!(!sealed.contains('\n'));
}

#[test]
fn metadata_goes_from_wherever_it_stands() {
    let metadata = "\"sops\": {\"mac\": \"m\", \"version\": \"v\"}";
    for (text, wanted) in [
        (format!("{{{metadata}, \"a\": \"\"}}"), "{\"a\": \"\"}"),
        (format!("{{\"a\": \"\",\n {metadata}, \"b\": 1}}"), "{\"a\": \"\", \"b\": 1}"),
        (format!("{{\n{metadata}\n}}"), "{\n}"),
    ] {
        let parsed = READ(text.as_bytes(), NONE).unwrap();
        let stripped = apply(text.as_bytes(), parsed.layout.strip()).unwrap();
        assert_eq!(String::from_utf8(stripped.to_vec()).unwrap(), wanted);
    }
}

#[test]
fn what_sops_refuses_or_reads_otherwise_is_refused() {
    let table: [(&str, &[&str]); 8] = [
        (
            "{\"a\":9223372036854775808,\"b\":-123456789012345680000}",
            &["1:6: a: an integer beyond 64 bits, which sops rounds; put it in quotes"],
        ),
        ("[1]", &["1:1: the document is a list; sops encrypts maps only"]),
        ("\"a\"", &["1:1: the document is a scalar; sops encrypts maps only"]),
        ("\u{feff}{}", &["not valid JSON: a byte order mark, which sops refuses"]),
        ("{\"a\":1}\n{\"b\":2}", &["2:1: not valid JSON: text after the end"]),
        (
            "{\"a\":[0,1e400],\n\"b\":\"\\ud800\",\"\\udc00\":1}",
            &[
                "1:9: a[1]: a number beyond the range of 64-bit floats, which sops cannot read back",
                "2:5: b: half a surrogate pair in a string, which sops cannot read back",
                "2:14: half a surrogate pair in a string, which sops cannot read back",
            ],
        ),
        ("{\"sops\":{\"mac\":\"m\"}}", &["1:2: sops: the key is reserved for the metadata of sops"]),
        (
            "{\"sops\":{\"mac\":\"m\",\"version\":\"v\",\"mac\":\"m\"},\"sops\":1}",
            &[
                "1:34: sops: the key is there twice: readers differ in which one they take",
                "1:45: sops: the key is there twice: readers differ in which one they take",
            ],
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(problems(READ, text.as_bytes()), wanted);
    }
}

#[test]
fn problems_are_not_without_end() {
    let many = |item: &str| format!("{{\"a\":[{}]}}", vec![item; 1000].join(","));
    assert_eq!(problems(READ, many("1e999").as_bytes()).len(), 100);
    assert_eq!(problems(READ, many("9223372036854775808").as_bytes()).len(), 100);
    let twice = many("0").replace("[0", "0").replace("]", "").replace(",0", ",\"a\":0");
    assert_eq!(READ(twice.as_bytes(), NONE).unwrap().duplicate_keys.len(), 100);
}

#[test]
fn values_that_json_cannot_hold_are_refused() {
    let sealed = there_and_back(READ, b"{\"a\": \"b\"}", NONE);
    for plain in [Plain::Float(f64::NAN), Plain::Float(f64::INFINITY), Plain::Str(Zeroizing::new(vec![0xff]))]
    {
        unwritable(READ, &sealed, &plain);
    }
    assert!(READ(b"{\"a\": \"b\"}", NONE).unwrap().layout.comment(Site(0), "c").is_err());
}

#[test]
fn only_what_differs_is_stamped() {
    let sealed = there_and_back(READ, b"{\n  \"a\": \"b\"\n}\n", NONE);
    let (gone, come) = restamped(READ, &sealed, |block| block.set("mac", Meta::Text("new".into())));
    assert!(gone.len() == 1 && come == ["    \"mac\": \"new\","], "{gone:?} {come:?}");
    let (gone, come) = restamped(READ, &sealed, drop_a_recipient);
    assert!(gone.len() == 2 && come.is_empty(), "{gone:?} {come:?}");
    let (gone, come) = restamped(READ, &sealed, |block| block.remove("encrypted_regex"));
    assert!(gone.len() == 1 && come.is_empty(), "{gone:?} {come:?}");
}

#[test]
fn any_text_comes_back() {
    use proptest::prelude::*;
    let value = prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let tree = value.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    });
    proptest!(|(tree in tree, pretty: bool)| {
        let root = serde_json::json!({ "root": tree });
        let text = if pretty { format!("{root:#}") } else { root.to_string() };
        prop_assume!(!text.contains("ENC["));
        there_and_back(READ, text.as_bytes(), NONE);
    });
}

#[test]
fn any_float_is_written_as_a_number_of_the_same_value() {
    use proptest::prelude::*;
    proptest!(|(float in any::<f64>().prop_filter("finite", |float| float.is_finite()))| {
        let parsed = READ(b"{\"a\": \"ENC[\"}", NONE).unwrap();
        let edits = parsed.layout.open(Site(0), &Plain::Float(float)).unwrap();
        let token = String::from_utf8(edits[0].text.clone()).unwrap();
        prop_assert_eq!(token.parse::<f64>().unwrap(), float);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&token).is_ok(), "{}", token);
    });
}
