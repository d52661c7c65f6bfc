use std::collections::BTreeMap;

use super::*;

type Map = BTreeMap<String, Node>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys3 {
    a: Node,
    b: Node<Inner>,
    c: Node,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    d: Node,
}

/// The value of the only key, as it is written.
fn scalar(text: &str) -> String {
    let node = read::<Map>(text).unwrap();
    let NodeValue::Mapping(map, _) = node.value else { panic!("{text}") };
    let node = map.into_values().next().unwrap();
    assert!(matches!(node.value, NodeValue::Text(_)), "{text}");
    node.into_text(text)
}

#[test]
fn scalars_are_read_as_they_are_written() {
    for (text, value) in [
        ("0815", "0815"),
        ("1e3", "1e3"),
        ("12345678901234567890123456789012", "12345678901234567890123456789012"),
        ("00000000000000000000000000000001", "00000000000000000000000000000001"),
        ("12345678e12345678901234567890123", "12345678e12345678901234567890123"),
        ("-5", "-5"),
        ("0x10", "0x10"),
        ("yes", "yes"),
        ("off", "off"),
        (".inf", ".inf"),
        ("1s   # a comment", "1s"),
        ("2001:db8::1", "2001:db8::1"),
        ("\"12\"", "12"),
        ("'yes'", "yes"),
        ("müller", "müller"),
    ] {
        assert_eq!(scalar(&format!("# ü\nkey: {text}\n")), value, "{text}");
    }
    assert_eq!(scalar("a: &x 0010\nb: *x\n"), "0010", "an alias");
}

#[test]
fn values_know_their_lines_and_shapes() {
    let text = "a:\n  - 1\n  - b: ~\nc:\nb: {d: 5}\n";
    let NodeValue::Mapping(root, keys) = read::<Keys3>(text).unwrap().value else { panic!() };
    let NodeValue::List(members) = &root.a.value else { panic!() };
    assert_eq!(members.iter().map(Node::line).collect::<Vec<_>>(), [2, 3]);
    assert!(matches!(members[1].value, NodeValue::Mapping(IgnoredAny, _)));
    assert!(matches!((&root.c.value, root.c.line()), (NodeValue::Empty, 4)));
    let NodeValue::Mapping(inner, _) = &root.b.value else { panic!() };
    assert_eq!((inner.d.line(), root.b.line()), (5, 5));
    assert!(keys.refused.is_empty());
}

#[test]
fn unknown_and_repeated_keys_are_kept_with_their_lines() {
    let text = "a: 1\nx: {y: [1]}\nb:\n  d: 1\n  d: 2\na: 2\n";
    let NodeValue::Mapping(root, keys) = read::<Keys3>(text).unwrap().value else { panic!() };
    assert_eq!(keys.refused, [(2, "x".to_owned()), (6, "a".to_owned())]);
    assert_eq!(keys.known, ["a", "b", "c"]);
    assert_eq!(root.a.into_text(text), "1", "the first wins");
    let NodeValue::Mapping(_, keys) = root.b.value else { panic!() };
    assert_eq!(keys.refused, [(5, "d".to_owned())]);
    let NodeValue::Mapping(map, keys) = read::<Map>("a: 1\nb: 2\na: 3\n").unwrap().value else { panic!() };
    assert_eq!((map.len(), keys.refused), (2, vec![(3, "a".to_owned())]));
    assert_eq!(keys_of::<Keys3>(), ["a", "b", "c"]);
}

#[test]
fn an_empty_document_is_empty() {
    for text in ["", "# only a comment\n", "~\n", "---\n"] {
        assert!(read::<Keys3>(text).unwrap().is_empty(), "{text:?}");
    }
}

#[test]
fn an_error_has_its_line_and_quotes_nothing() {
    const SECRET: &str = "s3cr3t-0123456789abcdef";
    for (text, line) in [
        ("a: 1\nb: \"SECRET\n", 2),
        ("a: 1\n  b: SECRET\n", 2),
        ("a: [SECRET\n", 1),
        ("a: *SECRET\n", 1),
        ("a: !SECRET x\nb: {SECRET\n", 2),
        ("a: @SECRET\n", 1),
        ("a: `SECRET`\n", 1),
        ("a: %SECRET\n- SECRET\n", 1),
        ("a: 1\n\tb: SECRET\n", 2),
        ("a: \"\\qSECRET\"\n", 1),
        ("SECRET: 1\n---\nSECRET: 2\n", 2),
        ("a: 1\nSECRET\n", 2),
        ("? [SECRET]\n: 1\n", 1),
        ("? {a: SECRET}\n: 1\n", 1),
        ("a: !!int SECRET\n", 1),
        ("a: !!binary SECRET\n", 1),
        ("<<: SECRET\n", 1),
    ] {
        let Err(error) = read::<Map>(&text.replace("SECRET", SECRET)) else { continue };
        assert!(!error.what.contains(SECRET) && !error.what.contains('\n'), "{text:?}: {}", error.what);
        assert!(error.line.abs_diff(line) <= 1, "{text:?}: line {}: {}", error.line, error.what);
    }
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let line = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    let text: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain((1..12).map(line)).collect();
    assert!(read::<Map>(&text).is_err());
    assert!(read::<Map>(&"[".repeat(100_000)).is_err());
}
