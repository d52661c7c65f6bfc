//! Clients that take connections and give nothing for them: a new scrape is answered all the same, and polls go on.
//!
//! All traffic stays on loopback. Each test prints how long the slowest scrape took.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    sandbox::Sandbox,
    support::{
        SOON, eventually,
        exporter::{Exporter, program, token_file},
        http, now,
        samples::Samples,
        tools,
    },
    web_config::{Folder, TLS, outcome, said},
};

/// A scrape has to be faster than the timeout of a request head (10 s), which frees slots by itself.
const IN_TIME: Duration = Duration::from_secs(8);

/// Addresses of attackers. The scraper's own address is 127.0.0.1.
fn several_addresses() -> Vec<Ipv4Addr> {
    (1..=16).map(|last| Ipv4Addr::new(127, 77, 0, last)).collect()
}

const SCRAPER: Ipv4Addr = Ipv4Addr::LOCALHOST;

pub(crate) fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), SOON)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Opens `count` connections from these addresses in turn, sends `first` on each of them, and keeps them open.
fn crowd(from: &[Ipv4Addr], to: SocketAddr, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let sources = from.iter().cycle().take(count);
    let open = |source: &Ipv4Addr| {
        let mut stream = connect(*source, to).expect("a connection");
        // The exporter may have closed the connection already.
        let _ = stream.write_all(first);
        stream
    };
    sources.map(open).collect()
}

/// Sends a whole request on each connection and reads the answer, so that the connection is idle between two requests.
fn crowd_that_idles(from: &[Ipv4Addr], to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut crowd = crowd(from, to, count, b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
    for stream in &mut crowd {
        // Without this limit, a connection that is never served would stop the test.
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let _ = stream.read(&mut [0; 1024]);
    }
    crowd
}

#[expect(clippy::print_stdout, reason = "shown by the test harness with --nocapture")]
pub(crate) fn show(measured: &str) {
    println!("{measured}");
}

/// The longest of several scrapes, each over a new connection. Fails if one is not [`IN_TIME`].
fn slowest_scrape(what: &str, scrape: impl Fn()) -> Duration {
    let timed = || {
        let start = now();
        scrape();
        now() - start
    };
    let slowest = (0..5).map(|_| timed()).max().expect("five scrapes");
    show(&format!("{what}: the slowest scrape took {slowest:?}"));
    assert!(slowest < IN_TIME, "{what}: the slowest scrape took {slowest:?}");
    slowest
}

/// Scrapes until every collection was polled again.
fn await_polls(exporter: &mut Exporter) {
    let polled = |page: &Samples| {
        let times = page.all("poll_last_success_timestamp_seconds", &[]);
        times.iter().map(|sample| sample.value).reduce(f64::min)
    };
    let before = exporter.await_page("a poll", SOON, polled);
    exporter.await_page("a later poll", SOON, |page| polled(page).filter(|now| *now > before));
}

fn evicted(exporter: &Exporter) -> f64 {
    exporter.samples().value("http_connections_evicted_total", &[]).expect("the counter")
}

/// Tests with thousands of sockets do not run at the same time, because they share one limit on open files.
static ONE_CROWD: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_CROWD.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn idle_connections_do_not_lock_a_scrape_out() {
    let _alone = alone();
    for (source, from) in [("the scraper's address", vec![SCRAPER]), ("16 addresses", several_addresses())] {
        let mut demo = Exporter::demo();
        let crowd = crowd_that_idles(&from, demo.address, 600);
        slowest_scrape(&format!("600 idle connections of {source}"), || drop(http::text(demo.address, "/metrics")));
        await_polls(&mut demo);
        assert!(evicted(&demo) >= 88.0, "{}", evicted(&demo));
        let open = demo.samples().value("http_connections", &[]).expect("the gauge");
        assert!((1.0..=512.0).contains(&open), "{open} connections");
        drop(crowd);
    }
}

#[test]
fn half_request_heads_do_not_lock_a_scrape_out() {
    let _alone = alone();
    for (source, from) in [("the scraper's address", vec![SCRAPER]), ("16 addresses", several_addresses())] {
        let mut demo = Exporter::demo();
        let crowd = crowd(&from, demo.address, 1500, b"GET /metrics HTTP/1.1\r\nHost: ");
        slowest_scrape(&format!("1500 half heads of {source}"), || drop(http::text(demo.address, "/metrics")));
        await_polls(&mut demo);
        drop(crowd);
    }
}

#[test]
fn half_handshakes_do_not_lock_a_scrape_out() {
    let _alone = alone();
    let Some(_) = tools::tool("curl") else { return };
    for (source, from) in [("the scraper's address", vec![SCRAPER]), ("16 addresses", several_addresses())] {
        let folder = Folder::new();
        let exporter = folder.demo(TLS, &[]);
        // The header of a TLS record that announces 512 bytes, and the first bytes of a ClientHello.
        let crowd = crowd(&from, exporter.address, 600, &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
        slowest_scrape(&format!("600 half handshakes of {source}"), || {
            let page = folder.curl(&exporter, &[]).expect("curl");
            assert_eq!(outcome(&page), "200 0", "{}", said(&page));
        });
        drop(crowd);
    }
}

/// The program may open 64 files, of which the connections of clients may take only a part.
#[test]
fn with_64_descriptors_80_connections_stop_neither_scrapes_nor_polls() {
    let _alone = alone();
    let (folder, sandbox) = (tempfile::tempdir().expect("a temporary folder"), Sandbox::start());
    let mut limited = Command::new("sh");
    limited.env_clear().args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(program().get_program());
    limited.args(["serve", "--poll.interval=1s", "--poll.timeout=3s", "--probe", "--cloudflare.api-token-file"]);
    limited.arg(token_file(&folder)).args(["--cloudflare.account-id", &sandbox.account]);
    limited.arg(format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address));
    let mut exporter = Exporter::start(&mut limited);
    for from in [vec![SCRAPER], several_addresses()] {
        let crowd = crowd_that_idles(&from, exporter.address, 80);
        slowest_scrape("80 connections with 64 descriptors", || drop(http::text(exporter.address, "/metrics")));
        await_polls(&mut exporter);
        drop(crowd);
    }
    let said = exporter.process.said();
    assert!(!said.contains("Too many open files"), "{said}");
}

/// Attackers that open connections as fast as they can, all the time.
#[test]
fn a_flood_of_new_connections_does_not_lock_a_scrape_out() {
    let _alone = alone();
    let mut demo = Exporter::demo();
    let (address, stop) = (demo.address, AtomicBool::new(false));
    let flood = |from: Ipv4Addr| {
        let mut held = std::collections::VecDeque::new();
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut stream) = connect(from, address) else { continue };
            let _ = stream.write_all(b"GET /metrics HT");
            held.push_back(stream);
            if held.len() > 300 {
                held.pop_front();
            }
        }
    };
    thread::scope(|scope| {
        for from in [SCRAPER, Ipv4Addr::new(127, 77, 1, 1), Ipv4Addr::new(127, 77, 1, 2)] {
            scope.spawn(move || flood(from));
        }
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the exporter to evict connections", SOON, || match evicted(&demo) {
                0.0 => Err("none".to_owned()),
                count => Ok(count),
            });
            slowest_scrape("a flood from three addresses", || drop(http::text(address, "/metrics")));
            await_polls(&mut demo);
        }));
        stop.store(true, Ordering::Relaxed);
        attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
