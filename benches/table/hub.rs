//! A hub with 1,000 agents over TLS, each with a user of its own, and an agent with four tunnels.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rcgen::CertifiedKey;
use reqwest::{Certificate, Client, StatusCode, header};
use tokio::{runtime, task::JoinSet, time};
use web_toolkit::clock;

use super::{
    Result, http,
    program::{self, Exporter, Running, Sandbox, program, wait_for},
    table::{Row, Table},
};

const AGENTS: usize = 1_000;
const INTERVAL: Duration = Duration::from_secs(30);
/// Intervals that the steady state is watched.
const ROUNDS: u32 = 2;
/// Timeout of a request of an agent and of a scrape.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The cost that `htpasswd -B` uses.
const BCRYPT_COST: u32 = 5;
const PASSWORD: &str = "bench";

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    agent(table)?;
    let folder = tempfile::tempdir()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let hub = Hub::start(folder.path())?;
    runtime.block_on(with_agents(table, &hub))?;
    drop(hub);
    // A hub that has just started knows no TLS session and has checked no password.
    runtime.block_on(storm(table, &Hub::start(folder.path())?))
}

fn row(what: &'static str, size: usize, ours: f64, unit: &'static str, goal: f64) -> Row {
    Row { what, size, ours, unit, beside: None, goal: Some(goal) }
}

/// An agent on loopback with four tunnels, two probed addresses each.
fn agent(table: &mut Table) -> Result<()> {
    const TUNNELS: usize = 4;
    const WATCHED: Duration = Duration::from_secs(20);
    let sandbox = Sandbox::start(TUNNELS)?;
    let hub = sandbox.exporter("customer_endpoint")?;
    hub.await_ready()?;
    let address = http::free_address()?;
    let process = Running::start(
        program()
            .args(["serve", "--probe", "--probe.interface=lo", "--probe.targets=customer_endpoint,interface_address"])
            .arg(format!("--inventory.url=http://{}", hub.address))
            .arg(format!("--web.listen-address={address}")),
    );
    let agent = Exporter { address, process: process.ok_or("the exporter's program did not start")? };
    agent.await_ready()?;
    http::text(agent.address, "/metrics")?;
    thread::sleep(Duration::from_secs(2));
    let before = agent.process.cpu()?;
    thread::sleep(WATCHED);
    let share = agent.process.cpu()?.saturating_sub(before).as_secs_f64() / WATCHED.as_secs_f64();
    table.add(row("agent, CPU", TUNNELS, share * 100.0, "% of a core", 0.5));
    table.add(row("agent, resident memory", TUNNELS, agent.process.resident()?, "MB", 15.0));
    Ok(())
}

/// A hub with TLS, and a user for each of its sites.
struct Hub {
    address: SocketAddr,
    certificate: String,
    process: Running,
    _sandbox: Sandbox,
}

impl Hub {
    fn start(folder: &Path) -> Result<Self> {
        let sandbox = Sandbox::start(AGENTS)?;
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let certificate = cert.pem();
        fs::write(folder.join("hub.pem"), &certificate)?;
        fs::write(folder.join("hub.key"), signing_key.serialize_pem())?;
        fs::write(folder.join("web.yml"), web_config()?)?;
        fs::write(folder.join("hub.yml"), config())?;
        let address = http::free_address()?;
        let mut command: Command = program();
        command.args(["serve", "--web.open-health", "--cloudflare.account-id", program::ACCOUNT]);
        command.env("CLOUDFLARE_API_TOKEN", "any").arg(format!("--config.file={}", folder.join("hub.yml").display()));
        command.arg(format!("--web.config.file={}", folder.join("web.yml").display()));
        command.arg(format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address));
        command.arg(format!("--web.listen-address={address}"));
        let process = Running::start(&mut command).ok_or("the exporter's program did not start")?;
        wait_for(|| std::net::TcpStream::connect(address).is_ok())?;
        Ok(Self { address, certificate, process, _sandbox: sandbox })
    }

    fn agents(&self) -> Result<Vec<Agent>> {
        let agent = |number| {
            let url = format!("https://{}/api/v1/inventory?site={number:05}", self.address);
            Ok(Agent { client: self.client(address(number))?, url, number, tag: None })
        };
        (0..AGENTS).map(agent).collect()
    }

    /// A client as an agent has it: its own address, its own TLS sessions, and no connection that is kept.
    fn client(&self, address: Ipv4Addr) -> Result<Client> {
        let root = Certificate::from_pem(self.certificate.as_bytes())?;
        let builder =
            magic_tunnel_exporter::https::builder(true).tls_certs_only([root]).local_address(IpAddr::from(address));
        Ok(builder.pool_max_idle_per_host(0).timeout(TIMEOUT).build()?)
    }

    fn scraper(&self) -> Result<Scraper> {
        Ok(Scraper { client: self.client(Ipv4Addr::LOCALHOST)?, url: format!("https://{}", self.address) })
    }
}

/// Prometheus, with a user and an address of its own.
struct Scraper {
    client: Client,
    url: String,
}

