//! The stores against the real sops: what it encrypts opens here, what is encrypted here opens there, and
//! both sides mean the same values.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::process::{Command, Stdio};

use kubiya_policies::sops::age::{AgeKeys, Identity};
use kubiya_policies::sops::block::{Block, Meta};
use kubiya_policies::sops::cipher::Cipher;
use kubiya_policies::sops::keys::{DataKey, KeyService as _, unlock};
use kubiya_policies::sops::mac::{Mac, aad_of};
use kubiya_policies::sops::metadata::Metadata;
use kubiya_policies::sops::plain::Plain;
use kubiya_policies::sops::problem::Problem;
use kubiya_policies::sops::recipient::Recipient;
use kubiya_policies::sops::selector::Selector;
use kubiya_policies::sops::store::{Parsed, StoreSettings, apply, binary, dotenv, ini, json};
use kubiya_policies::sops::tree::{Stop, walk};
use kubiya_policies::sops::value::{self, ValueType};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

type Read = for<'b> fn(&'b [u8], StoreSettings) -> Result<Parsed<'b>, Vec<Problem>>;

/// A store and the name of a file that sops keeps in it.
#[derive(Clone, Copy)]
struct Store {
    name: &'static str,
    read: Read,
}

const JSON: Store = Store { name: "file.json", read: json::read };
const DOTENV: Store = Store { name: "file.env", read: dotenv::read };
const INI: Store = Store { name: "file.ini", read: ini::read };
const BINARY: Store = Store { name: "file.bin", read: binary::read };

/// A leaf or comment: the place that is authenticated, the type, the bytes. Comments have no type.
type Content = (String, Option<ValueType>, Vec<u8>);

impl Store {
    fn parse<'b>(&self, bytes: &'b [u8]) -> Parsed<'b> {
        (self.read)(bytes, StoreSettings::default())
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", String::from_utf8_lossy(bytes)))
    }

    fn contents(&self, bytes: &[u8]) -> Vec<Content> {
        let mut contents = Vec::new();
        for branch in &self.parse(bytes).documents {
            walk(branch, &Selector::default(), &mut |visit| {
                contents.push(match visit.stop {
                    Stop::Leaf(plain, _) => (visit.aad(), Some(plain.kind()), plain.canonical().to_vec()),
                    Stop::Comment(comment) => (visit.aad(), None, comment.text.clone().into_bytes()),
                });
            });
        }
        contents
    }

    fn values(&self, bytes: &[u8]) -> Vec<Content> {
        let contents = self.contents(bytes);
        contents.into_iter().filter(|(_, kind, _)| kind.is_some()).collect()
    }
}

