//! The exporter: creates its components from a configuration, connects them and starts their tasks.

use std::sync::Arc;

use anyhow::Context as _;
use hyper::header::HeaderValue;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{self, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use web_toolkit::{
    access::Access,
    clock,
    guard::Guard,
    scrape::respond_in_time,
    server::{self, Bound, ConnectionCounts, Limits, ServerOptions},
    settings::Mistake,
};

use super::{
    pollers::{AgentParts, ApiClients, Pollers},
    reload::{ConfigLoader, LiveSettings, Supervisor, Triggers, register_connections, register_metrics},
    service_manager,
    shutdown::join_all,
};
use crate::{
    agents::{self, Agents},
    cloudflare,
    config::{Config, ConfigError, Inputs, Log, StateLocation, Web, flags::Flags},
    correlate::Correlator,
    domain::{
        inventory::Fleet,
        past::{PastReplies, PastVerdicts},
        pulse::Pulses,
    },
    exposition::{self, Exposition},
    http::{Http, Hub, Lifecycle},
    inventory::InventoryMetrics,
    prober::{self, client::mute::MutedAddresses},
    snapshot::{Judged, Sources},
    state::{Archive, StateDirectory, StateKeeper, StateMetrics},
};

/// The command `serve` with its validated configuration.
#[derive(Debug)]
pub struct ServeCommand {
    config: Config,
    loader: ConfigLoader,
    /// The sockets that systemd passed, if they are used.
    inherited: Option<Vec<Bound>>,
}

impl ServeCommand {
    /// Reads and validates the configuration. Blocks.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn new(flags: Flags, inputs: Inputs) -> Result<Self, ConfigError> {
        let config = Config::for_serve(&flags, &inputs)?;
        let inherited = inherit_sockets(&config.web)?;
        Ok(Self { config, loader: ConfigLoader::new(move || Config::for_serve(&flags, &inputs)), inherited })
    }

    pub fn log(&self) -> Log {
        self.config.log
    }

    /// Polls and serves until `stop`.
    ///
    /// # Errors
    /// An address is in use, TLS cannot be set up, or a task ended unexpectedly.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let bound = self.inherited.map_or_else(|| server::bind(&self.config.web.listen), Ok)?;
        let mut tasks = JoinSet::new();
        start(self.config, self.loader, None, bound, &stop, &mut tasks).await?;
        join_all(tasks, stop).await
    }
}

/// Takes the sockets that systemd passes, if they are configured. Must be called before any thread is started.
///
/// # Errors
/// There are none.
pub(super) fn inherit_sockets(web: &Web) -> Result<Option<Vec<Bound>>, ConfigError> {
    if !web.systemd_socket {
        return Ok(None);
    }
    server::inherit().map(Some).map_err(|error| Mistake::unquoted("web.systemd_socket", error).into())
}

/// Starts the tasks of an exporter. `loader` reads the configuration for a reload. The addresses in `muted` do not
/// reply to its prober.
pub(super) async fn start(
    config: Config,
    loader: ConfigLoader,
    muted: Option<MutedAddresses>,
    bound: Vec<Bound>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    // From here on, SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let status = announce(&config, &bound);
    let (state, past) = load_state(config.state.clone()).await?;
    let pulses = Pulses::default();
    let mut registry = exposition::registry();
    let metrics = register_metrics(&mut registry, clock::now());
    let api_metrics = cloudflare::Metrics::register(&mut registry);
    let agents = Agents::default();
    agents.restore(state.iter().flat_map(|(_, archive)| archive.past_agents()), clock::now());
    let served = agents::metrics::register(&mut registry, &agents);
    let counts = ConnectionCounts::default();
    register_connections(&mut registry, &counts);
    let agent = config.inventory.as_ref().map(|_| {
        let stored = state.as_ref().and_then(|(_, archive)| archive.past_inventory());
        AgentParts { metrics: InventoryMetrics::register(&mut registry), store: Arc::new(watch::Sender::new(stored)) }
    });
    let inventory = agent.as_ref().map(|agent| agent.store.subscribe());
    let (clients, pollers) = start_pollers(&config, api_metrics, pulses.clone(), agent, stop).await?;
    let settings = LiveSettings::new(&config);
    let judged = start_probing(&settings, pollers.subscribe(), past, muted, &pulses, stop, tasks)?;
    if let Some((directory, archive)) = state {
        let metrics = StateMetrics::register(&mut registry);
        let keeper = StateKeeper::new(directory, archive, judged.clone(), (inventory, agents.clone()), metrics);
        tasks.spawn(keeper.run(stop.clone()));
    }
    let sources = Sources { judged, stale_after: settings.stale_after.subscribe() };
    let exposition = Exposition::new(registry, sources.clone(), settings.poll_interval.subscribe());
    let (lifecycle, requests) = Lifecycle::new(config.web.enable_lifecycle);
    let hub = Hub::new(agents, served, settings.grants.subscribe(), settings.probe.subscribe());
    let (path, alertmanager) = (config.web.telemetry_path.clone(), config.web.alertmanager.clone());
    let http = Http::new((exposition, config.web.expose), sources, path, alertmanager, lifecycle, hub)?;
    let access = start_server(&config, http, counts, bound, stop, tasks);
    tasks.spawn(service_manager::run(status.clone(), pulses, stop.clone()));
    let supervisor = Supervisor { loader, config, clients, pollers, settings, access, metrics, status };
    tasks.spawn(supervisor.run(Triggers { hangups, requests }, stop.clone()));
    Ok(())
}

