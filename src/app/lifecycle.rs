//! What the service manager hears of the program: systemd's notify protocol, `sd_notify(3)`.
//!
//! One task says that the program is ready, shows now and then that it makes progress, and says at the end that it stops. Where
//! nobody listens (`NOTIFY_SOCKET` is not set) nothing is sent.

use std::{env, io, time::Duration};

use sd_notify::NotifyState;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::watchdog;
use crate::domain::pulse::Pulses;

/// A service manager that does not take a message for this long does without it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the service manager. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    listening: bool,
}

impl Notifier {
    /// Speaks to whoever started this process, if they listen.
    pub fn from_environment() -> Self {
        Self { listening: env::var_os("NOTIFY_SOCKET").is_some() }
    }

    /// What was asked for at the start or at a reload is in force; `status` is one line for people.
    pub async fn ready(self, status: String) {
        self.tell(Message::Ready(status)).await;
    }

    /// The configuration is being read again. [`ready`](Self::ready) has to follow, whatever comes of it.
    pub async fn reloading(self) {
        self.tell(Message::Reloading).await;
    }

    /// The end has begun.
    pub async fn stopping(self) {
        self.tell(Message::Stopping).await;
    }

    /// Sends on a thread that may wait: the other side's queue can be full.
    async fn tell(self, message: Message) {
        if !self.listening {
            return;
        }
        match timeout(PATIENCE, spawn_blocking(move || message.send())).await {
            Ok(Ok(Err(error))) => warn!("the service manager cannot be told: {error}"),
            // Told; or the runtime is going down, and with it whatever there was to tell.
            Ok(Ok(Ok(())) | Err(_)) => {}
            Err(_) => debug!("the service manager does not listen"),
        }
    }
}

#[derive(Debug)]
enum Message {
    Ready(String),
    Reloading,
    Stopping,
    Alive,
}

impl Message {
    fn send(self) -> io::Result<()> {
        match self {
            Self::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]),
            // systemd matches the READY that follows to this reload by the time.
            Self::Reloading => sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
            Self::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Self::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        }
    }
}

/// Says that the program is ready, then that it is alive as long as every part of `pulses` makes progress, then that it stops.
pub(super) async fn run(status: String, pulses: Pulses, stop: CancellationToken) {
    let notifier = Notifier::from_environment();
    notifier.ready(status).await;
    let limit = sd_notify::watchdog_enabled();
    tokio::select! {
        () = stop.cancelled() => {}
        () = watchdog::run(pulses, limit, move || notifier.tell(Message::Alive)) => {}
    }
    notifier.stopping().await;
}
