//! The binary store.

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
