//! The watch of path MTUs: the packets of each round, and their replies. Contains no socket and reads no clock.
//!
//! A round is a large packet and a small one, sent together. Neither counts as an echo of the session. What is tried,
//! and what follows from it, is decided by [`MtuSearch`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use web_toolkit::clock::Moment;

use super::{
    agenda::{Agenda, AgendaEntry, Current, Ticket},
    echoes::{Arrival, Echoes, LinkId, Outgoing},
    packet::{self, EchoId, ErrorReport, Message},
    seal::Seal,
};
use crate::{
    domain::probe::{IpVersion, ProbeFailure, SocketMode},
    prober::{
        mtu::{
            self, MtuLimits, SMALL,
            search::{MtuRound, MtuSearch, PacketFate},
        },
        session::SessionContext,
        tally::Tally,
    },
};

/// Minimum timeout of a packet. A large one takes longer than an echo of the usual size.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Packets of a round: the large one and the small one.
pub(super) const PACKETS: usize = 2;

/// All addresses with a watched path MTU.
pub(super) struct SizeTable {
    context: SessionContext,
    seal: Seal,
    /// Identifier of all packets on raw sockets.
    identifier: u16,
    watches: Vec<Option<SizeWatch>>,
    free: Vec<usize>,
    slots: HashMap<(LinkId, IpAddr), usize>,
    agenda: Agenda,
    /// Number of packets so far.
    packets: u64,
}

struct SizeWatch {
    link: LinkId,
    address: IpAddr,
    tally: Arc<Tally>,
    search: MtuSearch,
    flights: Option<[SizedFlight; PACKETS]>,
    deadline: Instant,
    ticket: Ticket,
}

/// A packet of the round in progress.
struct SizedFlight {
    sequence: u16,
    payload: Vec<u8>,
    fate: Option<PacketFate>,
    /// An error about it. A reply that arrives later counts nevertheless.
    error: Option<PacketFate>,
}

impl SizeWatch {
    fn next_event(&self) -> Instant {
        if self.flights.is_some() { self.deadline } else { self.search.due() }
    }
}

impl SizeTable {
    pub(super) fn new(context: SessionContext) -> Self {
        Self {
            context,
            seal: Seal::default(),
            identifier: rand::random(),
            watches: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            agenda: Agenda::default(),
            packets: 0,
        }
    }

    pub(super) const fn identifier(&self) -> u16 {
        self.identifier
    }

