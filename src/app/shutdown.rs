//! The end of the program: signals, and the deadline for the tasks.

use std::{future::Future, pin::pin, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time that all tasks together have to end before they are aborted.
const DEADLINE: Duration = Duration::from_millis(1800);

/// Runs the future that `start` returns until it ends or SIGINT or SIGTERM cancels its token. A second signal aborts
/// the shutdown.
///
/// # Errors
/// The future fails, signals cannot be handled, or a second signal arrives.
pub async fn run_until_signal<T, F>(start: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<T>
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
        _ = interrupt.recv() => info!("stopping: received SIGINT"),
        _ = terminate.recv() => info!("stopping: received SIGTERM"),
    }
    stop.cancel();
    tokio::select! {
        result = &mut running => result,
        _ = interrupt.recv() => bail!("shutdown aborted by a second signal"),
        _ = terminate.recv() => bail!("shutdown aborted by a second signal"),
    }
}

/// Awaits every task. If one ends before `stop` is cancelled, cancels `stop` and fails.
pub(super) async fn join_all(mut tasks: JoinSet<()>, stop: CancellationToken) -> anyhow::Result<()> {
    // Cancel safety: a task that ended stays in the set until `join_next` returns it. The token is polled first,
    // because tasks may end once it is cancelled.
    let ended_early = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        Some(ended) = tasks.join_next() => Some(ended),
    };
    stop.cancel();
    if timeout(DEADLINE, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        warn!("{} tasks did not end within {DEADLINE:?} and are aborted", tasks.len());
        tasks.shutdown().await;
    }
    match ended_early {
        None => Ok(()),
        Some(Ok(())) => bail!("a task ended unexpectedly"),
        Some(Err(error)) => Err(error).context("a task failed"),
    }
}
