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

mod dotenv_files;

mod json_files;

mod binary_files;

mod ini_files;
