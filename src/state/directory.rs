//! The state directory: opened once, locked against a second process, with a file that is replaced atomically.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, FlockOperation, access, flock},
    io::Errno,
};
use tracing::{error, info, warn};
use web_toolkit::{
    clock::Moment,
    file::{self, FileError},
};

use super::{
    archive::Archive,
    format::{FormatError, decode, encode},
};

/// Maximum size of the file. A tunnel with three targets takes about 400 bytes, and 3 KB with a full history.
const MAX_BYTES: u64 = 64 << 20;

const NAME: &str = "state.json";
/// The next content while it is written. A file of a process that was killed is replaced.
const NEW: &str = "state.json.new";
/// A file that could not be used. It replaces an earlier one.
const UNUSABLE: &str = "state.json.unusable";

/// An open state directory. The lock ends with the process.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    lock: File,
}

/// Why a directory cannot hold the state.
#[derive(Debug, thiserror::Error)]
pub enum StateDirectoryError {
    #[error("the state directory `{}` cannot be created: {source}", .path.display())]
    NotCreated { path: PathBuf, source: io::Error },
    #[error(
        "the state directory `{}` cannot be written to: {source}; \
         make it writable for the user of the exporter, or set another one with `--state.directory`",
        .path.display()
    )]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("the state directory `{}` is in use by another exporter; give each exporter its own", .path.display())]
    InUse { path: PathBuf },
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum StateFileError {
    #[error("it {0}")]
    Unreadable(#[from] FileError),
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl StateDirectory {
    /// Creates the directory if it is missing, and tests that it can be written to. Blocks.
    ///
    /// # Errors
    /// [`StateDirectoryError`], with a suggestion.
    pub fn open(path: &Path) -> Result<Self, StateDirectoryError> {
        let path = path.to_owned();
        if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(&path) {
            return Err(StateDirectoryError::NotCreated { path, source });
        }
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(source) => return Err(StateDirectoryError::NotWritable { path, source }),
        };
        // Some network file systems have no locks. The directory can be used without one.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(StateDirectoryError::InUse { path });
        }
        let directory = Self { path, lock };
        match directory.create(&Archive::default()).and_then(|()| fs::remove_file(directory.file(NEW))) {
            Ok(()) => Ok(directory),
            Err(source) => Err(StateDirectoryError::NotWritable { path: directory.path, source }),
        }
    }

    /// Reads the state of the last run. A file that cannot be used is logged and renamed, and nothing is known. Blocks.
    pub fn load(&self) -> Archive {
        let path = self.file(NAME);
        match read(&path) {
            Ok(None) => Archive::default(),
            Ok(Some(archive)) => {
                let (tunnels, targets) = archive.counts();
                info!("read the state of {tunnels} tunnels and {targets} targets from `{}`", path.display());
                archive
            }
            Err(unusable) => {
                self.set_aside(&unusable);
                Archive::default()
            }
        }
    }

    fn set_aside(&self, unusable: &StateFileError) {
        let (from, to) = (self.file(NAME), self.file(UNUSABLE));
        match fs::rename(&from, &to) {
            Ok(()) => {
                warn!("`{}` is renamed to `{UNUSABLE}` and not used: {unusable}", from.display());
            }
            Err(error) => {
                error!("`{}` is not used: {unusable}; it cannot be renamed: {error}", from.display());
            }
        }
    }

    /// Replaces the file. After a crash there is either the old or the new content. Blocks.
    ///
    /// # Errors
    /// The directory cannot be written to or has no space, or the state exceeds 64 MiB. The old content stays.
    pub(super) fn write(&self, archive: &Archive) -> io::Result<()> {
        let replaced = self.create(archive).and_then(|()| fs::rename(self.file(NEW), self.file(NAME)));
        if replaced.is_err() {
            // The space may be needed; the error of interest is the first one.
            let _ = fs::remove_file(self.file(NEW));
        }
        // The rename is durable once the directory is.
        replaced.and_then(|()| self.lock.sync_all())
    }

    /// Writes a new file that only this user can read.
    fn create(&self, archive: &Archive) -> io::Result<()> {
        let path = self.file(NEW);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut out = BufWriter::new(Limited { file: &file, left: MAX_BYTES });
        encode(archive, &mut out)?;
        out.flush()?;
        drop(out);
        file.sync_all()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A file that does not grow beyond a size.
struct Limited<'a> {
    file: &'a File,
    left: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::new(ErrorKind::FileTooLarge, "the state would exceed 64 MiB"))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None` if there is no file.
fn read(path: &Path) -> Result<Option<Archive>, StateFileError> {
    match file::read(path, MAX_BYTES) {
        Ok(content) => Ok(Some(decode(&content.bytes)?)),
        Err(FileError::Unreadable(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Why a directory or its file cannot be used, as a sentence.
#[derive(Debug, PartialEq, Eq)]
pub enum StateProblem {
    Directory(String),
    /// The exporter would start without the content of the file.
    File(String),
}

/// Describes a directory for `check` without changing it. Blocks.
///
/// # Errors
/// The directory or its file cannot be used.
pub fn describe(path: &Path, now: Moment) -> Result<String, StateProblem> {
    let shown = path.display();
    let problem = |what: String| StateProblem::Directory(format!("`{shown}` {what}"));
    if !path.exists() {
        return match is_usable(nearest_ancestor(path)) {
            Ok(()) => Ok(format!("`{shown}` does not exist; `serve` creates it")),
            Err(error) => Err(problem(format!("does not exist and cannot be created: {error}"))),
        };
    }
    is_usable(path).map_err(|error| problem(format!("cannot be written to: {error}")))?;
    if !path.is_dir() {
        return Err(problem("is not a directory".to_owned()));
    }
    match read(&path.join(NAME)) {
        Ok(None) => Ok(format!("`{shown}` can be written to, and holds no state yet")),
        Ok(Some(archive)) => {
            let (tunnels, targets) = archive.counts();
            let age = now.since(now.earlier(archive.saved.unwrap_or(now.wall))).as_secs();
            Ok(format!("`{shown}` holds {tunnels} tunnels and {targets} targets, written {age} s ago"))
        }
        Err(unusable) => {
            Err(StateProblem::File(format!("`{NAME}` in `{shown}` would be renamed and not used: {unusable}")))
        }
    }
}

fn is_usable(directory: &Path) -> Result<(), Errno> {
    access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
}

/// The directory in which `path`, which is missing, would be created.
fn nearest_ancestor(path: &Path) -> &Path {
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    // A relative path ends with an empty ancestor.
    existing.unwrap_or(Path::new("."))
}
