//! The web configuration file while it is in use.
//!
//! [`Access`] owns the configuration that connections and requests are checked against, and reloads it when the file or
//! a file that it names changes. A new file replaces the old one completely, or not at all if it has a mistake. An
//! open connection keeps the certificate it started with, and is closed if the new file would refuse its client.

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock,
    file::{Fingerprint, Fingerprints},
    guard::RequestRules,
    server::tls::{Encryption, TlsConfig},
    web_file::WebFile,
};

/// How often the files are checked for changes.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration in use, which is published to connections and requests.
#[derive(Debug)]
pub struct Access {
    file: Mutex<Option<WebFile>>,
    tls: watch::Sender<Option<Arc<TlsConfig>>>,
    rules: watch::Sender<Arc<RequestRules>>,
}

/// A web configuration file, or none, that may replace the one in use.
#[derive(Debug)]
pub struct Replacement(Option<WebFile>);

impl Access {
    pub fn new(file: Option<WebFile>) -> Self {
        let access = Self { file: Mutex::new(None), tls: watch::Sender::new(None), rules: watch::Sender::default() };
        access.apply(Replacement(file));
        access
    }

    pub fn encryption(&self) -> Encryption {
        Encryption::new(self.tls.subscribe())
    }

    pub fn rules(&self) -> watch::Receiver<Arc<RequestRules>> {
        self.rules.subscribe()
    }

    /// Checks whether `next` may replace the file in use. Dropping the result leaves everything unchanged.
    ///
    /// # Errors
    /// `next` requires less of clients. A file that is being written can look like that, so only a restart accepts it.
    pub fn prepare(&self, next: Option<WebFile>) -> Result<Replacement, String> {
        let file = self.file();
        let Some(old) = file.as_ref() else { return Ok(Replacement(next)) };
        let weaker = match &next {
            Some(next) => old.weakened_by(next),
            None if old.tls.is_some() || old.rules.users().is_some() => Some("it is no longer configured"),
            None => None,
        };
        let Some(how) = weaker else { return Ok(Replacement(next)) };
        let path = next.as_ref().unwrap_or(old).path();
        Err(format!("`{}` cannot be loaded: {how}, and only a restart can open access", path.display()))
    }

    /// Puts the configuration in use, for new connections and all requests.
    pub fn apply(&self, Replacement(next): Replacement) {
        if let Some(file) = &next {
            for warning in file.warnings(clock::now().wall) {
                warn!("{}: {warning}", file.path().display());
            }
        }
        self.rules.send_replace(next.as_ref().map(|file| Arc::clone(&file.rules)).unwrap_or_default());
        self.tls.send_replace(next.as_ref().and_then(|file| file.tls.clone()));
        *self.file() = next;
    }

    /// Reloads the file whenever it or a file that it names has changed, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut watcher = Watcher::default();
        loop {
            // Cancel safety: nothing is in progress while it sleeps.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
            }
            let access = Arc::clone(&self);
            // The watcher moves to the blocking task and back.
            watcher = match spawn_blocking(move || access.reload_if_changed(watcher)).await {
                Ok(watcher) => watcher,
                Err(panicked) => return warn!("the web configuration file is no longer watched: {panicked}"),
            };
        }
    }

    fn reload_if_changed(&self, mut watcher: Watcher) -> Watcher {
        let Some(file) = self.file().clone() else { return watcher };
        let now = file.files.keys().map(|path| (path.clone(), Fingerprint::read(path))).collect();
        if !watcher.wants_reload(&file.files, now) {
            return watcher;
        }
        let next = WebFile::load(file.setting.clone()).map_err(|error| error.to_string());
        match next.and_then(|next| self.prepare(Some(next))) {
            Ok(next) => {
                self.apply(next);
                watcher.succeeded();
                let path = file.path();
                info!(
                    "reloaded the web configuration file `{}`, because it or a file that it names has changed",
                    path.display()
                );
            }
            Err(error) if watcher.failed(&error) => warn!("the previous configuration stays in use: {error}"),
            Err(_) => {}
        }
        watcher
    }

    fn file(&self) -> MutexGuard<'_, Option<WebFile>> {
        self.file.lock()
    }
}

/// Decides when to read files again.
///
/// Files are read if they differ from what was loaded and are unchanged for one interval, so that a certificate and its
/// key, which are written one after the other, are read together. After a failure they are read at every check, because
/// a missing file may exist now.
#[derive(Debug, Default)]
struct Watcher {
    seen: Fingerprints,
    complaint: Option<(Fingerprints, String)>,
}

impl Watcher {
    /// `loaded` are the fingerprints of what was read last, `now` the current ones.
    fn wants_reload(&mut self, loaded: &Fingerprints, now: Fingerprints) -> bool {
        let unchanged = self.seen == now;
        self.seen = now;
        unchanged && (*loaded != self.seen || self.complaint.is_some())
    }

    fn succeeded(&mut self) {
        self.complaint = None;
    }

    /// Returns whether the error is new, for these files.
    fn failed(&mut self, error: &str) -> bool {
        let complaint = Some((self.seen.clone(), error.to_owned()));
        let is_new = self.complaint != complaint;
        self.complaint = complaint;
        is_new
    }
}

#[cfg(test)]
mod tests;
