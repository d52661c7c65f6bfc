//! Secrets: constant values, or the contents of files that can change while the program runs.
//!
//! A file is read when it is first named, and again when its metadata changes or the API rejects the secret. If the new
//! content is not a secret (a file is empty while it is rewritten), the last valid one stays in use, and a warning is
//! logged. Each file is one [`Kept`], however many accounts name it, so that each problem is logged once. Nothing here
//! prints a secret.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{info, warn};
use web_toolkit::{
    file::{self, FileError, Fingerprint},
    settings::{Mistake, Setting, looks_like_secret},
};

/// A token has 40 characters today.
const MOST_BYTES: u64 = 4096;

/// Why a text cannot be sent as a secret. Each message continues after the name of a setting or a file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("must hold a secret: the file is empty")]
    Empty,
    #[error("must hold one secret on one line: it contains a line break")]
    SeveralLines,
    #[error("must hold a secret in printable ASCII: an HTTP header cannot contain other characters")]
    NotPrintable,
}

/// A secret. Cheap to clone; clones of a secret in a file share its state.
#[derive(Clone)]
pub struct Secret(SecretSource);

#[derive(Clone)]
enum SecretSource {
    Given(SecretString),
    File(Arc<Kept>),
}

impl Secret {
    /// A constant secret. Surrounding blanks are removed.
    pub fn given(text: &str) -> Result<Self, SecretError> {
        checked(text).map(|value| Self(SecretSource::Given(value)))
    }

    /// The newest valid value, and a version that grows with each change.
    pub fn current(&self) -> (SecretString, u64) {
        match &self.0 {
            SecretSource::Given(value) => (value.clone(), 0),
            SecretSource::File(kept) => {
                let state = kept.state();
                (state.value.clone(), state.version)
            }
        }
    }

    /// The file of the secret, and whether every user of this machine can read it.
    pub fn file(&self) -> Option<(&Path, bool)> {
        match &self.0 {
            SecretSource::Given(_) => None,
            SecretSource::File(kept) => Some((&kept.path, kept.state().world_readable)),
        }
    }

    /// Reads its file again, always or only if its metadata has changed. Blocks.
    pub fn refresh(&self, look: Look) {
        if let SecretSource::File(kept) = &self.0 {
            // An error was logged already.
            let _ = kept.refresh(look);
        }
    }
}

/// Compares sources, not values: a file that changes is still the same source.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (SecretSource::Given(own), SecretSource::Given(other)) => own.expose_secret() == other.expose_secret(),
            (SecretSource::File(own), SecretSource::File(other)) => own.path == other.path,
            (SecretSource::Given(_), SecretSource::File(_)) | (SecretSource::File(_), SecretSource::Given(_)) => false,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SecretSource::Given(_) => f.write_str("Secret(…)"),
            SecretSource::File(kept) => write!(f, "Secret({:?})", kept.path),
        }
    }
}

/// When to read a file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Costs one `stat` while nothing changes.
    IfChanged,
    /// Reads the file, because the value may be outdated.
    Again,
}

/// All secrets in files that this process uses.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<BTreeMap<PathBuf, Weak<Kept>>>);

impl Secrets {
    /// Reads the secret in a file. Blocks.
    ///
    /// # Errors
    /// The file holds no secret now. Existing users of the file keep its last valid value.
    pub fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        let mut files = self.0.lock();
        files.retain(|_, kept| kept.strong_count() > 0);
        if let Some(kept) = files.get(path).and_then(Weak::upgrade) {
            kept.refresh(Look::Again)?;
            return Ok(Secret(SecretSource::File(kept)));
        }
        let kept = Arc::new(Kept::read(path)?);
        files.insert(path.to_owned(), Arc::downgrade(&kept));
        Ok(Secret(SecretSource::File(kept)))
    }

    /// Reads the secret in the file that `setting` names. Blocks.
    ///
    /// # Errors
    /// The file holds no secret now, or `setting` seems to be the secret itself.
    pub fn named_by(&self, setting: &Setting) -> Result<Secret, Mistake> {
        self.file(&setting.path()).map_err(|error| match error {
            SecretError::File(FileError::Unreadable(_)) if looks_like_secret(setting.trimmed()) => setting.unquoted_mistake(
                "is not the path of a readable file, and looks like the secret itself: write the secret to a file and set \
                 the path of that file",
            ),
            error => setting.mistake(error),
        })
    }
}

/// A file with one secret.
struct Kept {
    path: PathBuf,
    state: Mutex<KeptState>,
}

struct KeptState {
    value: SecretString,
    version: u64,
    /// The metadata of the file before it was read.
    seen: Option<Fingerprint>,
    world_readable: bool,
    warned: bool,
    /// The last error that was logged for the present content.
    complaint: Option<String>,
}

impl Kept {
    fn read(path: &Path) -> Result<Self, SecretError> {
        let seen = Fingerprint::read(path);
        let (value, world_readable) = read(path)?;
        let state = KeptState { value, version: 0, seen, world_readable, warned: false, complaint: None };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, KeptState> {
        self.state.lock()
    }

    fn refresh(&self, look: Look) -> Result<(), SecretError> {
        // Taken before the content, so that a change in between is noticed the next time.
        let seen = Fingerprint::read(&self.path);
        if look == Look::IfChanged && seen.is_some() && seen == self.state().seen {
            self.state().warn_of_readers(&self.path);
            return Ok(());
        }
        // The lock is not held while the file is read.
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

impl KeptState {
    fn take(&mut self, path: &Path, value: SecretString, seen: Option<Fingerprint>) {
        self.seen = seen;
        let file = path.display();
        if value.expose_secret() != self.value.expose_secret() {
            self.value = value;
            self.version += 1;
            info!(%file, "the secret in {file} has changed; the new one is in use");
        } else if self.complaint.is_some() {
            info!(%file, "{file} holds its secret again");
        }
        self.complaint = None;
    }

    fn complain(&mut self, path: &Path, error: &SecretError) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            let file = path.display();
            warn!(%file, "{file} {complaint}; the previous secret stays in use");
            self.complaint = Some(complaint);
        }
    }

    /// Warns once for each file, when the secret is used, because logging has started by then.
    fn warn_of_readers(&mut self, path: &Path) {
        if self.world_readable && !self.warned {
            self.warned = true;
            let file = path.display();
            warn!(%file, "every user of this machine can read the secret in {file}: run `chmod o-r` on it");
        }
    }
}

/// The secret in a file, and whether every user of this machine can read it.
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
