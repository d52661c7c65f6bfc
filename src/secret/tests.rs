use std::{fs, os::unix::fs::symlink};

use super::*;

fn shown(secret: &Secret) -> (String, u64) {
    let (value, version) = secret.current();
    (value.expose_secret().to_owned(), version)
}

#[test]
fn invalid_content_is_refused_with_the_rule_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for (content, sentence) in [
        (&b""[..], "must hold a secret: the file is empty"),
        (b" \n\n", "must hold a secret: the file is empty"),
        (b"hunter2\nhunter3\n", "must hold one secret on one line: it contains a line break"),
        (
            "hunt\u{e9}r2\n".as_bytes(),
            "must hold a secret in printable ASCII: an HTTP header cannot contain other characters",
        ),
        (b"hunter2\x07", "must hold a secret in printable ASCII: an HTTP header cannot contain other characters"),
        (b"\xff\xfe", "must hold a secret in printable ASCII: an HTTP header cannot contain other characters"),
        (&[b'x'; 4097], "must be at most 4 KiB"),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(Secrets::default().file(&path).unwrap_err().to_string(), sentence, "{content:?}");
    }
}

#[test]
fn the_line_break_of_a_secret_is_removed_and_debug_does_not_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "hunter2\r\n").unwrap();
    let secret = Secrets::default().file(&path).unwrap();
    assert_eq!(shown(&secret), ("hunter2".to_owned(), 0));
    let given = Secret::given("hunter2\n").unwrap();
    assert_eq!(shown(&given), ("hunter2".to_owned(), 0));
    assert!(!format!("{secret:?}{given:?}").contains("hunter2"));
}

#[test]
fn a_rewritten_file_is_noticed_and_a_bad_rewrite_keeps_the_old_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "old\n").unwrap();
    let secret = Secrets::default().file(&path).unwrap();
    // A file is empty while it is rewritten.
    fs::write(&path, "").unwrap();
    secret.refresh(Look::IfChanged);
    assert_eq!(shown(&secret), ("old".to_owned(), 0));
    fs::write(&path, "newer\n").unwrap();
    secret.refresh(Look::IfChanged);
    assert_eq!(shown(&secret), ("newer".to_owned(), 1));
    fs::remove_file(&path).unwrap();
    secret.refresh(Look::IfChanged);
    assert_eq!(shown(&secret), ("newer".to_owned(), 1));
    secret.refresh(Look::Again);
    assert_eq!(shown(&secret), ("newer".to_owned(), 1));
}

#[test]
fn a_link_that_is_swapped_is_noticed_as_kubernetes_does_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("1"), "first").unwrap();
    fs::write(path("2"), "second").unwrap();
    symlink(path("1"), path("token")).unwrap();
    let secret = Secrets::default().file(&path("token")).unwrap();
    symlink(path("2"), path("next")).unwrap();
    fs::rename(path("next"), path("token")).unwrap();
    secret.refresh(Look::IfChanged);
    assert_eq!(shown(&secret), ("second".to_owned(), 1));
}

#[test]
fn a_rewrite_with_the_same_metadata_is_found_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "aaaa").unwrap();
    let secret = Secrets::default().file(&path).unwrap();
    fs::write(&path, "bbbb").unwrap();
    secret.refresh(Look::Again);
    assert_eq!(shown(&secret), ("bbbb".to_owned(), 1));
}

#[test]
fn a_file_is_one_secret_however_often_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "old").unwrap();
    let secrets = Secrets::default();
    let first = secrets.file(&path).unwrap();
    fs::write(&path, "new").unwrap();
    let second = secrets.file(&path).unwrap();
    assert!(first == second);
    assert_eq!(shown(&first), ("new".to_owned(), 1), "all users of the file see the newest value");
    fs::write(&path, "").unwrap();
    assert!(secrets.file(&path).is_err(), "a reload reports the error");
    assert_eq!(shown(&first).0, "new");
    assert!(first != Secret::given("new").unwrap());
}
