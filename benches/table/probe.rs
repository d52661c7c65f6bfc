//! The prober inside the whole process, with scrapes and polls, compared with `fping` and `smokeping_prober` on the
//! same addresses.
//!
//! Pings loopback addresses only, one ping per second and address. `MTE_BENCH_SECONDS` is the duration of the run with
//! 10,000 addresses.

use std::{fs, net::Ipv4Addr, process::Command, thread, time::Duration};

use super::{
    Result, SIZES, http,
    measure::per,
    program::{self, Exporter, Running, Sandbox},
    table::{Row, Table},
};

/// Time between two scrapes.
const SCRAPES: Duration = Duration::from_secs(5);

/// Twice the supported number of addresses.
const BEYOND: usize = 20_000;

/// Maximum number of targets that `smokeping_prober` can handle.
const MOST_OF_SMOKEPING: usize = 1_000;

/// The result of a tool for comparison.
#[derive(Debug)]
struct Outcome {
    microseconds: f64,
    lost: f64,
}

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let seconds = if size < 10_000 { 10 } else { seconds() };
        let fping = fping(size, seconds.min(60))?;
        let smokeping = smokeping(size.min(MOST_OF_SMOKEPING), 10)?;
        prober(table, size, seconds, fping.as_ref(), smokeping.as_ref())?;
    }
    prober(table, BEYOND, 30, None, None)
}

fn seconds() -> u64 {
    std::env::var("MTE_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn prober(
    table: &mut Table,
    size: usize,
    seconds: u64,
    fping: Option<&Outcome>,
    smokeping: Option<&Outcome>,
) -> Result<()> {
    let run = Run::of(size, seconds)?;
    let row = |what, ours, unit, beside, goal| Row { what, size, ours, unit, beside, goal };
    let of_fping = |of: fn(&Outcome) -> f64| fping.map(|fping| ("`fping`, at most one minute", of(fping)));
    let of_smokeping = |of: fn(&Outcome) -> f64| {
        smokeping.map(|smokeping| ("`smokeping_prober`, at most 1,000 targets", of(smokeping)))
    };
    let goal = |goal| (size <= 10_000).then_some(goal);
    let goal_of_many = |goal| (size == 10_000).then_some(goal);
    let cpu = "CPU per ping, including scrapes and polls";
    table.add(row(cpu, run.microseconds, "µs", of_fping(|fping| fping.microseconds), goal_of_many(15.0)));
    if let (Some(peer), 10_000) = (fping, size) {
        let part = run.microseconds / peer.microseconds;
        table.add(row("CPU per ping, as a fraction of `fping`", part, "", None, Some(0.45)));
    }
    if smokeping.is_some() {
        table.add(row(cpu, run.microseconds, "µs", of_smokeping(|peer| peer.microseconds), None));
    }
    table.add(row("falsely lost pings", run.lost, "", of_smokeping(|peer| peer.lost), goal(0.0)));
    if fping.is_some() {
        table.add(row("falsely lost pings", run.lost, "", of_fping(|fping| fping.lost), None));
    }
    table.add(row("pings", run.echoes, "", Some(("one per second and address", (size as u64 * seconds) as f64)), None));
    table.add(row("send delay, 99th percentile", run.late, "ms", None, goal(5.0)));
    table.add(row("resident memory afterwards", run.resident, "MB", None, goal_of_many(100.0)));
    Ok(())
}

/// A run of the exporter's prober, with scrapes and polls.
#[derive(Debug)]
struct Run {
    /// CPU time per ping.
    microseconds: f64,
    echoes: f64,
    lost: f64,
    /// 99th percentile of the send delay in milliseconds.
    late: f64,
    /// Resident memory in megabytes.
    resident: f64,
}

impl Run {
    fn of(targets: usize, seconds: u64) -> Result<Self> {
        let sandbox = Sandbox::start(targets)?;
        let exporter = sandbox.exporter("customer_endpoint")?;
        exporter.await_ready()?;
        thread::sleep(Duration::from_secs(2));
        let (before, cpu) = (Counts::read(&exporter)?, exporter.process.cpu()?);
        let mut rest = Duration::from_secs(seconds);
        while !rest.is_zero() {
            thread::sleep(rest.min(SCRAPES));
            rest = rest.saturating_sub(SCRAPES);
            http::get(exporter.address, "/metrics", "Accept-Encoding: gzip\r\n")?;
        }
        let spent = exporter.process.cpu()?.saturating_sub(cpu);
        let counts = Counts::read(&exporter)?;
        let echoes = counts.ended() - before.ended();
        Ok(Self {
            microseconds: spent.as_secs_f64() * 1e6 / echoes,
            echoes,
            lost: counts.failures - before.failures,
            late: quantile(&counts.lag_since(&before), 0.99) * 1e3,
            resident: exporter.process.resident()?,
        })
    }
}

/// Counters from the metrics page.
#[derive(Debug)]
struct Counts {
    replies: f64,
    failures: f64,
    /// Upper bounds in seconds, and the cumulative number of sends.
    lag: Vec<(f64, f64)>,
}

impl Counts {
    fn read(exporter: &Exporter) -> Result<Self> {
        let page = http::text(exporter.address, "/metrics?exclude[]=rtt")?;
        let lag = page.lines().filter_map(|line| {
            let rest = line.strip_prefix("cloudflare_magic_probe_schedule_lag_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.parse().ok()?))
        });
        Ok(Self {
            replies: http::sum(&page, "cloudflare_magic_tunnel_probe_replies_total", ""),
            failures: http::sum(&page, "cloudflare_magic_tunnel_probe_failures_total", ""),
            lag: lag.collect(),
        })
    }

    /// Buckets of the sends since `before`. Excludes the start, when all sessions send their first ping and delays are
    /// highest.
    fn lag_since(&self, before: &Self) -> Vec<(f64, f64)> {
        self.lag.iter().zip(&before.lag).map(|(now, before)| (now.0, now.1 - before.1)).collect()
    }

    fn ended(&self) -> f64 {
        self.replies + self.failures
    }
}

/// Interpolates between the bounds of cumulative buckets, like Prometheus.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> f64 {
    let rank = quantile * buckets.last().map_or(0.0, |(_, all)| *all);
    let (mut from, mut below) = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= rank && count > below {
            return if bound.is_finite() { from + (bound - from) * (rank - below) / (count - below) } else { from };
        }
        (from, below) = (bound, count);
    }
    from
}

