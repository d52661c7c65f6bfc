//! One socket of an engine, open or not: when it is opened, replaced and given up, and what is reported about it.
//!
//! A socket is opened at the first echo. A failure is retried every [`RETRY_INTERVAL`]. The socket is replaced if sends
//! keep failing, for example after an interface has been deleted and created again.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;
use tracing::{debug, info, warn};

use super::{
    board::{SocketStatus, Sockets},
    meaning,
    notice::{self, SocketFailure},
};
use crate::domain::probe::{Binding, IpVersion, ProbeFailure, SocketMode};

/// Size in bytes for one second of replies of 10,000 targets, because the kernel charges 768 bytes for a small packet.
/// The limit `net.core.rmem_max` applies.
pub(super) const RECEIVE_BUFFER: usize = 8 << 20;

/// Minimum time between two attempts to open a socket.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Consecutive failed sends after which the socket is replaced, if a new one may fix the error.
const STALE_AFTER: u32 = 3;

/// Minimum age of a datagram socket that is replaced to get a new identifier.
const RENEW_AFTER: Duration = Duration::from_mins(1);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketPurpose {
    Echoes,
    /// Packets that must not be fragmented. On raw sockets they have this identifier.
    PathMtu {
        identifier: u16,
    },
}

/// A socket of an engine.
pub(super) trait EchoSocket: Sized {
    fn open(version: IpVersion, binding: &Binding, purpose: SocketPurpose) -> io::Result<Self>;

    /// The mode in use, never [`SocketMode::Auto`].
    fn mode(&self) -> SocketMode;
}

/// Sets the class of service of the packets: the DSCP in the upper six bits (RFC 2474).
pub(super) fn set_class(socket: &SockRef<'_>, version: IpVersion, dscp: u8) -> io::Result<()> {
    match (version, u32::from(dscp) << 2) {
        (_, 0) => Ok(()),
        (IpVersion::V4, class) => socket.set_tos_v4(class),
        (IpVersion::V6, class) => socket.set_tclass_v6(class),
    }
}

/// The socket of one IP version and one binding.
pub(super) struct SocketSlot<S> {
    version: IpVersion,
    binding: Arc<Binding>,
    purpose: SocketPurpose,
    sockets: Arc<Sockets>,
    id: u64,
    state: SlotState<S>,
    /// Earliest time of the next attempt to open the socket.
    retry_at: Option<Instant>,
    /// Consecutive sends that failed because the interface or the address may be gone.
    stale_sends: u32,
}

enum SlotState<S> {
    New,
    /// Closed because sends kept failing.
    Stale,
    Open(S, Instant),
    /// Cannot be opened; echoes end with this failure.
    Closed(ProbeFailure),
}

impl<S: EchoSocket> SocketSlot<S> {
    /// Creates a slot that reports its status in `sockets`. The status of a socket for path MTUs is not reported.
    pub(super) fn new(
        version: IpVersion,
        binding: &Arc<Binding>,
        purpose: SocketPurpose,
        sockets: &Arc<Sockets>,
    ) -> Self {
        Self {
            version,
            binding: Arc::clone(binding),
            purpose,
            sockets: Arc::clone(sockets),
            id: sockets.register(),
            state: SlotState::New,
            retry_at: None,
            stale_sends: 0,
        }
    }

    /// Returns the socket if it is open.
    pub(super) fn open_socket(&mut self) -> Option<&mut S> {
        match &mut self.state {
            SlotState::Open(socket, _) => Some(socket),
            SlotState::New | SlotState::Stale | SlotState::Closed(_) => None,
        }
    }

    /// Returns the socket if it is open, to wait for it.
    pub(super) const fn opened(&self) -> Option<&S> {
        match &self.state {
            SlotState::Open(socket, _) => Some(socket),
            SlotState::New | SlotState::Stale | SlotState::Closed(_) => None,
        }
    }

