//! Both engines of the prober inside the whole process, with scrapes and polls, compared with `fping`,
//! `smokeping_prober` and a bare loop of system calls on the same addresses.
//!
//! Pings loopback addresses only, one ping per second and address. `MTE_BENCH_SECONDS` is the duration of each run with
//! 10,000 addresses.

use std::{fs, net::Ipv4Addr, process::Command, thread, time::Duration};

use super::{
    Result, SIZES, bare, http,
    measure::per,
    program::{self, Exporter, Running, Sandbox},
    table::{Row, Table},
};

/// Time between two scrapes.
const SCRAPES: Duration = Duration::from_secs(5);

/// Five times the supported number of addresses.
const BEYOND: usize = 50_000;

/// Maximum number of pings per second of `fping`, which numbers the pings of ten seconds with 16 bits.
const MOST_OF_FPING: usize = 6_000;

/// Maximum number of targets that `smokeping_prober` can handle.
const MOST_OF_SMOKEPING: usize = 1_000;

/// Buckets that resolve the round-trip times of the loopback interface.
const BUCKETS: &str = "--probe.rtt-buckets=5us,10us,20us,30us,50us,70us,100us,150us,200us,300us,500us,1ms,2ms,5ms,1s";

/// The result of a tool for comparison.
#[derive(Debug)]
struct Outcome {
    microseconds: f64,
    lost: f64,
    /// Mean round-trip time in microseconds.
    rtt: f64,
}

/// The results of the other tools with the same number of addresses.
#[derive(Debug, Default)]
struct Peers {
    fping: Option<Outcome>,
    smokeping: Option<Outcome>,
    bare: Option<Outcome>,
}

/// The names of the rows of an engine.
struct Names {
    engine: &'static str,
    cpu: &'static str,
    part: &'static str,
    rtt: &'static str,
    slow: &'static str,
    lost: &'static str,
    count: &'static str,
    late: &'static str,
    memory: &'static str,
}

const BATCH: Names = Names {
    engine: "batch",
    cpu: "CPU per ping, including scrapes and polls",
    part: "CPU per ping, as a fraction of `fping`",
    rtt: "mean round-trip time",
    slow: "round-trip time, 99th percentile",
    lost: "falsely lost pings",
    count: "pings",
    late: "send delay, 99th percentile",
    memory: "resident memory afterwards",
};

const CLIENT: Names = Names {
    engine: "client",
    cpu: "engine `client`: CPU per ping",
    part: "engine `client`: CPU per ping, as a fraction of `fping`",
    rtt: "engine `client`: mean round-trip time",
    slow: "engine `client`: round-trip time, 99th percentile",
    lost: "engine `client`: falsely lost pings",
    count: "engine `client`: pings",
    late: "engine `client`: send delay, 99th percentile",
    memory: "engine `client`: resident memory afterwards",
};

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let seconds = if size < 10_000 { 10 } else { seconds() };
        let peers = Peers {
            fping: fping(size, seconds.min(60))?,
            smokeping: smokeping(size.min(MOST_OF_SMOKEPING), 10)?,
            bare: bare(size, seconds.min(60))?,
        };
        prober(table, size, seconds, &BATCH, &peers)?;
        prober(table, size, seconds, &CLIENT, &Peers { smokeping: None, ..peers })?;
    }
    let peers = Peers { fping: fping(10_000, 30)?, bare: bare(BEYOND, 30)?, smokeping: None };
    prober(table, BEYOND, 30, &BATCH, &peers)
}

fn bare(size: usize, seconds: u64) -> Result<Option<Outcome>> {
    Ok(bare::run(size, seconds)?.map(|(microseconds, lost)| Outcome { microseconds, lost, rtt: 0.0 }))
}

