use super::*;
use crate::sops::tree::{Comment, Element, Item, Tree};

/// Every comment with the keys of the map or list that it is in, in the order of the tree.
fn comments(text: &str) -> Vec<String> {
    fn branch(branch: &Branch, path: &str, into: &mut Vec<String>) {
        for item in &branch.items {
            match item {
                Item::Comment(comment) => into.push(shown(path, comment)),
                Item::Entry(key, value) => tree(value, &format!("{path}{key}/"), into),
            }
        }
    }
    fn tree(tree_: &Tree, path: &str, into: &mut Vec<String>) {
        match tree_ {
            Tree::Map(map) => branch(map, path, into),
            Tree::List(elements) => {
                for element in elements {
                    match element {
                        Element::Comment(comment) => into.push(shown(path, comment)),
                        Element::Value(value) => tree(value, path, into),
                    }
                }
            }
            Tree::Leaf(_) => {}
        }
    }
    fn shown(path: &str, comment: &Comment) -> String {
        format!("{path}{}", comment.text)
    }
    let parsed = read(text.as_bytes(), StoreSettings::default()).unwrap();
    let mut all = Vec::new();
    parsed.documents.iter().for_each(|document| branch(document, "", &mut all));
    all
}

fn refusal(text: &str) -> String {
    read(text.as_bytes(), StoreSettings::default()).unwrap_err()[0].to_string()
}

#[test]
fn comments_are_where_sops_sees_them() {
    let table: &[(&str, &[&str])] = &[
        ("# head\n\n# a\na: 1 # line\n# foot\n\nb: 2\n# end\n", &[" head", " a", " line", " foot", " end"]),
        ("a:\n  # in a\n  b: 1\n  # after b\nc: 2\n", &["a/ in a", "a/ after b"]),
        ("a:\n  b: 1\n# at c\nc: 2\n", &[" at c"]),
        ("a:\n  b: 1\n  # foot of b\n\n# c\nc: 2\n", &["a/ foot of b", " c"]),
        ("a:\n- x # x\n# same column\n- y\n# foot\n\nb: 1\n", &["a/ x", "a/ same column", "a/ foot"]),
        (
            "a:\n  - # first dash\n    k: 1\n  - k: 2\n    # in item\n  # after item\nb: 1\n",
            &["a/ first dash", "a/ in item", " after item"],
        ),
        ("a: [ x, # x\n  y\n  # foot\n]\nb: 1\n", &["a/ x", "a/ foot"]),
        (
            "a: | # header\n  # text\n  t\n# foot\nb: >- # h2\n  t\n\n# head of c\nc: 1\n",
            &[" header", " foot", " h2", " head of c"],
        ),
        ("a: 1\r\n# crlf\r\n# two\r\nb:\r\n  c: 1 # c\r\n", &[" crlf", " two", "b/ c"]),
        (
            "# doc one\n---\na: 1\n# between\n---\n# doc two\nb: 1\n...\n# after\n",
            &[" doc one", " between", " doc two", " after"],
        ),
        ("a:\n    b: 1\n  # dedented\n# more\nc: 1\n", &["a/ dedented", " more"]),
        ("a: 'x\n  y' # multi\n\n\n# far\nb: plain\n  folded # tail\nc: 1\n", &[" multi", " far", " tail"]),
        ("a:\n  b:\n    c: 1\n    # c\n  # b\n# a\n", &["a/b/ c", "a/ b", " a"]),
        ("? a # key\n: b # value\n# foot\nc: 1\n", &[" key", " value", " foot"]),
    ];
    for (text, wanted) in table {
        assert_eq!(comments(text), *wanted, "{text}");
    }
}

#[test]
fn comments_that_sops_loses_are_at_the_end_of_what_they_stand_in() {
    let text = "a: { # lost\n  b: 1, # b\n  # own line\n  c: 2 # c\n} # after\nd: 1\n";
    assert_eq!(comments(text), ["a/ after", "a/ b", "a/ own line", "a/ c", "a/ lost"]);
}

#[test]
fn comments_of_what_an_alias_repeats_are_read_once() {
    let text = "a: &x # anchored\n  b: 1\nc: !!map # tagged\n  d: *x # alias\n";
    assert_eq!(comments(text), ["a/ anchored", "c/ tagged", "c/ alias"]);
}

#[test]
fn comments_around_the_metadata_are_those_of_the_document() {
    let text = "a: 1\n# head\nsops: # line\n    mac: x\n    version: y\n# foot\nb: 1 # b\n";
    let mut all = comments(text);
    all.sort();
    assert_eq!(all, [" b", " foot", " head", " line"]);
}

#[test]
fn what_sops_cannot_read_is_refused() {
    let table = [
        ("...\n---\na: 1\n", "1:1: an end of a document (`...`) before its beginning"),
        ("# c\n\n...\na: 1\n", "3:1: an end of a document (`...`) before its beginning"),
        ("a: {\"b\\/c\": 1}\n", "1:5: a: the escape `\\/` in a key"),
        ("a: \"x\\ud83d\\ude00\"\n", "1:4: a: a character as the escapes of a surrogate pair"),
        ("a: |\n  \tx\n", "2:3: a: a block text that begins with a tab"),
        ("1: a\n", "1:1: a key that is a number"),
        ("- a\n", "1:1: the document is a list"),
        ("a: 9223372036854775808\n", "1:4: a: an integer beyond 64 bits with sign"),
        ("a\n", "1:1: the document is a single value"),
        ("# only a comment\n", "the file is empty"),
        ("a: 'x\u{2028} y'\n", "a line separator"),
        ("sops: x\n", "1:1: the key is reserved for the metadata of sops"),
    ];
    for (text, wanted) in table {
        let refusal = refusal(text);
        assert!(refusal.contains(wanted), "{text}: {refusal}");
    }
    let long = format!("{}: 1\n", "k".repeat(1025));
    assert!(refusal(&long).contains("more than 1024 characters"), "{}", refusal(&long));
    assert!(read(&long.as_bytes()[1..], StoreSettings::default()).is_ok());
}

#[test]
fn a_tag_that_says_nothing_says_nothing() {
    let parsed = read(b"a: ! true\nb: ! 'true'\nc: !!str true\n", StoreSettings::default()).unwrap();
    let kinds = parsed.documents[0].items.iter().filter_map(|item| match item {
        Item::Entry(_, Tree::Leaf(leaf)) => leaf.value.as_ref().map(|plain| format!("{plain:?}")),
        _ => None,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["Bool(…)", "Str(…)", "Str(…)"]);
}
