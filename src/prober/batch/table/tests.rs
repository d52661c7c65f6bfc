use std::num::NonZeroU32;

use proptest::prelude::*;
use tokio::sync::watch;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::probe::Thresholds,
    prober::{
        batch::{
            packet::tests::{MODES, ip, reply, sockets, unreachable},
            seal::PAYLOAD_SIZE,
        },
        histogram::Buckets,
        schedule::PhaseSequence,
        settings::Timing,
        tally::TallyReading,
    },
};

const LINK: LinkId = 0;
const OTHER_LINK: LinkId = 1;
const SECOND: Duration = Duration::from_secs(1);

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// Sessions that send once per second, with a timeout of half a second.
struct Stage {
    table: Table,
    context: SessionContext,
    phases: PhaseSequence,
    now: Moment,
}

impl Stage {
    fn new() -> Self {
        let timing = Timing::new(SECOND, SECOND / 2).unwrap();
        let one = NonZeroU32::MIN;
        let settings = SessionSettings { timing, thresholds: Thresholds { down_after: one, up_after: one } };
        let (changes, _) = watch::channel(0);
        let now = clock::now();
        let context = SessionContext {
            origin: now.instant,
            settings: watch::channel(settings).1,
            changes: Arc::new(changes),
            activity: Arc::default(),
        };
        Self { table: Table::new(context.clone()), context, phases: PhaseSequence::default(), now }
    }

    fn start(&mut self, link: LinkId, address: IpAddr) -> Arc<Tally> {
        let session = self.context.create_session(address, self.phases.next_phase(), self.now.instant);
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        self.table.start(link, address, session, Arc::clone(&tally), self.now.instant);
        tally
    }

    /// Time passes until the next echo, which is sent.
    fn next_echo(&mut self) -> Outgoing {
        loop {
            let next = self.table.next_event().unwrap();
            self.now = self.now.after(next.saturating_duration_since(self.now.instant));
            if let Some(echo) = self.table.next_echo(self.now) {
                self.table.mark_sent(echo.slot, self.now.instant, self.now);
                return echo;
            }
        }
    }

    /// A packet arrives and is read `delay` later.
    fn receive_late(&mut self, mode: SocketMode, source: IpAddr, data: &[u8], delay: Duration) {
        let arrival =
            Arrival { read: self.now.after(delay), not_before: self.context.origin, stamp: Some(self.now.wall) };
        self.table.receive(LINK, mode, source, data, arrival);
    }

