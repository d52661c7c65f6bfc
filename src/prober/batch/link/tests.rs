use std::net::{IpAddr, Ipv4Addr};

use tokio::sync::watch;

use super::*;
use crate::{
    domain::probe::ProbeFailure,
    prober::{
        batch::table::Table,
        histogram::Buckets,
        schedule::PhaseSequence,
        session::SessionContext,
        settings::{SessionSettings, Timing},
        tally::Tally,
    },
};

const INTERVAL: Duration = Duration::from_millis(100);

fn context() -> SessionContext {
    let timing = Timing::new(INTERVAL, INTERVAL).unwrap();
    SessionContext {
        origin: clock::now().instant,
        settings: watch::channel(SessionSettings { timing, ..SessionSettings::default() }).1,
        changes: Arc::new(watch::channel(0).0),
        activity: Arc::default(),
    }
}

/// Sends one echo to each of 400 loopback addresses without reading a reply, through a socket with a small buffer.
#[test]
fn echoes_with_replies_that_overflow_the_receive_buffer_are_not_losses() {
    let (context, sockets, mut phases) = (context(), Arc::new(Sockets::default()), PhaseSequence::default());
    let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None, dscp: 0 });
    let mut link = BatchLink::new(0, IpVersion::V4, &binding, SocketPurpose::Echoes, &sockets);
    let mut table = Table::new(context.clone());
    let tallies: Vec<_> = (0..400_u32)
        .map(|n| {
            let address = IpAddr::V4(Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 78, 0, 1)) + n));
            let now = clock::now().instant;
            let tally = Arc::new(Tally::new(Buckets::rtt()));
            let session = context.create_session(address, phases.next_phase(), now);
            table.start(0, address, session, Arc::clone(&tally), now);
            tally
        })
        .collect();
    let Ok(open) = link.slot.socket(clock::now().instant) else {
        return eprintln!("skipped: ICMP sockets are not permitted");
    };
    open.socket.set_receive_buffer(20_000);
    open.capacity = open.socket.capacity();
    std::thread::sleep(2 * INTERVAL);
    let now = clock::now();
    let due: Vec<_> = std::iter::from_fn(|| table.next_echo(now)).collect();
    assert_eq!(due.len(), tallies.len());
    for echoes in due.chunks(4) {
        link.send(echoes, &mut table, INTERVAL);
    }
    std::thread::sleep(2 * INTERVAL);
    let now = clock::now();
    link.read(&mut table, now.instant);
    while table.next_echo(now).is_some() {}
    let count = |of: fn(&Tally) -> u64| tallies.iter().map(|tally| of(tally)).sum::<u64>();
    let (replies, lost) =
        (count(|tally| tally.read().replies), count(|tally| tally.read().failures(ProbeFailure::Timeout)));
    let not_sent = count(|tally| tally.read().failures(ProbeFailure::NotSent));
    assert_eq!((lost, replies + not_sent), (0, 400), "{replies} replies");
    assert!(replies > 0 && not_sent > 100, "{replies} replies, {not_sent} echoes that were not sent");
    assert!(sockets.drops(IpVersion::V4) >= not_sent, "{}", sockets.drops(IpVersion::V4));
}
