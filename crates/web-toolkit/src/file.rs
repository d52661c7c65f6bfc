//! Reads the small files that an operator names: configuration, secrets, certificates.
//!
//! Reading never blocks and takes bounded memory, even if the path is a pipe, a directory or a huge file. All checks
//! are made on the opened file, so that a symbolic link that changes in between has no effect.

use std::{
    collections::BTreeMap,
    fmt,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// The content of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// Whether every user of this machine can read the file.
    pub world_readable: bool,
}

/// Leaves out the bytes, which may be a secret.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("world_readable", &self.world_readable).finish_non_exhaustive()
    }
}

/// A file could not be read. Each message continues a sentence that begins with the name of the key.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("must be a readable file: {}{}", .0, advice(.0))]
    Unreadable(#[from] io::Error),
    #[error("must be a file: it is a directory")]
    Directory,
    #[error("must be a regular file, not a device, pipe or socket")]
    NotRegular,
    #[error("must be at most {} KiB", .max / 1024)]
    TooLarge { max: u64 },
    #[error("must be UTF-8 text")]
    NotText,
}

/// What to do about an error. Even a process of root needs permission if it has dropped its capabilities.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; check the owner and the mode of the file and of its folders (root needs permission, too)"
        }
        _ => "",
    }
}

/// Reads the regular file at `path`, which must have at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<Content, FileError> {
    // Otherwise `open` blocks on a pipe that has no writer.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(FileError::Directory);
    }
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    let mut bytes = Vec::new();
    // The size is not taken from the metadata, because the file may grow while it is read.
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(FileError::TooLarge { max });
    }
    Ok(Content { bytes, world_readable: metadata.mode() & 0o004 != 0 })
}

/// [`read`] for UTF-8 text.
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?.bytes).map_err(|_| FileError::NotText)
}

/// The metadata by which a changed file is noticed. File systems have a time resolution of a few milliseconds, so a
/// write immediately after a read can leave it unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// `None` if the file is missing or inaccessible. Must be called before the file is read, so that a change in
    /// between is noticed the next time.
    pub fn read(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The fingerprints of several files.
pub type Fingerprints = BTreeMap<PathBuf, Option<Fingerprint>>;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_read_with_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "s3cret\n").unwrap();
        for (mode, world_readable) in [(0o644, true), (0o640, false), (0o600, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let content = read(&path, 7).unwrap();
            assert_eq!(content, Content { bytes: b"s3cret\n".to_vec(), world_readable });
            assert!(!format!("{content:?}").contains("s3cret"));
        }
    }

    #[test]
    fn anything_but_a_small_text_file_is_refused_with_the_rule() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("long"), [b'x'; 1025]).unwrap();
        fs::write(path("binary"), [0xff, 0xfe]).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(pipe.success());
        for (path, sentence) in [
            (path("missing"), "must be a readable file: No such file or directory (os error 2)"),
            (dir.path().to_owned(), "must be a file: it is a directory"),
            (path("pipe"), "must be a regular file, not a device, pipe or socket"),
            ("/dev/zero".into(), "must be a regular file, not a device, pipe or socket"),
            (path("long"), "must be at most 1 KiB"),
            (path("binary"), "must be UTF-8 text"),
        ] {
            assert_eq!(read_text(&path, 1024).unwrap_err().to_string(), sentence, "{}", path.display());
        }
    }
}
