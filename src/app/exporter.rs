//! The exporter's parts, made from a checked configuration and connected.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{apis::Apis, metrics, probing};
use crate::{
    clock, cloudflare,
    config::{AccountConfig, Config},
    domain::inventory::Fleet,
    exposition::{self, Exposition, Sources},
    http::Http,
    overview,
    poller::{FleetSender, Poller},
    server::{self, Bound, Limits},
};

/// Starts the tasks of an exporter.
pub(super) fn start(
    config: &Config,
    bound: Vec<Bound>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    announce(config, &bound);
    let mut registry = exposition::registry();
    metrics::register(&mut registry, clock::now());
    let fleet = poll(config, cloudflare::Metrics::register(&mut registry), stop, tasks)?;
    let observed = probing::start(config, &fleet, stop, tasks)?;
    let overview = overview::Sources {
        fleet: fleet.subscribe(),
        board: observed.board.clone(),
        verdicts: observed.verdicts.clone(),
        stale_after: config.poll.stale_after,
    };
    let sources = Sources {
        fleet: fleet.subscribe(),
        board: observed.board,
        verdicts: observed.verdicts,
        stale_after: config.poll.stale_after,
        poll_interval: config.poll.interval,
    };
    let exposition = Exposition::new(registry, sources);
    let http = Http::new(exposition, overview, observed.settings, config.web.telemetry_path.clone())?;
    tasks.spawn(server::serve(bound, Limits::default(), stop.clone(), move |request| http.clone().respond(request)));
    Ok(())
}

/// Starts the pollers of all accounts; they publish on what is returned.
pub(super) fn poll(
    config: &Config,
    metrics: cloudflare::Metrics,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Arc<FleetSender>> {
    let mut apis = Apis::new(metrics);
    let names = config.accounts.iter().map(|account| account.account.name.clone());
    let fleet = Arc::new(watch::Sender::new(Arc::new(Fleet::waiting(names))));
    for account in &config.accounts {
        let settings = cloudflare::Settings { url: account.url.clone(), timeout: config.poll.timeout };
        let (client, limiter) = apis.of(&settings)?;
        let poller = Poller {
            account: account.account.clone(),
            client,
            limiter,
            interval: config.poll.interval,
            rules: Arc::clone(&config.rules),
            fleet: Arc::clone(&fleet),
        };
        tasks.spawn(poller.run(stop.clone()));
    }
    Ok(fleet)
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
