use std::num::NonZeroU32;

use tokio::sync::watch;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::probe::{EchoOutcome, Thresholds},
    prober::{
        batch::packet::tests::{reply, sockets, too_big, unreachable},
        histogram::Buckets,
        mtu::{MtuReading, MtuSettings, PathMtu},
        settings::SessionSettings,
    },
};

const LINK: LinkId = 0;
const SECOND: Duration = Duration::from_secs(1);
const ONE: NonZeroU32 = NonZeroU32::MIN;
const THRESHOLDS: Thresholds = Thresholds { down_after: ONE, up_after: ONE };

type Packets = [Outgoing<Vec<u8>>; PACKETS];

/// One address with a watched path MTU, which answers usual echoes.
struct Stage {
    table: SizeTable,
    tally: Arc<Tally>,
    changes: watch::Receiver<u64>,
    address: IpAddr,
    mode: SocketMode,
    now: Moment,
}

impl Stage {
    fn new(address: IpAddr, mode: SocketMode) -> Self {
        let (announce, changes) = watch::channel(0);
        let now = clock::now();
        let context = SessionContext {
            origin: now.instant,
            settings: watch::channel(SessionSettings { thresholds: THRESHOLDS, ..SessionSettings::default() }).1,
            changes: Arc::new(announce),
            activity: Arc::default(),
        };
        let mut table = SizeTable::new(context);
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        let limits = MtuLimits::new(address.into(), 1_400, MtuSettings::default());
        tally.watch_mtu(Some(limits.expected()));
        table.start(LINK, address, limits, now.instant, Arc::clone(&tally));
        let stage = Self { table, tally, changes, address, mode, now };
        stage.finish_echo(EchoOutcome::Reply { rtt: SECOND / 100 });
        stage
    }

    /// An echo of the session ends.
    fn finish_echo(&self, outcome: EchoOutcome) {
        self.tally.begin();
        self.tally.finish(outcome, self.now, THRESHOLDS);
    }

    /// Time passes until the next round, of which the packets are sent.
    fn next_round(&mut self) -> Packets {
        loop {
            self.pass_to_next_event();
            if let Some(packets) = self.table.next_round(self.now) {
                return packets;
            }
        }
    }

    fn pass_to_next_event(&mut self) {
        let next = self.table.next_event().unwrap();
        self.now = self.now.after(next.saturating_duration_since(self.now.instant));
    }

    fn receive(&mut self, source: IpAddr, data: &[u8]) {
        let arrival = Arrival { read: self.now, not_before: self.now.instant, stamp: None };
        self.table.receive(LINK, self.mode, source, data, arrival);
    }

    fn answer(&mut self, packet: &Outgoing<Vec<u8>>) {
        let data = reply(self.address, self.mode, &packet.packet, &packet.packet[8..]);
        self.receive(self.address, &data);
    }

    fn reading(&self) -> MtuReading {
        self.tally.mtu().unwrap()
    }

    /// Rounds in which packets of up to `mtu` bytes are answered, and a router may comment on the others.
    fn rounds(&mut self, count: u32, mtu: usize, router: Option<(IpAddr, u32)>) {
        for _ in 0..count {
            for packet in self.next_round() {
                if packet.packet.len() + usize::from(mtu::headers(self.address.into())) - 8 <= mtu {
                    self.answer(&packet);
                } else if let Some((router, stated)) = router {
                    let quoted = &packet.packet[..packet.packet.len().min(500)];
                    let data = too_big(router, self.address, self.mode, quoted, stated);
                    self.receive(router, &data);
                }
            }
        }
    }
}

#[test]
fn a_round_is_a_packet_of_the_expected_size_and_a_small_one() {
    for (host, _, mode) in sockets() {
        let mut stage = Stage::new(host, mode);
        let packets = stage.next_round();
        let header = usize::from(mtu::headers(host.into())) - 8;
        assert_eq!(packets.each_ref().map(|packet| packet.packet.len() + header), [1_400, 84], "{host}");
        for packet in &packets {
            stage.answer(packet);
        }
        let expected = MtuReading {
            expected: 1_400,
            path: PathMtu { size: Some(1_400), black_hole: Some(false) },
            requests: 2,
            replies: 2,
        };
        assert_eq!(stage.reading(), expected, "{host} {mode}");
        assert_eq!(*stage.changes.borrow(), 1);
        assert_eq!(stage.table.next_event(), Some(stage.now.instant + Duration::from_mins(1)), "{host} {mode}");
        assert_eq!(
            (stage.tally.read().requests, stage.table.context.activity.sends()),
            (1, 0),
            "no echo of the session"
        );
    }
}

