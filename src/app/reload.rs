//! Owns the active configuration and the pollers, and replaces both when a signal or a request asks for a reload.
//!
//! A reload is all or nothing: the new configuration is read and validated completely before any of it is applied.
//! Triggers that arrive during a reload are answered together by the next one, so that a storm of them costs only a few
//! reloads per second.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot, watch},
    task,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use web_toolkit::{
    access::{Access, Replacement},
    clock::{self, Moment},
    server::ConnectionCounts,
};

use super::{
    difference::Difference,
    pollers::{ApiClients, PollerEnded, Pollers},
    service_manager::Notifier,
};
use crate::{
    config::{Config, ConfigError},
    domain::grants::Grants,
    prober::settings::ProbeSettings,
    series::{MetricReading, Series, label},
};

/// Delay after a trigger, so that triggers in quick succession are answered by one reload.
const GATHER: Duration = Duration::from_millis(100);

/// A report for the caller: what the reload changed, or why it failed.
type ReloadReport = Result<String, String>;

/// Reads the configuration with the flags of the start. Blocks.
#[derive(Clone)]
pub(super) struct ConfigLoader(Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>);

impl ConfigLoader {
    pub(super) fn new(load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(load))
    }
}

impl fmt::Debug for ConfigLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigLoader").finish_non_exhaustive()
    }
}

/// Channels for the settings that change while the program runs.
#[derive(Debug)]
pub(super) struct LiveSettings {
    pub(super) probe: watch::Sender<Arc<ProbeSettings>>,
    pub(super) stale_after: watch::Sender<Duration>,
    pub(super) poll_interval: watch::Sender<Duration>,
    pub(super) grants: watch::Sender<Arc<Option<Grants>>>,
}

impl LiveSettings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            probe: watch::Sender::new(Arc::new(config.probe.clone())),
            stale_after: watch::Sender::new(config.poll.stale_after),
            poll_interval: watch::Sender::new(config.poll.interval),
            grants: watch::Sender::new(Arc::clone(&config.grants)),
        }
    }

    /// Publishes the changed settings. Receivers of an unchanged setting are not woken.
    fn apply(&self, config: &Config) {
        replace(&self.probe, Arc::new(config.probe.clone()));
        replace(&self.stale_after, config.poll.stale_after);
        replace(&self.poll_interval, config.poll.interval);
        replace(&self.grants, Arc::clone(&config.grants));
    }
}

fn replace<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let changed = *old != value;
        *old = value;
        changed
    });
}

/// What starts a reload.
#[derive(Debug)]
pub(super) struct Triggers {
    pub(super) hangups: Signal,
    /// From `POST /-/reload`; each gets the report.
    pub(super) requests: mpsc::Receiver<oneshot::Sender<ReloadReport>>,
}

impl Triggers {
    /// Waits for a trigger and those that follow shortly after it. Returns the requests to answer. Cancel safe until
    /// the first trigger arrives.
    async fn next(&mut self) -> Vec<oneshot::Sender<ReloadReport>> {
        let mut requests = Vec::new();
        tokio::select! {
            Some(()) = self.hangups.recv() => {}
            Some(request) = self.requests.recv() => requests.push(request),
        }
        sleep(GATHER).await;
        requests.extend(std::iter::from_fn(|| self.requests.try_recv().ok()));
        requests
    }
}

/// The active configuration and everything that follows it.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) loader: ConfigLoader,
    pub(super) config: Config,
    pub(super) clients: ApiClients,
    pub(super) pollers: Pollers,
    pub(super) settings: LiveSettings,
    pub(super) access: Arc<Access>,
    pub(super) metrics: ConfigMetrics,
    /// The status line that the service manager shows.
    pub(super) status: String,
}

