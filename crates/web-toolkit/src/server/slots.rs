//! Slots of connections, and which connection is closed when all slots are taken.
//!
//! A connection is idle unless a request is being answered on it: a client that sent nothing, half a TLS handshake or
//! half a request head is idle since it connected. If a client connects while all slots are taken, the connection that
//! has been idle for longest is closed, first among those of peers that hold more than their share. Therefore a client
//! that takes many slots loses its own connections, and a client that sends its request at once is served at once. A
//! connection with a response in progress is never closed here; its own limits end it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::peer::Peer;
use crate::clock;

/// How many connections a server has. Clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    evicted: AtomicU64,
}

impl ConnectionCounts {
    /// Open connections.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Connections that were closed since the start because all slots were taken.
    pub fn evicted(&self) -> u64 {
        self.0.evicted.load(Ordering::Relaxed)
    }

    fn count_eviction(&self) {
        self.0.evicted.fetch_add(1, Ordering::Relaxed);
    }
}

/// All slots of a server.
#[derive(Debug)]
pub(super) struct Slots {
    limit: usize,
    table: Mutex<SlotTable>,
    /// Notified when a slot is returned or its connection becomes idle.
    changed: Notify,
    counts: ConnectionCounts,
}

impl Slots {
    pub(super) fn new(limit: usize, counts: ConnectionCounts) -> Arc<Self> {
        Arc::new(Self { limit, table: Mutex::default(), changed: Notify::new(), counts })
    }

    /// Waits for a slot, and closes another connection if necessary. `None`: all slots are taken, and the peer has more
    /// than its share of them, so that its new connection must be closed.
    ///
    /// Cancel safety: no slot is taken if the future is dropped.
    pub(super) async fn admit(self: &Arc<Self>, peer: Peer) -> Option<Slot> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let admission = self.change(|table| table.admit(peer, self.limit, clock::now().instant));
            match admission {
                Admission::Admitted(id, evicted) => {
                    return Some(Slot { slots: Arc::clone(self), id, evicted });
                }
                Admission::Evicting => self.counts.count_eviction(),
                Admission::Waiting => {}
                Admission::Refused => {
                    self.counts.count_eviction();
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The count changes under the lock of the table, so that it is never above the limit.
    fn change<T>(&self, change: impl FnOnce(&mut SlotTable) -> T) -> T {
        let mut table = self.table.lock();
        let result = change(&mut table);
        self.counts.0.open.store(table.entries.len(), Ordering::Relaxed);
        result
    }

    /// Closes the connection that has been idle for longest, if there is one.
    pub(super) fn evict_longest_idle(&self) {
        if self.table.lock().evict(|_| true, 0) {
            self.counts.count_eviction();
        }
    }
}

/// One connection's right to exist. Dropping it returns the slot.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    evicted: CancellationToken,
}

impl Slot {
    /// A response is in progress: the connection is not closed for another one.
    pub(super) fn set_active(&self) {
        self.set_idle_since(None);
    }

    /// The response was sent.
    pub(super) fn set_idle(&self) {
        self.set_idle_since(Some(clock::now().instant));
        self.slots.changed.notify_waiters();
    }

    fn set_idle_since(&self, since: Option<Instant>) {
        self.slots.table.lock().set_idle_since(self.id, since);
    }

    /// Returns when the connection must be closed.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.change(|table| table.remove(self.id));
        self.slots.changed.notify_waiters();
    }
}

/// The connections that have a slot. Choosing one to close takes microseconds, because a flood makes it frequent.
#[derive(Debug, Default)]
struct SlotTable {
    next_id: u64,
    entries: BTreeMap<u64, Occupant>,
    /// The idle connections, the one that has been idle for longest first.
    idle: BTreeSet<(Instant, u64)>,
    /// How many connections are being closed. They are not idle.
    leaving: usize,
    held: HashMap<Peer, usize>,
}

#[derive(Debug)]
struct Occupant {
    peer: Peer,
    /// `None` while a response is in progress.
    idle_since: Option<Instant>,
    leaving: bool,
    evicted: CancellationToken,
}

/// What happens to a new connection.
#[derive(Debug)]
enum Admission {
    Admitted(u64, CancellationToken),
    /// Another connection is being closed.
    Evicting,
    /// Until another connection is closed or becomes idle.
    Waiting,
    Refused,
}

impl SlotTable {
    fn admit(&mut self, peer: Peer, limit: usize, now: Instant) -> Admission {
        if self.entries.len() < limit {
            return self.insert(peer, now);
        }
        if self.leaving > 0 {
            return Admission::Waiting;
        }
        let share = (limit / 8).max(1);
        let has_share = self.held.get(&peer).is_some_and(|held| *held >= share);
        match (has_share, self.evict(|owner| !has_share || owner == peer, share)) {
            (_, true) => Admission::Evicting,
            (true, false) => Admission::Refused,
            (false, false) => Admission::Waiting,
        }
    }

    fn insert(&mut self, peer: Peer, now: Instant) -> Admission {
        let (id, evicted) = (self.next_id, CancellationToken::new());
        self.next_id += 1;
        self.entries.insert(id, Occupant { peer, idle_since: Some(now), leaving: false, evicted: evicted.clone() });
        self.idle.insert((now, id));
        *self.held.entry(peer).or_default() += 1;
        Admission::Admitted(id, evicted)
    }

    fn set_idle_since(&mut self, id: u64, since: Option<Instant>) {
        let Some(occupant) = self.entries.get_mut(&id).filter(|occupant| !occupant.leaving) else { return };
        if let Some(before) = std::mem::replace(&mut occupant.idle_since, since) {
            self.idle.remove(&(before, id));
        }
        self.idle.extend(since.map(|since| (since, id)));
    }

    /// Closes the longest idle connection of the peers that `of` accepts, preferably of one with more than `share`
    /// slots.
    fn evict(&mut self, of: impl Fn(Peer) -> bool, share: usize) -> bool {
        let holds_more = |peer: Peer| self.held.get(&peer).is_some_and(|held| *held > share);
        let prefers = self.held.values().any(|held| *held > share);
        let longest_of = |accepts: &dyn Fn(Peer) -> bool| {
            let peer_of = |id: &u64| self.entries.get(id).map(|occupant| occupant.peer);
            self.idle.iter().copied().find(|(_, id)| peer_of(id).is_some_and(accepts))
        };
        let preferred = if prefers { longest_of(&|peer| of(peer) && holds_more(peer)) } else { None };
        let Some(longest) = preferred.or_else(|| longest_of(&of)) else { return false };
        self.idle.remove(&longest);
        if let Some(occupant) = self.entries.get_mut(&longest.1) {
            occupant.leaving = true;
            self.leaving += 1;
            occupant.evicted.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) {
        let Some(Occupant { peer, idle_since, leaving, .. }) = self.entries.remove(&id) else { return };
        self.leaving -= usize::from(leaving);
        if let Some(since) = idle_since {
            self.idle.remove(&(since, id));
        }
        if let Some(held) = self.held.get_mut(&peer) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