    /// Returns the open socket, or the failure of echoes without one. Opens the socket if an attempt is due.
    pub(super) fn socket(&mut self, now: Instant) -> Result<&mut S, ProbeFailure> {
        if !matches!(self.state, SlotState::Open(..)) {
            self.try_open(now)?;
        }
        self.open_socket().ok_or(ProbeFailure::NotSent)
    }

    fn try_open(&mut self, now: Instant) -> Result<(), ProbeFailure> {
        if let SlotState::Closed(failure) = self.state
            && self.retry_at.is_some_and(|at| now < at)
        {
            return Err(failure);
        }
        self.retry_at = Some(now + RETRY_INTERVAL);
        let opened = S::open(self.version, &self.binding, self.purpose);
        self.report_attempt(&opened);
        match opened {
            Ok(socket) => {
                self.state = SlotState::Open(socket, now);
                Ok(())
            }
            Err(error) => {
                let failure = meaning::classify_open_error(&error);
                self.state = SlotState::Closed(failure);
                Err(failure)
            }
        }
    }

    /// Publishes the new status, and logs it if it has changed.
    fn report_attempt(&self, opened: &io::Result<S>) {
        let mode = opened.as_ref().map_or(self.binding.mode, S::mode);
        let status =
            SocketStatus { version: self.version, binding: Arc::clone(&self.binding), mode, up: opened.is_ok() };
        let is_shown = self.purpose == SocketPurpose::Echoes;
        if is_shown {
            self.sockets.set(self.id, status);
        }
        match opened {
            Ok(_) if !is_shown => debug!("ICMPv{} socket for path MTUs is open: {mode}", self.version),
            Ok(_) if matches!(self.state, SlotState::Stale) => debug!("ICMPv{} socket is open again", self.version),
            Ok(_) => info!("{}", notice::describe_open(self.version, mode, &self.binding)),
            Err(_) if matches!(self.state, SlotState::Closed(_)) => {}
            Err(error) => {
                let failure = SocketFailure::new(self.version, &self.binding, error);
                warn!("{}; {}", failure.message, failure.remedy);
            }
        }
    }

    /// The socket accepted a packet, so it is not stale.
    pub(super) const fn mark_sent(&mut self) {
        self.stale_sends = 0;
    }

    /// Classifies a failed send. Returns the closed socket if it is replaced: after [`STALE_AFTER`] errors that a new
    /// socket may fix, at most once per [`RETRY_INTERVAL`].
    pub(super) fn handle_send_error(&mut self, error: &io::Error, now: Instant) -> (ProbeFailure, Option<S>) {
        let failure = meaning::classify_send_error(error);
        debug!("ICMPv{} send failed, counted as {failure}: {error}", self.version);
        if !meaning::is_stale_socket(error) {
            return (failure, None);
        }
        self.stale_sends += 1;
        if self.stale_sends < STALE_AFTER || self.retry_at.is_some_and(|at| at > now) {
            return (failure, None);
        }
        self.stale_sends = 0;
        (failure, self.replace(SlotState::Stale))
    }

    /// Replaces a datagram socket, so that later echoes have another identifier. Returns the old socket.
    pub(super) fn renew(&mut self, now: Instant) -> Option<S> {
        let due = matches!(&self.state, SlotState::Open(socket, opened)
            if socket.mode() == SocketMode::Dgram && now.saturating_duration_since(*opened) >= RENEW_AFTER);
        if !due {
            return None;
        }
        let socket = S::open(self.version, &self.binding, self.purpose).ok()?;
        self.replace(SlotState::Open(socket, now))
    }

    fn replace(&mut self, state: SlotState<S>) -> Option<S> {
        match std::mem::replace(&mut self.state, state) {
            SlotState::Open(socket, _) => Some(socket),
            SlotState::New | SlotState::Stale | SlotState::Closed(_) => None,
        }
    }
}

impl<S> Drop for SocketSlot<S> {
    fn drop(&mut self) {
        self.sockets.remove(self.id);
    }
}