/// A folder with an age key.
struct Lab {
    dir: tempfile::TempDir,
    identity: Identity,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::generate();
        std::fs::write(dir.path().join("key.txt"), identity.expose_line().expose_secret()).unwrap();
        Self { dir, identity }
    }

    fn recipient(&self) -> String {
        self.identity.recipient().unwrap()
    }

    #[track_caller]
    fn sops(&self, store: Store, bytes: &[u8], arguments: &[&str]) -> Vec<u8> {
        let file = self.dir.path().join(store.name);
        std::fs::write(&file, bytes).unwrap();
        let output = Command::new("sops")
            .args(arguments)
            .arg(&file)
            .current_dir(self.dir.path())
            .env("SOPS_AGE_KEY_FILE", self.dir.path().join("key.txt"))
            .env("SOPS_DISABLE_VERSION_CHECK", "1")
            .env_remove("SOPS_CONFIG")
            .stdin(Stdio::null())
            .output()
            .expect("this test needs the program `sops` on PATH");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", String::from_utf8_lossy(bytes));
        output.stdout
    }

    #[track_caller]
    fn sops_encrypts(&self, store: Store, bytes: &[u8], arguments: &[&str]) -> Vec<u8> {
        let recipient = self.recipient();
        self.sops(store, bytes, &[&["--encrypt", "--age", &recipient], arguments].concat())
    }

    #[track_caller]
    fn sops_decrypts(&self, store: Store, bytes: &[u8]) -> Vec<u8> {
        self.sops(store, bytes, &["--decrypt"])
    }

    /// Decrypts with the store, and checks the message authentication code.
    #[track_caller]
    fn decrypts(&self, store: Store, bytes: &[u8]) -> Vec<u8> {
        let parsed = store.parse(bytes);
        let metadata = Metadata::of(parsed.block.as_ref().expect("metadata"));
        let keys = AgeKeys::new(vec![self.identity.clone()]);
        let cipher = Cipher::new(&unlock(&metadata, &keys).unwrap());
        let mut mac = Mac::new(metadata.mac_only_encrypted);
        let mut edits = parsed.layout.strip();
        let selector = metadata.effective_selector();
        for branch in &parsed.documents {
            walk(branch, &selector, &mut |visit| match visit.stop {
                Stop::Leaf(plain, site) if visit.covered && !plain.is_empty() => {
                    let sealed = value::parse(plain.as_text().unwrap()).unwrap();
                    let opened = cipher.open(&sealed, &visit.aad()).unwrap();
                    let plain = Plain::from_canonical(sealed.kind, opened).unwrap();
                    mac.add(&plain, true);
                    edits.extend(parsed.layout.open(site, &plain).unwrap());
                }
                Stop::Leaf(plain, _) => mac.add(plain, visit.covered),
                Stop::Comment(comment) if visit.covered && !comment.text.is_empty() => {
                    let sealed = value::parse(&comment.text).unwrap();
                    let opened = cipher.open(&sealed, &visit.aad()).unwrap();
                    let text = String::from_utf8(opened.to_vec()).unwrap();
                    edits.extend(parsed.layout.comment(comment.site, &text).unwrap());
                }
                Stop::Comment(_) => {}
            });
        }
        let code = value::parse(&metadata.mac.unwrap()).unwrap();
        let code = cipher.open(&code, &aad_of(&metadata.last_modified.unwrap())).unwrap();
        assert_eq!(mac.finish().as_bytes(), code.as_slice());
        apply(bytes, edits).unwrap().to_vec()
    }

    /// Encrypts with the store.
    #[track_caller]
    fn encrypts(&self, store: Store, bytes: &[u8]) -> Vec<u8> {
        let parsed = store.parse(bytes);
        let key = DataKey::new([42; 32]);
        let cipher = Cipher::new(&key);
        let mut count = 0_u32;
        let mut random = |buffer: &mut [u8]| {
            count += 1;
            buffer[..4].copy_from_slice(&count.to_le_bytes());
        };
        let mut mac = Mac::new(false);
        let mut edits = Vec::new();
        for branch in &parsed.documents {
            walk(branch, &Selector::default(), &mut |visit| match visit.stop {
                Stop::Leaf(plain, site) => {
                    mac.add(plain, visit.covered);
                    if visit.covered && !plain.is_empty() {
                        let sealed = cipher.seal(plain.kind(), &plain.canonical(), &visit.aad(), &mut random);
                        edits.extend(parsed.layout.seal(site, &sealed.to_string()).unwrap());
                    }
                }
                Stop::Comment(comment) if visit.covered && !comment.text.is_empty() => {
                    let text = comment.text.as_bytes();
                    let sealed = cipher.seal(ValueType::Comment, text, &visit.aad(), &mut random);
                    edits.extend(parsed.layout.comment(comment.site, &sealed.to_string()).unwrap());
                }
                Stop::Comment(_) => {}
            });
        }
        let last_modified = "2026-11-21T06:00:00Z";
        let code = mac.finish();
        let code = cipher.seal(ValueType::Str, code.as_bytes(), &aad_of(last_modified), &mut random);
        let wrapped =
            AgeKeys::default().wrap(&key.clone().into(), &Recipient::Age(self.recipient())).unwrap();
        let text = |name: &str, text: &str| (name.to_owned(), Meta::Text(text.to_owned()));
        let age = vec![text("enc", &wrapped.enc), text("recipient", &self.recipient())];
        let block = Block {
            fields: vec![
                ("age".to_owned(), Meta::List(vec![Meta::Map(Block { fields: age })])),
                text("lastmodified", last_modified),
                text("mac", &code.to_string()),
                text("unencrypted_suffix", "_unencrypted"),
                text("version", "3.13.3"),
            ],
        };
        edits.extend(parsed.layout.stamp(&block).unwrap());
        apply(bytes, edits).unwrap().to_vec()
    }

    /// Both ways: sops encrypts and the store decrypts; the store encrypts and sops decrypts. The same bytes
    /// come back.
    #[track_caller]
    fn agree(&self, store: Store, plain: &[u8]) {
        let back = self.agree_on_values(store, plain);
        assert_eq!(back, plain, "{}", String::from_utf8_lossy(&back));
    }

    /// The same, but for the bytes: gives those that come back.
    #[track_caller]
    fn agree_on_values(&self, store: Store, plain: &[u8]) -> Vec<u8> {
        let values = store.values(plain);
        let by_sops = self.sops_encrypts(store, plain, &[]);
        let (ours, theirs) = (self.decrypts(store, &by_sops), self.sops_decrypts(store, &by_sops));
        assert_same(store, &ours, &theirs, plain);
        let by_us = self.encrypts(store, plain);
        assert!(store.parse(&by_us).block.is_some());
        assert_eq!(values.len(), store.values(&by_us).len());
        let (ours, theirs) = (self.decrypts(store, &by_us), self.sops_decrypts(store, &by_us));
        assert_same(store, &ours, &theirs, plain);
        ours
    }
}