fn seconds() -> u64 {
    std::env::var("MTE_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn prober(table: &mut Table, size: usize, seconds: u64, names: &Names, peers: &Peers) -> Result<()> {
    let run = Run::of(size, seconds, names.engine)?;
    let row = |what, ours, unit, beside, goal| Row { what, size, ours, unit, beside, goal };
    let fping = peers.fping.as_ref();
    let of_fping = |of: fn(&Outcome) -> f64| fping.map(|fping| ("`fping`, at most 6,000 per second", of(fping)));
    let of_smokeping = |of: fn(&Outcome) -> f64| {
        peers.smokeping.as_ref().map(|peer| ("`smokeping_prober`, at most 1,000 targets", of(peer)))
    };
    let of_bare =
        |of: fn(&Outcome) -> f64| peers.bare.as_ref().map(|bare| ("bare `sendmmsg` and `recvmmsg`", of(bare)));
    let goal = |goal| (names.engine == "batch").then_some(goal);
    table.add(row(names.cpu, run.microseconds, "µs", of_fping(|peer| peer.microseconds), None));
    table.add(row(names.cpu, run.microseconds, "µs", of_bare(|peer| peer.microseconds), None));
    if peers.smokeping.is_some() {
        table.add(row(names.cpu, run.microseconds, "µs", of_smokeping(|peer| peer.microseconds), None));
        table.add(row(names.lost, run.lost, "", of_smokeping(|peer| peer.lost), goal(0.0)));
    }
    if let Some(peer) = fping {
        let limit = match size {
            0..1_000 => 0.9,
            1_000..10_000 => 0.65,
            _ => 0.25,
        };
        table.add(row(names.part, run.microseconds / peer.microseconds, "", None, goal(limit)));
        let times = match size {
            0..10_000 => 1.5,
            10_000..BEYOND => 2.0,
            _ => 3.0,
        };
        table.add(row(names.rtt, run.rtt, "µs", of_fping(|peer| peer.rtt), goal(times * peer.rtt)));
    }
    table.add(row(names.slow, run.slow, "ms", None, goal(if size < BEYOND { 0.3 } else { 0.5 })));
    table.add(row(names.lost, run.lost, "", of_fping(|peer| peer.lost), goal(0.0)));
    table.add(row(
        names.count,
        run.echoes,
        "",
        Some(("one per second and address", (size as u64 * seconds) as f64)),
        None,
    ));
    table.add(row(names.late, run.late, "ms", None, goal(5.0)));
    let goal_of_memory = (size == 10_000).then_some(100.0);
    table.add(row(names.memory, run.resident, "MB", None, goal_of_memory));
    Ok(())
}

/// A run of the exporter's prober, with scrapes and polls.
#[derive(Debug)]
struct Run {
    /// CPU time per ping.
    microseconds: f64,
    echoes: f64,
    lost: f64,
    /// Mean round-trip time in microseconds.
    rtt: f64,
    /// 99th percentile of the round-trip time in milliseconds.
    slow: f64,
    /// 99th percentile of the send delay in milliseconds.
    late: f64,
    /// Resident memory in megabytes.
    resident: f64,
}

impl Run {
    fn of(targets: usize, seconds: u64, engine: &str) -> Result<Self> {
        let sandbox = Sandbox::start(targets)?;
        let engine = format!("--probe.engine={engine}");
        let exporter = sandbox.prober("customer_endpoint", &[&engine, BUCKETS])?;
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
            rtt: (counts.rtt_sum - before.rtt_sum) / (counts.replies - before.replies) * 1e6,
            slow: quantile(&since(&counts.rtt, &before.rtt), 0.99) * 1e3,
            late: quantile(&since(&counts.lag, &before.lag), 0.99) * 1e3,
            resident: exporter.process.resident()?,
        })
    }
}

/// Counters from the metrics page.
#[derive(Debug)]
struct Counts {
    replies: f64,
    failures: f64,
    /// Sum of the round-trip times in seconds.
    rtt_sum: f64,
    /// Upper bounds in seconds, and the cumulative number of replies.
    rtt: Vec<(f64, f64)>,
    /// The same for the delays of sends.
    lag: Vec<(f64, f64)>,
}

