//! Processes: our program with a sandbox, other tools, and the kernel's statistics for each.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use procfs::process::Process;
use web_toolkit::clock;

use super::{Result, http};

/// User and system time of one run of a program; `None` if it does not start.
pub(crate) fn cpu_of_run(command: &mut Command) -> Result<Option<Duration>> {
    let before = cpu_of_children()?;
    if command.status().is_err() {
        return Ok(None);
    }
    Ok(Some(cpu_of_children()?.saturating_sub(before)))
}

/// User and system time of all reaped children, in units of 10 ms.
pub(crate) fn cpu_of_children() -> Result<Duration> {
    let stat = Process::myself()?.stat()?;
    ticks(u64::try_from(stat.cutime + stat.cstime)?)
}

fn ticks(count: u64) -> Result<Duration> {
    Ok(Duration::from_secs(count) / u32::try_from(procfs::ticks_per_second())?)
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Returns `None` if the program does not start.
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }

    fn process(&self) -> Result<Process> {
        Ok(Process::new(i32::try_from(self.0.id())?)?)
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.process()?.stat()?;
        ticks(stat.utime + stat.stime)
    }

    /// Current resident memory in megabytes.
    pub(crate) fn resident(&self) -> Result<f64> {
        Ok(megabytes(self.process()?.status()?.vmrss))
    }

    /// Peak of the resident memory in megabytes since [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak(&self) -> Result<f64> {
        Ok(megabytes(self.process()?.status()?.vmhwm))
    }

    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5")?)
    }
}

fn megabytes(kilobytes: Option<u64>) -> f64 {
    kilobytes.unwrap_or_default() as f64 / 1024.0
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter"));
    command.env_clear();
    command
}

/// A simulated API; all addresses of its tunnels answer.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    _process: Running,
}

/// An account id: 32 hex digits.
pub(crate) const ACCOUNT: &str = "c4a7362d577a6c3019a474fd6f485821";

impl Sandbox {
    pub(crate) fn start(tunnels: usize) -> Result<Self> {
        let address = http::free_address()?;
        let mut story = tempfile::NamedTempFile::new()?;
        writeln!(story, "accounts: [{{name: bench, id: {ACCOUNT}, tunnels: []}}]")?;
        let process = Running::start(
            program()
                .arg("sandbox")
                .arg(format!("--sandbox.listen-address={address}"))
                .arg(format!("--sandbox.tunnels={tunnels}"))
                .arg("--sandbox.story")
                .arg(story.path()),
        );
        let process = process.ok_or("the exporter's program did not start")?;
        wait_for(|| http::get(address, "/sandbox", "").is_ok())?;
        Ok(Self { address, _process: process })
    }

    /// Starts an exporter that polls this sandbox and probes over loopback.
    pub(crate) fn exporter(&self, targets: &str) -> Result<Exporter> {
        self.prober(targets, &[])
    }

    /// The same with more flags.
    pub(crate) fn prober(&self, targets: &str, flags: &[&str]) -> Result<Exporter> {
        let targets = format!("--probe.targets={targets}");
        self.exporter_with(&[&["--probe", "--probe.interface=lo", &targets], flags].concat())
    }

    /// Starts an exporter that polls this sandbox.
    pub(crate) fn exporter_with(&self, flags: &[&str]) -> Result<Exporter> {
        let address = http::free_address()?;
        let process = Running::start(
            program()
                .args(["serve", "--cloudflare.account-id", ACCOUNT])
                .env("CLOUDFLARE_API_TOKEN", "any")
                .args(flags)
                .arg(format!("--cloudflare.api-url=http://{}/client/v4", self.address))
                .arg(format!("--web.listen-address={address}")),
        );
        Ok(Exporter { address, process: process.ok_or("the exporter's program did not start")? })
    }
}

/// A running exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    pub(crate) process: Running,
}

impl Exporter {
    /// Waits until all collections are polled.
    pub(crate) fn await_ready(&self) -> Result<()> {
        wait_for(|| http::text(self.address, "/-/ready").is_ok_and(|reply| reply.contains(" 200 ")))
    }
}

/// Waits up to 30 s for a condition.
pub(crate) fn wait_for(mut is_there: impl FnMut() -> bool) -> Result<()> {
    let began = clock::now();
    while !is_there() {
        if clock::now().since(began) > Duration::from_secs(30) {
            return Err("a program of the benchmark did not come up within 30 s".into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
