//! The batch engine: one thread that sends and receives several packets per system call. Linux only.
//!
//! Every echo carries a keyed hash. A reply counts only if it is intact, and an ICMP error only if it quotes the echo.
//! Round-trip times end when the kernel receives the reply, so they contain no delay of this thread. Deadlines are judged
//! only after the sockets have been read, so that a process that was stopped loses no reply.

mod agenda;
mod drops;
mod link;
mod packet;
mod seal;
mod socket;
mod table;
mod worker;

use std::{
    collections::HashSet,
    fmt, io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use rustix::event::{EventfdFlags, eventfd};
use tracing::error;

use self::{socket::BatchSocket, worker::Worker};
use super::{
    board::Sockets,
    engine::{Engine, EngineStopped},
    notice::{self, SocketFailure},
    session::{ProbeSession, SessionContext},
    slot::EchoSocket as _,
    tally::Tally,
};
use crate::domain::probe::{Binding, IpVersion, SessionKey};

/// Commands that may wait for the thread.
const COMMANDS: usize = 1_024;

/// Commands to the thread.
enum Command {
    Start(SessionKey, Box<ProbeSession>, Arc<Tally>),
    Stop(SessionKey),
    /// Closes sockets without sessions.
    CloseUnused,
}

/// Runs all sessions on one thread.
pub struct BatchEngine {
    /// `None` when the engine is dropped, which ends the thread.
    commands: Option<SyncSender<Command>>,
    waker: Arc<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
    running: HashSet<SessionKey>,
}

impl BatchEngine {
    /// Starts the thread. Its sockets report their status in `sockets`.
    ///
    /// # Errors
    /// The thread or its file descriptor cannot be created.
    pub fn new(context: SessionContext, sockets: Arc<Sockets>) -> io::Result<Self> {
        let (commands, received) = sync_channel(COMMANDS);
        let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let other = Arc::clone(&waker);
        let thread = thread::Builder::new()
            .name("echoes".into())
            .spawn(move || Worker::new(context, sockets, received, other).run())?;
        Ok(Self { commands: Some(commands), waker, thread: Some(thread), running: HashSet::new() })
    }

    /// Waits if the thread has many commands. [`Engine::check`] reports a thread that has ended.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let full = match commands.try_send(command) {
                Err(std::sync::mpsc::TrySendError::Full(command)) => Some(command),
                _ => None,
            };
            if let Some(command) = full {
                wake(&self.waker);
                let _ = commands.send(command);
            }
        }
    }
}

impl Engine for BatchEngine {
    fn start(&mut self, key: SessionKey, session: ProbeSession, tally: Arc<Tally>) {
        self.running.insert(key.clone());
        self.send(Command::Start(key, Box::new(session), tally));
    }

    fn stop(&mut self, key: &SessionKey) {
        if self.running.remove(key) {
            self.send(Command::Stop(key.clone()));
        }
    }

    fn apply(&mut self) {
        self.send(Command::CloseUnused);
        wake(&self.waker);
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
        wake(&self.waker);
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

/// Ends the wait of the thread.
fn wake(waker: &OwnedFd) {
    // Fails only if the counter is at its maximum, and then the thread wakes up, too.
    let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
}

/// Opens and closes a socket, to check the configuration. Returns a description of the socket.
///
/// # Errors
/// [`SocketFailure`] if the socket cannot be opened.
pub fn try_open(version: IpVersion, binding: &Binding) -> Result<String, SocketFailure> {
    match BatchSocket::open(version, binding) {
        Ok(socket) => Ok(notice::describe_open(version, socket.mode(), binding)),
        Err(error) => Err(SocketFailure::new(version, binding, &error)),
    }
}

#[cfg(test)]
mod tests;
