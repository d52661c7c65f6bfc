//! The task of one session of the client engine, and the sockets that it needs.

use std::sync::Arc;

use tokio::time::sleep_until;
use web_toolkit::clock;

use super::gate::SendGate;
use crate::{
    domain::probe::{Binding, EchoOutcome, IpVersion},
    prober::{
        session::{Echo, ProbeSession, SessionContext},
        tally::Tally,
    },
};

/// Sends echoes through one socket.
pub trait Link: Send + Sync + 'static {
    /// Sends one echo and waits for its outcome. Dropping the future cancels the echo.
    fn send_echo(&self, echo: Echo) -> impl Future<Output = EchoOutcome> + Send;

    /// Gives later echoes a new identifier after many consecutive losses. See [`ProbeSession::record_outcome`].
    ///
    /// Only links that ignore [`Echo::identifier`] implement it.
    fn renew_identifier(&self) {}
}

/// Creates links. Tests replace it by a simulated network.
pub trait Network: Send + 'static {
    type Link: Link;

    /// Creates the link for one IP version and one binding. Never fails: a link without a socket reports failed echoes
    /// and keeps trying to open one.
    fn create_link(&self, version: IpVersion, binding: &Arc<Binding>) -> Self::Link;
}

/// Probes one address until the future is dropped or the sender of the settings is gone.
///
/// At most one echo is in flight, because the timeout never exceeds the interval.
pub async fn run<L: Link>(
    mut session: ProbeSession,
    link: Arc<L>,
    tally: Arc<Tally>,
    mut context: SessionContext,
    gate: SendGate,
) {
    let mut settings = *context.settings.borrow_and_update();
    session.set_timing(settings.timing, clock::now().instant);
    loop {
        // Cancel safety: dropping either branch loses nothing.
        tokio::select! {
            biased;
            changed = context.settings.changed() => {
                if changed.is_err() {
                    return;
                }
                settings = *context.settings.borrow_and_update();
                session.set_timing(settings.timing, clock::now().instant);
                continue;
            }
            () = sleep_until(session.due().into()) => {}
        }
        let permit = gate.acquire(session.due()).await;
        let Some((echo, lag)) = session.next_echo(clock::now().instant) else { continue };
        context.activity.observe_lag(lag);
        tally.begin();
        let in_flight = context.activity.start_echo();
        // Boxed, so that a session needs the memory of an echo only while one is in flight.
        let outcome = permit.send(Box::pin(link.send_echo(echo))).await;
        drop(in_flight);
        if tally.finish(outcome, clock::now(), settings.thresholds) {
            context.announce_change();
        }
        if session.record_outcome(outcome) {
            link.renew_identifier();
        }
    }
}

#[cfg(test)]
mod tests;