/// The state directory with its content, and the observations of an earlier run in it.
type LoadedState = (Option<(Arc<StateDirectory>, Archive)>, (PastReplies, PastVerdicts));

/// Opens the state directory, if there is one, and reads the state of an earlier run.
///
/// # Errors
/// The configured directory cannot be used. A directory that was not configured is logged and ignored instead.
async fn load_state(location: Option<StateLocation>) -> anyhow::Result<LoadedState> {
    let Some(StateLocation { directory, required }) = location else { return Ok(LoadedState::default()) };
    let opened = task::spawn_blocking(move || {
        StateDirectory::open(&directory).map(|directory| {
            let archive = directory.load();
            (Arc::new(directory), archive)
        })
    });
    match opened.await? {
        Ok((directory, archive)) => {
            let now = clock::now();
            let past = (archive.past_replies(now), archive.past_verdicts(now));
            Ok((Some((directory, archive)), past))
        }
        Err(unusable) if required => Err(unusable.into()),
        Err(unusable) => {
            warn!("a restart will forget verdicts and first replies: {unusable}");
            Ok(LoadedState::default())
        }
    }
}

/// Creates the API clients and starts the pollers of all accounts.
pub(super) async fn start_pollers(
    config: &Config,
    metrics: cloudflare::Metrics,
    pulses: Pulses,
    agent: Option<AgentParts>,
    stop: &CancellationToken,
) -> anyhow::Result<(ApiClients, Pollers)> {
    let (mut clients, wanted) = (ApiClients::new(metrics), config.clone());
    let clients = task::spawn_blocking(move || clients.update(&wanted).map(|()| clients)).await??;
    let pollers = Pollers::start(config, &clients, pulses, agent, stop);
    Ok((clients, pollers))
}

/// Starts the prober's thread and the correlation. Returns the channel on which the correlation publishes. If probing
/// is off, the thread is idle and the verdicts follow from the reported state alone.
fn start_probing(
    settings: &LiveSettings,
    fleet: watch::Receiver<Arc<Fleet>>,
    (replies, verdicts): (PastReplies, PastVerdicts),
    muted: Option<MutedAddresses>,
    pulses: &Pulses,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<watch::Receiver<Judged>> {
    let pulse = pulses.register("the prober");
    let (handle, thread) =
        prober::start(fleet.clone(), settings.probe.subscribe(), replies, muted, pulse, stop.clone())
            .context("cannot start the prober")?;
    let stale_after = settings.stale_after.subscribe();
    let pulse = pulses.register("the correlation");
    let (correlator, judged) =
        Correlator::new(fleet, handle.board.clone(), handle.changes, stale_after, verdicts, pulse);
    tasks.spawn(async move {
        if let Err(panicked) = thread.stopped().await {
            error!("{panicked}");
        }
    });
    tasks.spawn(correlator.run(stop.clone()));
    tasks.spawn(prober::board::sample_targets(handle.board, stop.clone()));
    Ok(judged)
}

/// Starts the HTTP server, with TLS and authentication as in the web configuration file.
fn start_server(
    config: &Config,
    http: Http,
    counts: ConnectionCounts,
    bound: Vec<Bound>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Arc<Access> {
    let access = Arc::new(Access::new(config.web.access.clone()));
    let challenge = HeaderValue::from_static("Basic realm=\"magic-tunnel-exporter\", charset=\"UTF-8\"");
    let guard = Guard::new(access.rules(), challenge, config.web.open_health);
    let options = ServerOptions {
        encryption: access.encryption(),
        // Each client of a hub has a place. The other half is for polls, probes and files.
        limits: Limits::within_descriptors(50, config.grants.as_ref().as_ref().map_or(0, |grants| grants.0.len())),
        hosts: config.web.hosts.clone(),
        counts,
        ..ServerOptions::default()
    };
    tasks.spawn(server::serve(options, bound, stop.clone(), move |request| {
        let (guard, http) = (guard.clone(), http.clone());
        respond_in_time(request, |request| guard.respond(request, |request| http.respond(request)))
    }));
    tasks.spawn(Arc::clone(&access).follow(stop.clone()));
    access
}

/// Logs what is polled and where it is served, and returns a short form for the service manager.
fn announce(config: &Config, bound: &[Bound]) -> String {
    let accounts = config.accounts.iter().map(|account| format!("{} at {}", account.account.name, account.url));
    let accounts: Vec<String> = accounts.collect();
    let (scheme, path) = (config.web.scheme(), &config.web.telemetry_path);
    let pages: Vec<String> = bound.iter().map(|bound| format!("{scheme}://{}{path}", bound.local_addr())).collect();
    let pages = pages.join(", ");
    let every = |interval| humantime::format_duration(interval);
    let what = match &config.inventory {
        None => {
            format!("polling the tunnels of account {} every {}", accounts.join(", "), every(config.poll.interval))
        }
        Some(hub) => {
            let hubs: Vec<String> = hub.urls.iter().map(ToString::to_string).collect();
            format!("reading the inventory of {} every {}", hubs.join(", "), every(hub.interval))
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), revision = env!("MTE_REVISION"), "{what}, serving {pages}");
    format!("Polling {}, serving {pages}", account_count(config))
}

/// The number of accounts with its noun.
pub(super) fn account_count(config: &Config) -> String {
    if config.inventory.is_some() {
        return "the inventory of a hub".to_owned();
    }
    match config.accounts.len() {
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    }
}
