//! The end of all tasks.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// All tasks have this long to end; then they are dropped.
const DEADLINE: Duration = Duration::from_millis(1800);

/// Awaits every task: until `stop` none may end, after it all must.
pub(super) async fn run_to_end(mut tasks: JoinSet<()>, stop: CancellationToken) -> anyhow::Result<()> {
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
