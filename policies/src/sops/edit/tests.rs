use super::*;
use crate::sops::plain::Plain;

fn place(format: Format, path: &KeyPath) -> Place<'_> {
    Place { format, settings: StoreSettings::default(), path, document: None }
}

fn shown(changed: Result<Zeroizing<Vec<u8>>, EditError>) -> String {
    match changed {
        Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Err(EditError::Problems(problems)) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
        Err(EditError::Ambiguous(all)) => format!("several: {}", all.join(", ")),
        Err(error) => error.to_string(),
    }
}

fn set_in(format: Format, text: &str, path: &str, value: &New, create: bool) -> String {
    let path = path.parse::<KeyPath>().unwrap();
    shown(set(text.as_bytes(), place(format, &path), value, create))
}

fn put(text: &str, path: &str, value: &str) -> String {
    set_in(Format::Yaml, text, path, &New::Scalar(Plain::text(value)), false)
}

fn put_json(text: &str, path: &str, json: &str) -> String {
    set_in(Format::Yaml, text, path, &New::of_json(&serde_json::from_str(json).unwrap()), false)
}

fn create(text: &str, path: &str) -> String {
    set_in(Format::Yaml, text, path, &New::Scalar(Plain::text("v")), true)
}

fn take(text: &str, path: &str) -> String {
    take_from(Format::Yaml, text, path)
}

fn take_from(format: Format, text: &str, path: &str) -> String {
    let path = path.parse::<KeyPath>().unwrap();
    shown(unset(text.as_bytes(), place(format, &path)))
}

#[test]
fn a_value_is_replaced_in_its_own_style() {
    let table = [
        ("a: x # c\nb: 1\n", "a", "z", "a: z # c\nb: 1\n"),
        ("a: 'x'\n", "a", "it's", "a: 'it''s'\n"),
        ("a: \"x\"\n", "a", "1\n2", "a: \"1\\n2\"\n"),
        ("a: x\n", "a", "5", "a: \"5\"\n"),
        ("a: |\n  x\n  y\nb: 1\n", "a", "z\n", "a: |\n  z\nb: 1\n"),
        ("a:\n  b: x\n", "a.b", "1\n2\n", "a:\n  b: |\n    1\n    2\n"),
        ("a:\r\n  b: x\r\nc: 1\r\n", "a.b", "z", "a:\r\n  b: z\r\nc: 1\r\n"),
        ("l:\n- a: x\n- a: y\n", "l[1].a", "z", "l:\n- a: x\n- a: z\n"),
        ("l: [x, y]\n", "l[0]", "z", "l: [z, y]\n"),
        ("a:\nb: 1\n", "a", "x", "a: x\nb: 1\n"),
        ("a: ~ # c\n", "a", "x", "a: x # c\n"),
        ("\u{feff}a: x\n", "a", "z", "\u{feff}a: z\n"),
        ("a: {b: 1}\nc: 2\n", "a", "x", "a: x\nc: 2\n"),
        ("a:\n  b: 1\n# foot\nc: 2\n", "a", "x", "a: x\n# foot\nc: 2\n"),
    ];
    for (text, path, value, wanted) in table {
        assert_eq!(put(text, path, value), wanted, "{text}");
    }
}

#[test]
fn a_new_key_goes_behind_the_last_one_of_its_map() {
    let table = [
        ("a:\n  b: 1 # c\nd: 2\n", "a.x", "a:\n  b: 1 # c\n  x: v\nd: 2\n"),
        ("a:\n    b:\n        c: 1\n", "a.x", "a:\n    b:\n        c: 1\n    x: v\n"),
        ("a:\r\n  b: 1\r\n", "a.x", "a:\r\n  b: 1\r\n  x: v\r\n"),
        ("a: 1", "x", "a: 1\nx: v"),
        ("a: {b: 1}\n", "a.x", "a: {b: 1, x: v}\n"),
        ("a: {\"b\": 1}\n", "a.x", "a: {\"b\": 1, \"x\": \"v\"}\n"),
        ("a: {}\nb: 1\n", "a.x", "a:\n  x: v\nb: 1\n"),
        ("a:\nb: 1\n", "a.x", "a:\n  x: v\nb: 1\n"),
        ("a:\n  b: |\n    t\n\nc: 1\n", "a.x", "a:\n  b: |\n    t\n  x: v\n\nc: 1\n"),
        ("a:\n  b: |+\n    t\n\nc: 1\n", "a.x", "a:\n  b: |+\n    t\n\n  x: v\nc: 1\n"),
        ("l:\n- a: 1\n- a: 2\n", "l[0].x", "l:\n- a: 1\n  x: v\n- a: 2\n"),
        ("l:\n  - a\nb: 1\n", "l[1]", "l:\n  - a\n  - v\nb: 1\n"),
        ("l: [a]\n", "l[1]", "l: [a, v]\n"),
        ("l: []\n", "l[0]", "l:\n  - v\n"),
        ("a:\n  b:\nc: 1\n", "a.x", "a:\n  b:\n  x: v\nc: 1\n"),
        ("a: 1\n---\nb:\n  c: 1\n...\n", "b.x", "a: 1\n---\nb:\n  c: 1\n  x: v\n...\n"),
        ("a:\n  b: 1\n  # foot\nc: 2\n", "a[\"t.x y: z\"]", "a:\n  b: 1\n  't.x y: z': v\n  # foot\nc: 2\n"),
        ("a: {\n  b: 1\n}\n", "a.x", "a: {\n  b: 1,\n  x: v\n}\n"),
    ];
    for (text, path, wanted) in table {
        assert_eq!(put(text, path, "v"), wanted, "{text}");
    }
    assert_eq!(put("a:\n  b: 1\n", "a.x", "1\n2\n"), "a:\n  b: 1\n  x: |\n    1\n    2\n");
}

