//! Echoes on real sockets. This is the only file that uses `surge-ping`; it works around the following properties of
//! that crate:
//!
//! - It returns `Ok` for every ICMP message that quotes the echo. Only an echo reply from the probed address counts as
//!   a reply, and only with the length of the echo.
//! - A redirect would end an echo before its reply arrives. A [socket filter](meaning::socket_filter) drops redirects
//!   on raw sockets.
//! - Its round-trip time starts after the send has returned, which is too late. This file measures the whole call,
//!   which adds the few microseconds until the thread runs.
//! - Sending has no timeout, so the whole call has one.
//! - It silently falls back to the other socket type, so the type of the opened socket is checked.
//!
//! On datagram sockets the kernel chooses the identifier and drops ICMP errors, which then appear as timeouts.
//!
//! A link opens its socket at the first echo. It retries every [`RETRY_INTERVAL`] if that fails, and reopens the socket
//! if sends keep failing, for example after an interface has been deleted and created again. Each echo has exactly one
//! outcome.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod meaning;
mod notice;

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::BorrowedFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use socket2::{SockRef, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use web_toolkit::clock;

pub use self::notice::SocketFailure;
use super::{
    board::{SocketStatus, Sockets},
    session::{Echo, Link, Network},
};
use crate::domain::probe::{Binding, EchoOutcome, IpVersion, ProbeFailure, SocketMode};

/// Same size as that of ping(8): 64 bytes with the ICMP header.
const PAYLOAD: [u8; 56] = [0x6d; 56];

/// Size of an echo and of its reply in bytes, with the ICMP header (RFC 792, RFC 4443 section 4.2).
const ECHO_SIZE: usize = 8 + PAYLOAD.len();

/// Size in bytes for one second of replies of 10,000 targets, because the kernel charges 768 bytes for a small packet.
/// The limit `net.core.rmem_max` applies.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Minimum time between two attempts to open a socket.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Consecutive failed sends after which the socket is replaced, if a new one may fix the error.
const STALE_AFTER: u32 = 3;

/// Minimum age of a datagram socket that is replaced to get a new identifier.
const RENEW_AFTER: Duration = Duration::from_mins(1);

/// Delay of a timer that indicates a stalled thread.
const STALL: Duration = Duration::from_millis(20);

/// Grace period for reading replies that were queued while the thread was stalled.
const READ_GRACE: Duration = Duration::from_millis(100);

/// Creates links with real sockets.
#[derive(Debug)]
pub struct IcmpNetwork {
    sockets: Arc<Sockets>,
}

impl IcmpNetwork {
    /// The links report the status of their sockets in `sockets`.
    pub const fn new(sockets: Arc<Sockets>) -> Self {
        Self { sockets }
    }
}

impl Network for IcmpNetwork {
    type Link = IcmpLink;

    fn create_link(&self, version: IpVersion, binding: &Arc<Binding>) -> IcmpLink {
        IcmpLink {
            version,
            binding: Arc::clone(binding),
            id: self.sockets.register(),
            sockets: Arc::clone(&self.sockets),
            slot: Mutex::new(SocketSlot { state: SocketState::New, retry_at: None }),
            stale_sends: AtomicU32::new(0),
        }
    }
}

/// The socket of one IP version and one binding.
pub struct IcmpLink {
    version: IpVersion,
    binding: Arc<Binding>,
    sockets: Arc<Sockets>,
    id: u64,
    slot: Mutex<SocketSlot>,
    /// Consecutive sends that failed because the interface or the address may be gone.
    stale_sends: AtomicU32,
}

struct SocketSlot {
    state: SocketState,
    /// Earliest time of the next attempt to open the socket.
    retry_at: Option<Instant>,
}

enum SocketState {
    New,
    /// Closed because sends kept failing.
    Stale,
    Open(Socket),
    /// Cannot be opened; echoes end with this failure.
    Closed(ProbeFailure),
}

#[derive(Clone)]
struct Socket {
    client: Client,
    mode: SocketMode,
    opened: Instant,
}

impl Link for IcmpLink {
    async fn send_echo(&self, echo: Echo) -> EchoOutcome {
        let started = clock::now().instant;
        match self.socket(started) {
            Ok(socket) => {
                let response = socket.ping(&echo, started).await;
                let ended = clock::now().instant;
                self.classify_response(response, &echo, socket.mode, started, ended)
            }
            Err(failure) => EchoOutcome::Failed(failure),
        }
    }

    fn renew_identifier(&self) {
        let now = clock::now().instant;
        let mut slot = self.slot.lock();
        let due = matches!(&slot.state, SocketState::Open(socket)
            if socket.mode == SocketMode::Dgram && now.saturating_duration_since(socket.opened) >= RENEW_AFTER);
        // Echoes in flight keep the old socket until they end.
        if due && let Ok(socket) = Socket::open(self.version, &self.binding, now) {
            slot.state = SocketState::Open(socket);
        }
    }
}

impl IcmpLink {
    /// Returns the open socket, or the failure of echoes without one.
    fn socket(&self, now: Instant) -> Result<Socket, ProbeFailure> {
        let mut slot = self.slot.lock();
        match &slot.state {
            SocketState::Open(socket) => return Ok(socket.clone()),
            SocketState::Closed(failure) if slot.retry_at.is_some_and(|at| now < at) => return Err(*failure),
            SocketState::New | SocketState::Stale | SocketState::Closed(_) => {}
        }
        slot.retry_at = Some(now + RETRY_INTERVAL);
        let opened = Socket::open(self.version, &self.binding, now);
        self.report_attempt(&slot.state, &opened);
        match opened {
            Ok(socket) => {
                slot.state = SocketState::Open(socket.clone());
                Ok(socket)
            }
            Err(error) => {
                let failure = meaning::classify_open_error(&error);
                slot.state = SocketState::Closed(failure);
                Err(failure)
            }
        }
    }

    /// Publishes the new status, and logs it if it has changed.
    fn report_attempt(&self, before: &SocketState, opened: &io::Result<Socket>) {
        let mode = opened.as_ref().map_or(self.binding.mode, |socket| socket.mode);
        let status =
            SocketStatus { version: self.version, binding: Arc::clone(&self.binding), mode, up: opened.is_ok() };
        self.sockets.set(self.id, status);
        match opened {
            Ok(_) if matches!(before, SocketState::Stale) => debug!("ICMPv{} socket is open again", self.version),
            Ok(_) => info!("{}", notice::describe_open(self.version, mode, &self.binding)),
            Err(_) if matches!(before, SocketState::Closed(_)) => {}
            Err(error) => {
                let failure = SocketFailure::new(self.version, &self.binding, error);
                warn!("{}; {}", failure.message, failure.remedy);
            }
        }
    }

    fn classify_response(
        &self,
        response: Option<Result<IcmpPacket, SurgeError>>,
        echo: &Echo,
        mode: SocketMode,
        started: Instant,
        ended: Instant,
    ) -> EchoOutcome {
        let failure = match response {
            Some(Err(SurgeError::IOError(error))) => self.handle_send_error(&error, ended),
            Some(Err(SurgeError::Timeout { .. })) | None => self.mark_sent(ProbeFailure::Timeout),
            Some(Err(error)) => {
                debug!("echo to {} was not sent: {error}", echo.target);
                ProbeFailure::NotSent
            }
            Some(Ok(packet)) => match meaning::classify_packet(&packet, echo, mode, ECHO_SIZE) {
                None => {
                    self.stale_sends.store(0, Ordering::Relaxed);
                    let rtt = ended.saturating_duration_since(started).max(Duration::from_nanos(1));
                    return EchoOutcome::Reply { rtt };
                }
                Some(failure) => self.mark_sent(failure),
            },
        };
        EchoOutcome::Failed(failure)
    }

    /// The socket accepted the packet, so it is not stale.
    fn mark_sent(&self, failure: ProbeFailure) -> ProbeFailure {
        self.stale_sends.store(0, Ordering::Relaxed);
        failure
    }

    /// Closes the socket after [`STALE_AFTER`] errors that a new socket may fix, at most once per [`RETRY_INTERVAL`].
    fn handle_send_error(&self, error: &io::Error, now: Instant) -> ProbeFailure {
        let failure = meaning::classify_send_error(error);
        debug!("ICMPv{} send failed, counted as {failure}: {error}", self.version);
        if meaning::is_stale_socket(error) && self.stale_sends.fetch_add(1, Ordering::Relaxed) + 1 >= STALE_AFTER {
            let mut slot = self.slot.lock();
            if slot.retry_at.is_none_or(|at| at <= now) {
                self.stale_sends.store(0, Ordering::Relaxed);
                slot.state = SocketState::Stale;
            }
        }
        failure
    }
}

impl Drop for IcmpLink {
    fn drop(&mut self) {
        self.sockets.remove(self.id);
    }
}

impl fmt::Debug for IcmpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcmpLink")
            .field("version", &self.version)
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

/// Opens and closes a socket, to check the configuration. Requires a tokio runtime. Returns a description of the
/// socket.
///
/// # Errors
/// [`SocketFailure`] if the socket cannot be opened.
pub fn try_open(version: IpVersion, binding: &Binding) -> Result<String, SocketFailure> {
    match Socket::open(version, binding, clock::now().instant) {
        Ok(socket) => Ok(notice::describe_open(version, socket.mode, binding)),
        Err(error) => Err(SocketFailure::new(version, binding, &error)),
    }
}

impl Socket {
    fn open(version: IpVersion, binding: &Binding, now: Instant) -> io::Result<Self> {
        let mut config = Config::builder().kind(match version {
            IpVersion::V4 => ICMP::V4,
            IpVersion::V6 => ICMP::V6,
        });
        config = config.sock_type_hint(if binding.mode == SocketMode::Raw { Type::RAW } else { Type::DGRAM });
        if let Some(source) = binding.source {
            config = config.bind(SocketAddr::new(source, 0));
        }
        if let Some(interface) = &binding.interface {
            config = config.interface(interface);
        }
        let client = Client::new(&config.build())?;
        let mode = if client.get_socket().get_type() == Type::RAW { SocketMode::Raw } else { SocketMode::Dgram };
        if binding.mode != SocketMode::Auto && binding.mode != mode {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("only {mode} sockets are permitted")));
        }
        set_options(&client, version, mode)?;
        Ok(Self { client, mode, opened: now })
    }

    /// Sends an echo and waits for a response; `None` after a timeout.
    ///
    /// After a stall of the thread the timeout has expired although the reply may be in the socket. In this case the
    /// reply is read first; otherwise a busy machine would look like a lossy path.
    async fn ping(&self, echo: &Echo, started: Instant) -> Option<Result<IcmpPacket, SurgeError>> {
        let mut pinger = self.client.pinger(echo.target, PingIdentifier(echo.identifier)).await;
        // The timeout below takes effect first.
        pinger.timeout(echo.timeout + 2 * READ_GRACE);
        let mut ping = pin!(pinger.ping(PingSequence(echo.sequence), &PAYLOAD));
        let mut response = timeout(echo.timeout, ping.as_mut()).await;
        let late = clock::now().instant.saturating_duration_since(started).saturating_sub(echo.timeout);
        if response.is_err() && late >= STALL {
            response = timeout(READ_GRACE, ping).await;
        }
        Some(response.ok()?.map(|(packet, _)| packet))
    }
}

/// Sets the receive buffer, and the filter of a raw socket.
fn set_options(client: &Client, version: IpVersion, mode: SocketMode) -> io::Result<()> {
    let socket = client.get_socket();
    #[expect(unsafe_code, reason = "the library exposes its socket only as a raw file descriptor")]
    // SAFETY: `socket` outlives the borrow and keeps the descriptor open.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
    let options = SockRef::from(&fd);
    // Probing works with a smaller buffer, too.
    if let Err(error) = options.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!("cannot set the receive buffer of the ICMPv{version} socket: {error}");
    }
    if mode == SocketMode::Raw {
        options.attach_filter(&meaning::socket_filter(version))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