/// Whether two plain files mean the same. JSON has numbers of one kind only: sops makes `1` of `1.0`, and of
/// `-0.0` in the end `0`.
#[track_caller]
fn assert_same(store: Store, one: &[u8], other: &[u8], plain: &[u8]) {
    let normal = |bytes: &[u8]| {
        let mut values = store.values(bytes);
        for (_, kind, bytes) in &mut values {
            if matches!(kind, Some(ValueType::Int | ValueType::Float)) {
                *kind = Some(ValueType::Float);
                if bytes == b"-0" {
                    *bytes = b"0".to_vec();
                }
            }
        }
        values
    };
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(normal(one), normal(other), "{}\n---\n{}\n---\n{}", show(one), show(other), show(plain));
    assert_eq!(normal(one), normal(plain));
}

#[test]
fn json_of_all_types_and_layouts_means_the_same_to_both() {
    let lab = Lab::new();
    for text in [
        "{}",
        "{\"a\":1}",
        "{\n  \"a_unencrypted\": [1, 1.5, true, null, \"x\", {}],\n  \"b\": [[], {}, null, false, \"\", \"x\"]\n}",
        "{\r\n\t\"\": {\"a:b\": {\"c\": \"\\u0000\\u001f\\u007f\\u2028<&>\\\"\\\\\\/ é😀\"}},\r\n\t\"list\": [\"same\", \"same\"]\r\n}\r\n",
        "{\"a\": \"ENC[\", \"b\": \"\\u00e9\", \"d\": -9223372036854775808}\n",
    ] {
        let plain = JSON.values(text.as_bytes());
        let back = lab.agree_on_values(JSON, text.as_bytes());
        assert_eq!(JSON.values(&back), plain);
    }
}

#[test]
fn json_numbers_of_all_spellings_mean_the_same_to_both() {
    let lab = Lab::new();
    for number in "1.0 -0 1e21 1.5e-7 0.1E-5 9007199254740993 123456789012345680000 1e-400".split(' ') {
        lab.agree_on_values(JSON, format!("{{\"a\": {number}, \"b_unencrypted\": {number}}}").as_bytes());
    }
    lab.agree_on_values(JSON, b"{\"a\": -0.0}");
    // Where sops leaves a negative zero plain, it cannot read what it wrote. What is written here, it can.
    lab.sops_decrypts(JSON, &lab.encrypts(JSON, b"{\"a_unencrypted\": -0.0}"));
}

