//! The batch engine: one thread that sends and receives several packets per system call. Linux only.
//!
//! Every echo carries a keyed hash. A reply counts only if it is intact, and an ICMP error only if it quotes the echo.
//! Round-trip times end when the kernel receives the reply, so they contain no delay of this thread. Deadlines are
//! judged only after the sockets have been read, so that a process that was stopped loses no reply.

mod agenda;
mod commands;
mod drops;
mod echoes;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod link;
mod links;
mod packet;
mod seal;
mod sizes;
mod socket;
mod table;
mod worker;

use std::{collections::HashSet, fmt, io, sync::Arc, thread};

use tracing::error;

use self::{
    commands::{CommandSender, EngineCommand},
    socket::BatchSocket,
    worker::Worker,
};
use super::{
    board::Sockets,
    engine::{Engine, EngineStopped, MtuWatch},
    notice::{self, SocketFailure},
    session::{ProbeSession, SessionContext},
    slot::{EchoSocket as _, SocketPurpose},
    tally::Tally,
};
use crate::domain::probe::{Binding, IpVersion, SessionKey};

/// Runs all sessions on one thread.
pub struct BatchEngine {
    /// `None` while the engine is dropped.
    commands: Option<CommandSender>,
    thread: Option<thread::JoinHandle<()>>,
    running: HashSet<SessionKey>,
}

impl BatchEngine {
    /// Starts the thread. Its sockets report their status in `sockets`.
    ///
    /// # Errors
    /// The thread or its file descriptor cannot be created.
    pub fn new(context: SessionContext, sockets: Arc<Sockets>) -> io::Result<Self> {
        let (commands, received) = commands::channel()?;
        let thread = thread::Builder::new()
            .name("prober-io".into())
            .spawn(move || Worker::new(context, sockets, received).run())?;
        Ok(Self { commands: Some(commands), thread: Some(thread), running: HashSet::new() })
    }

    /// [`Engine::check`] reports a thread that has ended.
    fn send(&self, command: EngineCommand) {
        if let Some(commands) = &self.commands {
            commands.send(command);
        }
    }
}

impl Engine for BatchEngine {
    fn start(&mut self, key: SessionKey, session: ProbeSession, tally: Arc<Tally>) {
        self.running.insert(key.clone());
        self.send(EngineCommand::Start(key, Box::new(session), tally));
    }

    fn stop(&mut self, key: &SessionKey) {
        if self.running.remove(key) {
            self.send(EngineCommand::Stop(key.clone()));
        }
    }

    fn start_mtu(&mut self, watch: MtuWatch) {
        self.send(EngineCommand::StartMtu(watch));
    }

    fn stop_mtu(&mut self, key: &SessionKey) {
        self.send(EngineCommand::StopMtu(key.clone()));
    }

    fn apply(&mut self) {
        self.send(EngineCommand::CloseUnused);
        if let Some(commands) = &self.commands {
            commands.wake();
        }
    }

    fn sessions(&self) -> usize {
        self.running.len()
    }

    fn check(&mut self) -> Result<(), EngineStopped> {
        let running = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if running { Ok(()) } else { Err(EngineStopped) }
    }
}

impl Drop for BatchEngine {
    fn drop(&mut self) {
        self.commands = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread that sends and receives echoes panicked");
        }
    }
}

impl fmt::Debug for BatchEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchEngine").field("sessions", &self.running.len()).finish_non_exhaustive()
    }
}

/// Opens and closes a socket, to check the configuration. Returns a description of the socket.
///
/// # Errors
/// [`SocketFailure`] if the socket cannot be opened.
pub fn try_open(version: IpVersion, binding: &Binding) -> Result<String, SocketFailure> {
    match BatchSocket::open(version, binding, SocketPurpose::Echoes) {
        Ok(socket) => Ok(notice::describe_open(version, socket.mode(), binding)),
        Err(error) => Err(SocketFailure::new(version, binding, &error)),
    }
}

#[cfg(test)]
mod tests;
