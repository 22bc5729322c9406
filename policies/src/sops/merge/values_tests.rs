use super::*;
use proptest::prelude::*;

fn leaf(text: &str) -> Node {
    Node::Leaf(Some(Plain::text(text)))
}

fn map(entries: &[(&str, Node)]) -> Node {
    Node::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn merge_one(base: &Node, ours: &Node, theirs: &Node) -> Result<Node, Vec<String>> {
    let one = std::slice::from_ref::<Node>;
    match merge(Some(one(base)), one(ours), one(theirs)) {
        Ok(mut documents) => Ok(documents.remove(0)),
        Err(conflicts) => Err(conflicts.iter().map(ToString::to_string).collect()),
    }
}

fn keys(node: &Node) -> Vec<&str> {
    node.entries().iter().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn disjoint_changes_both_arrive_and_keys_of_theirs_come_after_the_one_they_follow() {
    let base = map(&[("a", leaf("1")), ("b", leaf("2")), ("c", leaf("3"))]);
    let ours = map(&[("c", leaf("3")), ("a", leaf("one")), ("o", leaf("new")), ("b", leaf("2"))]);
    let theirs = map(&[("first", leaf("0")), ("a", leaf("1")), ("b", leaf("2")), ("t", leaf("x"))]);
    let merged = merge_one(&base, &ours, &theirs).unwrap();
    assert_eq!(keys(&merged), ["first", "a", "o", "b", "t"]);
    assert!(merged.get("a").unwrap().same(&leaf("one")));
}

#[test]
fn every_contradiction_is_named_by_its_keys() {
    let inner = |password: &str, list: &str| {
        map(&[("password", leaf(password)), ("hosts", Node::List(vec![leaf(list)]))])
    };
    let base = map(&[("stringData", inner("1", "1")), ("x", leaf("1")), ("y", leaf("1"))]);
    let ours = map(&[("stringData", inner("2", "2")), ("x", leaf("2")), ("n", leaf("1"))]);
    let theirs = map(&[("stringData", inner("3", "3")), ("y", leaf("2")), ("n", map(&[]))]);
    assert_eq!(
        merge_one(&base, &ours, &theirs).unwrap_err(),
        [
            "stringData.password: changed on both sides",
            "stringData.hosts: a list that changed on both sides",
            "x: changed here, removed there",
            "n: added on both sides",
            "y: removed here, changed there",
        ]
    );
}

#[test]
fn a_changed_type_is_a_change() {
    let number = Node::Leaf(Some(Plain::Int(1)));
    assert!(!number.same(&leaf("1")));
    let base = map(&[("a", leaf("1"))]);
    let typed = map(&[("a", number)]);
    assert!(merge_one(&base, &typed, &base).unwrap().same(&typed));
    assert!(merge_one(&base, &typed, &map(&[("a", leaf("2"))])).is_err());
}

#[test]
fn documents_that_came_or_went_are_taken_from_the_one_side_that_changed_them() {
    let (a, b) = (map(&[("a", leaf("1"))]), map(&[("b", leaf("1"))]));
    let base = [a.clone()];
    let more = [a.clone(), b.clone()];
    assert_eq!(merge(Some(&base), &more, &base).unwrap().len(), 2);
    assert_eq!(merge(Some(&base), &base, &more).unwrap().len(), 2);
    let other = [map(&[("a", leaf("2"))])];
    assert_eq!(merge(Some(&base), &more, &other).unwrap_err().len(), 1);
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        "[a-c]?".prop_map(|text| leaf(&text)),
        Just(Node::Leaf(None)),
        (0..3i64).prop_map(|number| Node::Leaf(Some(Plain::Int(number)))),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-d]", inner.clone(), 0..4)
                .prop_map(|map| Node::Map(map.into_iter().collect())),
            prop::collection::vec(inner, 0..3).prop_map(Node::List),
        ]
    })
}

fn document() -> impl Strategy<Value = Node> {
    prop::collection::btree_map("[a-e]", node(), 0..5).prop_map(|map| Node::Map(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn one_change_alone_arrives(base in document(), changed in document()) {
        prop_assert!(merge_one(&base, &changed, &base).unwrap().same(&changed));
        prop_assert!(merge_one(&base, &base, &changed).unwrap().same(&changed));
        prop_assert!(merge_one(&base, &changed, &changed).unwrap().same(&changed));
    }

    #[test]
    fn what_both_sides_say_does_not_depend_on_who_is_who(b in document(), o in document(), t in document()) {
        match (merge_one(&b, &o, &t), merge_one(&b, &t, &o)) {
            (Ok(one), Ok(other)) => prop_assert!(one.same(&other)),
            (Err(one), Err(other)) => prop_assert_eq!(one.len(), other.len()),
            _ => prop_assert!(false, "one merges and the other does not"),
        }
    }

    #[test]
    fn disjoint_changes_both_arrive(base in document(), ours in node(), theirs in node()) {
        let with = |key: &str, value: &Node| {
            let mut entries = base.entries().to_vec();
            entries.push((key.to_owned(), value.clone()));
            Node::Map(entries)
        };
        let merged = merge_one(&base, &with("ours", &ours), &with("theirs", &theirs)).unwrap();
        prop_assert!(merged.get("ours").unwrap().same(&ours));
        prop_assert!(merged.get("theirs").unwrap().same(&theirs));
        prop_assert_eq!(merged.entries().len(), base.entries().len() + 2);
    }
}