#[test]
fn dotenv_lines_mean_the_same_to_both() {
    let lab = Lab::new();
    for text in [
        "A=b",
        "A=b\r\n#c\r\nexport B = \"x y\" \n\nC=a\\nb\nD=\n=e\n# a comment\nF=g=h#i\n",
        "PLAIN_unencrypted=x\nA='b'\nA=again\nü=ö\n#\n",
        "A= \nB=\\\nC=\\\\n\nD=\u{a0}\u{2028}\u{85}\n",
    ] {
        lab.agree(DOTENV, text.as_bytes());
        let by_sops = lab.sops_encrypts(DOTENV, text.as_bytes(), &[]);
        let decrypted = lab.decrypts(DOTENV, &by_sops);
        assert_eq!(decrypted, lab.sops_decrypts(DOTENV, &by_sops), "byte for byte what sops writes");
        assert_eq!(DOTENV.contents(&decrypted), DOTENV.contents(text.as_bytes()), "comments included");
    }
}

const TRICKY_INI: [&str; 5] = [
    "top = 1\n; one\n# two\n[s]\nk = \"a b\" # three\n\n'k2' = `a;b`\n  ; four\n  k4 : \"\"\"m\n n\"\"\" ; five\n; six",
    "\u{feff}[s]\r\na=1\r\nb =\r\n\r\n; c\r\n; d\r\n[t]\r\nx_unencrypted=`a#b`\r\n",
    "[s]\na=1\n[s]\na=2\n[ s ]\na=3\n[DEFAULT]\nb=4\n",
    "a = it's\nb = \" x \"\nc = `a\nb\n`\nd = \"\"\"a`\n\"b\" \"\"\"\n`e=\"f` = g\n\"\"\"h`\"\"\" = i\nü = ö\n",
    "; before\na = b ; after\n\n; more\n\n; and more\nc = d\n; last\n",
];

#[test]
fn ini_files_mean_the_same_to_both() {
    let lab = Lab::new();
    for text in TRICKY_INI {
        lab.agree(INI, text.as_bytes());
    }
}

/// Where a comment covers what follows, its place in the tree counts.
#[test]
fn ini_comments_cover_what_they_cover_for_sops() {
    let lab = Lab::new();
    let text = "; hide\n[s]\na = 1\nb = 2\n; hide\nc = 3\nd = 4\n; x\n[t]\ne = 5 ; hide\nf = 6\ng = 7\n";
    for selector in ["--encrypted-comment-regex", "--unencrypted-comment-regex"] {
        let by_sops = lab.sops_encrypts(INI, text.as_bytes(), &[selector, "^hide"]);
        let ours = lab.decrypts(INI, &by_sops);
        assert_same(INI, &ours, &lab.sops_decrypts(INI, &by_sops), text.as_bytes());
    }
}

#[test]
fn bytes_of_any_kind_come_back_from_both() {
    let lab = Lab::new();
    for bytes in [&b""[..], b"x", b"\xff\0\xfe\n", b"{\"data\": \"x\"}\n", "é\r\n".as_bytes()] {
        let by_sops = lab.sops_encrypts(BINARY, bytes, &[]);
        assert_eq!(lab.decrypts(BINARY, &by_sops), bytes);
        let by_us = lab.encrypts(BINARY, bytes);
        assert_eq!(lab.sops_decrypts(BINARY, &by_us), bytes);
        assert_eq!(lab.decrypts(BINARY, &by_us), bytes);
    }
}

#[test]
fn sops_goes_on_with_what_was_encrypted_here() {
    let lab = Lab::new();
    for (store, plain) in
        [(JSON, "{\n  \"a\": 1\n}\n"), (DOTENV, "a=1\n"), (INI, TRICKY_INI[0]), (BINARY, "a")]
    {
        let ours = lab.encrypts(store, plain.as_bytes());
        let rotated = lab.sops(store, &ours, &["--rotate"]);
        assert_ne!(rotated, ours);
        let back = lab.decrypts(store, &rotated);
        assert_eq!(store.values(&back), store.values(plain.as_bytes()));
    }
}

fn few() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        max_global_rejects: 1_000_000,
        ..ProptestConfig::with_cases(24)
    }
}

fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z=;#:'\"`\\\\ \\[\\]%$]{0,12}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "[\u{1}-\u{20}\u{7f}-\u{a0}\u{2028}\u{feff}é😀]{0,6}",
    ]
}

