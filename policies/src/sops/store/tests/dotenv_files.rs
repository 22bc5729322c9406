//! The dotenv store.

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
