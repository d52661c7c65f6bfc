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

use super::{
    apis::Apis,
    metrics,
    pollers::Pollers,
    probing,
    reload::{self, Controls, InForce, Load},
    supervisor::Supervisor,
};
use crate::{
    clock, cloudflare,
    config::{AccountConfig, Config},
    exposition::{self, Exposition, Sources},
    http::{Http, lifecycle::Lifecycle},
    overview,
    prober::settings::Settings,
    server::{self, Bound, Limits},
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
    announce(&config, &bound);
    let mut registry = exposition::registry();
    let metrics = metrics::register(&mut registry, clock::now());
    let (apis, pollers) = poll(&config, cloudflare::Metrics::register(&mut registry), stop).await?;
    let (controls, settings) = controls(&config);
    let observed = probing::start(settings, controls.stale_after.subscribe(), pollers.fleet(), stop, tasks)?;
    let overview = overview::Sources {
        fleet: pollers.fleet().subscribe(),
        board: observed.board.clone(),
        verdicts: observed.verdicts.clone(),
        stale_after: controls.stale_after.subscribe(),
    };
    let sources = Sources {
        fleet: pollers.fleet().subscribe(),
        board: observed.board,
        verdicts: observed.verdicts,
        stale_after: controls.stale_after.subscribe(),
        poll_interval: controls.poll_interval.subscribe(),
    };
    let (lifecycle, requests) = Lifecycle::new(config.web.enable_lifecycle);
    let exposition = Exposition::new(registry, sources);
    let path = config.web.telemetry_path.clone();
    let http = Http::new(exposition, overview, controls.probe.subscribe(), path, lifecycle);
    tasks.spawn(server::serve(bound, Limits::default(), stop.clone(), move |request| http.clone().respond(request)));
    // What else a reload reads goes into this list.
    let sources = reload::Sources { load, parts: Arc::new([]) };
    let now = InForce { config, apis, pollers, controls };
    tasks.spawn(Supervisor { sources, now, metrics, hangups, requests }.run(stop.clone()));
    Ok(())
}

/// Starts the pollers of all accounts.
pub(super) async fn poll(
    config: &Config,
    metrics: cloudflare::Metrics,
    stop: &CancellationToken,
) -> anyhow::Result<(Apis, Pollers)> {
    let (mut apis, served) = (Apis::new(metrics), config.clone());
    let apis = task::spawn_blocking(move || apis.serve(&served).map(|()| apis)).await??;
    let mut pollers = Pollers::new(config, stop);
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

fn announce(config: &Config, bound: &[Bound]) {
    let accounts: Vec<String> =
        config.accounts.iter().map(|AccountConfig { account, url }| format!("{} at {url}", account.name)).collect();
    let pages: Vec<String> =
        bound.iter().map(|bound| format!("http://{}{}", bound.local_addr(), config.web.telemetry_path)).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("MTE_REVISION"),
        "watching the tunnels of account {} every {}, serving {}",
        accounts.join(", "),
        humantime::format_duration(config.poll.interval),
        pages.join(", "),
    );
}
