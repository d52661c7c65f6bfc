//! The sessions of the batch engine and the echoes in flight. Contains no socket and reads no clock.
//!
//! An echo ends in exactly one of these ways: an intact reply arrives before the deadline; the deadline passes and the
//! sockets have been read since; or the packet cannot be sent. An ICMP error decides only what a missing reply counts
//! as, because a reply may still be under way.

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
    seal::{Payload, Seal},
};
use crate::{
    domain::probe::{EchoOutcome, IpVersion, ProbeFailure, SocketMode},
    prober::{
        session::{ProbeSession, SessionContext},
        settings::SessionSettings,
        tally::Tally,
    },
};

/// All sessions.
#[derive(Debug)]
pub(super) struct Table {
    context: SessionContext,
    settings: SessionSettings,
    seal: Seal,
    probes: Vec<Option<Probe>>,
    free: Vec<usize>,
    slots: HashMap<(LinkId, IpAddr), usize>,
    agenda: Agenda,
    /// Number of sessions so far.
    started: u64,
    /// The time until which each link has dropped packets.
    overflows: HashMap<LinkId, Instant>,
    /// Links with sessions that wish for a new identifier.
    renewals: Vec<LinkId>,
}

#[derive(Debug)]
struct Probe {
    link: LinkId,
    address: IpAddr,
    /// Not used by any other session.
    number: u64,
    echoes: u64,
    session: ProbeSession,
    tally: Arc<Tally>,
    flight: Option<Flight>,
    ticket: Ticket,
}

/// An echo in flight.
#[derive(Debug)]
struct Flight {
    identifier: u16,
    sequence: u16,
    payload: Payload,
    timeout: Duration,
    /// Start of the system call that has sent it.
    sent: Instant,
    /// The timeout after the end of that call.
    deadline: Instant,
    error: Option<ProbeFailure>,
}

impl Flight {
    /// Returns whether a message is about this echo. The kernel chooses the identifier on datagram sockets and delivers
    /// only messages with it.
    fn is(&self, id: &EchoId<'_>, mode: SocketMode) -> bool {
        id.sequence == self.sequence && (mode != SocketMode::Raw || id.identifier == self.identifier)
    }

    /// Returns whether a quote is the beginning of this echo. After it there may be extensions (RFC 4884).
    fn is_quoted(&self, quoted: &[u8]) -> bool {
        quoted.iter().zip(&self.payload).all(|(quoted, sent)| quoted == sent)
    }
}

impl Probe {
    /// Returns when this session has to be looked at.
    fn next_event(&self) -> Instant {
        self.flight.as_ref().map_or_else(|| self.session.due(), |flight| flight.deadline)
    }
}

impl Table {
    pub(super) fn new(context: SessionContext) -> Self {
        let settings = *context.settings.borrow();
        Self {
            context,
            settings,
            seal: Seal::default(),
            probes: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            agenda: Agenda::default(),
            started: 0,
            overflows: HashMap::new(),
            renewals: Vec::new(),
        }
    }

