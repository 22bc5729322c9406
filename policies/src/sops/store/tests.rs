//! There and back, for all stores: what is sealed and stamped opens and strips to the same bytes.

use zeroize::Zeroizing;

use super::*;
use crate::sops::block::Meta;
use crate::sops::cipher::Cipher;
use crate::sops::keys::DataKey;
use crate::sops::plain::Plain;
use crate::sops::problem::ProblemKind;
use crate::sops::selector::Selector;
use crate::sops::tree::{Stop, walk};
use crate::sops::value;

type Read = for<'b> fn(&'b [u8], StoreSettings) -> Result<Parsed<'b>, Vec<Problem>>;

const NONE: StoreSettings = StoreSettings { yaml_indent: None, json_indent: None, json_binary_indent: None };

/// Metadata as sops would have it.
fn block() -> Block {
    let text = |text: &str| Meta::Text(text.to_owned());
    let key = |name: &str| {
        let fields = vec![
            (
                "enc".to_owned(),
                text("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"),
            ),
            ("recipient".to_owned(), text(name)),
        ];
        Meta::Map(Block { fields })
    };
    let fields = vec![
        ("age".to_owned(), Meta::List(vec![key("age1x"), key("age1y")])),
        ("encrypted_regex".to_owned(), text("^(a|b;#)$")),
        ("lastmodified".to_owned(), text("2026-11-21T06:00:00Z")),
        ("mac".to_owned(), text("ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]")),
        ("version".to_owned(), text("3.13.3")),
    ];
    Block { fields }
}

fn cipher() -> Cipher {
    Cipher::new(&DataKey::new([7; 32]))
}

fn everything() -> Selector {
    Selector::UnencryptedSuffix("no key ends so".to_owned())
}

/// The values and comments of a file by their places.
fn contents(parsed: &Parsed<'_>) -> Vec<(String, String)> {
    let mut contents = Vec::new();
    for branch in &parsed.documents {
        walk(branch, &everything(), &mut |visit| {
            let what = match visit.stop {
                Stop::Leaf(plain, _) => format!("{plain:?} {}", String::from_utf8_lossy(&plain.canonical())),
                Stop::Comment(comment) => format!("comment {}", comment.text),
            };
            contents.push((visit.aad(), what));
        });
    }
    contents
}

fn seal(read: Read, bytes: &[u8], settings: StoreSettings) -> Vec<u8> {
    let parsed = read(bytes, settings).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut edits = Vec::new();
    let mut count = 0;
    let mut random = |buffer: &mut [u8]| {
        count += 1;
        buffer.fill(count);
    };
    for branch in &parsed.documents {
        walk(branch, &everything(), &mut |visit| {
            let (site, kind, plain) = match visit.stop {
                Stop::Leaf(plain, site) => (site, plain.kind(), plain.canonical()),
                Stop::Comment(comment) => (
                    comment.site,
                    value::ValueType::Comment,
                    Zeroizing::new(comment.text.clone().into_bytes()),
                ),
            };
            if !plain.is_empty() {
                let sealed = cipher().seal(kind, &plain, &visit.aad(), &mut random).to_string();
                let layout = &parsed.layout;
                let sealed = if matches!(visit.stop, Stop::Comment(_)) {
                    layout.comment(site, &sealed)
                } else {
                    layout.seal(site, &sealed)
                };
                edits.extend(sealed.unwrap());
            }
        });
    }
    edits.extend(parsed.layout.stamp(&block()).unwrap());
    apply(bytes, edits).unwrap().to_vec()
}

