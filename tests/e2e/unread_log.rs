//! A log that is not read: standard error is a pipe with a reader that is stuck, as behind a hung log shipper.

use std::{
    io::Read as _,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{SOON, eventually, exporter::program, free_address, http, samples::Samples};

/// A demo with standard error that is only read on command. Killed when dropped.
struct Unread {
    child: Child,
    address: SocketAddr,
    sandbox: SocketAddr,
}

impl Unread {
    fn start() -> Self {
        let (address, sandbox) = (free_address(), free_address());
        let mut command = program();
        command.args(["demo", "--log.level=trace"]);
        command.arg(format!("--web.listen-address={address}")).arg(format!("--sandbox.listen-address={sandbox}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let demo = Self { child: command.spawn().expect("the demo"), address, sandbox };
        eventually("the demo to serve", SOON, || match http::get(address, "/-/ready") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        demo
    }

    /// Causes 3.6 MB of log: the sandbox logs each request with its path. A pipe has 64 KiB, and the writer holds at
    /// most as much as the queue, 1 MiB.
    fn fill_the_log(&self) {
        let path = format!("/client/v4/{}", "x".repeat(12_000));
        for n in 0..300 {
            let reply = http::get(self.sandbox, &path).unwrap_or_else(|error| panic!("request {n}: {error}"));
            assert_eq!(reply.status, 401, "request {n}: {}", reply.text());
        }
    }

    fn dropped(&self) -> f64 {
        let page = Samples::parse(&http::text(self.address, "/metrics"));
        page.value("log_lines_dropped_total", &[]).expect("the counter has a series from the start")
    }

    /// Asserts that SIGTERM ends the process with exit code 0.
    fn stop(&mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success(), "{kill}");
        let status = eventually("the demo to end", SOON, || {
            self.child.try_wait().expect("the state of a child").ok_or_else(|| "it is running".to_owned())
        });
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Before, the first thread that logged into the full pipe waited forever, and soon all of them did.
#[test]
fn an_exporter_with_a_log_that_is_not_read_serves_and_stops() {
    let mut demo = Unread::start();
    assert_eq!(demo.dropped(), 0.0);
    demo.fill_the_log();
    assert!(demo.dropped() > 0.0, "the queue has one megabyte");
    demo.stop();
}

#[test]
fn a_log_that_is_read_again_continues_with_the_number_of_dropped_lines() {
    let mut demo = Unread::start();
    demo.fill_the_log();
    let dropped = demo.dropped();
    let mut pipe = demo.child.stderr.take().expect("a piped stderr");
    let log = Arc::<Mutex<Vec<u8>>>::default();
    let read = Arc::clone(&log);
    let reader = thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            read.lock().expect("the log").extend_from_slice(&piece[..length]);
        }
    });
    let text = || String::from_utf8_lossy(&log.lock().expect("the log")).into_owned();
    eventually("the number of dropped lines", SOON, || {
        let text = text();
        if text.contains("log lines were dropped") { Ok(()) } else { Err(format!("{} bytes", text.len())) }
    });
    demo.stop();
    reader.join().expect("the reader");
    let log = text();
    let lost: f64 = log
        .lines()
        .filter_map(|line| line.split_once("log lines were dropped")?.1.split_once("lines=")?.1.parse::<f64>().ok())
        .sum();
    assert!(lost >= dropped && dropped > 0.0, "{dropped} lines were dropped, {lost} reported:\n{log}");
    assert!(log.contains("/client/v4/xxx") && log.lines().all(|line| line.starts_with("ts=")), "{log}");
    assert!(log.trim_end().lines().last().is_some_and(|line| !line.contains("xxx")), "the last lines are written");
}

/// The last line is written after those of the log, even if they fill the pipe before it is read.
#[test]
fn the_reason_of_a_failed_start_is_always_written() {
    let (taken, sandbox) = (std::net::TcpListener::bind(free_address()).expect("a listener"), free_address());
    let address = taken.local_addr().expect("its address");
    for _ in 0..20 {
        let mut command = program();
        command.args(["demo", "--log.level=trace", &format!("--web.listen-address={address}")]);
        let output = command.arg(format!("--sandbox.listen-address={sandbox}")).output().expect("the demo");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains("already in use")), "{said}");
    }
}