    /// Adds a session. A link has at most one session per address.
    pub(super) fn start(
        &mut self,
        link: LinkId,
        address: IpAddr,
        mut session: ProbeSession,
        tally: Arc<Tally>,
        now: Instant,
    ) {
        session.set_timing(self.settings.timing, now);
        self.started += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.probes.push(None);
            self.probes.len() - 1
        });
        let ticket = self.agenda.add(session.due(), slot);
        let number = self.started;
        self.probes[slot] = Some(Probe { link, address, number, echoes: 0, session, tally, flight: None, ticket });
        self.slots.insert((link, address), slot);
    }

    /// Removes a session. An echo in flight has no outcome.
    pub(super) fn stop(&mut self, link: LinkId, address: IpAddr) {
        let Some(slot) = self.slots.remove(&(link, address)) else { return };
        if let Some(probe) = self.probes[slot].take()
            && probe.flight.is_some()
        {
            self.context.activity.end_echo();
        }
        self.free.push(slot);
    }

    /// Forgets a link without sessions.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.overflows.remove(&link);
    }

    /// Adopts new settings. Echoes in flight keep their timeout.
    pub(super) fn set_settings(&mut self, settings: SessionSettings, now: Instant) {
        self.settings = settings;
        for probe in self.probes.iter_mut().flatten() {
            probe.session.set_timing(settings.timing, now);
        }
        self.rebuild_agenda();
    }

    fn rebuild_agenda(&mut self) {
        self.agenda.clear();
        for (slot, probe) in self.probes.iter_mut().enumerate() {
            if let Some(probe) = probe {
                probe.ticket = self.agenda.add(probe.next_event(), slot);
            }
        }
    }

    /// Returns the time of the next deadline or send.
    pub(super) fn next_event(&mut self) -> Option<Instant> {
        // Sessions that are stopped leave their entries behind.
        if self.agenda.len() > 2 * self.slots.len() + 1_024 {
            self.rebuild_agenda();
        }
        self.first().map(|entry| entry.at)
    }

    fn first(&mut self) -> Option<AgendaEntry> {
        let probes = &self.probes;
        self.agenda.first(|entry| match &probes[entry.slot] {
            Some(probe) if probe.ticket == entry.ticket => {
                let at = probe.next_event();
                if at > entry.at { Current::Later(at) } else { Current::Keep }
            }
            _ => Current::Outdated,
        })
    }

    /// Judges the deadlines until `now` and returns an echo that is due, if any. The sockets must have been read after
    /// `now`.
    pub(super) fn next_echo(&mut self, now: Moment) -> Option<Outgoing> {
        while let Some(entry) = self.first().filter(|entry| entry.at <= now.instant) {
            let outgoing = self.look_at(entry.slot, now);
            let probe = self.probes[entry.slot].as_ref()?;
            self.agenda.move_first(probe.next_event());
            if outgoing.is_some() {
                return outgoing;
            }
        }
        None
    }

    fn look_at(&mut self, slot: usize, now: Moment) -> Option<Outgoing> {
        let probe = self.probes[slot].as_ref()?;
        if let Some(flight) = &probe.flight {
            if flight.deadline > now.instant {
                return None;
            }
            let overflow = self.overflows.get(&probe.link).is_some_and(|&until| flight.sent <= until);
            let failure = match flight.error {
                Some(error) => error,
                None if overflow => ProbeFailure::NotSent,
                None => ProbeFailure::Timeout,
            };
            self.finish(slot, EchoOutcome::Failed(failure), now);
        }
        self.begin(slot, now)
    }

    /// Starts an echo if one is due.
    fn begin(&mut self, slot: usize, now: Moment) -> Option<Outgoing> {
        let probe = self.probes[slot].as_mut()?;
        let (echo, lag) = probe.session.next_echo(now.instant)?;
        self.context.activity.observe_lag(lag);
        self.context.activity.begin_echo();
        probe.tally.begin();
        probe.echoes += 1;
        let payload = self.seal.payload(probe.address, probe.number, probe.echoes);
        let version = IpVersion::from(probe.address);
        let packet = packet::encode(version, echo.identifier, echo.sequence, &payload);
        let (identifier, sequence, timeout) = (echo.identifier, echo.sequence, echo.timeout);
        let (sent, deadline) = (now.instant, now.instant + timeout);
        probe.flight = Some(Flight { identifier, sequence, payload, timeout, sent, deadline, error: None });
        Some(Outgoing { slot, link: probe.link, address: probe.address, packet })
    }

    fn receive_reply(&mut self, link: LinkId, mode: SocketMode, id: &EchoId<'_>, arrival: Arrival) {
        let Some((slot, flight)) = self.flight(link, id, mode) else { return };
        let at = arrival.instant(flight.sent);
        if id.payload != flight.payload || at > flight.deadline {
            return;
        }
        let rtt = at.saturating_duration_since(flight.sent).max(Duration::from_nanos(1));
        self.finish(slot, EchoOutcome::Reply { rtt }, arrival.read);
    }

    /// Returns the echo in flight that a message is about.
    fn flight(&mut self, link: LinkId, id: &EchoId<'_>, mode: SocketMode) -> Option<(usize, &mut Flight)> {
        let slot = *self.slots.get(&(link, id.target))?;
        let flight = self.probes[slot].as_mut()?.flight.as_mut()?;
        flight.is(id, mode).then_some((slot, flight))
    }

    /// Returns the links with sessions that wish for a new identifier.
    pub(super) fn take_renewals(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.renewals)
    }

    fn finish(&mut self, slot: usize, outcome: EchoOutcome, now: Moment) {
        let Some(probe) = &mut self.probes[slot] else { return };
        let Some(flight) = probe.flight.take() else { return };
        self.context.activity.end_echo();
        if probe.tally.finish(outcome, now, self.settings.thresholds) {
            self.context.announce_change();
        }
        if probe.session.record_outcome(outcome) && !self.renewals.contains(&probe.link) {
            self.renewals.push(probe.link);
        }
        // After a delay the next send may be due before the deadline, which is when the current entry is.
        if probe.session.due() < flight.deadline {
            probe.ticket = self.agenda.add(probe.session.due(), slot);
        }
    }
}

impl Echoes for Table {
    /// The kernel has accepted an echo in a system call from `before` to `after`.
    ///
    /// The round-trip time starts at `before` and the timeout at `after`, because the thread may have been interrupted
    /// on either side of the send. After an interruption of more than half the timeout neither time is known well
    /// enough, so that the echo does not count.
    fn mark_sent(&mut self, slot: usize, before: Instant, after: Moment) {
        let Some(flight) = self.probes[slot].as_mut().and_then(|probe| probe.flight.as_mut()) else { return };
        if after.instant.saturating_duration_since(before) > flight.timeout / 2 {
            return self.mark_failed(slot, ProbeFailure::NotSent, after);
        }
        flight.sent = before;
        flight.deadline = after.instant + flight.timeout;
    }

    /// The kernel has refused an echo.
    fn mark_failed(&mut self, slot: usize, failure: ProbeFailure, now: Moment) {
        self.finish(slot, EchoOutcome::Failed(failure), now);
    }

    /// Handles a message that a link has received from `source`.
    fn receive(&mut self, link: LinkId, mode: SocketMode, source: IpAddr, data: &[u8], arrival: Arrival) {
        match packet::decode(source, mode, data) {
            Some(Message::Reply(id)) => self.receive_reply(link, mode, &id, arrival),
            Some(Message::Error(error, id)) => self.receive_error(link, mode, error, &id),
            None => {}
        }
    }

    /// Handles an error that quotes an echo. The first one counts, if there is no reply.
    fn receive_error(&mut self, link: LinkId, mode: SocketMode, error: ErrorReport, id: &EchoId<'_>) {
        if let Some((_, flight)) = self.flight(link, id, mode)
            && flight.is_quoted(id.payload)
        {
            flight.error.get_or_insert(error.failure);
        }
    }

    /// Packets of this link were dropped until `at`. Echoes that were in flight then and have no reply do not count as
    /// lost.
    fn mark_overflow(&mut self, link: LinkId, at: Instant) {
        self.overflows.insert(link, at);
    }
}

#[cfg(test)]
mod tests;
