//! Wiring: from a configuration to the parts and their long-lived tasks, and back to nothing at the end.
//!
//! Sockets are bound before anything is started. Every task lives in one `JoinSet` and ends when the token is cancelled; one that
//! ends by itself takes the program down, for an exporter that serves without polling would lie.

mod apis;
mod check;
mod difference;
mod exporter;
mod lifecycle;
mod metrics;
mod once;
mod play;
mod pollers;
mod probing;
mod reload;
mod serve;
mod supervisor;
mod tasks;
mod watchdog;

use std::{future::Future, pin::pin};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::{
    check::{Check, Finding, Level},
    lifecycle::Notifier,
    once::Once,
    play::{Demo, sandbox},
    serve::Serve,
};

/// Runs what `start` makes until it ends or a signal asks it to; a second signal does not wait.
pub async fn until_signal<T, F>(start: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
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
