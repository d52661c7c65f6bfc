use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::probe::{ProbeFailure, SocketMode},
    prober::{
        batch::packet::Message,
        histogram::Buckets,
        mtu::{MtuLimits, MtuSettings, PathMtu},
        schedule::PhaseSequence,
        settings::{SessionSettings, Timing},
        tally::TallyReading,
    },
};

const QUICK: Duration = Duration::from_millis(100);

/// The engine on the loopback interface. Tests are skipped if the machine does not permit ICMP sockets.
struct Stage {
    engine: BatchEngine,
    context: SessionContext,
    settings: watch::Sender<SessionSettings>,
    sockets: Arc<Sockets>,
    phases: PhaseSequence,
}

impl Stage {
    fn new() -> Self {
        let timing = Timing::new(QUICK, QUICK).unwrap();
        let (settings, settings_rx) = watch::channel(SessionSettings { timing, ..SessionSettings::default() });
        let context = SessionContext {
            origin: clock::now().instant,
            settings: settings_rx,
            changes: Arc::new(watch::channel(0).0),
            activity: Arc::default(),
        };
        let sockets = Arc::new(Sockets::default());
        let engine = BatchEngine::new(context.clone(), Arc::clone(&sockets)).unwrap();
        Self { engine, context, settings, sockets, phases: PhaseSequence::default() }
    }

    fn start(&mut self, target: &str, binding: &Binding) -> (SessionKey, Arc<Tally>) {
        let address: IpAddr = target.parse().unwrap();
        let key = SessionKey { address, binding: Arc::new(binding.clone()) };
        let session = self.context.create_session(address, self.phases.next_phase(), clock::now().instant);
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        self.engine.start(key.clone(), session, Arc::clone(&tally));
        self.engine.apply();
        (key, tally)
    }
}

fn binding(mode: SocketMode) -> Binding {
    Binding { mode, source: None, interface: None, dscp: 0 }
}

