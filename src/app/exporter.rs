//! The exporter's parts, made from a checked configuration and connected.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{self, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use web_toolkit::{
    access::Access,
    clock,
    guard::Guard,
    server::{self, Bound, Limits},
};

use super::{
    apis::Apis,
    lifecycle::{self, Notifier},
    metrics,
    pollers::Pollers,
    probing,
    reload::{self, Controls, InForce, Load},
    supervisor::Supervisor,
};
use crate::{
    cloudflare,
    config::{AccountConfig, Config},
    domain::pulse::Pulses,
    exposition::{self, Exposition},
    http::{Http, lifecycle::Lifecycle},
    prober::settings::Settings,
    snapshot::Sources,
};

/// Starts the tasks of an exporter. `load` reads its configuration anew.
pub(super) async fn start(
    config: Config,
    load: Load,
    bound: Vec<Bound>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    // From here on SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let status = announce(&config, &bound);
    let pulses = Pulses::default();
    let mut registry = exposition::registry();
    let metrics = metrics::register(&mut registry, clock::now());
    let (apis, pollers) = poll(&config, cloudflare::Metrics::register(&mut registry), &pulses, stop).await?;
    let (controls, settings) = controls(&config);
    let stale_after = || controls.stale_after.subscribe();
    let judged = probing::start(settings, stale_after(), pollers.fleet(), &pulses, stop, tasks)?;
    let sources = Sources { judged, stale_after: stale_after() };
    let (lifecycle, requests) = Lifecycle::new(config.web.enable_lifecycle);
    let exposition = Exposition::new(registry, sources.clone(), controls.poll_interval.subscribe());
    let path = config.web.telemetry_path.clone();
    let http = Http::new(exposition, sources, path, lifecycle)?;
    let access = serve(&config, http, bound, stop, tasks);
    let sources = reload::Sources { load, access: Arc::clone(&access) };
    let now = InForce { config, apis, pollers, controls, access };
    let notifier = Notifier::from_environment();
    let supervisor = Supervisor { sources, now, metrics, hangups, requests, notifier, status: status.clone() };
    tasks.spawn(supervisor.run(stop.clone()));
    tasks.spawn(lifecycle::run(status, pulses, stop.clone()));
    Ok(())
}

/// The pages, and whatever the web configuration file puts before them.
fn serve(
    config: &Config,
    http: Http,
    bound: Vec<Bound>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Arc<Access> {
    let access = Arc::new(Access::new(config.web.access.clone()));
    let guard = Guard::new(access.rules(), config.web.open_health);
    tasks.spawn(server::serve_over(access.encryption(), bound, Limits::default(), stop.clone(), move |request| {
        let http = http.clone();
        guard.clone().respond(request, |request| http.respond(request))
    }));
    tasks.spawn(Arc::clone(&access).follow(stop.clone()));
    access
}

/// Starts the pollers of all accounts.
pub(super) async fn poll(
    config: &Config,
    metrics: cloudflare::Metrics,
    pulses: &Pulses,
    stop: &CancellationToken,
) -> anyhow::Result<(Apis, Pollers)> {
    let (mut apis, served) = (Apis::new(metrics), config.clone());
    let apis = task::spawn_blocking(move || apis.serve(&served).map(|()| apis)).await??;
    let mut pollers = Pollers::new(config, pulses, stop);
    pollers.start(&config.accounts, config, &apis);
    Ok((apis, pollers))
}

/// Where a reload puts new settings, and where the prober takes them from.
fn controls(config: &Config) -> (Controls, watch::Receiver<Arc<Settings>>) {
    let (probe, settings) = watch::channel(Arc::new(config.probe.clone()));
    let stale_after = watch::Sender::new(config.poll.stale_after);
    let poll_interval = watch::Sender::new(config.poll.interval);
    (Controls { probe, stale_after, poll_interval }, settings)
}

/// Tells the log, and returns in a few words, what is watched and where it is served.
fn announce(config: &Config, bound: &[Bound]) -> String {
    let accounts: Vec<String> =
        config.accounts.iter().map(|AccountConfig { account, url }| format!("{} at {url}", account.name)).collect();
    let scheme = config.web.scheme();
    let pages: Vec<String> =
        bound.iter().map(|bound| format!("{scheme}://{}{}", bound.local_addr(), config.web.telemetry_path)).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("MTE_REVISION"),
        "watching the tunnels of account {} every {}, serving {}",
        accounts.join(", "),
        humantime::format_duration(config.poll.interval),
        pages.join(", "),
    );
    format!("Watching {} accounts, serving {}", accounts.len(), pages.join(", "))
}
