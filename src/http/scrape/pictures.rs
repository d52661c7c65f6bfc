//! The pictures that are being written to clients, a few at most.
//!
//! Scrapes that arrive at the same moment share one. A picture lives as long as a client reads it; whoever comes while every place is
//! taken waits for one, and no client may read for ever.

use std::{
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use web_toolkit::clock;

use crate::{
    exposition::{Capture, Exposition},
    http::threads::Threads,
};

/// Pictures at one time.
pub(super) const PLACES: usize = 4;

/// A picture no older than this is shared.
pub(super) const SAME_MOMENT: Duration = Duration::from_millis(250);

/// Takes pictures.
#[derive(Debug)]
pub(super) struct Pictures {
    exposition: Arc<Exposition>,
    newest: Mutex<Weak<Held>>,
    places: Arc<Semaphore>,
    threads: Arc<Threads>,
}

/// A picture and its place.
#[derive(Debug)]
pub(super) struct Held {
    picture: Arc<Capture>,
    _place: OwnedSemaphorePermit,
}

impl Held {
    pub(super) const fn picture(&self) -> &Arc<Capture> {
        &self.picture
    }
}

impl Pictures {
    pub(super) fn new(exposition: Exposition, threads: Arc<Threads>) -> Self {
        Self {
            exposition: Arc::new(exposition),
            newest: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            threads,
        }
    }

    /// What is known now. Those who ask while a picture is taken get the same one.
    ///
    /// # Errors
    /// Taking it panicked.
    pub(super) async fn newest(&self) -> io::Result<Arc<Held>> {
        let mut newest = self.newest.lock().await;
        if let Some(held) = newest.upgrade()
            && clock::now().since(held.picture.taken()) <= SAME_MOMENT
        {
            return Ok(held);
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (exposition, now) = (Arc::clone(&self.exposition), clock::now());
        let picture = self.threads.run(move || exposition.capture(now)).await?;
        let held = Arc::new(Held { picture: Arc::new(picture), _place: place });
        *newest = Arc::downgrade(&held);
        Ok(held)
    }
}