/// Waits for a condition.
fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline: Instant = clock::now().instant + Duration::from_secs(30);
    while !check() {
        assert!(clock::now().instant < deadline, "waited 30 s for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until an address has this many outcomes.
fn await_outcomes(tally: &Tally, count: u64) -> TallyReading {
    eventually("outcomes", || tally.read().requests - tally.read().in_flight >= count);
    tally.read()
}

#[test]
fn loopback_replies_with_short_round_trip_times() {
    for mode in [SocketMode::Auto, SocketMode::Raw, SocketMode::Dgram] {
        let mut stage = Stage::new();
        let tallies = ["127.0.0.1", "127.1.2.3", "::1"].map(|target| (target, stage.start(target, &binding(mode)).1));
        for (target, tally) in tallies {
            let reading = await_outcomes(&tally, 5);
            if !stage.sockets.list()[0].up {
                eprintln!("skipped: {mode} sockets are not permitted");
                continue;
            }
            assert_eq!(reading.failures_total(), 0, "{target} by {mode}: {reading:?}");
            assert!(!reading.rtt.sum().is_zero() && reading.rtt.sum() < 5 * QUICK, "{target} by {mode}: {reading:?}");
        }
    }
}

#[test]
fn a_missing_interface_is_unreachable_and_the_socket_is_down() {
    let mut stage = Stage::new();
    let missing = Binding { interface: Some("no-such-if0".into()), ..binding(SocketMode::Auto) };
    let (key, tally) = stage.start("127.0.0.1", &missing);
    let reading = await_outcomes(&tally, 3);
    let allowed = try_open(IpVersion::V4, &binding(SocketMode::Auto)).is_ok();
    let expected = if allowed { ProbeFailure::Unreachable } else { ProbeFailure::NotSent };
    assert_eq!(reading.failures(expected), reading.failures_total());
    let status = &stage.sockets.list()[0];
    assert_eq!((status.up, status.mode, &*status.binding), (false, SocketMode::Auto, &missing));
    stage.engine.stop(&key);
    stage.engine.apply();
    let sockets = Arc::clone(&stage.sockets);
    eventually("the unused socket to close", || sockets.list().is_empty());
}

#[test]
fn a_foreign_source_address_is_a_local_failure() {
    let mut stage = Stage::new();
    let foreign = Binding { source: Some("203.0.113.77".parse().unwrap()), ..binding(SocketMode::Auto) };
    let (_, tally) = stage.start("127.0.0.1", &foreign);
    let reading = await_outcomes(&tally, 3);
    assert_eq!(reading.failures(ProbeFailure::NotSent), reading.failures_total());
    assert!(!stage.sockets.list()[0].up);
}

#[test]
fn sessions_start_stop_and_follow_the_settings() {
    let mut stage = Stage::new();
    let (kept, tally) = stage.start("127.0.0.1", &binding(SocketMode::Auto));
    let (stopped, other) = stage.start("127.0.0.2", &binding(SocketMode::Auto));
    await_outcomes(&tally, 3);
    await_outcomes(&other, 3);
    stage.engine.stop(&stopped);
    stage.engine.apply();
    assert_eq!(stage.engine.sessions(), 1);
    let hour = Duration::from_hours(1);
    let timing = Timing::new(hour, QUICK).unwrap();
    stage.settings.send_modify(|settings| settings.timing = timing);
    stage.engine.apply();
    let activity = Arc::clone(&stage.context.activity);
    let mut sends = u64::MAX;
    eventually("the sends to stop", || {
        thread::sleep(3 * QUICK);
        std::mem::replace(&mut sends, activity.sends()) == activity.sends()
    });
    assert_eq!(activity.in_flight(), 0);
    stage.engine.stop(&kept);
    assert_eq!(stage.engine.check(), Ok(()));
}

#[test]
fn an_engine_that_is_dropped_ends_its_thread_and_closes_its_sockets() {
    let mut stage = Stage::new();
    let (_, tally) = stage.start("127.0.0.1", &binding(SocketMode::Auto));
    await_outcomes(&tally, 1);
    drop(stage.engine);
    assert!(stage.sockets.list().is_empty());
}

#[test]
fn a_path_mtu_is_watched_beside_the_session_on_every_kind_of_socket() {
    for mode in [SocketMode::Raw, SocketMode::Dgram] {
        let mut stage = Stage::new();
        for target in ["127.0.0.1", "::1"] {
            let (key, tally) = stage.start(target, &binding(mode));
            await_outcomes(&tally, 3);
            if tally.read().replies == 0 {
                eprintln!("skipped: {mode} sockets are not permitted");
                continue;
            }
            let settings = MtuSettings { enabled: true, interval: Duration::from_secs(1), ..MtuSettings::default() };
            let limits = MtuLimits::new(key.address.into(), 1_400, settings);
            tally.watch_mtu(Some(limits.expected()));
            let first = clock::now().instant;
            stage.engine.start_mtu(MtuWatch { key: key.clone(), limits, first, tally: Arc::clone(&tally) });
            stage.engine.apply();
            let passes = PathMtu { size: Some(1_400), black_hole: Some(false) };
            eventually("the path MTU", || tally.mtu().is_some_and(|mtu| mtu.path == passes));
            assert!(tally.mtu().is_some_and(|mtu| mtu.requests >= 2 && mtu.replies >= 1), "{target} by {mode}");
            assert_eq!(stage.sockets.list().iter().filter(|socket| !socket.up).count(), 0);
            stage.engine.stop_mtu(&key);
        }
        assert!(stage.sockets.list().len() <= 2, "sockets for path MTUs are not listed");
    }
}

#[test]
fn a_raw_socket_for_path_mtus_receives_only_replies_to_its_own_echoes() {
    for (target, version) in [("127.0.0.1", IpVersion::V4), ("::1", IpVersion::V6)] {
        let purpose = SocketPurpose::PathMtu { identifier: 0xbeef };
        let Ok(mut socket) = BatchSocket::open(version, &binding(SocketMode::Raw), purpose) else {
            return eprintln!("skipped: raw sockets are not permitted");
        };
        for identifier in [0xbeee, 0xbeef] {
            let packet = packet::encode_sized(version, identifier, 1, &[7; 1_300]);
            assert_eq!(socket.send(&[(target.parse().unwrap(), &packet)]).unwrap(), 1);
        }
        let mut seen = Vec::new();
        eventually("the reply", || {
            socket
                .receive(|received| match packet::decode(received.source, SocketMode::Raw, received.data) {
                    Some(Message::Reply(id)) if id.payload.len() == 1_300 => seen.push(id.identifier),
                    other => panic!("{other:?}"),
                })
                .unwrap();
            seen.contains(&0xbeef)
        });
        assert_eq!(seen, [0xbeef], "{target}");
    }
}