#[test]
fn missing_maps_are_made_only_when_asked_for() {
    assert_eq!(put("a: 1\n", "b.c.d", "v"), "there is no `b.c` to put it in");
    assert_eq!(create("a: 1\n", "b.c.d"), "a: 1\nb:\n  c:\n    d: v\n");
    assert_eq!(create("a:\n  b: {x: 1}\n", "a.b.c.d"), "a:\n  b: {x: 1, c: {d: v}}\n");
    assert_eq!(create("a: 1\n", "b[0].c"), "a: 1\nb:\n  - {c: v}\n");
    assert_eq!(create("a: 1\n", "b[1].c"), "a new list begins with item 0");
    assert_eq!(create("a: 1\n", "a.b"), "`a` is a value, and nothing is below it");
}

#[test]
fn maps_and_lists_are_written_as_the_place_asks() {
    assert_eq!(
        put_json("a: 1\n", "b", r#"{"x": 1, "y": [true, "n"]}"#),
        "a: 1\nb:\n  x: 1\n  \"y\":\n    - true\n    - \"n\"\n"
    );
    assert_eq!(put_json("a: {b: 1}\n", "a.b", r#"{"x": null}"#), "a: {b: {x: null}}\n");
    assert_eq!(put_json("a:\n  b: 1\n", "a", "[]"), "a: []\n");
    assert_eq!(put_json("a: x\n", "a", "1.0"), "a: 1.0\n");
    assert_eq!(put_json("a: x\n", "a", "null"), "a: null\n");
}

#[test]
fn an_entry_goes_with_its_lines() {
    let table = [
        ("a: 1\nb: 2 # c\nc: 3\n", "b", "a: 1\nc: 3\n"),
        ("a:\n  b: |\n    x\n    y\n  c: 1\n", "a.b", "a:\n  c: 1\n"),
        ("a:\n  b: 1\nc: 2\n", "a.b", "a: {}\nc: 2\n"),
        ("a:\n  b: 1\nc: 2\n", "a", "c: 2\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.c", "a: {b: 1, d: 3}\n"),
        ("a: {b: 1, c: 2}\n", "a.c", "a: {b: 1}\n"),
        ("a: {b: 1}\n", "a.b", "a: {}\n"),
        ("l:\n- a\n- b\n- c\n", "l[1]", "l:\n- a\n- c\n"),
        ("l:\n- a: 1\n  b: 2\n- c: 3\n", "l[0]", "l:\n- c: 3\n"),
        ("l:\n- a: 1\n  b: 2\n", "l[0].a", "l:\n- b: 2\n"),
        ("l:\n- a: 1\n", "l[0]", "l: []\n"),
        ("l: [a, b]\n", "l[1]", "l: [a]\n"),
        ("a:\r\n  b: 1\r\n  c: 2\r\n", "a.c", "a:\r\n  b: 1\r\n"),
        ("a: 1\nb: 2", "b", "a: 1\n"),
        ("a: 1\nb:\n", "b", "a: 1\n"),
    ];
    for (text, path, wanted) in table {
        assert_eq!(take(text, path), wanted, "{text}");
    }
    assert_eq!(take("a: 1\n", "b"), "there is no `b`");
    assert_eq!(take("a: 1\n", "a"), "it is all that the document has: remove the file");
}

#[test]
fn what_is_not_clear_is_refused() {
    assert_eq!(
        put("a: &x 1\nb: *x\n", "b", "v"),
        "`b` is an alias, or has an anchor for one: a change would change more than this place"
    );
    assert_eq!(put("a: 1\na: 2\n", "a", "v"), "`a` is there twice: readers differ in which one they take");
    assert_eq!(put("l: [a]\n", "l[2]", "v"), "the list `l` has 1 items");
    assert_eq!(put("l: [a]\n", "l.x", "v"), "`l` is a list, not a map");
    assert_eq!(put("a: {b: 1}\n", "a[0]", "v"), "`a` is a map, not a list");
    assert_eq!(
        put("a: &x {b: 1}\nc: *x\n", "a.b", "v"),
        "`a` is an alias, or has an anchor for one: a change would change more than this place"
    );
}

#[test]
fn of_several_documents_the_one_that_has_the_place_is_meant() {
    let stream = "kind: ConfigMap\nmetadata: {name: c}\ndata: {a: x}\n---\nkind: Secret\nmetadata: {name: s, namespace: n}\nstringData:\n  a: x\n";
    assert!(put(stream, "stringData.b", "v").ends_with("stringData:\n  a: x\n  b: v\n"));
    assert_eq!(put(stream, "metadata.x", "v"), "several: document 1: ConfigMap c, document 2: Secret n/s");
    assert!(take(stream, "stringData.a").ends_with("stringData: {}\n"));
    let path = "metadata.x".parse::<KeyPath>().unwrap();
    let first = Place { document: Some(0), ..place(Format::Yaml, &path) };
    let value = New::Scalar(Plain::text("v"));
    assert!(shown(set(stream.as_bytes(), first, &value, false)).contains("{name: c, x: v}"));
    let third = Place { document: Some(2), ..first };
    assert_eq!(shown(set(stream.as_bytes(), third, &value, false)), "there is no document 3: the file has 2");
}

#[test]
fn json_stays_json() {
    let json = "{\n\t\"data\": {\n\t\t\"a\": \"x\",\n\t\t\"b\": 1\n\t},\n\t\"l\": []\n}\n";
    let text = |value: &str| New::Scalar(Plain::text(value));
    let put = |path: &str, value: &New| set_in(Format::Json, json, path, value, true);
    assert_eq!(put("data.a", &text("q\"é\n")), json.replace("\"x\"", "\"q\\\"é\\n\""));
    assert_eq!(put("data.c", &text("v")), json.replace("1\n", "1,\n\t\t\"c\": \"v\"\n"));
    assert_eq!(put("l[0]", &New::Scalar(Plain::Bool(true))), json.replace("[]", "[true]"));
    assert_eq!(put("n.m", &New::Scalar(Plain::Int(1))), json.replace("[]\n", "[],\n\t\"n\": {\"m\": 1}\n"));
    assert_eq!(take_from(Format::Json, json, "data.b"), json.replace(",\n\t\t\"b\": 1", ""));
    assert_eq!(take_from(Format::Json, json, "data.a"), json.replace("\"a\": \"x\",\n\t\t", ""));
    assert_eq!(take_from(Format::Json, "{\"a\": {\"b\": 1}}", "a.b"), "{\"a\": {}}");
}

#[test]
fn dotenv_and_ini_files_have_lines() {
    let text = |value: &str| New::Scalar(Plain::text(value));
    let env = "# c\nA=1\nB=2\n";
    assert_eq!(set_in(Format::Dotenv, env, "A", &text("x\ny"), false), "# c\nA=x\\ny\nB=2\n");
    assert_eq!(set_in(Format::Dotenv, env, "C", &text("x"), false), "# c\nA=1\nB=2\nC=x\n");
    assert_eq!(take_from(Format::Dotenv, env, "A"), "# c\nB=2\n");
    assert_eq!(set_in(Format::Dotenv, env, "a.b", &text("x"), true), "the format has no such place");
    let ini = "[one]\na = 1\n\n[two]\nb = 2\n";
    assert_eq!(set_in(Format::Ini, ini, "one.a", &text("x"), false), "[one]\na = x\n\n[two]\nb = 2\n");
    assert_eq!(set_in(Format::Ini, ini, "one.c", &text("x"), false), "[one]\na = 1\nc = x\n\n[two]\nb = 2\n");
    assert_eq!(set_in(Format::Ini, ini, "new.c", &text("x"), false), "there is no `new` to put it in");
    assert_eq!(set_in(Format::Ini, ini, "new.c", &text("x"), true), format!("{ini}\n[new]\nc = x\n"));
    assert_eq!(take_from(Format::Ini, ini, "two.b"), "[one]\na = 1\n\n[two]\n");
}
