//! CPU, memory and false loss of the prober at many targets, beside `fping` on the same addresses in the same run.
//!
//! `cargo bench --bench echo -- [targets] [seconds]`; without numbers it grows from 100 to 10,000 targets. Probes loopback
//! addresses only, once a second each; needs the permission to open an ICMP socket. `fping` and `prometheus-smokeping-prober`
//! are left out where they are not installed.

#![expect(clippy::print_stdout, reason = "a benchmark reports to whoever runs it")]

use std::{
    error::Error,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use magic_tunnel_exporter::{
    clock,
    domain::{
        board::ProbeBoard,
        inventory::{AccountName, AccountSnapshot, Collection, CollectionSnapshot, Entry, Fleet, PollState},
        label::Label as _,
        probe::ProbeFailure,
        pulse::Pulse,
        tally::Reading,
        tunnel::{Ipsec, Kind, Stated, Tunnel, TunnelId},
    },
    prober::{self, icmp::IcmpNetwork, settings::Settings},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let numbers: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let rounds = match numbers[..] {
        [] => vec![(100, 10), (1_000, 10), (10_000, 60)],
        [targets] => vec![(targets, 20)],
        [targets, seconds, ..] => vec![(targets, seconds)],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (targets, seconds) in rounds {
        println!("{targets} targets at 1/s for {seconds} s");
        let ours = runtime.block_on(prober(targets, seconds))?;
        if let Some(theirs) = fping(targets, seconds)? {
            println!("ratio to fping: {:.2}", ours / theirs);
        }
        smokeping(targets, seconds)?;
    }
    Ok(())
}

/// `127.1.0.0` and on.
fn address(n: u32) -> Ipv4Addr {
    (u32::from_be_bytes([127, 1, 0, 0]) + n).into()
}

fn tunnel(n: u32) -> Tunnel {
    let bare = Tunnel::bare(TunnelId::new(format!("{n:032x}")), format!("tunnel-{n}"), Kind::Ipsec(Ipsec::default()));
    Tunnel { customer_endpoint: Stated::Value(address(n).into()), ..bare }
}

fn fleet(targets: u32) -> Fleet {
    let mut account = AccountSnapshot::default();
    let entries = (0..targets).map(|n| Entry { tunnel: Arc::new(tunnel(n)), bgp_state_changes: 0 });
    let snapshot =
        CollectionSnapshot { state: PollState::Succeeded, entries: entries.collect(), ..CollectionSnapshot::default() };
    account.set_collection(Collection::IpsecTunnels, snapshot);
    Fleet { accounts: [(AccountName::new("bench"), Arc::new(account))].into() }
}

/// User and system time of this process.
fn own_cpu() -> Result<Duration> {
    Ok(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into()?)
}

/// User and system time of the children that were waited for, in ticks of ten milliseconds.
fn cpu_of_children() -> Result<Duration> {
    let stat = procfs::process::Process::myself()?.stat()?;
    let ticks = u64::try_from(stat.cutime + stat.cstime)?;
    Ok(Duration::from_secs(ticks) / u32::try_from(procfs::ticks_per_second())?)
}

fn per_echo(spent: Duration, echoes: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / echoes as f64
}

/// Returns microseconds of CPU per echo.
async fn prober(targets: u32, seconds: u32) -> Result<f64> {
    let (_fleet, fleet) = watch::channel(Arc::new(fleet(targets)));
    let (_settings, settings) = watch::channel(Arc::new(Settings { enabled: true, ..Settings::default() }));
    let stop = CancellationToken::new();
    let (mut handle, thread) = prober::start(IcmpNetwork::new, fleet, settings, Pulse::default(), stop.clone())?;
    handle.board.wait_for(|board| !board.sessions.is_empty()).await?;
    let (began, before) = (clock::now(), own_cpu()?);
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let spent = own_cpu()?.saturating_sub(before);
    let took = clock::now().since(began);
    let board = Arc::clone(&handle.board.borrow());
    let reported = report(&board, spent, took);
    stop.cancel();
    thread.stopped().await?;
    reported
}

fn report(board: &ProbeBoard, spent: Duration, took: Duration) -> Result<f64> {
    let readings: Vec<_> = board.sessions.iter().map(|(_, tally)| tally.read()).collect();
    let requests: u64 = readings.iter().map(|reading| reading.requests).sum();
    let failures: u64 = readings.iter().map(Reading::failures_total).sum();
    let rss = procfs::process::Process::myself()?.status()?.vmrss.unwrap_or(0);
    println!(
        "prober: {:.2} us CPU per echo, {requests} echoes in {took:.1?}, {failures} lost, {} MB resident, socket: {}",
        per_echo(spent, requests),
        rss / 1024,
        board.sockets.list().first().filter(|socket| socket.up).map_or("no socket", |socket| socket.mode.as_str()),
    );
    for &reason in ProbeFailure::ALL {
        let count: u64 = readings.iter().map(|reading| reading.failures(reason)).sum();
        if count > 0 {
            println!("  lost for {reason}: {count}");
        }
    }
    let lag = board.activity.lag();
    let sends = lag.count();
    let mut below = 0;
    for (bound, count) in lag.buckets().bounds().iter().zip(lag.counts()) {
        below += count;
        println!("  sent at most {bound:?} late: {:.3} %", below as f64 * 100.0 / sends as f64);
        if below == sends {
            break;
        }
    }
    Ok(per_echo(spent, requests))
}

/// Lets `fping` ping the same addresses at the same pace, and counts what it says it sent. Returns microseconds of CPU per echo.
fn fping(targets: u32, seconds: u32) -> Result<Option<f64>> {
    let file = tempfile::NamedTempFile::new()?;
    let addresses: Vec<_> = (0..targets).map(|n| address(n).to_string()).collect();
    fs::write(file.path(), addresses.join("\n"))?;
    let gap = format!("{:.3}", 900.0 / f64::from(targets));
    let before = cpu_of_children()?;
    let output = Command::new("timeout")
        .args(["--signal=INT", &seconds.to_string(), "fping", "-l", "-q", "-p", "1000", "-t", "1000", "-i", &gap, "-f"])
        .arg(file.path())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        println!("fping: left out, it does not start");
        return Ok(None);
    };
    let spent = cpu_of_children()?.saturating_sub(before);
    let (echoes, replies) = fping_counts(&String::from_utf8_lossy(&output.stderr));
    println!("fping: {:.2} us CPU per echo, {echoes} echoes, {} lost", per_echo(spent, echoes), echoes - replies);
    Ok(Some(per_echo(spent, echoes)))
}

/// Sums lines such as `127.1.0.0 : xmt/rcv/%loss = 19/19/0%, ...`.
fn fping_counts(summary: &str) -> (u64, u64) {
    let counts = summary.lines().filter_map(|line| {
        let (_, counts) = line.split_once("%loss = ")?;
        let mut counts = counts.split('/').map_while(|count| count.parse::<u64>().ok());
        Some((counts.next()?, counts.next()?))
    });
    counts.fold((0, 0), |(sent, received), (s, r)| (sent + s, received + r))
}

/// More targets than this drown `smokeping_prober`.
const SMOKEPING_TARGETS: u32 = 1_000;

/// Lets `smokeping_prober` ping as many of the same addresses as it can, and counts what its page says it sent.
fn smokeping(targets: u32, seconds: u32) -> Result<()> {
    let targets = targets.min(SMOKEPING_TARGETS);
    let file = tempfile::NamedTempFile::new()?;
    let hosts: Vec<_> = (0..targets).map(|n| format!("  - {}\n", address(n))).collect();
    fs::write(
        file.path(),
        format!("targets:\n- hosts:\n{}  interval: 1s\n  network: ip4\n  protocol: icmp\n", hosts.concat()),
    )?;
    let listen = free_address()?;
    let child = Command::new("prometheus-smokeping-prober")
        .arg(format!("--config.file={}", file.path().display()))
        .arg(format!("--web.listen-address={listen}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("smokeping_prober: left out, it does not start");
        return Ok(());
    };
    // It starts its targets one by one over the first interval.
    std::thread::sleep(Duration::from_secs(2 + u64::from(seconds)));
    let spent = cpu_of(child.id());
    let page = get(listen, "/metrics");
    child.kill()?;
    child.wait()?;
    let (spent, page) = (spent?, page?);
    let sum = |family: &str| -> f64 {
        let samples = page.lines().filter(|line| line.starts_with(family) && line[family.len()..].starts_with('{'));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    let (echoes, replies) = (sum("smokeping_requests_total"), sum("smokeping_response_duration_seconds_count"));
    println!(
        "smokeping_prober at {targets} targets: {:.2} us CPU per echo, {echoes} echoes, {} lost",
        spent.as_secs_f64() * 1e6 / echoes,
        (echoes - replies - f64::from(targets)).max(0.0)
    );
    Ok(())
}

/// User and system time of a running process.
fn cpu_of(pid: u32) -> Result<Duration> {
    let stat = procfs::process::Process::new(i32::try_from(pid)?)?.stat()?;
    Ok(Duration::from_secs(stat.utime + stat.stime) / u32::try_from(procfs::ticks_per_second())?)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The body of a page.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