/// The `n`-th address from `127.192.0.0`, like in the sandbox.
fn address(n: usize) -> Ipv4Addr {
    (u32::from_be_bytes([127, 192, 0, 0]) + u32::try_from(n).unwrap_or(u32::MAX / 2)).into()
}

/// Runs `fping` on the same addresses at the same rate.
fn fping(size: usize, seconds: u64) -> Result<Option<Outcome>> {
    let file = tempfile::NamedTempFile::new()?;
    let addresses: Vec<_> = (0..size).map(|n| address(n).to_string()).collect();
    fs::write(file.path(), addresses.join("\n"))?;
    let gap = format!("{:.3}", 900.0 / size as f64);
    let before = program::cpu_of_children()?;
    let output = Command::new("timeout")
        .args(["--signal=INT", &seconds.to_string(), "fping", "-l", "-q", "-p", "1000", "-t", "1000", "-i", &gap, "-f"])
        .arg(file.path())
        .output();
    let Ok(output) = output else { return Ok(None) };
    let spent = program::cpu_of_children()?.saturating_sub(before);
    let (echoes, replies) = fping_counts(&String::from_utf8_lossy(&output.stderr));
    if echoes == 0 {
        return Ok(None);
    }
    Ok(Some(Outcome { microseconds: per(spent, echoes) / 1e3, lost: (echoes - replies) as f64 }))
}

/// Sums sent and received pings over lines such as `127.1.0.0 : xmt/rcv/%loss = 19/19/0%, ...`.
fn fping_counts(summary: &str) -> (usize, usize) {
    let counts = summary.lines().filter_map(|line| {
        let (_, counts) = line.split_once("%loss = ")?;
        let mut counts = counts.split('/').map_while(|count| count.parse::<usize>().ok());
        Some((counts.next()?, counts.next()?))
    });
    counts.fold((0, 0), |(sent, received), (s, r)| (sent + s, received + r))
}

/// Runs `smokeping_prober` on the same addresses and reads its counters.
fn smokeping(size: usize, seconds: u64) -> Result<Option<Outcome>> {
    let file = tempfile::NamedTempFile::new()?;
    let hosts: Vec<_> = (0..size).map(|n| format!("  - {}\n", address(n))).collect();
    let config = format!("targets:\n- hosts:\n{}  interval: 1s\n  network: ip4\n  protocol: icmp\n", hosts.concat());
    fs::write(file.path(), config)?;
    let listen = http::free_address()?;
    let peer = Running::start(
        Command::new("prometheus-smokeping-prober")
            .arg(format!("--config.file={}", file.path().display()))
            .arg(format!("--web.listen-address={listen}")),
    );
    let Some(peer) = peer else { return Ok(None) };
    // It starts its targets one by one during the first interval and serves requests only after that. On a busy machine
    // it may not come up at all.
    if program::wait_for(|| http::get(listen, "/metrics", "").is_ok()).is_err() {
        return Ok(None);
    }
    thread::sleep(Duration::from_secs(seconds));
    let spent = peer.cpu()?;
    let Ok(page) = http::text(listen, "/metrics") else { return Ok(None) };
    let echoes = http::sum(&page, "smokeping_requests_total", "");
    let replies = http::sum(&page, "smokeping_response_duration_seconds_count", "");
    // One ping per address may be in flight.
    let lost = (echoes - replies - size as f64).max(0.0);
    Ok(Some(Outcome { microseconds: spent.as_secs_f64() * 1e6 / echoes, lost }))
}
