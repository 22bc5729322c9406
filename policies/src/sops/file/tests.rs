use super::*;
use crate::rules::goregex::GoRegex;
use crate::sops::age::{AgeKeys, Identity};
use crate::sops::cipher::Cipher;
use crate::sops::keys::{DataKey, KeyService as _};
use crate::sops::recipient::Recipient;
use crate::sops::tree::{Stop, walk};
use crate::sops::value::ValueType;

fn recipe(selector: Option<&str>, identity: &Identity) -> Recipe {
    let recipients = vec![Recipient::Age(identity.recipient().unwrap())];
    Recipe {
        groups: vec![KeyGroup { recipients }],
        selector: selector.map(|pattern| Selector::EncryptedRegex(GoRegex::new(pattern).unwrap())),
        ..Recipe::default()
    }
}

fn seal(text: &str, selector: Option<&str>) -> String {
    let identity = Identity::generate();
    let key = DataKey::new([7; 32]);
    let recipe = recipe(selector, &identity);
    let wrapped = AgeKeys::default().wrap(&key.clone().into(), &recipe.groups[0].recipients[0]).unwrap();
    let file = match File::read(text.as_bytes(), Format::Yaml, StoreSettings::default()) {
        Ok(file) => file,
        Err(problems) => return problems.iter().map(|problem| format!("{problem}\n")).collect(),
    };
    let lock = Lock::New(key, vec![vec![wrapped]]);
    let sealing = Sealing { recipe: &recipe, lock, before: None, now: "2026-11-21T06:00:00Z" };
    let mut count = 0u8;
    let sealed = file.seal(&sealing, &mut |buffer| {
        count = count.wrapping_add(1);
        buffer.fill(count);
    });
    match sealed {
        Ok(sealed) => String::from_utf8(sealed.bytes).unwrap(),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

fn open(text: &str) -> String {
    let file = File::read(text.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
    let decrypted = file.decrypt(&DataKey::new([7; 32]), MacCheck::Required).unwrap();
    String::from_utf8(decrypted.bytes.to_vec()).unwrap()
}

#[test]
fn what_is_encrypted_comes_back_byte_for_byte() {
    let table = [
        "a: 1\n",
        "a: x",
        "a: \"x\"\nb: 'y'\nc: |\n  one\n  two\n\nd: >-\n  f\n",
        "# head\na: 1 # inline\nb:\n  # in b\n  - x\n  # foot\nc: true\n\n# end\n",
        "a: |+\n  k\n\n\nb: 1\n",
        "a: |2\n   lead\n  x\nb: 1\n",
        "---\na: {x: 1, y: [true, z z]}\n---\nb: !!str 5\n...\n",
        "{\"a\": 1, \"b\": \"x\"}\n",
        "a:\r\n  b: x\r\n  c: |\r\n    l1\r\n    l2\r\n",
        "\u{feff}a: x\n",
        "a: &anchor x\nb: null\nc: ~\nd: ''\ne:\nf: {}\n",
        "- not\n",
        "list:\n- a: 1\n  b: |\n    x\n- - 2\n  - |\n    y\n-\n",
    ];
    for text in table {
        let sealed = seal(text, None);
        if text == "- not\n" {
            assert!(sealed.contains("the document is a list"), "{sealed}");
            continue;
        }
        assert!(sealed.contains("ENC["), "{text}\n{sealed}");
        assert_eq!(open(&sealed), text, "{sealed}");
    }
}

/// Seals with a selector by comment.
fn seal_by_comment(text: &str, pattern: &str) -> String {
    let identity = Identity::generate();
    let selector = Selector::EncryptedCommentRegex(GoRegex::new(pattern).unwrap());
    let recipe = Recipe { selector: Some(selector), ..recipe(None, &identity) };
    let key = DataKey::new([7; 32]);
    let wrapped = AgeKeys::default().wrap(&key.clone().into(), &recipe.groups[0].recipients[0]).unwrap();
    let lock = Lock::New(key, vec![vec![wrapped]]);
    let sealing = Sealing { recipe: &recipe, lock, before: None, now: "2026-11-21T06:00:00Z" };
    let file = File::read(text.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
    let sealed = file.seal(&sealing, &mut |buffer| buffer.fill(9)).unwrap();
    String::from_utf8(sealed.bytes).unwrap()
}

#[test]
fn odd_documents_come_back_byte_for_byte() {
    let table = [
        "{}\n",
        "---\n",
        "# c\n---\n# d\n",
        "a: 1\n---\n---\nb: 2\n",
        "{a: 1, b: }\n",
        "{a: 1,\n b: 2, # b\n}\n# end\n",
        "{ # lost\n}\n",
        "{\n  a: 1 # a\n}\n",
        "  a: 1\n  b: x\n",
        "? a\n: x\nb: v\n",
        "? a\n",
        "l:\n- ? a\n  : x\n  b: |3-\n     v\n",
        "a: 1\n...\n# after\n",
        "l:\n- a\n#\n- b #\n#\n",
        "a:\n  b: x\n  # foot\n\n# end",
        "a: |2-\n   x\nb: |-1\n  x\n",
        "a: >+\n  x\n\n  y\n\n# c\n",
        "a: 1 # c\r\nl:\r\n- |\r\n  x\r\n\r\n  y\r\n- z\r\n",
        "\"a:b\": x\n'': v\n\"y\": z\n\"<<\": q\n",
        "a: ENC[not]\n",
        "l: [[], {}, [[x]], {a: [v]}]\n",
    ];
    for text in table {
        let sealed = seal(text, None);
        assert!(sealed.contains("sops"), "{text}\n{sealed}");
        assert_eq!(open(&sealed), text, "{sealed}");
    }
}

#[test]
fn what_an_encrypted_file_has_no_place_for_keeps_its_value() {
    let table = [
        ("a: 0x1F\nb: 1e3\nc: 2020-1-2\n", "a: 31\nb: 1000.0\nc: 2020-01-02T00:00:00Z\n"),
        ("a: !!int 7\nb: ! true\n", "a: 7\nb: true\n"),
        ("a: one\n  two\n", "a: one two\n"),
        ("a: 'x'\nb: ['v']\n", "a: 'x'\nb: [v]\n"),
        ("a: yes\n", "a: \"yes\"\n"),
        ("a: |\n  x", "a: |-\n  x"),
    ];
    for (text, wanted) in table {
        assert_eq!(open(&seal(text, None)), wanted, "{text}");
    }
}

#[test]
fn a_plain_block_text_at_the_end_does_not_get_a_line_break_with_the_metadata() {
    let sealed = seal("data: x\nplain: |\n  text", Some("^data$"));
    assert!(sealed.contains("plain: |-\n  text\nsops:"), "{sealed}");
    assert_eq!(open(&sealed), "data: x\nplain: |-\n  text");
}

#[test]
fn an_escape_that_sops_does_not_read_may_not_stay_plain() {
    let text = "data: \"a\\/b\"\nother: \"a\\/b\"\n";
    assert_eq!(seal(text, Some("^data$")), "2:8: other: the escape `\\/`, which sops cannot read back\n");
    assert_eq!(open(&seal(text, None)), "data: \"a/b\"\nother: \"a/b\"\n");
}

#[test]
fn an_empty_comment_in_a_list_is_encrypted_too() {
    // sops makes an empty item of one that is not.
    let sealed = seal("a:\n- x\n#\n- y\n", None);
    assert!(sealed.contains("\n#ENC["), "{sealed}");
    assert!(seal("#\na: x\n", None).starts_with("#\na: ENC["), "it stays in a map");
}

#[test]
fn comments_that_sops_does_not_see_select_nothing() {
    let sealed = seal_by_comment("a: { # secret\n  b: x,\n  # secret\n  c: y\n}\n", "^ secret");
    assert!(sealed.starts_with("a: { # secret\n  b: x,\n  # secret\n  c: 'ENC["), "{sealed}");
}

#[test]
fn a_comment_before_the_metadata_is_encrypted_for_the_place_that_it_then_has() {
    let text = "a:\n  b: x\n  # foot\n\n# end\n";
    let sealed = seal(text, None);
    let file = File::read(sealed.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
    let opened = file.open(&DataKey::new([7; 32])).unwrap();
    let places = opened.values.iter().filter(|value| value.is_comment).map(|value| value.aad.as_str());
    assert_eq!(places.collect::<Vec<_>>(), ["a:", ":"]);
    // The places are those where sops sees them in the encrypted file, so none was searched for.
    for document in &file.parsed.documents {
        walk(document, &Selector::default(), &mut |visit| {
            if let Stop::Comment(comment) = visit.stop {
                let there = opened.values.iter().find(|value| value.site == comment.site).unwrap();
                assert_eq!(there.aad, visit.aad());
            }
        });
    }
}

#[test]
fn comments_that_sops_keeps_as_items_become_comments_again() {
    let cipher = Cipher::new(&DataKey::new([7; 32]));
    let comment = |text: &str| {
        let kind = ValueType::Comment;
        cipher.seal(kind, text.as_bytes(), "l:", &mut |buffer| buffer.fill(3)).to_string()
    };
    let sealed = seal("l: x\n", None);
    let (_, metadata) = sealed.split_once("sops:").unwrap();
    let open_unchecked = |text: String| {
        let file = File::read(text.as_bytes(), Format::Yaml, StoreSettings::default()).unwrap();
        let decrypted = file.decrypt(&DataKey::new([7; 32]), MacCheck::Ignored).unwrap();
        String::from_utf8(decrypted.bytes.to_vec()).unwrap()
    };
    let one = comment(" one");
    let text = format!("l:\n    - {one}\n    - null\nsops:{metadata}");
    assert_eq!(open_unchecked(text), "l:\n    # one\n    - null\n");
    let text = format!("l:\n    - {one}\nsops:{metadata}");
    assert_eq!(open_unchecked(text), "l:\n    [] # one\n");
    let text = format!("l:\n    - {one} # two\n    - null\nsops:{metadata}");
    assert_eq!(open_unchecked(text), "l:\n    # one\n    # two\n    - null\n");
}

#[test]
fn a_comment_on_the_line_of_the_metadata_stays_and_an_emptied_file_is_a_map() {
    let sealed = seal("a: x\n", None).replace("\nsops:\n", "\nsops: # mine\n");
    assert_eq!(open(&sealed), "a: x\n# mine\n");
    let sealed = seal("{}\n", None);
    let block =
        sealed.trim_end().strip_prefix("{\"sops\": ").and_then(|text| text.strip_suffix('}')).unwrap();
    assert_eq!(open(&format!("sops: {block}\n")), "{}\n");
}
