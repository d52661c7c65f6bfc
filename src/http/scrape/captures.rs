//! The captures that are being written to clients, a few at most.
//!
//! Scrapes that arrive at the same moment share one capture. A capture exists while clients read it. While all slots
//! are taken, further scrapes wait; no client can keep a slot for longer than a stream may take.

use std::{
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use web_toolkit::clock;

use crate::{
    exposition::{Capture, Exposition},
    http::body::PageThreads,
};

/// Maximum number of captures in memory.
pub(super) const MAX_CAPTURES: usize = 4;

/// Maximum age of a capture that another scrape may share.
pub(super) const SHARED_FOR: Duration = Duration::from_millis(250);

/// Captures the metrics, once for all scrapes of the same moment.
#[derive(Debug)]
pub(super) struct CapturePool {
    exposition: Arc<Exposition>,
    newest: Mutex<Weak<PinnedCapture>>,
    slots: Arc<Semaphore>,
    threads: Arc<PageThreads>,
}

/// A capture and its slot, which is released with it.
#[derive(Debug)]
pub(super) struct PinnedCapture {
    pub(super) capture: Arc<Capture>,
    _slot: OwnedSemaphorePermit,
}

impl CapturePool {
    pub(super) fn new(exposition: Exposition, threads: Arc<PageThreads>) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_CAPTURES));
        Self { exposition: Arc::new(exposition), newest: Mutex::default(), slots, threads }
    }

    /// The newest values. Callers that wait for the same capture share it.
    ///
    /// # Errors
    /// Capturing panicked.
    pub(super) async fn newest(&self) -> io::Result<Arc<PinnedCapture>> {
        let mut newest = self.newest.lock().await;
        if let Some(pinned) = newest.upgrade()
            && clock::now().since(pinned.capture.taken()) <= SHARED_FOR
        {
            return Ok(pinned);
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (exposition, now) = (Arc::clone(&self.exposition), clock::now());
        let capture = self.threads.run(move || exposition.capture(now)).await?;
        let pinned = Arc::new(PinnedCapture { capture: Arc::new(capture), _slot: slot });
        *newest = Arc::downgrade(&pinned);
        Ok(pinned)
    }
}
