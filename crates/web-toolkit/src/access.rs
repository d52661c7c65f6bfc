//! The web configuration file while it is in force: what connections and requests are judged by, and what becomes of it when the file
//! or one that it names changes.
//!
//! A new file is checked as a whole before any of it counts; one with a mistake leaves the old one in force. Connections that are open
//! keep the encryption they began with.

mod watcher;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::watcher::Watcher;
use crate::{
    clock,
    file::Fingerprint,
    guard::RequestRules,
    server::tls::{Encryption, TlsConfig},
    web_file::WebFile,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is in force. All or nothing of a file is.
#[derive(Debug)]
pub struct Access {
    file: Mutex<Option<WebFile>>,
    tls: watch::Sender<Option<Arc<TlsConfig>>>,
    rules: watch::Sender<Arc<RequestRules>>,
}

impl Access {
    pub fn new(file: Option<WebFile>) -> Self {
        let access = Self { file: Mutex::new(None), tls: watch::Sender::new(None), rules: watch::Sender::default() };
        access.apply(file);
        access
    }

    pub fn encryption(&self) -> Encryption {
        Encryption::new(self.tls.subscribe())
    }

    pub fn rules(&self) -> watch::Receiver<Arc<RequestRules>> {
        self.rules.subscribe()
    }

    /// Whether `next` may come into force while this program runs. It may not where it asks less of clients: a file that is just being
    /// written looks like that, too.
    pub fn check(&self, next: Option<&WebFile>) -> Result<(), String> {
        let file = self.file.lock();
        let Some(old) = file.as_ref() else { return Ok(()) };
        let weaker = match next {
            Some(next) => old.weakened_by(next),
            None if old.tls.is_some() || old.rules.users().is_some() => Some("there is none any more"),
            None => None,
        };
        match weaker {
            Some(how) => Err(format!(
                "`{}` cannot be loaded: {how}, and access is opened by a restart only",
                next.unwrap_or(old).path().display()
            )),
            None => Ok(()),
        }
    }

    /// From now on `next` counts, for new connections and all requests.
    pub fn apply(&self, next: Option<WebFile>) {
        if let Some(file) = &next {
            for remark in file.warnings(clock::now().wall) {
                warn!("{}: {remark}", file.path().display());
            }
        }
        self.rules.send_replace(next.as_ref().map(|file| Arc::clone(&file.rules)).unwrap_or_default());
        self.tls.send_replace(next.as_ref().and_then(|file| file.tls.clone()));
        *self.file.lock() = next;
    }

    /// Reads `file` again and puts it in force. Blocks.
    fn reload(&self, file: &WebFile) -> Result<(), String> {
        let next = file.again().map_err(|error| error.to_string())?;
        self.check(Some(&next))?;
        self.apply(Some(next));
        Ok(())
    }

    /// Reloads whenever the files have changed, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut watcher = Watcher::default();
        loop {
            // Cancel safety: nothing is under way while it sleeps.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let access = Arc::clone(&self);
            // The watcher goes along and comes back: all that is done with it blocks.
            let looked = spawn_blocking(move || {
                access.look(&mut watcher);
                watcher
            });
            match looked.await {
                Ok(same) => watcher = same,
                Err(panicked) => return warn!("the web configuration file is not followed any more: {panicked}"),
            }
        }
    }

    /// One look at the files, and what follows from it.
    fn look(&self, watcher: &mut Watcher) {
        let Some(file) = self.file.lock().clone() else { return };
        let now = file.files.keys().map(|path| (path.clone(), Fingerprint::read(path))).collect();
        if !watcher.wants_reload(&file.files, now) {
            return;
        }
        match self.reload(&file) {
            Ok(()) => {
                watcher.succeeded();
                info!(
                    "loaded the web configuration file `{}` again: it, or a file that it names, has changed",
                    file.path().display()
                );
            }
            Err(sentence) => {
                if watcher.failed(&sentence) {
                    warn!("what was loaded last stays in force: {sentence}");
                }
            }
        }
    }
}