#[test]
fn any_json_means_the_same_to_both() {
    let lab = Lab::new();
    let leaf = prop_oneof![
        odd_text().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
    ];
    let member = (odd_text(), leaf);
    proptest!(few(), |(members in proptest::collection::vec(member, 1..20), pretty: bool)| {
        let members = members.into_iter().filter(|(key, _)| key != "sops").collect::<serde_json::Map<_, _>>();
        let text = serde_json::json!({ "list": members.values().collect::<Vec<_>>(), "map": members });
        let text = if pretty { format!("{text:#}") } else { text.to_string() };
        // Floats come back in the spelling of Go, which may be another.
        let values = JSON.values(text.as_bytes());
        let by_us = lab.encrypts(JSON, text.as_bytes());
        prop_assert_eq!(&JSON.values(&lab.sops_decrypts(JSON, &by_us)).len(), &values.len());
        let (ours, theirs) = (lab.decrypts(JSON, &by_us), lab.sops_decrypts(JSON, &by_us));
        assert_same(JSON, &ours, &theirs, text.as_bytes());
        let by_sops = lab.sops_encrypts(JSON, text.as_bytes(), &[]);
        assert_same(JSON, &lab.decrypts(JSON, &by_sops), text.as_bytes(), text.as_bytes());
    });
}

#[test]
fn any_dotenv_means_the_same_to_both() {
    let lab = Lab::new();
    proptest!(few(), |(lines in proptest::collection::vec((odd_text(), odd_text()), 1..20))| {
        let one_line = |text: &str| text.replace('\n', "\\n");
        let text = lines
            .iter()
            .map(|(key, value)| {
                let key = one_line(key).replace(['=', '\u{feff}'], "");
                if key.starts_with('#') { key } else { format!("{key}={}", one_line(value)) }
            })
            .collect::<Vec<_>>()
            .join("\n");
        prop_assume!(!text.contains("ENC["));
        lab.agree(DOTENV, text.as_bytes());
    });
}

#[test]
fn any_ini_that_is_not_refused_means_the_same_to_both() {
    let lab = Lab::new();
    let quote = proptest::sample::select(vec!["", "\"", "'", "`", "\"\"\""]);
    let line = prop_oneof![
        4 => (odd_text(), quote.clone(), odd_text(), quote).prop_map(|(key, key_quote, value, quote)| {
            format!("{key_quote}{key}{key_quote} = {quote}{value}{quote}")
        }),
        1 => odd_text().prop_map(|text| format!("; a{text}")),
        1 => odd_text().prop_map(|text| format!("[{text}]")),
        1 => Just(String::new()),
    ];
    proptest!(few(), |(lines in proptest::collection::vec(line, 1..40))| {
        // Of the lines, those that can stand alone, and in the end what they are together.
        let reads = |text: &str| (INI.read)(text.as_bytes(), StoreSettings::default()).is_ok();
        let mut text = String::new();
        for line in lines {
            let longer = format!("{text}{line}\n");
            if reads(&longer) {
                text = longer;
            }
        }
        // Of a file without values, sops leaves nothing.
        prop_assume!(!text.is_empty() && !INI.values(text.as_bytes()).is_empty() && !text.contains("ENC[") && !text.contains("[sops]"));
        lab.agree(INI, text.as_bytes());
    });
}

/// Also a measure: `cargo test --release -- --nocapture twenty_thousand` shows times.
#[test]
fn twenty_thousand_leaves_are_read_sealed_and_opened() {
    let lab = Lab::new();
    let lines = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<Vec<_>>();
    let json = format!("{{{}}}", lines(&|n| format!("\"key{n}\": \"value{n}\"")).join(",\n"));
    let dotenv = lines(&|n| format!("KEY{n}=value{n}\n")).concat();
    let ini = lines(&|n| format!("key{n} = value{n} ; c\n")).concat();
    for (store, text) in [(JSON, json), (DOTENV, dotenv), (INI, ini)] {
        let start = std::time::Instant::now();
        store.parse(text.as_bytes());
        println!("{}: read in {:?}", store.name, start.elapsed());
        let sealed = lab.encrypts(store, text.as_bytes());
        assert_eq!(lab.decrypts(store, &sealed), text.as_bytes());
        println!("{}: all in {:?}", store.name, start.elapsed());
    }
}
