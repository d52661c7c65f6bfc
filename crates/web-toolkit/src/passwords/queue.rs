//! A queue in which peers take turns, so that a peer with many requests delays only itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::server::Peer;

/// Waiting requests of all peers.
pub(super) const MOST_WAITING: usize = 64;

/// Waiting requests of one peer.
pub(super) const MOST_OF_PEER: usize = 4;

/// One turn at a time. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct FairQueue(Arc<Mutex<WaitingRequests<oneshot::Sender<Turn>>>>);

/// The right to go on. Dropping it gives the next peer its turn.
#[derive(Debug)]
pub(super) struct Turn(FairQueue);

/// The queue is full, for this peer or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl FairQueue {
    /// Waits for a turn.
    ///
    /// Cancel safety: a turn that is given to a dropped future goes to the next peer.
    ///
    /// # Errors
    /// At once, if too many requests wait already, or later, if a peer with fewer of them needs the place.
    pub(super) async fn turn(&self, peer: Peer) -> Result<Turn, QueueFull> {
        let given = {
            let mut waiting = self.0.lock();
            if !waiting.busy {
                waiting.busy = true;
                return Ok(Turn(self.clone()));
            }
            let (give, given) = oneshot::channel();
            waiting.push(peer, give)?;
            given
        };
        given.await.map_err(|_| QueueFull)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.0.lock().pop();
        // If the receiver was dropped, dropping the returned turn gives it to the next one.
        next.map(|next| next.send(Turn(self.0.clone())));
    }
}

/// Waiting requests. It takes no lock and knows no tasks.
#[derive(Debug)]
pub(super) struct WaitingRequests<T> {
    /// Whether a turn is given.
    busy: bool,
    /// Peers with waiting requests, in the order of their turns.
    turns: VecDeque<Peer>,
    requests: BTreeMap<Peer, VecDeque<T>>,
    count: usize,
}

impl<T> Default for WaitingRequests<T> {
    fn default() -> Self {
        Self { busy: false, turns: VecDeque::new(), requests: BTreeMap::new(), count: 0 }
    }
}

impl<T> WaitingRequests<T> {
    /// If all places are taken, the newest request of the peer with most of them is dropped, provided that `peer` has
    /// at least two fewer.
    pub(super) fn push(&mut self, peer: Peer, request: T) -> Result<(), QueueFull> {
        let own = self.requests.get(&peer).map_or(0, VecDeque::len);
        if own >= MOST_OF_PEER {
            return Err(QueueFull);
        }
        if self.count >= MOST_WAITING {
            let most = self.requests.values_mut().max_by_key(|requests| requests.len());
            most.filter(|most| most.len() >= own + 2).and_then(VecDeque::pop_back).ok_or(QueueFull)?;
            self.count -= 1;
        }
        if own == 0 {
            self.turns.push_back(peer);
        }
        self.requests.entry(peer).or_default().push_back(request);
        self.count += 1;
        Ok(())
    }

    /// The oldest request of the peer that is next.
    pub(super) fn pop(&mut self) -> Option<T> {
        let Some(peer) = self.turns.pop_front() else {
            self.busy = false;
            return None;
        };
        let requests = self.requests.get_mut(&peer)?;
        let request = requests.pop_front()?;
        self.count -= 1;
        if requests.is_empty() {
            self.requests.remove(&peer);
        } else {
            self.turns.push_back(peer);
        }
        Some(request)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count
    }
}
