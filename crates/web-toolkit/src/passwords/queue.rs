//! A queue in which peers take turns, so that a peer with many requests delays only itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::server::Peer;

/// The places of waiting requests, which limit the time that the last one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    /// Of all peers.
    pub(super) all: usize,
    /// Of one peer.
    pub(super) of_peer: usize,
}

impl Places {
    /// For checks of cost 10, the default of most tools, and above.
    pub(super) const USUAL: Self = Self { all: 64, of_peer: 4 };

    /// Each step below cost 10 halves the time of a check, and doubles the places: a thousand agents that connect after
    /// a restart have one each at cost 6.
    pub(super) fn for_cost(cost: u32) -> Self {
        let more = 1 << 10_u32.saturating_sub(cost);
        Self { all: Self::USUAL.all * more, of_peer: Self::USUAL.of_peer * more }
    }
}

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
    /// Waits for a turn. A request is refused if more than `places` of them wait.
    ///
    /// Cancel safety: a turn that is given to a dropped future goes to the next peer.
    ///
    /// # Errors
    /// At once, if too many requests wait already, or later, if a peer with fewer of them needs the place.
    pub(super) async fn turn(&self, peer: Peer, places: Places) -> Result<Turn, QueueFull> {
        let given = {
            let mut waiting = self.0.lock();
            if !waiting.busy {
                waiting.busy = true;
                return Ok(Turn(self.clone()));
            }
            let (give, given) = oneshot::channel();
            waiting.push(peer, give, places)?;
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
    pub(super) fn push(&mut self, peer: Peer, request: T, places: Places) -> Result<(), QueueFull> {
        let own = self.requests.get(&peer).map_or(0, VecDeque::len);
        if own >= places.of_peer {
            return Err(QueueFull);
        }
        if self.count >= places.all {
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
