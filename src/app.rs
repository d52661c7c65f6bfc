//! Wiring: from a configuration to the parts and their long-lived tasks, and back to nothing at the end.
//!
//! Sockets are bound before anything is started. Every task lives in one [`JoinSet`] and ends when the token is cancelled; one that
//! ends by itself takes the program down, for an exporter that serves without polling would lie.

mod about;
mod play;
mod probing;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::play::{Demo, sandbox};
use crate::{
    clock,
    cloudflare::{self, Client},
    config::Config,
    domain::inventory::Fleet,
    exposition::{self, Exposition, Sources},
    http::Http,
    poller::{Limiter, Poller},
    server::{self, Bound, Limits},
};

/// All tasks have this long to end; then they are dropped.
const DEADLINE: Duration = Duration::from_millis(1800);

/// Runs what `start` makes until it ends or a signal asks it to; a second signal does not wait.
pub async fn until_signal<F>(start: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let stop = CancellationToken::new();
    let mut running = pin!(start(stop.clone()));
    // Cancel safety: `recv` loses no signal when dropped, and `running` is only borrowed.
    tokio::select! {
        result = &mut running => return result,
        _ = interrupt.recv() => info!("stopping: interrupted"),
        _ = terminate.recv() => info!("stopping: asked to terminate"),
    }
    stop.cancel();
    tokio::select! {
        result = &mut running => result,
        _ = interrupt.recv() => bail!("stopped at once by a second signal"),
        _ = terminate.recv() => bail!("stopped at once by a second signal"),
    }
}

/// Polls and serves until `stop`.
///
/// # Errors
/// An address is taken, TLS cannot be set up, or a task ended by itself.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let bound = server::bind(&config.web.listen)?;
    let mut tasks = JoinSet::new();
    start(&config, bound, &stop, &mut tasks)?;
    run_to_end(tasks, stop).await
}

/// Starts the tasks of an exporter.
fn start(config: &Config, bound: Vec<Bound>, stop: &CancellationToken, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    announce(config, &bound);
    let mut registry = exposition::registry();
    about::register(&mut registry, clock::now());
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
        };
        tasks.spawn(poller.run(stop.clone()));
    }
    let observed = probing::start(config, &fleet, stop, tasks)?;
    let sources = Sources {
        fleet: fleet.subscribe(),
        board: observed.board,
        verdicts: observed.verdicts,
        stale_after: config.poll.stale_after,
        poll_interval: config.poll.interval,
    };
    let http = Http::new(Exposition::new(registry, sources), fleet.subscribe(), config.web.telemetry_path.clone());
    tasks.spawn(server::serve(bound, Limits::default(), stop.clone(), move |request| http.clone().respond(request)));
    Ok(())
}

fn announce(config: &Config, bound: &[Bound]) {
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
}

/// Awaits every task: until `stop` none may end, after it all must.
async fn run_to_end(mut tasks: JoinSet<()>, stop: CancellationToken) -> anyhow::Result<()> {
    // Cancel safety: a task that ended stays in the set until `join_next` hands it out. The token goes first: once it is cancelled,
    // tasks end because they should.
    let fallen = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        Some(ended) = tasks.join_next() => Some(ended),
    };
    stop.cancel();
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DEADLINE, all).await.is_err() {
        warn!("{} tasks did not end in time and are dropped", tasks.len());
        tasks.shutdown().await;
    }
    match fallen {
        None => Ok(()),
        Some(Ok(())) => bail!("a task ended by itself"),
        Some(Err(error)) => Err(error).context("a task failed"),
    }
}
