//! The seam between the driver, which decides what is probed, and the engines, which send and receive.

use std::{fmt, sync::Arc};

use super::{session::ProbeSession, tally::Tally};
use crate::domain::probe::SessionKey;

/// Sends the echoes of sessions and counts their outcomes. Dropping it stops all sessions.
pub trait Engine: fmt::Debug + Send {
    /// Starts a session. No session with this key is running.
    fn start(&mut self, key: SessionKey, session: ProbeSession, tally: Arc<Tally>);

    /// Stops a session, if it is running. An echo in flight has no outcome.
    fn stop(&mut self, key: &SessionKey);

    /// Applies new settings and the sessions that were started and stopped since the last call. Closes unused sockets.
    fn apply(&mut self);

    /// Returns the number of sessions.
    fn sessions(&self) -> usize;

    /// Logs sessions that failed.
    ///
    /// # Errors
    /// [`EngineStopped`] if no session runs any more.
    fn check(&mut self) -> Result<(), EngineStopped>;
}

/// The engine has failed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the thread that sends and receives echoes has ended")]
pub struct EngineStopped;