impl Scraper {
    /// Reads a page. Returns whether the hub served it.
    async fn reads(&self, page: &str) -> bool {
        let request = self.client.get(format!("{}{page}", self.url)).basic_auth(user(AGENTS), Some(PASSWORD));
        match request.send().await {
            Ok(answer) => answer.status() == StatusCode::OK && answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// The address of an agent: the limits of the server apply to each address.
fn address(number: usize) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 78, high, low)
}

fn user(number: usize) -> String {
    format!("agent-{number}")
}

fn web_config() -> Result<String> {
    let mut text = String::from("tls_server_config: {cert_file: hub.pem, key_file: hub.key}\nbasic_auth_users:\n");
    for number in 0..=AGENTS {
        writeln!(text, "  {}: '{}'", user(number), bcrypt::hash(PASSWORD, BCRYPT_COST)?)?;
    }
    Ok(text)
}

/// Every agent has its own site, with one tunnel; the last user scrapes.
fn config() -> String {
    let mut text = String::from("sites: [{pattern: '^gen-[a-z]+-(?<site>[0-9]+)$'}]\nfleet:\n  users:\n");
    for number in 0..AGENTS {
        let _ = writeln!(text, "    - {{user: {}, sites: ['{number:05}']}}", user(number));
    }
    let _ = writeln!(text, "    - {{user: {}, all: true}}", user(AGENTS));
    text
}

/// An agent and the entity tag of its list.
struct Agent {
    client: Client,
    url: String,
    number: usize,
    tag: Option<String>,
}

impl Agent {
    /// Asks once. Returns whether the hub answered with a list, or that it has not changed.
    async fn ask(&mut self) -> bool {
        let mut request = self.client.get(&self.url).basic_auth(user(self.number), Some(PASSWORD));
        request = request.header("Mte-Prober", user(self.number)).header(header::CONNECTION, "close");
        if let Some(tag) = &self.tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let Ok(answer) = request.send().await else { return false };
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let good = matches!(answer.status(), StatusCode::OK | StatusCode::NOT_MODIFIED);
        if good && answer.bytes().await.is_ok() {
            self.tag = tag;
            return true;
        }
        false
    }

    /// Asks until the hub answers, as an agent without a list does.
    async fn insist(mut self) {
        while !self.ask().await {
            time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn with_agents(table: &mut Table, hub: &Hub) -> Result<()> {
    let scraper = hub.scraper()?;
    for _ in 0..300 {
        if scraper.reads("/-/ready").await {
            break;
        }
        time::sleep(Duration::from_millis(100)).await;
    }
    // The first page starts the threads that write it.
    scraper.reads("/metrics").await;
    let resting = hub.process.resident()?;
    let agents = steady(hub.agents()?, 1).await?;
    let before = hub.process.cpu()?;
    steady(agents, ROUNDS).await?;
    let share = hub.process.cpu()?.saturating_sub(before).as_secs_f64() / (INTERVAL * ROUNDS).as_secs_f64();
    let what = "hub, CPU, each agent once in 30 s over TLS with a password";
    table.add(row(what, AGENTS, share * 100.0, "% of a core", 2.0));
    let grown = hub.process.resident()? - resting;
    table.add(row("hub, memory of its agents over TLS", AGENTS, grown, "MB", 10.0));
    Ok(())
}

/// All agents connect at once, as after a restart of the hub, while Prometheus scrapes every second.
async fn storm(table: &mut Table, hub: &Hub) -> Result<()> {
    let agents = hub.agents()?;
    let scraper = hub.scraper()?;
    let began = clock::now();
    let mut asking: JoinSet<()> = agents.into_iter().map(Agent::insist).collect();
    let (mut served, mut failed) = (0, 0.0);
    let mut ticks = time::interval(Duration::from_secs(1));
    while served < AGENTS {
        tokio::select! {
            Some(agent) = asking.join_next() => { agent?; served += 1; }
            _ = ticks.tick() => {
                if !scraper.reads("/metrics").await {
                    failed += 1.0;
                }
            }
        }
    }
    let took = clock::now().since(began);
    table.add(row("hub, all agents connect at once, until each has its list", AGENTS, took.as_secs_f64(), "s", 30.0));
    table.add(row("hub, failed scrapes while all agents connect", AGENTS, failed, "", 0.0));
    Ok(())
}

/// Each agent asks once per interval, spread evenly.
async fn steady(agents: Vec<Agent>, rounds: u32) -> Result<Vec<Agent>> {
    let count = u32::try_from(AGENTS)?;
    let mut ticks = time::interval(INTERVAL / count);
    let mut waiting = VecDeque::from(agents);
    let mut asking: JoinSet<(Agent, bool)> = JoinSet::new();
    let answered = |done: (Agent, bool)| if done.1 { Ok(done.0) } else { Err("the hub did not answer an agent") };
    for _ in 0..rounds * count {
        ticks.tick().await;
        while let Some(done) = asking.try_join_next() {
            waiting.push_back(answered(done?)?);
        }
        let mut agent = waiting.pop_front().ok_or("the hub is too slow")?;
        asking.spawn(async move {
            let answered = agent.ask().await;
            (agent, answered)
        });
    }
    while let Some(done) = asking.join_next().await {
        waiting.push_back(answered(done?)?);
    }
    Ok(waiting.into())
}
