//! Keeps a prober that fell behind from falling behind further.
//!
//! One task reads the replies of a socket, a hundred or so each time it runs; then it stands in line behind every session that is due.
//! After a hold-up thousands of them are, all send before it reads again, and replies pile up until the socket's buffer overflows:
//! a busy machine would look like a lossy path, and would not recover, because losses make work too. So late sessions pass one by
//! one, fewer in each turn of the scheduler than replies are read. Sessions in time pass untouched.

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

/// A session that is later than this waits for its turn.
const LATE: Duration = Duration::from_millis(10);

/// Late sessions that send in one turn of the scheduler: fewer than the replies that one task may read (128 in tokio).
const AT_ONCE: usize = 32;

/// Shared by all sessions of a prober.
#[derive(Debug, Clone)]
pub struct Turnstile(Arc<Semaphore>);

/// The right to send now.
#[derive(Debug)]
pub struct Turn(Option<OwnedSemaphorePermit>);

impl Default for Turnstile {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Turnstile {
    /// Waits where the turn that was due at `due` is late. What is late becomes later by that; whoever passes looks at the clock again.
    pub async fn pass(&self, due: Instant) -> Turn {
        if clock::now().instant.saturating_duration_since(due) < LATE {
            return Turn(None);
        }
        // The semaphore is never closed; without it the session would simply not wait.
        Turn(Arc::clone(&self.0).acquire_owned().await.ok())
    }
}

impl Turn {
    /// Sends (which an echo does when it is first polled), lets everybody else run once, and waits for the end.
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

    /// Starts `count` sessions that were due `lateness` ago, and says how many have sent when this task runs again, and how many in the end.
    async fn sent_at_once(count: usize, lateness: Duration) -> (usize, usize) {
        let turnstile = Turnstile::default();
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let due = clock::now().instant;
        time::advance(lateness).await;
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (turnstile, sent) = (turnstile.clone(), Arc::clone(&sent));
            tasks.spawn(async move {
                let turn = turnstile.pass(due).await;
                let echo = async {
                    sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    time::sleep(Duration::from_millis(1)).await;
                };
                turn.send(pin!(echo)).await;
            });
        }
        yield_now().await;
        let first = sent.load(std::sync::atomic::Ordering::Relaxed);
        while tasks.join_next().await.is_some() {}
        (first, sent.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_in_time_are_not_held_up() {
        let (first, all) = sent_at_once(1_000, Duration::from_millis(2)).await;
        assert!(first > AT_ONCE, "{first}");
        assert_eq!(all, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn late_ones_pass_a_few_at_a_time_and_all_in_the_end() {
        let (first, all) = sent_at_once(1_000, Duration::from_secs(1)).await;
        assert!(first <= AT_ONCE, "{first}");
        assert_eq!(all, 1_000);
    }
}
