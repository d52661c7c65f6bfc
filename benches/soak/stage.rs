//! The processes of a run: a sandbox, and an exporter that polls it.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Result,
    figures::{self, Figure},
    http,
};

/// Faults that affect every request while they are active. Faults with an empty list are excluded, because they remove
/// tunnels.
const FAULTS: [&str; 8] = [
    r#"{"status": {"code": 503}}"#,
    r#"{"rate_limited": {"retry_after": 3}}"#,
    r#"{"html": {"code": 502}}"#,
    r#"{"latency": "2s"}"#,
    r#""forbidden""#,
    r#""truncated""#,
    r#""reset""#,
    r#""silence""#,
];

/// A story without events: moving a tunnel to another address would reset its counters, which is correct.
const STORY: &str = "accounts:\n  - name: soak\n    tunnels: []\n";

pub(crate) struct Stage {
    sandbox: Child,
    exporter: Child,
    said: JoinHandle<String>,
    api: SocketAddr,
    page: SocketAddr,
    account: String,
    /// Ids of the tunnels that may be deleted, oldest first.
    alive: VecDeque<String>,
    deleted: BTreeSet<String>,
    turn: usize,
    files: TempDir,
}

impl Stage {
    /// Starts both programs and waits for the first full page.
    pub(crate) fn start(tunnels: usize) -> Result<Self> {
        let (api, page) = (http::free_address()?, http::free_address()?);
        let files = tempfile::tempdir()?;
        fs::write(files.path().join("token"), "soak\n")?;
        fs::write(files.path().join("story.yml"), STORY)?;
        let sandbox = program()
            .arg("sandbox")
            .args([format!("--sandbox.listen-address={api}"), format!("--sandbox.tunnels={tunnels}")])
            .arg(format!("--sandbox.story={}", files.path().join("story.yml").display()))
            .stderr(Stdio::null())
            .spawn()?;
        let accounts: Value = serde_json::from_str(&patiently(|| http::request(api, "GET", "/sandbox", ""))?)?;
        let account = accounts["accounts"][0]["id"].as_str().ok_or("no account")?.to_owned();
        configure(&files, 0)?;
        let mut exporter = program()
            .args([format!("--web.listen-address={page}"), "--web.enable-lifecycle".into()])
            .args([
                format!("--cloudflare.api-url=http://{api}/client/v4"),
                format!("--cloudflare.account-id={account}"),
            ])
            .arg(format!("--cloudflare.api-token-file={}", files.path().join("token").display()))
            .arg(format!("--config.file={}", files.path().join("config.yml").display()))
            .args(["--poll.interval=5s", "--probe"])
            .stderr(Stdio::piped())
            .spawn()?;
        let said = exporter.stderr.take().ok_or("no standard error")?;
        let said = thread::spawn(move || {
            let lines = BufReader::new(said).lines().map_while(std::result::Result::ok);
            // Only panics are evaluated at the end.
            lines.filter(|line| line.contains("panicked")).collect::<Vec<_>>().join("\n")
        });
        patiently(|| http::request(page, "GET", "/-/ready", ""))?;
        let (alive, deleted) = (VecDeque::new(), BTreeSet::new());
        Ok(Self { sandbox, exporter, said, api, page, account, alive, deleted, turn: 0, files })
    }

    /// Creates a tunnel and, if more than 20 created ones exist, deletes the oldest.
    pub(crate) fn churn(&mut self) -> Result<()> {
        self.turn += 1;
        let number = u32::try_from(self.turn)?;
        let host = |range: u8| std::net::Ipv4Addr::from(u32::from_be_bytes([127, range, 0, 0]) + 2 * number);
        let body = json!({
            "name": format!("soak-{number}"),
            "cloudflare_gre_endpoint": "198.51.100.1",
            "customer_gre_endpoint": host(32),
            "interface_address": format!("{}/31", host(48)),
        });
        let path = format!("/client/v4/accounts/{}/magic/gre_tunnels", self.account);
        // If a fault is active, this change is skipped.
        if let Ok(answer) = http::request(self.api, "POST", &path, &body.to_string()) {
            let answer: Value = serde_json::from_str(&answer)?;
            self.alive.extend(answer["result"]["id"].as_str().map(str::to_owned));
        }
        if self.alive.len() > 20
            && let Some(id) = self.alive.front().cloned()
        {
            // Recorded before the request, because the exporter may see the deletion before the response arrives.
            self.deleted.insert(id.clone());
            if http::request(self.api, "DELETE", &format!("{path}/{id}"), "").is_ok() {
                self.alive.pop_front();
            }
        }
        Ok(())
    }

    /// Activates the next fault of the list.
    pub(crate) fn fault(&mut self) -> Result<()> {
        self.turn += 1;
        let fault = FAULTS[self.turn % FAULTS.len()];
        let faults = format!(r#"{{"faults": [{{"method": "GET", "fault": {fault}}}]}}"#);
        http::request(self.api, "PUT", "/sandbox/faults", &faults).map(drop)
    }

    pub(crate) fn clear_faults(&mut self) -> Result<()> {
        http::request(self.api, "DELETE", "/sandbox/faults", "").map(drop)
    }

    /// Writes a changed configuration and reloads it. Returns the error, if any.
    pub(crate) fn reload(&mut self) -> Result<Option<String>> {
        self.turn += 1;
        configure(&self.files, self.turn)?;
        Ok(http::request(self.page, "POST", "/-/reload", "").err().map(|error| error.to_string()))
    }

    pub(crate) fn scrape(&self) -> Result<String> {
        http::request(self.page, "GET", "/metrics", "")
    }

    /// Ids of tunnels that were deleted or are being deleted.
    pub(crate) const fn deleted(&self) -> &BTreeSet<String> {
        &self.deleted
    }

    pub(crate) fn process(&self) -> Result<Figure> {
        figures::of(self.exporter.id())
    }

    /// Stops both programs and returns the panics of the exporter.
    pub(crate) fn stop(mut self) -> Result<String> {
        self.exporter.kill()?;
        self.exporter.wait()?;
        self.sandbox.kill()?;
        self.sandbox.wait()?;
        self.said.join().map_err(|_| "the reader of the log panicked".into())
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Writes a configuration that differs each time but does not restart any probe.
fn configure(files: &TempDir, turn: usize) -> Result<()> {
    let down_after = 3 + turn % 2;
    Ok(fs::write(files.path().join("config.yml"), format!("probe:\n  interface: lo\n  down_after: {down_after}\n"))?)
}

/// Retries for 30 s.
fn patiently(attempt: impl Fn() -> Result<String>) -> Result<String> {
    for _ in 0..300 {
        if let Ok(answer) = attempt() {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(100));
    }
    attempt()
}