impl Counts {
    fn read(exporter: &Exporter) -> Result<Self> {
        let page = http::text(exporter.address, "/metrics")?;
        Ok(Self {
            replies: http::sum(&page, "cloudflare_magic_tunnel_probe_replies_total", ""),
            failures: http::sum(&page, "cloudflare_magic_tunnel_probe_failures_total", ""),
            rtt_sum: http::sum(&page, "cloudflare_magic_tunnel_probe_rtt_seconds_sum", ""),
            rtt: buckets(&page, "cloudflare_magic_tunnel_probe_rtt_seconds_bucket{"),
            lag: buckets(&page, "cloudflare_magic_probe_schedule_lag_seconds_bucket{"),
        })
    }

    fn ended(&self) -> f64 {
        self.replies + self.failures
    }
}

/// Sums the buckets of all series of a histogram.
fn buckets(page: &str, start: &str) -> Vec<(f64, f64)> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    let samples = page.lines().filter(|line| line.starts_with(start)).filter_map(|line| {
        let (_, rest) = line.split_once("le=\"")?;
        let (bound, rest) = rest.split_once('"')?;
        let (_, count) = rest.split_once("} ")?;
        Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
    });
    for (bound, count) in samples {
        match sums.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some((_, sum)) => *sum += count,
            None => sums.push((bound, count)),
        }
    }
    sums
}

/// Buckets of the observations since `before`. Excludes the start, when all sessions send their first ping and delays
/// are highest.
fn since(now: &[(f64, f64)], before: &[(f64, f64)]) -> Vec<(f64, f64)> {
    now.iter().zip(before).map(|(now, before)| (now.0, now.1 - before.1)).collect()
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
pub(crate) fn address(n: usize) -> Ipv4Addr {
    (u32::from_be_bytes([127, 192, 0, 0]) + u32::try_from(n).unwrap_or(u32::MAX / 2)).into()
}

/// Runs `fping` on the same addresses, at the same rate if it is capable of it.
fn fping(size: usize, seconds: u64) -> Result<Option<Outcome>> {
    let file = tempfile::NamedTempFile::new()?;
    let addresses: Vec<_> = (0..size).map(|n| address(n).to_string()).collect();
    fs::write(file.path(), addresses.join("\n"))?;
    let period = 1_000 * size.div_ceil(MOST_OF_FPING);
    let gap = format!("{:.3}", 0.9 * period as f64 / size as f64);
    let before = program::cpu_of_children()?;
    let output = Command::new("timeout")
        .args(["--signal=INT", &seconds.to_string(), "fping", "-l", "-q", "-t", "1000", "-i", &gap])
        .args(["-p", &period.to_string(), "-f"])
        .arg(file.path())
        .output();
    let Ok(output) = output else { return Ok(None) };
    let spent = program::cpu_of_children()?.saturating_sub(before);
    let summary = String::from_utf8_lossy(&output.stderr);
    let (echoes, replies) = fping_counts(&summary);
    if echoes == 0 {
        return Ok(None);
    }
    let (microseconds, rtt) = (per(spent, echoes) / 1e3, fping_rtt(&summary));
    Ok(Some(Outcome { microseconds, lost: (echoes - replies) as f64, rtt }))
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

/// The mean of the round-trip times of all lines such as `... = 19/19/0%, min/avg/max = 0.010/0.020/0.040`, in
/// microseconds.
fn fping_rtt(summary: &str) -> f64 {
    let means = summary.lines().filter_map(|line| line.rsplit_once("= ")?.1.split('/').nth(1)?.parse::<f64>().ok());
    let (count, sum) = means.fold((0.0, 0.0), |(count, sum), mean| (count + 1.0, sum + mean));
    sum / count * 1e3
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
    Ok(Some(Outcome { microseconds: spent.as_secs_f64() * 1e6 / echoes, lost, rtt: 0.0 }))
}
