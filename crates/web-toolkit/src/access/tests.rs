use std::{fs, path::PathBuf};

use super::*;

/// Watched files.
struct Files {
    folder: tempfile::TempDir,
    watcher: Watcher,
    loaded: Fingerprints,
}

impl Files {
    fn new() -> Self {
        let mut files =
            Self { folder: tempfile::tempdir().unwrap(), watcher: Watcher::default(), loaded: Fingerprints::new() };
        files.write("cert", "one");
        files.write("key", "one");
        files.loaded = files.now();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn now(&self) -> Fingerprints {
        ["cert", "key"].map(|name| (self.path(name), Fingerprint::read(&self.path(name)))).into()
    }

    fn look(&mut self) -> bool {
        let now = self.now();
        self.watcher.wants_reload(&self.loaded, now)
    }

    fn succeed(&mut self) {
        self.loaded = self.now();
        self.watcher.succeeded();
    }
}

#[test]
fn unchanged_files_are_not_read_again() {
    let mut files = Files::new();
    assert_eq!([(); 5].map(|()| files.look()), [false; 5]);
}

#[test]
fn a_change_is_read_once_after_one_unchanged_interval() {
    let mut files = Files::new();
    files.look();
    files.write("cert", "two");
    assert!(!files.look(), "the key may follow");
    files.write("key", "two");
    assert!(!files.look());
    assert!(files.look());
    files.succeed();
    assert_eq!([(); 3].map(|()| files.look()), [false; 3]);
}

#[test]
fn a_removed_file_is_a_change() {
    let mut files = Files::new();
    files.look();
    fs::remove_file(files.path("key")).unwrap();
    assert!(!files.look());
    assert!(files.look());
}

#[test]
fn a_failure_is_retried_and_logged_once() {
    let mut files = Files::new();
    files.write("cert", "bad");
    files.look();
    assert!(files.look());
    assert!(files.watcher.failed("no certificate"));
    assert!(files.look(), "what was missing may be there now");
    assert!(!files.watcher.failed("no certificate"), "the same of the same files");
    assert!(files.look());
    assert!(files.watcher.failed("another key"), "something else is wrong now");
    files.write("cert", "worse");
    files.look();
    assert!(files.look());
    assert!(files.watcher.failed("another key"), "the same of other files");
    assert!(files.look());
    files.succeed();
    assert!(!files.look());
}
