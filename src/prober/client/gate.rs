//! Limits how many late sessions of the client engine send at a time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
};
use web_toolkit::clock;

/// Sessions with a longer delay wait for a permit.
const LATE: Duration = Duration::from_millis(10);

/// Number of permits: fewer than the replies that a task may read before it yields (128 in tokio).
const PERMITS: usize = 32;

/// Limits how many late sessions send before the replies are read again. Shared by all sessions.
///
/// One task reads the replies of a socket, up to about a hundred each time it runs. After a stall, thousands of
/// sessions are due before that task runs again. If all of them sent first, their replies would overflow the receive
/// buffer and a busy machine would look like a lossy path.
#[derive(Debug, Clone)]
pub struct SendGate(Arc<Semaphore>);

/// Permission to send. Empty for a session that is not late.
#[derive(Debug)]
pub struct SendPermit(Option<OwnedSemaphorePermit>);

impl Default for SendGate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PERMITS)))
    }
}

impl SendGate {
    /// If the send is more than [`LATE`] overdue, waits for a permit. The wait adds to the delay, so the caller must
    /// read the clock again.
    pub async fn acquire(&self, due: Instant) -> SendPermit {
        if clock::now().instant.saturating_duration_since(due) < LATE {
            return SendPermit(None);
        }
        // The semaphore is never closed. If it were, the session would send without waiting.
        SendPermit(Arc::clone(&self.0).acquire_owned().await.ok())
    }
}

impl SendPermit {
    /// Polls the echo once, which sends it, and lets the other tasks run before it releases the permit. Then waits for
    /// the outcome.
    pub async fn send<F: Future + Unpin>(self, mut echo: F) -> F::Output {
        if self.0.is_some() {
            let first = poll_fn(|context| Poll::Ready(pin!(&mut echo).poll(context))).await;
            if let Poll::Ready(outcome) = first {
                return outcome;
            }
            yield_now().await;
            drop(self);
        }
        echo.await
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time};

    use super::*;

    /// Starts `count` sessions that were due `lateness` ago. Returns how many have sent when this task runs again, and
    /// how many in total.
    async fn count_sends(count: usize, lateness: Duration) -> (usize, usize) {
        let gate = SendGate::default();
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let due = clock::now().instant;
        time::advance(lateness).await;
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (gate, sent) = (gate.clone(), Arc::clone(&sent));
            tasks.spawn(async move {
                let permit = gate.acquire(due).await;
                let echo = async {
                    sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    time::sleep(Duration::from_millis(1)).await;
                };
                permit.send(pin!(echo)).await;
            });
        }
        yield_now().await;
        let first = sent.load(std::sync::atomic::Ordering::Relaxed);
        while tasks.join_next().await.is_some() {}
        (first, sent.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn punctual_sessions_do_not_wait() {
        let (first, all) = count_sends(1_000, Duration::from_millis(2)).await;
        assert!(first > PERMITS, "{first}");
        assert_eq!(all, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn late_sessions_send_a_few_at_a_time() {
        let (first, all) = count_sends(1_000, Duration::from_secs(1)).await;
        assert!(first <= PERMITS, "{first}");
        assert_eq!(all, 1_000);
    }
}
