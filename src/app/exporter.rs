//! The exporter's parts, made from a checked configuration and connected.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{lifecycle, metrics, probing};
use crate::{
    clock,
    cloudflare::{self, Client},
    config::Config,
    domain::{inventory::Fleet, pulse::Pulses},
    exposition::{self, Exposition, Sources},
    http::Http,
    poller::{Limiter, Poller},
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
    let client = Client::new(&config.api, cloudflare::Metrics::register(&mut registry))?;
    let fleet = Arc::new(watch::Sender::new(Arc::new(Fleet::waiting(config.accounts.iter().map(|a| a.name.clone())))));
    let limiter = if config.api.url.is_loopback() { Limiter::unlimited() } else { Limiter::for_cloudflare() };
    for account in &config.accounts {
        let poller = Poller {
            account: account.clone(),
            client: client.clone(),
            limiter: limiter.clone(),
            interval: config.poll.interval,
            fleet: Arc::clone(&fleet),
            pulses: pulses.clone(),
        };
        tasks.spawn(poller.run(stop.clone()));
    }
    let observed = probing::start(config, &fleet, &pulses, stop, tasks)?;
    let sources = Sources {
        fleet: fleet.subscribe(),
        board: observed.board,
        verdicts: observed.verdicts,
        stale_after: config.poll.stale_after,
        poll_interval: config.poll.interval,
    };
    let http = Http::new(Exposition::new(registry, sources), fleet.subscribe(), config.web.telemetry_path.clone());
    tasks.spawn(server::serve(bound, Limits::default(), stop.clone(), move |request| http.clone().respond(request)));
    tasks.spawn(lifecycle::run(status, pulses, stop.clone()));
    Ok(())
}

/// Tells the log, and returns in a few words, what is watched and where it is served.
fn announce(config: &Config, bound: &[Bound]) -> String {
    let accounts: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    let pages: Vec<String> =
        bound.iter().map(|bound| format!("http://{}{}", bound.local_addr(), config.web.telemetry_path)).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("MTE_REVISION"),
        "watching the tunnels of account {} at {} every {}, serving {}",
        accounts.join(", "),
        config.api.url,
        humantime::format_duration(config.poll.interval),
        pages.join(", "),
    );
    format!("Watching {} accounts, serving {}", accounts.len(), pages.join(", "))
}
