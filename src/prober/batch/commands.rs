//! The channel from the driver to the engine's thread, which may be waiting for packets.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    domain::probe::SessionKey,
    prober::{engine::MtuWatch, session::ProbeSession, tally::Tally},
};

/// Commands that may wait for the thread.
const CAPACITY: usize = 1_024;

/// A command to the thread.
pub(super) enum EngineCommand {
    Start(SessionKey, Box<ProbeSession>, Arc<Tally>),
    Stop(SessionKey),
    /// Begins to watch a path MTU. A session to the same address is running.
    StartMtu(MtuWatch),
    StopMtu(SessionKey),
    /// Closes sockets without sessions.
    CloseUnused,
}

/// The driver's end. Dropping it ends the thread.
pub(super) struct CommandSender {
    /// `None` while it is dropped.
    channel: Option<SyncSender<EngineCommand>>,
    waker: Arc<OwnedFd>,
}

/// The thread's end. Readable if there may be commands or new settings.
pub(super) struct CommandReceiver {
    channel: Receiver<EngineCommand>,
    waker: Arc<OwnedFd>,
}

/// Creates a channel.
///
/// # Errors
/// There are no more file descriptors.
pub(super) fn channel() -> io::Result<(CommandSender, CommandReceiver)> {
    let (sender, receiver) = sync_channel(CAPACITY);
    let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let sender = CommandSender { channel: Some(sender), waker: Arc::clone(&waker) };
    Ok((sender, CommandReceiver { channel: receiver, waker }))
}

impl CommandSender {
    /// Sends a command without waking the thread. Waits if the channel is full. Does nothing if the thread has ended.
    pub(super) fn send(&self, command: EngineCommand) {
        let Some(channel) = &self.channel else { return };
        if let Err(TrySendError::Full(command)) = channel.try_send(command) {
            self.wake();
            let _ = channel.send(command);
        }
    }

    /// Ends the wait of the thread.
    pub(super) fn wake(&self) {
        wake(&self.waker);
    }
}

impl Drop for CommandSender {
    fn drop(&mut self) {
        self.channel = None;
        self.wake();
    }
}

impl CommandReceiver {
    pub(super) fn next(&self) -> Result<EngineCommand, TryRecvError> {
        self.channel.try_recv()
    }

    /// Ends the next wait at once.
    pub(super) fn wake(&self) {
        wake(&self.waker);
    }

    /// Resets what [`wake`](Self::wake) has set.
    pub(super) fn reset(&self) {
        // Fails if it is reset already.
        let _ = rustix::io::read(&self.waker, &mut [0_u8; 8]);
    }
}

impl AsFd for CommandReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

fn wake(waker: &OwnedFd) {
    // Fails only if the counter is at its maximum, and then the thread wakes up, too.
    let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
}
