//! The exporter's parts, made from a checked configuration and connected.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{apis::Apis, lifecycle, metrics, probing, web::Access};
use crate::{
    clock, cloudflare,
    config::{AccountConfig, Config},
    domain::{inventory::Fleet, pulse::Pulses},
    exposition::{self, Exposition, Sources},
    http::{Http, guard::Guard},
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
    let status = announce(config, &bound);
    let pulses = Pulses::default();
    let mut registry = exposition::registry();
    metrics::register(&mut registry, clock::now());
    let fleet = poll(config, cloudflare::Metrics::register(&mut registry), &pulses, stop, tasks)?;
    let observed = probing::start(config, &fleet, &pulses, stop, tasks)?;
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
    let http = Http::new(exposition, overview, observed.settings, config.web.telemetry_path.clone());
    serve(config, http, bound, stop, tasks);
    tasks.spawn(lifecycle::run(status, pulses, stop.clone()));
    Ok(())
}

/// The pages, and whatever the web configuration file puts before them.
fn serve(config: &Config, http: Http, bound: Vec<Bound>, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let access = Arc::new(Access::new(config.web.access.clone()));
    let guard = Guard::new(access.rules(), config.web.open_health);
    tasks.spawn(server::serve_over(access.encryption(), bound, Limits::default(), stop.clone(), move |request| {
        let http = http.clone();
        guard.clone().respond(request, |request| http.respond(request))
    }));
    tasks.spawn(access.follow(stop.clone()));
}

/// Starts the pollers of all accounts; they publish on what is returned.
pub(super) fn poll(
    config: &Config,
    metrics: cloudflare::Metrics,
    pulses: &Pulses,
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
            pulses: pulses.clone(),
        };
        tasks.spawn(poller.run(stop.clone()));
    }
    Ok(fleet)
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
