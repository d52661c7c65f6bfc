//! The exporter as a process: idle, at startup, and with ten concurrent scrapes.

use std::{thread, time::Duration};

use web_toolkit::clock;

use super::{
    Result, http,
    program::{Exporter, Sandbox},
    table::{Row, Table},
};

const ALL_TARGETS: &str = "customer_endpoint,interface_address";

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    idle(table)?;
    for size in [10, 1_000, 10_000] {
        let sandbox = Sandbox::start(size)?;
        start(table, size, &sandbox)?;
        scrapes(table, size, &sandbox)?;
    }
    Ok(())
}

fn row(what: &'static str, size: usize, ours: f64, unit: &'static str, goal: Option<f64>) -> Row {
    Row { what, size, ours, unit, beside: None, goal }
}

fn idle(table: &mut Table) -> Result<()> {
    const TUNNELS: usize = 10;
    const WATCHED: Duration = Duration::from_secs(20);
    let sandbox = Sandbox::start(TUNNELS)?;
    let exporter = sandbox.exporter(ALL_TARGETS)?;
    exporter.await_ready()?;
    http::text(exporter.address, "/metrics")?;
    thread::sleep(Duration::from_secs(2));
    let before = exporter.process.cpu()?;
    thread::sleep(WATCHED);
    let share = (exporter.process.cpu()?.saturating_sub(before)).as_secs_f64() / WATCHED.as_secs_f64();
    table.add(row("idle CPU, two probed addresses per tunnel", TUNNELS, share * 100.0, "% of a core", Some(0.5)));
    table.add(row("resident memory, idle", TUNNELS, exporter.process.resident()?, "MB", Some(15.0)));
    Ok(())
}

/// Measures the time from the start of the process to the end of the first page that contains all tunnels.
fn start(table: &mut Table, size: usize, sandbox: &Sandbox) -> Result<()> {
    let began = clock::now();
    let exporter = sandbox.exporter(ALL_TARGETS)?;
    exporter.await_ready()?;
    let page = http::text(exporter.address, "/metrics?collect[]=info")?;
    let took = clock::now().since(began);
    let listed = page.lines().filter(|line| line.starts_with("cloudflare_magic_tunnel_info{")).count();
    if listed != size {
        return Err(format!("{listed} of {size} tunnels are on the first page").into());
    }
    table.add(row("start to the first complete page", size, took.as_secs_f64() * 1e3, "ms", Some(1_000.0)));
    Ok(())
}

fn scrapes(table: &mut Table, size: usize, sandbox: &Sandbox) -> Result<()> {
    let exporter = sandbox.exporter(ALL_TARGETS)?;
    exporter.await_ready()?;
    // Wait until every address has answered and has all its series.
    thread::sleep(Duration::from_secs(4));
    let resting = exporter.process.resident()?;
    table.add(row(
        "resident memory, two probed addresses per tunnel",
        size,
        resting,
        "MB",
        (size == 10_000).then_some(100.0),
    ));
    for (what, first_byte, coding) in [
        ("peak memory, ten concurrent plain scrapes", "time to first byte, plain scrape", ""),
        (
            "peak memory, ten concurrent compressed scrapes",
            "time to first byte, compressed scrape",
            "Accept-Encoding: gzip\r\n",
        ),
    ] {
        exporter.process.forget_peak()?;
        let first = crowd(&exporter, 1, coding)?;
        let one = exporter.process.peak()?;
        exporter.process.forget_peak()?;
        let slowest = crowd(&exporter, 10, coding)?;
        let beside = Some(("one scrape", one));
        table.add(Row { what, size, ours: exporter.process.peak()?, unit: "MB", beside, goal: Some(1.5 * one) });
        let beside = Some(("slowest of ten concurrent scrapes", slowest.as_secs_f64() * 1e3));
        let ours = first.as_secs_f64() * 1e3;
        table.add(Row { what: first_byte, size, ours, unit: "ms", beside, goal: Some(50.0) });
    }
    Ok(())
}

/// Runs concurrent scrapes and returns the longest time to the first byte.
fn crowd(exporter: &Exporter, clients: usize, coding: &str) -> Result<Duration> {
    thread::scope(|scope| {
        let scrape = || http::get(exporter.address, "/metrics", coding).map_err(|error| error.to_string());
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(scrape)).collect();
        let mut slowest = Duration::ZERO;
        for client in clients {
            let reply = client.join().map_err(|_| "a client panicked")??;
            slowest = slowest.max(reply.first_byte);
        }
        Ok(slowest)
    })
}