#[test]
fn a_silent_loss_is_a_black_hole_and_an_error_explains_it() {
    for (host, router, mode) in sockets() {
        for says in [None, Some((router, 1_300)), Some((router, 0)), Some((router, 70_000))] {
            let mut stage = Stage::new(host, mode);
            stage.rounds(30, 1_300, says);
            let PathMtu { size, black_hole } = stage.reading().path;
            assert!(size.is_some_and(|size| (1_293..=1_300).contains(&size)), "{host} {mode} {says:?}: {size:?}");
            assert_eq!(black_hole, Some(says.is_none()), "{host} {mode} {says:?}");
        }
    }
}

#[test]
fn damaged_cut_and_foreign_replies_are_no_replies() {
    for (host, router, mode) in sockets() {
        let mut stage = Stage::new(host, mode);
        let [large, _] = stage.next_round();
        let sent = &large.packet[8..];
        let mut damaged = sent.to_vec();
        damaged[sent.len() - 1] ^= 1;
        let mut sequence = large.packet.clone();
        sequence[7] ^= 0x40;
        for data in [
            reply(host, mode, &large.packet, &damaged),
            reply(host, mode, &large.packet, &sent[1..]),
            reply(host, mode, &large.packet, &[sent, b"m"].concat()),
            reply(host, mode, &sequence, sent),
        ] {
            stage.receive(host, &data);
        }
        let other = reply(router, mode, &large.packet, sent);
        stage.receive(router, &other);
        assert_eq!(stage.reading().replies, 0, "{host} {mode}");
        stage.answer(&large);
        stage.answer(&large);
        assert_eq!(stage.reading().replies, 1, "{host} {mode}: once");
    }
}

#[test]
fn a_reply_counts_after_an_error_and_other_errors_do_not() {
    for (host, router, mode) in sockets() {
        let mut stage = Stage::new(host, mode);
        let [large, small] = stage.next_round();
        stage.answer(&small);
        let error = too_big(router, host, mode, &large.packet[..100], 600);
        stage.receive(router, &error);
        let error = unreachable(router, host, mode, &large.packet[..100]);
        stage.receive(router, &error);
        stage.answer(&large);
        assert_eq!(stage.reading().path.size, Some(1_400), "{host} {mode}");
    }
}

#[test]
fn an_address_that_is_not_up_gets_no_packets() {
    let (host, _, mode) = sockets().next().unwrap();
    let mut stage = Stage::new(host, mode);
    stage.finish_echo(EchoOutcome::Failed(ProbeFailure::Timeout));
    for _ in 0..5 {
        stage.pass_to_next_event();
        assert!(stage.table.next_round(stage.now).is_none());
    }
    assert_eq!(stage.reading().requests, 0);
    stage.finish_echo(EchoOutcome::Reply { rtt: SECOND / 100 });
    stage.next_round();
    assert_eq!(stage.reading().requests, 2);
}

#[test]
fn packets_that_the_kernel_refuses_are_judged_by_the_reason() {
    let (host, _, mode) = sockets().next().unwrap();
    for (failure, expected) in [(ProbeFailure::TooBig, Some(84)), (ProbeFailure::NotSent, None)] {
        let mut stage = Stage::new(host, mode);
        for _ in 0..30 {
            let [large, small] = stage.next_round();
            stage.answer(&small);
            stage.table.mark_failed(large.slot, failure, stage.now);
        }
        let PathMtu { size, black_hole } = stage.reading().path;
        assert_eq!((size, black_hole), (expected, expected.map(|_| false)), "{failure}");
    }
}

#[test]
fn a_round_with_dropped_packets_proves_nothing() {
    let (host, _, mode) = sockets().next().unwrap();
    let mut stage = Stage::new(host, mode);
    for _ in 0..20 {
        let [_, small] = stage.next_round();
        stage.answer(&small);
        stage.table.mark_overflow(LINK, stage.now.instant);
    }
    assert_eq!(stage.reading().path, PathMtu::default());
}

#[test]
fn an_address_that_is_stopped_and_started_again_begins_anew() {
    let (host, _, mode) = sockets().next().unwrap();
    let mut stage = Stage::new(host, mode);
    let [large, _] = stage.next_round();
    stage.table.stop(LINK, host);
    stage.answer(&large);
    assert_eq!((stage.reading().replies, stage.table.next_event()), (0, None));
    let limits = MtuLimits::new(host.into(), 1_436, MtuSettings::default());
    stage.table.start(LINK, host, limits, stage.now.instant + SECOND, Arc::clone(&stage.tally));
    let [large, _] = stage.next_round();
    assert_eq!(large.packet.len() + 20, 1_436);
}
