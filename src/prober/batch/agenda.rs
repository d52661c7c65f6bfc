//! When the worker has to look at a session again. A heap with one current entry per session; outdated entries stay
//! until their time has come.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    time::Instant,
};

/// Identifies the current entry of a session. Other entries of the session are outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Ticket(u64);

/// An entry: look at the session in this slot at this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgendaEntry {
    pub(super) at: Instant,
    pub(super) ticket: Ticket,
    pub(super) slot: usize,
}

/// Entries by time.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<AgendaEntry>>,
    last: Ticket,
}

/// What [`Agenda::first`] does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    /// The entry is right.
    Keep,
    /// The session has to be looked at only then.
    Later(Instant),
    /// Another entry has replaced this one, or the session has ended.
    Outdated,
}

impl Agenda {
    /// Adds an entry and returns its ticket, which replaces the former one of the session.
    pub(super) fn add(&mut self, at: Instant, slot: usize) -> Ticket {
        self.last.0 += 1;
        self.heap.push(Reverse(AgendaEntry { at, ticket: self.last, slot }));
        self.last
    }

    /// Returns the first entry that is right. Drops or moves those before it, as `check` says.
    pub(super) fn first(&mut self, mut check: impl FnMut(AgendaEntry) -> Current) -> Option<AgendaEntry> {
        loop {
            let mut first = self.heap.peek_mut()?;
            match check(first.0) {
                Current::Keep => return Some(first.0),
                Current::Later(at) => first.0.at = at,
                Current::Outdated => drop(PeekMut::pop(first)),
            }
        }
    }

    /// Moves the first entry to another time.
    pub(super) fn move_first(&mut self, at: Instant) {
        if let Some(mut first) = self.heap.peek_mut() {
            first.0.at = at;
        }
    }

    /// Returns the number of entries, outdated ones included.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn origin() -> Instant {
        Instant::now()
    }

    proptest! {
        /// Entries are added, replaced and postponed at random. Each session is seen at its time, then an hour later.
        #[test]
        fn every_session_is_seen_at_its_time(
            changes in proptest::collection::vec((0..20_usize, 0..1_000_u64, any::<bool>()), 0..200),
        ) {
            let start = origin();
            let (mut agenda, mut wanted) = (Agenda::default(), BTreeMap::new());
            for (slot, ms, postponed) in changes {
                let at = start + Duration::from_millis(ms);
                match wanted.get_mut(&slot) {
                    Some((current, _)) if postponed && *current <= at => *current = at,
                    _ => {
                        let ticket = agenda.add(at, slot);
                        wanted.insert(slot, (at, ticket));
                    }
                }
            }
            let hour = Duration::from_hours(1);
            let mut expected: Vec<_> = wanted.iter().map(|(slot, (at, _))| (*at, *slot)).collect();
            expected.sort_unstable();
            expected.extend(expected.clone().into_iter().map(|(at, slot)| (at + hour, slot)));
            let mut seen = Vec::new();
            loop {
                let first = agenda.first(|entry| match wanted.get(&entry.slot) {
                    Some((_, ticket)) if *ticket != entry.ticket => Current::Outdated,
                    Some((at, _)) if *at > entry.at => Current::Later(*at),
                    Some(_) => Current::Keep,
                    None => Current::Outdated,
                });
                let Some(first) = first.filter(|_| seen.len() < expected.len()) else { break };
                seen.push((first.at, first.slot));
                agenda.move_first(first.at + hour);
                wanted.entry(first.slot).and_modify(|(at, _)| *at = first.at + hour);
            }
            prop_assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(agenda.len(), wanted.len());
        }
    }
}
