//! Helpers of the end-to-end tests.

pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod exporter;
pub(crate) mod http;
pub(crate) mod samples;
pub(crate) mod tools;
pub(crate) mod tunnels;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Deadline of events that are expected at once. Generous, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Calls `look` every 50 ms until it returns a value. Panics after `within`, with `what` was expected and the last
/// error.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = now() + within;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if now() > deadline => panic!("waited {within:?} for {what}; last seen: {seen}"),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline for a real process is kept in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A loopback address that neither another test nor an outgoing connection uses, with a free port.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // 127.128.0.0/9, so that 127.0.0.1 is never among them: 11 bits for the process, 12 for the address.
    let number = ((std::process::id() % (1 << 11)) << 12) | (NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 12));
    let host = Ipv4Addr::from_bits(Ipv4Addr::new(127, 128, 0, 0).to_bits() | number);
    let listener = TcpListener::bind((host, 0)).expect("a free port on a loopback address");
    listener.local_addr().expect("the address just bound")
}