fn open(read: Read, bytes: &[u8]) -> Vec<u8> {
    let parsed = read(bytes, NONE).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(parsed.block.as_ref().unwrap().flatten(), block().flatten());
    let mut edits = parsed.layout.strip();
    for branch in &parsed.documents {
        walk(branch, &everything(), &mut |visit| match visit.stop {
            Stop::Leaf(plain, site) if !plain.is_empty() => {
                let sealed = value::parse_any(plain.as_text().unwrap()).unwrap();
                let opened = cipher().open(&sealed, &visit.aad()).unwrap();
                let plain = Plain::from_canonical(sealed.kind, opened).unwrap();
                edits.extend(parsed.layout.open(site, &plain).unwrap());
            }
            Stop::Comment(comment) if !comment.text.is_empty() => {
                let sealed = value::parse_any(&comment.text).unwrap();
                let opened = cipher().open(&sealed, &visit.aad()).unwrap();
                let text = String::from_utf8(opened.to_vec()).unwrap();
                edits.extend(parsed.layout.comment(comment.site, &text).unwrap());
            }
            _ => {}
        });
    }
    apply(bytes, edits).unwrap().to_vec()
}

/// Seals and opens again; gives the sealed file.
#[track_caller]
fn there_and_back(read: Read, bytes: &[u8], settings: StoreSettings) -> String {
    let sealed = seal(read, bytes, settings);
    let back = open(read, &sealed);
    assert_eq!(back, bytes, "{}\n{}", String::from_utf8_lossy(&back), String::from_utf8_lossy(&sealed));
    String::from_utf8(sealed).unwrap()
}

