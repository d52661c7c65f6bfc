//! The programs that play: a sandbox, and the exporter on it.

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

/// Faults that hit every request while they are in force. None of them takes a list away: a list that is empty removes its tunnels.
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

/// Nothing happens by itself: a story that moves a tunnel to another address would start its counters again, as it should.
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
            // What is kept is what the end looks for.
            lines.filter(|line| line.contains("panicked")).collect::<Vec<_>>().join("\n")
        });
        patiently(|| http::request(page, "GET", "/-/ready", ""))?;
        let (alive, deleted) = (VecDeque::new(), BTreeSet::new());
        Ok(Self { sandbox, exporter, said, api, page, account, alive, deleted, turn: 0, files })
    }

    /// One tunnel more, and once a few were made, one less.
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
        // A fault may be in force: then there is one change less.
        if let Ok(answer) = http::request(self.api, "POST", &path, &body.to_string()) {
            let answer: Value = serde_json::from_str(&answer)?;
            self.alive.extend(answer["result"]["id"].as_str().map(str::to_owned));
        }
        if self.alive.len() > 20
            && let Some(id) = self.alive.front().cloned()
        {
            // Marked first: the exporter may see it go before the answer is here.
            self.deleted.insert(id.clone());
            if http::request(self.api, "DELETE", &format!("{path}/{id}"), "").is_ok() {
                self.alive.pop_front();
            }
        }
        Ok(())
    }

    /// The next fault of the list.
    pub(crate) fn fault(&mut self) -> Result<()> {
        self.turn += 1;
        let fault = FAULTS[self.turn % FAULTS.len()];
        let faults = format!(r#"{{"faults": [{{"method": "GET", "fault": {fault}}}]}}"#);
        http::request(self.api, "PUT", "/sandbox/faults", &faults).map(drop)
    }

    pub(crate) fn mend(&mut self) -> Result<()> {
        http::request(self.api, "DELETE", "/sandbox/faults", "").map(drop)
    }

    /// Writes another configuration and has it read. Says what went wrong.
    pub(crate) fn reload(&mut self) -> Result<Option<String>> {
        self.turn += 1;
        configure(&self.files, self.turn)?;
        Ok(http::request(self.page, "POST", "/-/reload", "").err().map(|error| error.to_string()))
    }

    pub(crate) fn scrape(&self) -> Result<String> {
        http::request(self.page, "GET", "/metrics", "")
    }

    /// Tunnels that were deleted, or are about to be.
    pub(crate) const fn deleted(&self) -> &BTreeSet<String> {
        &self.deleted
    }

    pub(crate) fn process(&self) -> Result<Figure> {
        figures::of(self.exporter.id())
    }

    /// Ends both programs; returns the panics of the exporter.
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

/// A file that is another one at each turn, though nothing in it restarts a probe.
fn configure(files: &TempDir, turn: usize) -> Result<()> {
    let down_after = 3 + turn % 2;
    Ok(fs::write(files.path().join("config.yml"), format!("probe:\n  interface: lo\n  down_after: {down_after}\n"))?)
}

/// Tries for half a minute.
fn patiently(attempt: impl Fn() -> Result<String>) -> Result<String> {
    for _ in 0..300 {
        if let Ok(answer) = attempt() {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(100));
    }
    attempt()
}
