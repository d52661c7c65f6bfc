//! Reads the small files that an operator names: configuration, secrets, certificates.
//!
//! Whatever stands at the path, be it a pipe, a directory or a gigabyte, reading it ends soon and takes bounded memory. What is
//! judged is what was opened, so a link that is swapped meanwhile cannot change it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// What stood in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    /// Any user of this machine may read it.
    pub world_readable: bool,
}

/// Why a file could not be read. Each is the rest of a sentence that begins with what the file is for.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("must be a readable file: {0}")]
    Unreadable(#[from] io::Error),
    #[error("must be a file: it is a directory")]
    Directory,
    #[error("must be a regular file, no device, pipe or socket")]
    NotRegular,
    #[error("must not be larger than {} KiB", .most / 1024)]
    TooLarge { most: u64 },
    #[error("must be text in UTF-8")]
    NotText,
}

/// The content of the regular file at `path`, which has at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Content, FileError> {
    // A pipe without a writer would keep us waiting in `open`.
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
    // It may grow while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLarge { most });
    }
    Ok(Content { bytes, world_readable: metadata.mode() & 0o004 != 0 })
}

/// [`read`] for text.
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, most)?.bytes).map_err(|_| FileError::NotText)
}

/// What a file looks like from outside. Clocks of file systems tick every few milliseconds, so a rewrite right behind a reading can look
/// the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// `None` where no file can be seen. To be taken before the file is read, so that a change in between is seen the next time.
    pub fn of(path: &Path) -> Option<Self> {
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

/// What several files look like.
pub type Fingerprints = BTreeMap<PathBuf, Option<Fingerprint>>;

/// The bytes may be a secret.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("world_readable", &self.world_readable).finish_non_exhaustive()
    }
}

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
    fn what_is_no_small_text_file_is_refused_with_the_rule() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("long"), [b'x'; 1025]).unwrap();
        fs::write(path("binary"), [0xff, 0xfe]).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(pipe.success());
        for (path, sentence) in [
            (path("missing"), "must be a readable file: No such file or directory (os error 2)"),
            (dir.path().to_owned(), "must be a file: it is a directory"),
            (path("pipe"), "must be a regular file, no device, pipe or socket"),
            ("/dev/zero".into(), "must be a regular file, no device, pipe or socket"),
            (path("long"), "must not be larger than 1 KiB"),
            (path("binary"), "must be text in UTF-8"),
        ] {
            assert_eq!(read_text(&path, 1024).unwrap_err().to_string(), sentence, "{}", path.display());
        }
    }
}