impl Supervisor {
    /// Runs until `stop`, or until a poller ends unexpectedly.
    pub(super) async fn run(mut self, mut triggers: Triggers, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            PollerEnded = self.supervise(&mut triggers) => {}
        }
        self.pollers.stop().await;
    }

    async fn supervise(&mut self, triggers: &mut Triggers) -> PollerEnded {
        let notifier = Notifier::from_environment();
        loop {
            // Cancel safety: if a poller ends, the program exits and the trigger is not needed.
            let requests = tokio::select! {
                ended = self.pollers.wait_for_failure() => return ended,
                requests = triggers.next() => requests,
            };
            notifier.reloading().await;
            let result = self.reload().await;
            notifier.ready(self.status.clone()).await;
            match result {
                // A client that disconnected has dropped its receiver.
                Ok(report) => requests.into_iter().for_each(|request| drop(request.send(report.clone()))),
                Err(ended) => return ended,
            }
        }
    }

    /// Reads, validates and applies the configuration. If it is invalid, nothing changes.
    async fn reload(&mut self) -> Result<ReloadReport, PollerEnded> {
        let (loader, access, clients) = (self.loader.clone(), Arc::clone(&self.access), self.clients.clone());
        let is_agent = self.config.inventory.is_some();
        let prepared = task::spawn_blocking(move || prepare(&loader, &access, clients, is_agent)).await;
        match prepared.unwrap_or_else(|panic| Err(format!("reading the configuration failed: {panic}"))) {
            Ok(next) => {
                let difference = self.apply(next).await?;
                self.metrics.count_success(clock::now());
                Ok(Ok(self.log_changes(&difference)))
            }
            Err(error) => {
                self.metrics.count_failure();
                error!("configuration not reloaded, the current one stays active: {error}");
                Ok(Err(error))
            }
        }
    }

    async fn apply(&mut self, next: Prepared) -> Result<Difference, PollerEnded> {
        let Prepared { config, clients, access } = next;
        let difference = Difference::between(&self.config, &config);
        self.pollers.apply(&difference, &config, &clients).await?;
        self.access.apply(access);
        self.settings.apply(&config);
        self.clients = clients;
        // Keys that need a restart keep their old values, so that the next reload reports them again.
        let (web, state) = (self.config.web.clone(), self.config.state.clone());
        self.config = Config { web, state, log: self.config.log, ..config };
        Ok(difference)
    }

    /// Logs what changed, and returns it as a sentence.
    fn log_changes(&self, difference: &Difference) -> String {
        let what = match &self.config.file {
            Some(file) => format!("configuration reloaded from {file}"),
            None => "secrets reloaded; `--config.file` is not set, so no configuration file was read".to_owned(),
        };
        let summary = difference.summary();
        let mut sentence = if summary.is_empty() { what } else { format!("{what}: {summary}") };
        info!("{sentence}");
        if !difference.need_restart.is_empty() {
            let warning =
                format!("these changed keys take effect after a restart: {}", difference.need_restart.join(", "));
            warn!("{warning}");
            sentence = format!("{sentence}; {warning}");
        }
        sentence
    }
}

/// Everything that a reload applies, validated.
struct Prepared {
    config: Config,
    clients: ApiClients,
    access: Replacement,
}

/// Reads and validates everything that a reload applies. Blocks.
fn prepare(
    loader: &ConfigLoader,
    access: &Access,
    mut clients: ApiClients,
    is_agent: bool,
) -> Result<Prepared, String> {
    let config = (loader.0)().map_err(|error| error.to_string())?;
    if is_agent != config.inventory.is_some() {
        return Err(
            "only a restart can turn an exporter with accounts into an agent of a hub, or the reverse".to_owned()
        );
    }
    let access = access.prepare(config.web.access.clone())?;
    clients.update(&config).map_err(|error| error.to_string())?;
    Ok(Prepared { config, clients, access })
}

/// The number of reloads, and the result of the last one.
#[derive(Debug, Default)]
pub(super) struct ConfigMetrics {
    successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
    reloads: Counter,
    failures: Counter,
}

impl ConfigMetrics {
    fn count_success(&self, now: Moment) {
        self.reloads.inc();
        self.set_succeeded(now);
    }

    fn set_succeeded(&self, now: Moment) {
        self.successful.set(1);
        self.last_success.set(now.wall.as_second() as f64);
    }

    /// The time of the last success stays, because that configuration is still active.
    fn count_failure(&self) {
        self.reloads.inc();
        self.failures.inc();
        self.successful.set(0);
    }
}

/// Registers the build information and the state of the configuration, which was loaded at `now`.
pub(super) fn register_metrics(registry: &mut Registry, now: Moment) -> ConfigMetrics {
    let build = Series::<2, Gauge>::new(Gauge::default);
    build.get([label("version", env!("CARGO_PKG_VERSION")), label("revision", env!("MTE_REVISION"))]).set(1);
    registry.register("exporter_build_info", "Version and revision of this exporter. Always 1", build);
    let metrics = ConfigMetrics::default();
    registry.register(
        "config_last_reload_successful",
        "Whether the last reading of the configuration succeeded",
        metrics.successful.clone(),
    );
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration was last read successfully",
        Unit::Seconds,
        metrics.last_success.clone(),
    );
    registry.register(
        "config_reloads",
        "Reloads of the configuration by a signal or a request since the start, failed ones included",
        metrics.reloads.clone(),
    );
    registry.register(
        "config_reload_failures",
        "Reloads of the configuration that failed, so that the previous one stayed active",
        metrics.failures.clone(),
    );
    metrics.set_succeeded(now);
    metrics
}

/// Registers the numbers of connections of the HTTP server.
pub(super) fn register_connections(registry: &mut Registry, counts: &ConnectionCounts) {
    let (open, evicted) = (counts.clone(), counts.clone());
    registry.register(
        "http_connections",
        "Open connections of HTTP clients",
        MetricReading::gauge(move || Some(open.open() as f64)),
    );
    registry.register(
        "http_connections_evicted",
        "Connections of HTTP clients that were closed because all slots were taken",
        MetricReading::counter(move || evicted.evicted()),
    );
}
