use super::*;

/// The members and the envelope of a body that arrives in pieces of this size.
fn split(body: &[u8], size: usize) -> Result<(Vec<Option<String>>, String), FailureReason> {
    let mut splitter = Splitter::new(ListPath { parents: &[Some("result")], lists: &["ipsec_tunnels"] });
    let mut members = Vec::new();
    for piece in body.chunks(size) {
        splitter.push(piece, |_, member| {
            members.push(member.map(|json| String::from_utf8(json.to_vec()).unwrap()));
            Ok(())
        })?;
    }
    Ok((members, String::from_utf8(splitter.finish()?).unwrap()))
}

#[test]
fn members_are_found_in_pieces_of_any_size() {
    let body = br#"{"success":true, "messages":[{"result":{"ipsec_tunnels":[1]}}], "result" : {
        "other":[{"ipsec_tunnels":[2]}], "ipsec_tunnels" : [ {"a":"]}\"],{\\"} , 3,[4,[5]] , "six, 6" ],
        "more":"[" }, "ipsec_tunnels":[7], "result_info":{"total_count":4}}"#;
    let members = [r#"{"a":"]}\"],{\\"} "#, "3", "[4,[5]] ", r#""six, 6" "#].map(|member| Some(member.to_owned()));
    let envelope = r#"{"success":true, "messages":[{"result":{"ipsec_tunnels":[1]}}], "result" : { "other":[{"ipsec_tunnels":[2]}], "ipsec_tunnels" : [], "more":"[" }, "ipsec_tunnels":[7], "result_info":{"total_count":4}}"#;
    for size in [1, 2, 3, 7, 64, body.len()] {
        let (found, rest) = split(body, size).unwrap();
        assert_eq!(found, members, "pieces of {size} bytes");
        assert_eq!(rest, envelope, "pieces of {size} bytes");
    }
}

#[test]
fn several_lists_are_found_in_a_member_of_an_array() {
    const PATH: ListPath = ListPath { parents: &[Some("data"), Some("accounts"), None], lists: &["a", "b"] };
    for (body, expected) in [
        (r#"{"data":{"accounts":[{"a":[1,2],"c":[8],"b":[3]}],"a":[9]},"b":[9]}"#, &["0 1", "0 2", "1 3"][..]),
        (r#"{"data":{"accounts":[{"a":[1]},{"x":{"a":[9]},"b":[2]}]}}"#, &["0 1", "1 2"]),
        (r#"{"data":{"x":[{"a":[9]}],"accounts":{"a":[9]}}}"#, &[]),
        (r#"{"data":[{"accounts":[{"a":[9]}]}]}"#, &[]),
        (r#"{"data":{"accounts":[[{"a":[9]}],{"b":[1]}]}}"#, &["1 1"]),
    ] {
        let (mut splitter, mut members) = (Splitter::new(PATH), Vec::new());
        for piece in body.as_bytes().chunks(3) {
            let mut found = |list, member: Option<&[u8]>| {
                members.push(format!("{list} {}", str::from_utf8(member.unwrap()).unwrap()));
                Ok(())
            };
            splitter.push(piece, &mut found).unwrap();
        }
        assert_eq!(members, expected, "{body}");
    }
}

#[test]
fn a_list_that_is_damaged_or_ends_early_is_a_failure() {
    for list in ["[", "[1", "[1,", "[1,]", "[,1]", "[1,,2]", "[}", "[1}", "[:1]", r#"["]"#] {
        let body = format!(r#"{{"result":{{"ipsec_tunnels":{list}"#);
        assert_eq!(split(body.as_bytes(), 5).unwrap_err(), FailureReason::Decode, "{list}");
    }
}

#[test]
fn a_key_in_a_string_is_not_a_key() {
    for body in [
        r#"{"x\"result":{"ipsec_tunnels":[1]}}"#,
        r#"{"result":{"\"ipsec_tunnels":[1]}}"#,
        r#"{"result":[{"ipsec_tunnels":[1]}]}"#,
        r#"[{"result":{"ipsec_tunnels":[1]}}]"#,
        r#"{"result":{},"other":{"ipsec_tunnels":[1]}}"#,
    ] {
        assert_eq!(split(body.as_bytes(), 9), Ok((Vec::new(), body.to_owned())));
    }
}

#[test]
fn a_member_that_is_too_large_is_not_kept() {
    let large = "x".repeat(MAX_MEMBER_SIZE);
    let body = format!(r#"{{"result":{{"ipsec_tunnels":[1,{{"name":"{large}"}},2]}}}}"#);
    let (members, _) = split(body.as_bytes(), 1 << 16).unwrap();
    assert_eq!(members, [Some("1".to_owned()), None, Some("2".to_owned())]);
}

#[test]
fn the_envelope_and_blanks_have_limits() {
    let (errors, blanks) = ("{},".repeat(MAX_ENVELOPE_SIZE), " ".repeat(MAX_BLANKS + 1));
    for (body, reason) in [
        (format!(r#"{{"errors":[{errors}"#), FailureReason::Decode),
        (format!("<html>{errors}"), FailureReason::NotJson),
        (format!(r#"{{"result":{blanks}"#), FailureReason::TooLarge),
        (format!(r#"{{"result":{{"ipsec_tunnels":[{blanks}"#), FailureReason::TooLarge),
        (format!(r#"{{"result":{{"ipsec_tunnels":[{{{blanks}"#), FailureReason::TooLarge),
        (blanks.clone(), FailureReason::TooLarge),
    ] {
        assert_eq!(split(body.as_bytes(), 1 << 13).unwrap_err(), reason, "{}", &body[..30]);
    }
}

#[test]
fn the_limits_are_exact() {
    let list = |member: &str| format!(r#"{{"result":{{"ipsec_tunnels":[{member}]}}}}"#).into_bytes();
    for (length, is_kept) in [(MAX_MEMBER_SIZE, true), (MAX_MEMBER_SIZE + 1, false)] {
        let (members, _) = split(&list(&"1".repeat(length)), 1000).unwrap();
        assert_eq!(members.iter().map(Option::is_some).collect::<Vec<_>>(), [is_kept], "a member of {length} bytes");
    }
    for (length, expected) in [(MAX_BLANKS, None), (MAX_BLANKS + 1, Some(FailureReason::TooLarge))] {
        assert_eq!(split(" ".repeat(length).as_bytes(), 1000).err(), expected, "{length} blanks");
    }
    for (length, is_accepted) in [(MAX_ENVELOPE_SIZE, true), (MAX_ENVELOPE_SIZE + 1, false)] {
        let envelope = "1".repeat(length);
        for size in [1000, length] {
            assert_eq!(split(envelope.as_bytes(), size).is_ok(), is_accepted, "{length} bytes in pieces of {size}");
        }
    }
}