fn problems(read: Read, bytes: &[u8]) -> Vec<String> {
    read(bytes, NONE).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Stamps a changed block on a sealed file and gives what changed: removed and added lines.
fn restamped(read: Read, sealed: &str, change: impl FnOnce(&mut Block)) -> (Vec<String>, Vec<String>) {
    let parsed = read(sealed.as_bytes(), NONE).unwrap();
    let mut block = parsed.block.clone().unwrap();
    change(&mut block);
    let edits = parsed.layout.stamp(&block).unwrap();
    let stamped = String::from_utf8(apply(sealed.as_bytes(), edits).unwrap().to_vec()).unwrap();
    let again = read(stamped.as_bytes(), NONE).unwrap();
    assert_eq!(again.block.unwrap().flatten(), block.flatten());
    assert_eq!(contents(&read(stamped.as_bytes(), NONE).unwrap()), contents(&parsed));
    let only_in = |one: &str, other: &str| {
        let other = other.lines().collect::<std::collections::HashSet<_>>();
        one.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    (only_in(sealed, &stamped), only_in(&stamped, sealed))
}

fn drop_a_recipient(block: &mut Block) {
    if let Some((_, Meta::List(items))) = block.fields.iter_mut().find(|(name, _)| name == "age") {
        items.pop();
    }
}

#[track_caller]
fn unwritable(read: Read, sealed: &str, plain: &Plain) {
    let parsed = read(sealed.as_bytes(), NONE).unwrap();
    let mut tried = false;
    walk(&parsed.documents[0], &everything(), &mut |visit| {
        if let Stop::Leaf(_, site) = visit.stop {
            tried = true;
            let problem = parsed.layout.open(site, plain).unwrap_err();
            assert!(matches!(problem.kind, ProblemKind::Unwritable(_)), "{problem}");
            assert!(problem.span.is_some());
        }
    });
    assert!(tried);
}

#[test]
fn what_is_no_text_is_refused_by_every_store_of_text() {
    for read in [json::read as Read, dotenv::read, ini::read] {
        assert_eq!(problems(read, b""), ["the file is empty"]);
        assert_eq!(problems(read, b" \n\n"), ["the file is empty"]);
        assert_eq!(problems(read, b"a=1\nb=\xff\n"), ["2:3: not text in UTF-8"]);
        assert_eq!(
            problems(read, b"a=1\nb=\0\n"),
            ["2:3: a NUL character, which no reader of this format takes"]
        );
        for utf16 in [&b"\xff\xfea\0=\0"[..], b"\xfe\xff\0a\0=", b"a\0=\0", b"\0a\0="] {
            assert_eq!(problems(read, utf16), ["UTF-16 text: sops and Flux read UTF-8 only"]);
        }
        assert_eq!(problems(read, &vec![b'a'; (16 << 20) + 1]), ["larger than 16 MiB"]);
    }
}

mod dotenv_files {
    use super::*;

    const READ: Read = dotenv::read;

    #[test]
    fn every_line_is_read_as_sops_reads_it() {
        let text = "A=b\r\n# c \n\nexport B = \"x y\" \nC=a\\nb\\\\nc\nD=\n=e\nF=g=h#i\nü=ö";
        let parsed = READ(text.as_bytes(), NONE).unwrap();
        let wanted = [
            ("A:", "Str(…) b\r"),
            (":", "comment  c "),
            ("export B :", "Str(…)  \"x y\" "),
            ("C:", "Str(…) a\nb\\\nc"),
            ("D:", "Str(…) "),
            (":", "Str(…) e"),
            ("F:", "Str(…) g=h#i"),
            ("ü:", "Str(…) ö"),
        ];
        assert_eq!(contents(&parsed), wanted.map(|(place, what)| (place.to_owned(), what.to_owned())));
        assert!(parsed.block.is_none());
        there_and_back(READ, text.as_bytes(), NONE);
    }

    #[test]
    fn a_file_without_a_line_break_at_its_end_has_none_when_encrypted() {
        for text in ["A=b", "A=b\n", "A=b\n\n", "# c", "\n\nA=b\n# c\n\n#\n", "A=b\n\nB=c"] {
            let sealed = there_and_back(READ, text.as_bytes(), NONE);
            assert_eq!(sealed.ends_with('\n'), text.ends_with('\n'));
            assert!(sealed.trim_end().ends_with("\nsops_version=3.13.3"), "{sealed}");
        }
    }

    #[test]
    fn line_ends_that_git_made_of_others_do_no_harm() {
        let sealed = there_and_back(READ, b"A=b\n# c\n", NONE).replace('\n', "\r\n");
        assert_eq!(open(READ, sealed.as_bytes()), b"A=b\r\n# c\r\n");
    }

    #[test]
    fn what_sops_refuses_or_reads_otherwise_is_refused() {
        let table: [(&str, &[&str]); 4] = [
            (
                "A=b\nnothing\n C\n\r\n",
                &[
                    "2:1: not valid dotenv: a line without `=`",
                    "3:1: not valid dotenv: a line without `=`",
                    "4:1: not valid dotenv: an empty line that ends in CR LF, which sops refuses",
                ],
            ),
            ("sops_a=b\n", &["1:1: sops_a: the key is reserved for the metadata of sops"]),
            ("\u{feff}A=b\n", &["1:1: a byte order mark, which sops takes for part of the first key"]),
            (
                "sops_mac=a\nsops_version=b\nsops_mac=c\n",
                &["3:1: sops_mac: the key is there twice: readers differ in which one they take"],
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(problems(READ, text.as_bytes()), wanted);
        }
        let parsed = READ(b"A=b\nB=c\nA=d\n", NONE).unwrap();
        assert_eq!(parsed.duplicate_keys.len(), 1);
        assert_eq!(parsed.duplicate_keys[0].key_path, "A");
        assert_eq!(contents(&parsed).len(), 3);
    }

    #[test]
    fn values_that_dotenv_cannot_hold_are_refused() {
        let sealed = there_and_back(READ, b"A=b\n", NONE);
        for plain in ["a\\nb", "a\0b"] {
            unwritable(READ, &sealed, &Plain::text(plain));
        }
        unwritable(READ, &sealed, &Plain::Str(Zeroizing::new(vec![0xff])));
        let parsed = READ(b"# c\n", NONE).unwrap();
        assert!(parsed.layout.comment(Site(0), "two\nlines").is_err());
    }

    #[test]
    fn only_what_differs_is_stamped() {
        let sealed = there_and_back(READ, b"A=b\n", NONE);
        let (gone, come) = restamped(READ, &sealed, |block| block.set("mac", Meta::Text("new".into())));
        assert!(gone.len() == 1 && come == ["sops_mac=new"], "{gone:?} {come:?}");
        let (gone, come) = restamped(READ, &sealed, drop_a_recipient);
        assert!(gone.len() == 2 && come.is_empty(), "{gone:?} {come:?}");
        let (mut lines, more) = (sealed.lines().collect::<Vec<_>>(), "C=");
        lines.insert(3, more);
        let (gone, come) = restamped(READ, &lines.join("\n"), drop_a_recipient);
        assert!(gone.len() == 2 && come.is_empty(), "{gone:?} {come:?}");
    }

    #[test]
    fn any_file_comes_back() {
        use proptest::prelude::*;
        let line = prop_oneof![
            "[^=\\n\\x00#\u{feff}]{0,6}=[^\\n\\x00]{0,12}",
            "#[^\\n\\x00]{0,8}",
            Just(String::new()),
            "(export )?[A-Z]{1,3}=(\\\\n|\"|'|\\\\| |\r){0,4}",
        ];
        proptest!(|(lines in proptest::collection::vec(line, 1..8), ended: bool)| {
            let mut text = lines.join("\n") + if ended { "\n" } else { "" };
            text.insert_str(0, "FIRST=1\n");
            prop_assume!(!text.contains("ENC[") && !text.contains("\nsops_"));
            there_and_back(READ, text.as_bytes(), NONE);
        });
    }
}

mod json_files {
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
        for plain in
            [Plain::Float(f64::NAN), Plain::Float(f64::INFINITY), Plain::Str(Zeroizing::new(vec![0xff]))]
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
}

mod binary_files {
    use super::*;

    const READ: Read = binary::read;

    #[test]
    fn any_bytes_come_back() {
        use proptest::prelude::*;
        for bytes in [&b""[..], b"\xff\0\xfe", b"{\"data\": \"x\"}", b"\n", b"ENC["] {
            there_and_back(READ, bytes, NONE);
        }
        proptest!(|(bytes: Vec<u8>)| {
            there_and_back(READ, &bytes, NONE);
        });
    }

    #[test]
    fn the_envelope_is_that_of_sops() {
        for (indent, unit) in [(None, "\t"), (Some(-1), "\t"), (Some(2), "  "), (Some(0), "")] {
            let sealed = there_and_back(READ, b"x", StoreSettings { json_binary_indent: indent, ..NONE });
            let begin = format!("{{\n{unit}\"data\": \"ENC[AES256_GCM,data:");
            assert!(sealed.starts_with(&begin), "{sealed}");
            assert!(sealed.contains(&format!(",type:str]\",\n{unit}\"sops\": {{\n{unit}{unit}\"age\": [\n")));
            assert!(
                sealed.ends_with(&format!("\n{unit}{unit}\"version\": \"3.13.3\"\n{unit}}}\n}}\n")),
                "{sealed}"
            );
        }
    }

    #[test]
    fn an_envelope_may_have_any_layout_and_keeps_it() {
        let sealed = there_and_back(READ, b"x", NONE);
        let tight = serde_json::from_str::<serde_json::Value>(&sealed).unwrap().to_string();
        assert_eq!(open(READ, tight.as_bytes()), b"x");
        let (gone, come) = restamped(READ, &tight, |block| block.set("mac", Meta::Text("new".into())));
        assert_eq!((gone.len(), come.len()), (1, 1));
        assert!(come[0].starts_with("{\"data\":\"ENC["), "{come:?}");
    }

    #[test]
    fn what_only_resembles_an_envelope_is_plain() {
        for text in [
            "{\"data\": 1, \"sops\": {\"mac\": \"\", \"version\": \"\"}}",
            "{\"data\": \"x\", \"sops\": {\"mac\": \"\"}}",
            "{\"data\": \"x\", \"sops\": {\"mac\": \"\", \"version\": \"\"}} x",
            "[{\"data\": \"x\", \"sops\": {\"mac\": \"\", \"version\": \"\"}}]",
        ] {
            let parsed = READ(text.as_bytes(), NONE).unwrap();
            assert!(parsed.block.is_none());
            assert_eq!(contents(&parsed), [("data:".to_owned(), format!("Str(…) {text}"))]);
        }
    }
}

mod ini_files {
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
            (
                "[s]\na=1\nb=2\na=3\n",
                "4:1: s.a: the key is there twice: readers differ in which one they take",
            ),
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
}
