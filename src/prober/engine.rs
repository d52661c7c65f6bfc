//! The seam between the driver, which decides what is probed, and the engines, which send and receive.

use std::{fmt, sync::Arc, time::Instant};

use super::{mtu::MtuLimits, session::ProbeSession, tally::Tally};
use crate::domain::probe::SessionKey;

/// The watch of the path MTU of one address.
#[derive(Debug)]
pub struct MtuWatch {
    pub key: SessionKey,
    pub limits: MtuLimits,
    /// Time of the first round.
    pub first: Instant,
    /// That of the session to the same address.
    pub tally: Arc<Tally>,
}

/// Sends the echoes of sessions and counts their outcomes. Dropping it stops all sessions.
pub trait Engine: fmt::Debug + Send {
    /// Starts a session. No session with this key is running.
    fn start(&mut self, key: SessionKey, session: ProbeSession, tally: Arc<Tally>);

    /// Stops a session, if it is running. An echo in flight has no outcome.
    fn stop(&mut self, key: &SessionKey);

    /// Begins to watch a path MTU, if the engine can. The path MTU of this key is not watched.
    fn start_mtu(&mut self, _watch: MtuWatch) {}

    /// Ends the watch of a path MTU, if there is one.
    fn stop_mtu(&mut self, _key: &SessionKey) {}

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
