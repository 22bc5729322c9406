use super::*;
use crate::rules::goregex::GoRegex;
use crate::sops::age::{AgeKeys, Identity};
use crate::sops::keys::{DataKey, KeyService as _};
use crate::sops::recipient::Recipient;

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
        Ok(sealed) => String::from_utf8(sealed.bytes.to_vec()).unwrap(),
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
