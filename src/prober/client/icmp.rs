//! Echoes on real sockets by `surge-ping`. This file works around the following properties of that crate:
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
//! Each echo has exactly one outcome.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod response;

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::BorrowedFd,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use socket2::{SockRef, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::time::timeout;
use tracing::debug;
use web_toolkit::clock;

use super::task::{Link, Network};
use crate::{
    domain::probe::{Binding, EchoOutcome, IpVersion, ProbeFailure, SocketMode},
    prober::{
        board::Sockets,
        meaning, notice,
        notice::SocketFailure,
        session::Echo,
        slot::{EchoSocket, RECEIVE_BUFFER, SocketPurpose, SocketSlot, set_class},
    },
};

/// Same size as that of ping(8): 64 bytes with the ICMP header.
const PAYLOAD: [u8; 56] = [0x6d; 56];

/// Size of an echo and of its reply in bytes, with the ICMP header (RFC 792, RFC 4443 section 4.2).
const ECHO_SIZE: usize = 8 + PAYLOAD.len();

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
        IcmpLink { slot: Mutex::new(SocketSlot::new(version, binding, SocketPurpose::Echoes, &self.sockets)) }
    }
}

/// The socket of one IP version and one binding.
pub struct IcmpLink {
    slot: Mutex<SocketSlot<Socket>>,
}

#[derive(Clone)]
struct Socket {
    client: Client,
    mode: SocketMode,
}

impl Link for IcmpLink {
    async fn send_echo(&self, echo: Echo) -> EchoOutcome {
        let started = clock::now().instant;
        let socket = self.slot.lock().socket(started).map(|socket| socket.clone());
        match socket {
            Ok(socket) => {
                let response = socket.ping(&echo, started).await;
                let ended = clock::now().instant;
                self.classify_response(response, &echo, socket.mode, started, ended)
            }
            Err(failure) => EchoOutcome::Failed(failure),
        }
    }

    fn renew_identifier(&self) {
        // Echoes in flight keep the old socket until they end.
        drop(self.slot.lock().renew(clock::now().instant));
    }
}

impl IcmpLink {
    fn classify_response(
        &self,
        response: Option<Result<IcmpPacket, SurgeError>>,
        echo: &Echo,
        mode: SocketMode,
        started: Instant,
        ended: Instant,
    ) -> EchoOutcome {
        let failure = match response {
            Some(Err(SurgeError::IOError(error))) => self.slot.lock().handle_send_error(&error, ended).0,
            Some(Err(SurgeError::Timeout { .. })) | None => self.mark_sent(ProbeFailure::Timeout),
            Some(Err(error)) => {
                debug!("echo to {} was not sent: {error}", echo.target);
                ProbeFailure::NotSent
            }
            Some(Ok(packet)) => match response::classify_packet(&packet, echo, mode, ECHO_SIZE) {
                None => {
                    self.slot.lock().mark_sent();
                    let rtt = ended.saturating_duration_since(started).max(Duration::from_nanos(1));
                    return EchoOutcome::Reply { rtt };
                }
                Some(failure) => self.mark_sent(failure),
            },
        };
        EchoOutcome::Failed(failure)
    }

    fn mark_sent(&self, failure: ProbeFailure) -> ProbeFailure {
        self.slot.lock().mark_sent();
        failure
    }
}

impl fmt::Debug for IcmpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcmpLink").finish_non_exhaustive()
    }
}

/// Opens and closes a socket, to check the configuration. Requires a tokio runtime. Returns a description of the
/// socket.
///
/// # Errors
/// [`SocketFailure`] if the socket cannot be opened.
pub fn try_open(version: IpVersion, binding: &Binding) -> Result<String, SocketFailure> {
    match Socket::open(version, binding, SocketPurpose::Echoes) {
        Ok(socket) => Ok(notice::describe_open(version, socket.mode, binding)),
        Err(error) => Err(SocketFailure::new(version, binding, &error)),
    }
}

impl EchoSocket for Socket {
    fn open(version: IpVersion, binding: &Binding, _: SocketPurpose) -> io::Result<Self> {
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
        set_options(&client, version, mode, binding.dscp)?;
        Ok(Self { client, mode })
    }

    fn mode(&self) -> SocketMode {
        self.mode
    }
}

impl Socket {
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

/// Sets the receive buffer, the class of service, and the filter of a raw socket.
fn set_options(client: &Client, version: IpVersion, mode: SocketMode, dscp: u8) -> io::Result<()> {
    let socket = client.get_socket();
    #[expect(unsafe_code, reason = "the library exposes its socket only as a raw file descriptor")]
    // SAFETY: `socket` outlives the borrow and keeps the descriptor open.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
    let options = SockRef::from(&fd);
    // Probing works with a smaller buffer, too.
    if let Err(error) = options.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!("cannot set the receive buffer of the ICMPv{version} socket: {error}");
    }
    set_class(&options, version, dscp)?;
    if mode == SocketMode::Raw {
        options.attach_filter(&meaning::socket_filter(version))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
