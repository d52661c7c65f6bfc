//! Notifications to systemd: readiness, reloads, shutdown and the watchdog (`sd_notify(3)`).
//!
//! Nothing is sent if `NOTIFY_SOCKET` is not set. The watchdog is fed only while every component makes progress: each
//! component announces when its next sign of progress is due (`domain::pulse`). A component that is overdue is named in
//! the log.

use std::{env, future::pending, io, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use web_toolkit::clock;

use crate::domain::pulse::Pulses;

/// Maximum time to send one notification. It is dropped after that.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// Time that a component may be overdue before it counts as stuck, because a busy machine delays all of them.
const GRACE: Duration = Duration::from_secs(15);

/// Delay of a check after which the process counts as stopped (`SIGSTOP`, a paused virtual machine). It is well below
/// [`GRACE`], which covers shorter delays.
const STOPPED: Duration = Duration::from_secs(5);

/// Time between two checks without a watchdog, because a stuck component is logged in any case.
const CHECK_INTERVAL: Duration = Duration::from_secs(20);

/// Sends notifications to the service manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notifier {
    listening: bool,
}

impl Notifier {
    pub(super) fn from_environment() -> Self {
        Self { listening: env::var_os("NOTIFY_SOCKET").is_some() }
    }

    /// Reports that the start or a reload is complete. `status` is one line for the operator.
    pub(super) async fn ready(self, status: String) {
        self.send(Notification::Ready(status)).await;
    }

    /// Reports that a reload begins. [`ready`](Self::ready) has to follow, also if the reload fails.
    pub(super) async fn reloading(self) {
        self.send(Notification::Reloading).await;
    }

    /// Sends on the blocking pool, because the socket's queue can be full.
    async fn send(self, notification: Notification) {
        if !self.listening {
            return;
        }
        match timeout(SEND_TIMEOUT, spawn_blocking(move || notification.send())).await {
            Ok(Ok(Err(error))) => warn!("cannot notify the service manager: {error}"),
            // Sent, or the runtime is shutting down.
            Ok(Ok(Ok(())) | Err(_)) => {}
            Err(_) => debug!("the service manager did not accept a notification within {SEND_TIMEOUT:?}"),
        }
    }
}

#[derive(Debug)]
enum Notification {
    Ready(String),
    Reloading,
    Stopping,
    Watchdog,
}

impl Notification {
    fn send(self) -> io::Result<()> {
        match self {
            Self::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]),
            // systemd matches the following READY to this reload by the timestamp.
            Self::Reloading => sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
            Self::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Self::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
        }
    }
}

/// Reports readiness, feeds the watchdog while the components of `pulses` make progress, and reports the shutdown after
/// `stop`.
pub(super) async fn run(status: String, pulses: Pulses, stop: CancellationToken) {
    let notifier = Notifier::from_environment();
    notifier.ready(status).await;
    let limit = sd_notify::watchdog_enabled();
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch_progress(pulses, limit, move || notifier.send(Notification::Watchdog)) => {}
    }
    notifier.send(Notification::Stopping).await;
}

/// Checks the progress of all components forever. `limit` is the watchdog's timeout; `feed` resets it.
async fn watch_progress<F: Future<Output = ()>>(pulses: Pulses, limit: Option<Duration>, feed: impl Fn() -> F) {
    let Some(interval) = check_interval(limit) else { return pending().await };
    let mut stuck = Vec::new();
    let mut resumed = None;
    loop {
        let due = clock::now().after(interval);
        sleep(interval).await;
        let now = clock::now();
        if now.since(due) > STOPPED {
            resumed = Some(now);
        }
        // After a stop, all components are overdue and have not run yet.
        if resumed.is_none_or(|resumed| now.since(resumed) >= GRACE) {
            let still_stuck = now.instant.checked_sub(GRACE).map_or_else(Vec::new, |then| pulses.overdue(then));
            log_changes(&stuck, &still_stuck);
            stuck = still_stuck;
        }
        if stuck.is_empty() {
            feed().await;
        }
    }
}

/// A third of the watchdog's timeout. `None` for a timeout that is too short to feed the watchdog.
fn check_interval(limit: Option<Duration>) -> Option<Duration> {
    let interval = limit.map_or(CHECK_INTERVAL, |limit| limit / 3);
    (!interval.is_zero()).then_some(interval)
}

fn log_changes(before: &[String], now: &[String]) {
    for component in now.iter().filter(|component| !before.contains(component)) {
        error!("{component} makes no progress; the watchdog is not fed until it does");
    }
    for component in before.iter().filter(|component| !now.contains(component)) {
        info!("{component} makes progress again, or has ended");
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// How often the watchdog is fed in `time`.
    async fn feedings(pulses: &Pulses, limit: Option<Duration>, time: Duration) -> u32 {
        let count = Cell::new(0);
        let watching = watch_progress(pulses.clone(), limit, || async { count.set(count.get() + 1) });
        timeout(time, watching).await.unwrap_err();
        count.get()
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_three_times_per_timeout() {
        let pulses = Pulses::default();
        let component = pulses.register("poller");
        component.beat(clock::now().instant, Duration::from_hours(1));
        assert_eq!(feedings(&pulses, Some(LIMIT), LIMIT * 2 + Duration::from_secs(1)).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_not_fed_while_one_component_is_stuck() {
        let pulses = Pulses::default();
        let _working = pulses.register("correlation");
        let component = pulses.register("prober");
        component.beat(clock::now().instant, Duration::from_secs(1));
        let first = feedings(&pulses, Some(LIMIT), LIMIT).await;
        assert!(first <= 1, "fed during the grace period: {first}");
        assert_eq!(feedings(&pulses, Some(LIMIT), LIMIT * 10).await, 0);
        component.beat(clock::now().instant, LIMIT);
        assert_eq!(feedings(&pulses, Some(LIMIT), LIMIT / 2).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_of_the_process_makes_no_component_stuck() {
        let (pulses, count) = (Pulses::default(), Cell::new(0));
        let component = pulses.register("poller");
        component.beat(clock::now().instant, Duration::from_secs(1));
        let mut watching = pin!(watch_progress(pulses.clone(), Some(LIMIT), || async { count.set(count.get() + 1) }));
        let moment = Duration::from_millis(1);
        timeout(moment, &mut watching).await.unwrap_err();
        tokio::time::advance(Duration::from_mins(1)).await;
        timeout(moment, &mut watching).await.unwrap_err();
        assert_eq!(count.get(), 1, "fed at once, although the component had no time to beat");
        timeout(LIMIT * 2, &mut watching).await.unwrap_err();
        assert!(count.get() <= 2, "not fed when the component does not recover: {}", count.get());
        component.beat(clock::now().instant, Duration::from_hours(1));
        let before = count.get();
        timeout(LIMIT, &mut watching).await.unwrap_err();
        assert_eq!(count.get(), before + 3, "fed again");
    }

    #[test]
    fn the_check_interval_is_a_third_of_the_timeout() {
        for (limit, interval) in [
            (None, Some(CHECK_INTERVAL)),
            (Some(Duration::from_mins(1)), Some(Duration::from_secs(20))),
            (Some(Duration::ZERO), None),
        ] {
            assert_eq!(check_interval(limit), interval, "{limit:?}");
        }
    }
}
