//! Secrets: given at once, or kept in a file that may change while the program runs.
//!
//! A file is read when it is first named, and again when it looks different or somebody has reason to doubt what it said. A new content that
//! is no secret (a file that is just being rewritten is empty) leaves the last good one in use and says so. Every file is one
//! [`Kept`] however many accounts name it, so that each of its oddities is told once. Nothing here prints a secret.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{info, warn};
use web_toolkit::file::{self, FileError, Fingerprint};

/// A token has 40 characters; this leaves room for whatever comes.
const MOST_BYTES: u64 = 4096;

/// Why something is no secret that a request could carry. Each is the rest of a sentence that begins with the key or the file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("must hold a secret: the file is empty")]
    Empty,
    #[error("must hold one secret on one line: there is a line break in it")]
    SeveralLines,
    #[error("must hold a secret in printable ASCII: there is another character in it, which no HTTP header can carry")]
    NotPrintable,
}

/// A secret, wherever it comes from. Cheap to clone; clones of one that is kept in a file share it.
#[derive(Clone)]
pub struct Secret(Inner);

#[derive(Clone)]
enum Inner {
    Given(SecretString),
    File(Arc<Kept>),
}

impl Secret {
    /// One that cannot change while the program runs. Blanks around it are dropped.
    pub fn given(text: &str) -> Result<Self, SecretError> {
        checked(text).map(|value| Self(Inner::Given(value)))
    }

    /// The newest good value, and a number that grows with each new one.
    pub fn current(&self) -> (SecretString, u64) {
        match &self.0 {
            Inner::Given(value) => (value.clone(), 0),
            Inner::File(kept) => {
                let state = kept.state();
                (state.value.clone(), state.version)
            }
        }
    }

    /// The file that it is kept in, and whether any user of this machine may read that.
    pub fn file(&self) -> Option<(&Path, bool)> {
        match &self.0 {
            Inner::Given(_) => None,
            Inner::File(kept) => Some((&kept.path, kept.state().world_readable)),
        }
    }

    /// Takes in a new content of its file, if the file looks different, or in any case. Blocks.
    pub fn refresh(&self, look: Look) {
        if let Inner::File(kept) = &self.0 {
            // What is wrong was logged.
            let _ = kept.refresh(look);
        }
    }
}

/// Whether it is the same source, not whether it holds the same value: a file that changes is still the same file.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Inner::Given(own), Inner::Given(other)) => own.expose_secret() == other.expose_secret(),
            (Inner::File(own), Inner::File(other)) => own.path == other.path,
            (Inner::Given(_), Inner::File(_)) | (Inner::File(_), Inner::Given(_)) => false,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Given(_) => f.write_str("Secret(…)"),
            Inner::File(kept) => write!(f, "Secret({:?})", kept.path),
        }
    }
}

/// How hard to look for a new content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Costs one `stat` while nothing changes.
    IfChanged,
    /// Reads the file: somebody has reason to doubt the value.
    Again,
}

/// Every file with a secret that this process uses.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<BTreeMap<PathBuf, Weak<Kept>>>);

impl Secrets {
    /// The secret in a file, which is read now. Blocks.
    ///
    /// # Errors
    /// The file holds no secret at this moment. A value that was good before stays in use where it is used.
    pub fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        let mut files = self.0.lock();
        files.retain(|_, kept| kept.strong_count() > 0);
        if let Some(kept) = files.get(path).and_then(Weak::upgrade) {
            kept.refresh(Look::Again)?;
            return Ok(Secret(Inner::File(kept)));
        }
        let kept = Arc::new(Kept::read(path)?);
        files.insert(path.to_owned(), Arc::downgrade(&kept));
        Ok(Secret(Inner::File(kept)))
    }
}

/// A file with one secret.
struct Kept {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    value: SecretString,
    version: u64,
    /// What the file looked like before it was read.
    seen: Option<Fingerprint>,
    world_readable: bool,
    warned: bool,
    /// What is wrong with the present content, as it was logged.
    complaint: Option<String>,
}

impl Kept {
    fn read(path: &Path) -> Result<Self, SecretError> {
        let seen = Fingerprint::read(path);
        let (value, world_readable) = read(path)?;
        let state = State { value, version: 0, seen, world_readable, warned: false, complaint: None };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn refresh(&self, look: Look) -> Result<(), SecretError> {
        // Before the content, so that a change in between is seen the next time.
        let seen = Fingerprint::read(&self.path);
        if look == Look::IfChanged && seen.is_some() && seen == self.state().seen {
            self.state().warn_of_readers(&self.path);
            return Ok(());
        }
        // Nobody waits for the lock while the file is read.
        let read = read(&self.path);
        let mut state = self.state();
        match read {
            Ok((value, world_readable)) => {
                state.world_readable = world_readable;
                state.warn_of_readers(&self.path);
                state.take(&self.path, value, seen);
                Ok(())
            }
            Err(error) => {
                state.complain(&self.path, &error);
                Err(error)
            }
        }
    }
}

impl State {
    fn take(&mut self, path: &Path, value: SecretString, seen: Option<Fingerprint>) {
        self.seen = seen;
        let file = path.display();
        if value.expose_secret() != self.value.expose_secret() {
            self.value = value;
            self.version += 1;
            info!(%file, "the secret in {file} has changed: the new one is used from now on");
        } else if self.complaint.is_some() {
            info!(%file, "{file} holds its secret again");
        }
        self.complaint = None;
    }

    fn complain(&mut self, path: &Path, error: &SecretError) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            let file = path.display();
            warn!(%file, "{file} {complaint}; the last good secret stays in use");
            self.complaint = Some(complaint);
        }
    }

    /// Once for each file, and not before somebody uses the secret, for then there is a log.
    fn warn_of_readers(&mut self, path: &Path) {
        if self.world_readable && !self.warned {
            self.warned = true;
            let file = path.display();
            warn!(%file, "every user of this machine can read the secret in {file}: chmod o-r it");
        }
    }
}

/// The secret in a file, and whether any user of this machine may read it.
fn read(path: &Path) -> Result<(SecretString, bool), SecretError> {
    let content = file::read(path, MOST_BYTES)?;
    let text = str::from_utf8(&content.bytes).map_err(|_| SecretError::NotPrintable)?;
    Ok((checked(text)?, content.world_readable))
}

fn checked(text: &str) -> Result<SecretString, SecretError> {
    match text.trim() {
        "" => Err(SecretError::Empty),
        text if text.contains(['\n', '\r']) => Err(SecretError::SeveralLines),
        text if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => Err(SecretError::NotPrintable),
        text => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests;