    fn receive(&mut self, mode: SocketMode, source: IpAddr, data: &[u8]) {
        self.receive_late(mode, source, data, Duration::ZERO);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// The deadline of the echo in flight passes. No other echo is due.
    fn time_out(&mut self) {
        self.pass(SECOND / 2);
        assert!(self.table.next_echo(self.now).is_none());
    }
}

/// The number of replies and the failures of a tally.
fn outcomes(tally: &Tally) -> (u64, Vec<ProbeFailure>) {
    let reading: TallyReading = tally.read();
    assert_eq!(reading.in_flight, reading.requests - reading.replies - reading.failures_total());
    let failed = |reason: &&ProbeFailure| reading.failures(**reason) > 0;
    (reading.replies, crate::domain::label::Label::ALL.iter().filter(failed).copied().collect())
}

fn payload(echo: &Outgoing) -> &[u8] {
    &echo.packet[8..]
}

#[test]
fn an_intact_reply_counts_once_with_the_time_of_its_arrival() {
    for (host, _, mode) in sockets() {
        let mut stage = Stage::new();
        let tally = stage.start(LINK, host);
        let echo = stage.next_echo();
        stage.pass(ms(20));
        let packet = reply(host, mode, &echo.packet, payload(&echo));
        stage.receive_late(mode, host, &packet, ms(300));
        stage.receive_late(mode, host, &packet, ms(300));
        let reading = tally.read();
        assert_eq!((outcomes(&tally), reading.rtt.count()), ((1, vec![]), 1), "{host} {mode}");
        assert!(reading.rtt.sum() >= ms(19) && reading.rtt.sum() <= ms(21), "{:?}", reading.rtt.sum());
        assert_eq!(stage.context.activity.in_flight(), 0);
    }
}

#[test]
fn cut_extended_damaged_and_forged_replies_are_losses() {
    for (host, router, mode) in sockets() {
        let mut stage = Stage::new();
        let tally = stage.start(LINK, host);
        let former = stage.next_echo();
        stage.time_out();
        let echo = stage.next_echo();
        let sent = payload(&echo);
        let mut damaged = sent.to_vec();
        damaged[40] ^= 1;
        let mut sequence = echo.packet;
        sequence[7] ^= 1;
        for packet in [
            reply(host, mode, &echo.packet, &sent[..PAYLOAD_SIZE - 1]),
            reply(host, mode, &echo.packet, &[sent, b"m"].concat()),
            reply(host, mode, &echo.packet, &[]),
            reply(host, mode, &echo.packet, &damaged),
            reply(host, mode, &echo.packet, &[0x6d; PAYLOAD_SIZE]),
            reply(host, mode, &echo.packet, payload(&former)),
            reply(host, mode, &former.packet, payload(&former)),
            reply(host, mode, &sequence, sent),
        ] {
            stage.receive(mode, host, &packet);
        }
        stage.receive(mode, router, &reply(router, mode, &echo.packet, sent));
        assert_eq!(outcomes(&tally).0, 0, "{host} {mode}");
        stage.time_out();
        assert_eq!(outcomes(&tally), (0, vec![ProbeFailure::Timeout]), "{host} {mode}");
    }
}

#[test]
fn a_reply_with_another_identifier_is_ignored_on_raw_sockets() {
    for (host, _) in crate::prober::batch::packet::tests::HOSTS {
        for mode in MODES {
            let (host, mut stage) = (ip(host), Stage::new());
            let tally = stage.start(LINK, host);
            let echo = stage.next_echo();
            let mut other = echo.packet;
            other[5] ^= 1;
            stage.receive(mode, host, &reply(host, mode, &other, payload(&echo)));
            // The kernel chooses the identifier of a datagram socket and checks it.
            assert_eq!(outcomes(&tally).0, u64::from(mode == SocketMode::Dgram), "{host} {mode}");
        }
    }
}

#[test]
fn a_reply_counts_only_for_the_session_and_the_link_of_its_echo() {
    let (host, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
    let mut stage = Stage::new();
    let tallies = [stage.start(LINK, host), stage.start(LINK, other), stage.start(OTHER_LINK, host)];
    let echoes = [stage.next_echo(), stage.next_echo(), stage.next_echo()];
    for echo in echoes {
        // Each reply arrives in the name of the other host as well, and at the first link.
        for source in [host, other] {
            if (echo.link, echo.address) != (LINK, source) {
                stage.receive(SocketMode::Raw, source, &reply(source, SocketMode::Raw, &echo.packet, payload(&echo)));
            }
        }
    }
    assert!(tallies.iter().all(|tally| outcomes(tally).0 == 0));
}

#[test]
fn an_error_decides_only_what_a_missing_reply_counts_as() {
    for (host, router, mode) in sockets() {
        for answered in [false, true] {
            let mut stage = Stage::new();
            let tally = stage.start(LINK, host);
            let echo = stage.next_echo();
            stage.receive(mode, router, &unreachable(router, host, mode, &echo.packet));
            if answered {
                stage.receive(mode, host, &reply(host, mode, &echo.packet, payload(&echo)));
            }
            stage.time_out();
            let expected = if answered { (1, vec![]) } else { (0, vec![ProbeFailure::Unreachable]) };
            assert_eq!(outcomes(&tally), expected, "{host} {mode}");
        }
    }
}

#[test]
fn an_error_that_quotes_another_packet_is_ignored() {
    for (host, router, mode) in sockets() {
        let mut stage = Stage::new();
        let tally = stage.start(LINK, host);
        let echo = stage.next_echo();
        let (mut sequence, mut content) = (echo.packet, echo.packet);
        sequence[7] ^= 1;
        content[30] ^= 1;
        for quoted in [sequence, content] {
            stage.receive(mode, router, &unreachable(router, host, mode, &quoted));
        }
        stage.receive(mode, router, &unreachable(router, router, mode, &echo.packet));
        stage.time_out();
        assert_eq!(outcomes(&tally), (0, vec![ProbeFailure::Timeout]), "{host} {mode}");
    }
}

#[test]
fn a_process_that_was_stopped_loses_no_reply_that_is_in_the_socket() {
    let host = ip("192.0.2.1");
    let mut stage = Stage::new();
    let tally = stage.start(LINK, host);
    let echo = stage.next_echo();
    stage.pass(ms(10));
    let packet = reply(host, SocketMode::Dgram, &echo.packet, payload(&echo));
    stage.receive_late(SocketMode::Dgram, host, &packet, Duration::from_secs(8));
    stage.pass(Duration::from_secs(8));
    assert!(stage.table.next_echo(stage.now).is_some(), "one echo is sent for those that were missed");
    assert!(stage.table.next_echo(stage.now).is_none());
    assert_eq!(outcomes(&tally), (1, vec![]));
    assert!(tally.read().rtt.sum() < ms(12), "{:?}", tally.read().rtt.sum());
}

#[test]
fn a_reply_after_the_deadline_is_a_loss_even_if_nothing_has_judged_it() {
    let host = ip("192.0.2.1");
    let mut stage = Stage::new();
    let tally = stage.start(LINK, host);
    let echo = stage.next_echo();
    stage.pass(ms(501));
    stage.receive(SocketMode::Dgram, host, &reply(host, SocketMode::Dgram, &echo.packet, payload(&echo)));
    assert!(stage.table.next_echo(stage.now).is_none());
    assert_eq!(outcomes(&tally), (0, vec![ProbeFailure::Timeout]));
}

#[test]
fn an_interruption_while_an_echo_is_sent_is_not_a_loss() {
    let host = ip("192.0.2.1");
    // Time in the system call, time until the reply arrives, and whether it counts. The timeout is 500 ms.
    for (interruption, answered, expected) in [
        (ms(249), ms(748), (1, vec![])),
        (ms(249), ms(750), (0, vec![ProbeFailure::Timeout])),
        (ms(251), ms(252), (0, vec![ProbeFailure::NotSent])),
        (SECOND * 8, SECOND * 8, (0, vec![ProbeFailure::NotSent])),
    ] {
        let mut stage = Stage::new();
        let tally = stage.start(LINK, host);
        let due = stage.table.next_event().unwrap();
        stage.pass(due.saturating_duration_since(stage.now.instant));
        let echo = stage.table.next_echo(stage.now).unwrap();
        stage.table.mark_sent(echo.slot, stage.now.instant, stage.now.after(interruption));
        stage.pass(answered);
        stage.receive(SocketMode::Dgram, host, &reply(host, SocketMode::Dgram, &echo.packet, payload(&echo)));
        stage.table.next_echo(stage.now);
        assert_eq!(outcomes(&tally), expected, "{interruption:?} {answered:?}");
        if expected.0 == 1 {
            assert!(tally.read().rtt.sum() >= answered, "the round-trip time is an upper bound");
        }
    }
}

#[test]
fn a_wall_clock_that_is_set_does_not_change_the_round_trip_time() {
    let read = clock::now();
    let at = |by: u64| read.after(ms(by)).instant;
    // Sent at 0, the socket was empty at 10 ms, read at 12 ms.
    let arrival = |stamp| Arrival { read: read.after(ms(12)), not_before: at(10), stamp };
    let wall = |by: i64| read.wall + jiff::SignedDuration::from_millis(by);
    for (stamp, expected) in
        [(Some(wall(11)), at(11)), (Some(wall(3_600_011)), at(12)), (Some(wall(-3_600_000)), at(10)), (None, at(12))]
    {
        assert_eq!(arrival(stamp).instant(read.instant), expected, "{stamp:?}");
    }
    let sent = at(11);
    assert_eq!(arrival(Some(wall(0))).instant(sent), sent, "not before it was sent");
}

#[test]
fn echoes_with_replies_that_may_have_been_dropped_are_not_losses() {
    let host = ip("192.0.2.1");
    let mut stage = Stage::new();
    let tally = stage.start(LINK, host);
    stage.next_echo();
    stage.pass(ms(5));
    stage.table.mark_overflow(LINK, stage.now.instant);
    stage.time_out();
    assert_eq!(outcomes(&tally), (0, vec![ProbeFailure::NotSent]));
    stage.next_echo();
    stage.time_out();
    assert_eq!(tally.read().failures(ProbeFailure::Timeout), 1, "later echoes are not affected");
    stage.next_echo();
    stage.table.mark_overflow(OTHER_LINK, stage.now.instant);
    stage.time_out();
    assert_eq!(tally.read().failures(ProbeFailure::Timeout), 2, "other links are not affected");
}

#[test]
fn a_refused_send_ends_the_echo() {
    let mut stage = Stage::new();
    let tally = stage.start(LINK, ip("192.0.2.1"));
    for failure in [ProbeFailure::Unreachable, ProbeFailure::NotSent] {
        let echo = stage.next_echo();
        stage.table.mark_failed(echo.slot, failure, stage.now);
        assert_eq!(tally.read().failures(failure), 1);
    }
    assert_eq!(stage.context.activity.in_flight(), 0);
}

#[test]
fn a_session_that_is_stopped_leaves_nothing_behind() {
    let (host, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
    let mut stage = Stage::new();
    let tally = stage.start(LINK, host);
    let echo = stage.next_echo();
    stage.table.stop(LINK, host);
    assert_eq!(stage.context.activity.in_flight(), 0);
    let replaced = stage.start(LINK, other);
    stage.receive(SocketMode::Dgram, host, &reply(host, SocketMode::Dgram, &echo.packet, payload(&echo)));
    stage.receive(SocketMode::Dgram, other, &reply(other, SocketMode::Dgram, &echo.packet, payload(&echo)));
    assert_eq!((outcomes(&tally).0, outcomes(&replaced).0), (0, 0));
    stage.table.stop(LINK, other);
    assert_eq!(stage.table.next_event(), None);
}

#[test]
fn new_settings_apply_to_later_echoes() {
    let mut stage = Stage::new();
    stage.start(LINK, ip("192.0.2.1"));
    let first = stage.next_echo();
    let timing = Timing::new(ms(200), ms(100)).unwrap();
    let settings = SessionSettings { timing, ..*stage.context.settings.borrow() };
    stage.table.set_settings(settings, stage.now.instant);
    let began = stage.now;
    // The echo in flight keeps its timeout of 500 ms.
    let second = stage.next_echo();
    assert_eq!((first.slot, stage.now.since(began)), (second.slot, ms(500)));
    let third = stage.next_echo();
    assert_eq!((third.slot, stage.now.since(began)), (second.slot, ms(600)));
}

#[test]
fn many_losses_ask_for_a_new_identifier_of_the_link() {
    let mut stage = Stage::new();
    stage.start(LINK, ip("192.0.2.1"));
    let first = stage.next_echo();
    for _ in 0..30 {
        stage.next_echo();
    }
    assert_eq!((stage.table.take_renewals(), stage.table.take_renewals()), (vec![LINK], vec![]));
    let later = stage.next_echo();
    assert_ne!(first.packet[4..6], later.packet[4..6], "the identifier of raw sockets");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// On any network and with any stalls, every echo has exactly one outcome, at most one is in flight per session,
    /// and no session is forgotten.
    #[test]
    fn every_echo_has_exactly_one_outcome(
        steps in proptest::collection::vec((0..3_000_u64, 0..4_u8), 1..100),
        sessions in 1..5_u8,
    ) {
        let mut stage = Stage::new();
        let hosts: Vec<IpAddr> = (1..=sessions).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let tallies: Vec<_> = hosts.iter().map(|host| stage.start(LINK, *host)).collect();
        for (wait, fate) in steps {
            stage.pass(ms(wait));
            let now = stage.now;
            let due: Vec<_> = std::iter::from_fn(|| stage.table.next_echo(now)).collect();
            for echo in due {
                let answer = reply(echo.address, SocketMode::Dgram, &echo.packet, payload(&echo));
                match fate {
                    0 => stage.table.mark_failed(echo.slot, ProbeFailure::NotSent, now),
                    1 => stage.receive(SocketMode::Dgram, echo.address, &answer),
                    2 => stage.table.mark_sent(echo.slot, now.instant, now.after(ms(wait))),
                    _ => stage.receive_late(SocketMode::Dgram, echo.address, &answer, ms(wait)),
                }
            }
            let mut in_flight = 0;
            for tally in &tallies {
                let seen = tally.read();
                prop_assert_eq!(seen.requests, seen.replies + seen.failures_total() + seen.in_flight);
                prop_assert!(seen.in_flight <= 1);
                in_flight += seen.in_flight;
            }
            prop_assert_eq!(in_flight, stage.context.activity.in_flight());
            prop_assert!(stage.table.next_event().is_some_and(|next| next > now.instant));
            prop_assert!(stage.table.next_event().is_some_and(|next| next <= now.instant + SECOND));
        }
    }
}