    /// Adds an address with its first round at `first`. A link has an address at most once.
    pub(super) fn start(
        &mut self,
        link: LinkId,
        address: IpAddr,
        limits: MtuLimits,
        first: Instant,
        tally: Arc<Tally>,
    ) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.watches.push(None);
            self.watches.len() - 1
        });
        let (ticket, search) = (self.agenda.add(first, slot), MtuSearch::new(limits, first));
        self.watches[slot] = Some(SizeWatch { link, address, tally, search, flights: None, deadline: first, ticket });
        self.slots.insert((link, address), slot);
    }

    /// Removes an address.
    pub(super) fn stop(&mut self, link: LinkId, address: IpAddr) {
        if let Some(slot) = self.slots.remove(&(link, address)) {
            self.watches[slot] = None;
            self.free.push(slot);
        }
    }

    /// Returns the time of the next deadline or round.
    pub(super) fn next_event(&mut self) -> Option<Instant> {
        self.first().map(|entry| entry.at)
    }

    fn first(&mut self) -> Option<AgendaEntry> {
        let watches = &self.watches;
        self.agenda.first(|entry| match &watches[entry.slot] {
            Some(watch) if watch.ticket == entry.ticket => {
                let at = watch.next_event();
                if at > entry.at { Current::Later(at) } else { Current::Keep }
            }
            _ => Current::Outdated,
        })
    }

    /// Judges the deadlines until `now` and returns the packets of a round that is due, if any. The sockets must have
    /// been read after `now`.
    pub(super) fn next_round(&mut self, now: Moment) -> Option<[Outgoing<Vec<u8>>; PACKETS]> {
        while let Some(entry) = self.first().filter(|entry| entry.at <= now.instant) {
            if self.watches[entry.slot].as_ref().is_some_and(|watch| watch.flights.is_some()) {
                self.end_round(entry.slot, now.instant);
            }
            let round = self.begin_round(entry.slot, now.instant);
            let watch = self.watches[entry.slot].as_ref()?;
            self.agenda.move_first(watch.next_event());
            if round.is_some() {
                return round;
            }
        }
        None
    }

    fn begin_round(&mut self, slot: usize, now: Instant) -> Option<[Outgoing<Vec<u8>>; PACKETS]> {
        let timeout = self.context.settings.borrow().timing.timeout().max(LEAST_TIMEOUT);
        let watch = self.watches[slot].as_mut().filter(|watch| watch.search.due() <= now)?;
        if watch.tally.state().up != Some(true) {
            watch.search.skip(now);
            return None;
        }
        let large = watch.search.begin(now, watch.tally.totals());
        watch.deadline = now + timeout;
        watch.tally.count_mtu_requests(PACKETS as u64);
        let (link, address, version) = (watch.link, watch.address, IpVersion::from(watch.address));
        let sequence: u16 = rand::random();
        let flights = [(large, sequence), (SMALL, sequence.wrapping_add(1))].map(|(size, sequence)| {
            self.packets += 1;
            let size = usize::from(size - mtu::headers(version));
            let payload = self.seal.sized_payload(size, address, 0, self.packets);
            SizedFlight { sequence, payload, fate: None, error: None }
        });
        let packets = std::array::from_fn(|part| {
            let SizedFlight { sequence, payload, .. } = &flights[part];
            let packet = packet::encode_sized(version, self.identifier, *sequence, payload);
            Outgoing { slot: slot * PACKETS + part, link, address, packet }
        });
        watch.flights = Some(flights);
        Some(packets)
    }

    fn end_round(&mut self, slot: usize, now: Instant) {
        let Some(watch) = &mut self.watches[slot] else { return };
        let Some(flights) = watch.flights.take() else { return };
        let [large, small] = flights.map(|flight| flight.fate.or(flight.error).unwrap_or(PacketFate::Lost));
        let round = MtuRound { large, small, usual: watch.tally.totals(), ended: now };
        if watch.search.finish(round) {
            watch.tally.set_path_mtu(watch.search.path());
            self.context.announce_change();
        }
    }

    /// The fate of a packet is known. The round ends with that of the other one.
    fn settle(&mut self, slot: usize, part: usize, fate: PacketFate, now: Instant) {
        let Some(watch) = &mut self.watches[slot] else { return };
        let Some(flights) = &mut watch.flights else { return };
        flights[part].fate.get_or_insert(fate);
        if flights.iter().all(|flight| flight.fate.is_some()) {
            self.end_round(slot, now);
            // Before the deadline, which is when the current entry is.
            if let Some(watch) = &mut self.watches[slot] {
                watch.ticket = self.agenda.add(watch.next_event(), slot);
            }
        }
    }

    /// Returns the packet in flight that a message is about.
    fn find(&mut self, link: LinkId, id: &EchoId<'_>, mode: SocketMode) -> Option<(usize, usize, &mut SizedFlight)> {
        if mode == SocketMode::Raw && id.identifier != self.identifier {
            return None;
        }
        let slot = *self.slots.get(&(link, id.target))?;
        let flights = self.watches[slot].as_mut()?.flights.as_mut()?;
        let part = flights.iter().position(|flight| flight.sequence == id.sequence)?;
        Some((slot, part, &mut flights[part]))
    }
}

impl Echoes for SizeTable {
    /// Deadlines begin when the round does.
    fn mark_sent(&mut self, _: usize, _: Instant, _: Moment) {}

    fn mark_failed(&mut self, slot: usize, failure: ProbeFailure, now: Moment) {
        let fate = if failure == ProbeFailure::TooBig { PacketFate::AboveInterface } else { PacketFate::NotSent };
        self.settle(slot / PACKETS, slot % PACKETS, fate, now.instant);
    }

    fn receive(&mut self, link: LinkId, mode: SocketMode, source: IpAddr, data: &[u8], arrival: Arrival) {
        match packet::decode(source, mode, data) {
            Some(Message::Reply(id)) => {
                if let Some((slot, part, flight)) = self.find(link, &id, mode)
                    && flight.fate.is_none()
                    && flight.payload == id.payload
                {
                    self.watches[slot].iter().for_each(|watch| watch.tally.count_mtu_reply());
                    self.settle(slot, part, PacketFate::Answered, arrival.read.instant);
                }
            }
            Some(Message::Error(error, id)) => self.receive_error(link, mode, error, &id),
            None => {}
        }
    }

    fn receive_error(&mut self, link: LinkId, mode: SocketMode, error: ErrorReport, id: &EchoId<'_>) {
        if let Some((_, _, flight)) = self.find(link, id, mode)
            && error.failure == ProbeFailure::TooBig
            && id.payload.iter().zip(&flight.payload).all(|(quoted, sent)| quoted == sent)
        {
            flight.error.get_or_insert(PacketFate::TooBig(error.next_mtu));
        }
    }

    /// Replies to the packets in flight may be among those that were dropped.
    fn mark_overflow(&mut self, link: LinkId, _: Instant) {
        let watches = self.watches.iter_mut().flatten().filter(|watch| watch.link == link);
        for flight in watches.filter_map(|watch| watch.flights.as_mut()).flatten() {
            flight.error = Some(PacketFate::NotSent);
        }
    }
}

#[cfg(test)]
mod tests;
