//! Echoes on real sockets, by `surge-ping`. The only file that knows that crate, and all its traps are dealt with here:
//!
//! - It returns `Ok` for every ICMP message that quotes the echo. Only an echo reply from the very address counts as a reply.
//! - A redirect would use up the waiter of an echo whose reply is still under way; a [`filter`] in the kernel keeps redirects
//!   (and everything else that is of no use) away from raw sockets.
//! - Its round-trip time begins after the send has returned, which flatters; measured here is the time around the whole call,
//!   an upper bound that includes the few microseconds until this thread runs.
//! - Sending has no deadline of its own; there is one around the call.
//! - It falls back from one kind of socket to the other unasked; what was opened is checked against what was asked for.
//!
//! On datagram sockets the kernel chooses the identifier, and drops ICMP errors: there they show as timeouts.
//!
//! A link opens its socket at the first echo, again some seconds after it could not be opened, and anew when sends keep
//! failing as they do after an interface was deleted and created. Whatever happens, each echo has exactly one end.

mod filter;
mod judge;
mod notice;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{SockRef, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use web_toolkit::clock;

pub use self::notice::Refused;
use super::link::{Echo, Link, Network};
use crate::{
    domain::probe::{Binding, IpVersion, Outcome, ProbeFailure, SocketMode},
    prober::board::{SocketStatus, Sockets},
};

/// As much as ping(8) sends: 64 bytes of ICMP.
const PAYLOAD: [u8; 56] = [0x6d; 56];

/// A second of answers of 10,000 targets, at the 768 bytes that the kernel accounts for a small packet. The kernel grants
/// what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Between two attempts to open a socket.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Sends in a row that have to fail in a way that a new socket may mend.
const STALE_AFTER: u32 = 3;

/// The least age of a datagram socket that is replaced for the sake of a new identifier.
const RENEW_AFTER: Duration = Duration::from_mins(1);

/// A timer that fires this much late tells of a thread that did not run.
const HELD_UP: Duration = Duration::from_millis(20);

/// Enough to read what came meanwhile.
const READING: Duration = Duration::from_millis(100);

const ECHO_REPLY_V4: u8 = 0;
const ECHO_REPLY_V6: u8 = 129;

/// Links on the sockets of this machine.
#[derive(Debug)]
pub struct IcmpNetwork {
    sockets: Arc<Sockets>,
}

impl IcmpNetwork {
    /// The links tell in `sockets` whether they have one.
    pub const fn new(sockets: Arc<Sockets>) -> Self {
        Self { sockets }
    }
}

impl Network for IcmpNetwork {
    type Link = IcmpLink;

    fn link(&self, version: IpVersion, binding: &Arc<Binding>) -> IcmpLink {
        IcmpLink {
            version,
            binding: Arc::clone(binding),
            id: self.sockets.register(),
            sockets: Arc::clone(&self.sockets),
            slot: Mutex::new(Slot { state: State::New, retry_at: None }),
            stale_sends: AtomicU32::new(0),
        }
    }
}

/// One socket, for one version of the protocol and one binding.
pub struct IcmpLink {
    version: IpVersion,
    binding: Arc<Binding>,
    sockets: Arc<Sockets>,
    id: u64,
    slot: Mutex<Slot>,
    /// Sends in a row that failed as they do on a socket bound to what is gone.
    stale_sends: AtomicU32,
}

struct Slot {
    state: State,
    /// No attempt to open the socket before this.
    retry_at: Option<Instant>,
}

enum State {
    New,
    /// Given up because sends kept failing.
    Stale,
    Open(Socket),
    /// Could not be opened; what an echo ends as meanwhile.
    Closed(ProbeFailure),
}

#[derive(Clone)]
struct Socket {
    client: Client,
    mode: SocketMode,
    opened: Instant,
}

impl Link for IcmpLink {
    async fn echo(&self, echo: Echo) -> Outcome {
        let started = clock::now().instant;
        match self.socket(started) {
            Ok(socket) => {
                let answer = socket.ping(&echo, started).await;
                let ended = clock::now().instant;
                self.judge(answer, &echo, socket.mode, started, ended)
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    fn renew(&self) {
        let now = clock::now().instant;
        let mut slot = self.slot();
        let due = matches!(&slot.state, State::Open(socket)
            if socket.mode == SocketMode::Dgram && now.saturating_duration_since(socket.opened) >= RENEW_AFTER);
        // Echoes in flight keep the old socket until they have ended.
        if due && let Ok(socket) = Socket::open(self.version, &self.binding, now) {
            slot.state = State::Open(socket);
        }
    }
}

impl IcmpLink {
    /// The open socket, or what an echo without one ends as.
    fn socket(&self, now: Instant) -> Result<Socket, ProbeFailure> {
        let mut slot = self.slot();
        match &slot.state {
            State::Open(socket) => return Ok(socket.clone()),
            State::Closed(failure) if slot.retry_at.is_some_and(|at| now < at) => return Err(*failure),
            State::New | State::Stale | State::Closed(_) => {}
        }
        slot.retry_at = Some(now + RETRY_AFTER);
        let opened = Socket::open(self.version, &self.binding, now);
        self.announce(&slot.state, &opened);
        match opened {
            Ok(socket) => {
                slot.state = State::Open(socket.clone());
                Ok(socket)
            }
            Err(error) => {
                let failure = judge::open_error(&error);
                slot.state = State::Closed(failure);
                Err(failure)
            }
        }
    }

    /// Shows the new status, and logs it where it is another one than before.
    fn announce(&self, before: &State, opened: &io::Result<Socket>) {
        let mode = opened.as_ref().map_or(self.binding.mode, |socket| socket.mode);
        let status =
            SocketStatus { version: self.version, binding: Arc::clone(&self.binding), mode, up: opened.is_ok() };
        self.sockets.set(self.id, status);
        match opened {
            Ok(_) if matches!(before, State::Stale) => debug!("ICMPv{} socket is open again", self.version),
            Ok(_) => info!("{}", notice::opened(self.version, mode, &self.binding)),
            Err(_) if matches!(before, State::Closed(_)) => {}
            Err(error) => warn!("{}", notice::refused(self.version, &self.binding, error)),
        }
    }

    fn judge(
        &self,
        answer: Option<Result<IcmpPacket, SurgeError>>,
        echo: &Echo,
        mode: SocketMode,
        started: Instant,
        ended: Instant,
    ) -> Outcome {
        let failure = match answer {
            Some(Err(SurgeError::IOError(error))) => self.send_failed(&error, ended),
            Some(Err(SurgeError::Timeout { .. })) | None => self.sent(ProbeFailure::Timeout),
            Some(Err(error)) => {
                debug!("echo to {} was not sent: {error}", echo.target);
                ProbeFailure::NotSent
            }
            Some(Ok(packet)) => match judge_packet(&packet, echo, mode) {
                None => {
                    self.stale_sends.store(0, Ordering::Relaxed);
                    let rtt = ended.saturating_duration_since(started).max(Duration::from_nanos(1));
                    return Outcome::Reply { rtt };
                }
                Some(failure) => self.sent(failure),
            },
        };
        Outcome::Failed(failure)
    }

    /// The socket took the packet, so it is not stale.
    fn sent(&self, failure: ProbeFailure) -> ProbeFailure {
        self.stale_sends.store(0, Ordering::Relaxed);
        failure
    }

    /// Gives the socket up after some sends that a new one might mend, but not more often than it may be opened.
    fn send_failed(&self, error: &io::Error, now: Instant) -> ProbeFailure {
        let failure = judge::send_error(error);
        debug!("ICMPv{} send failed, counted as {failure}: {error}", self.version);
        if judge::is_stale_socket(error) && self.stale_sends.fetch_add(1, Ordering::Relaxed) + 1 >= STALE_AFTER {
            let mut slot = self.slot();
            if slot.retry_at.is_none_or(|at| at <= now) {
                self.stale_sends.store(0, Ordering::Relaxed);
                slot.state = State::Stale;
            }
        }
        failure
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether such a socket can be opened now, and what it says of itself. Needs a tokio runtime.
pub fn try_open(version: IpVersion, binding: &Binding) -> Result<String, Refused> {
    match Socket::open(version, binding, clock::now().instant) {
        Ok(socket) => Ok(notice::opened(version, socket.mode, binding)),
        Err(error) => Err(Refused::new(version, binding, &error)),
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
        prepare(&client, version, mode)?;
        Ok(Self { client, mode, opened: now })
    }

    /// `None` where the deadline passed first.
    ///
    /// A thread that was held up finds the deadline passed and the reply waiting in the socket, both at once. It reads before it
    /// judges: a busy machine must not look like a lossy path.
    async fn ping(&self, echo: &Echo, started: Instant) -> Option<Result<IcmpPacket, SurgeError>> {
        let mut pinger = self.client.pinger(echo.target, PingIdentifier(echo.identifier)).await;
        // Ours is the deadline that counts.
        pinger.timeout(echo.timeout + 2 * READING);
        let mut ping = pin!(pinger.ping(PingSequence(echo.sequence), &PAYLOAD));
        let mut answer = timeout(echo.timeout, ping.as_mut()).await;
        let late = clock::now().instant.saturating_duration_since(started).saturating_sub(echo.timeout);
        if answer.is_err() && late >= HELD_UP {
            answer = timeout(READING, ping).await;
        }
        Some(answer.ok()?.map(|(packet, _)| packet))
    }
}

/// Sets what the library does not: the receive buffer, and the filter of a raw socket.
fn prepare(client: &Client, version: IpVersion, mode: SocketMode) -> io::Result<()> {
    let socket = client.get_socket();
    #[expect(unsafe_code, reason = "the library lends its socket as a bare file descriptor only")]
    // SAFETY: the descriptor stays open as long as `socket` lives, which is longer than the borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
    let options = SockRef::from(&fd);
    // A smaller buffer than asked for is no reason not to probe.
    if let Err(error) = options.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!("receive buffer of the ICMPv{version} socket stays as it is: {error}");
    }
    if mode == SocketMode::Raw {
        options.attach_filter(&filter::program(version))?;
    }
    Ok(())
}

/// Whether this is the reply to this very echo (`None`), or why it is not one.
fn judge_packet(packet: &IcmpPacket, echo: &Echo, mode: SocketMode) -> Option<ProbeFailure> {
    let (source, reply, error) = match packet {
        IcmpPacket::V4(v4) => {
            let (kind, code) = (v4.get_icmp_type().0, v4.get_icmp_code().0);
            (IpAddr::V4(v4.get_source()), kind == ECHO_REPLY_V4, judge::error_v4(kind, code))
        }
        IcmpPacket::V6(v6) => {
            let (kind, code) = (v6.get_icmpv6_type().0, v6.get_icmpv6_code().0);
            (IpAddr::V6(v6.get_source()), kind == ECHO_REPLY_V6, judge::error_v6(kind, code))
        }
    };
    let ours = packet.get_sequence() == PingSequence(echo.sequence)
        && (mode == SocketMode::Dgram || packet.get_identifier() == PingIdentifier(echo.identifier));
    if ours && reply && source == echo.target {
        return None;
    }
    // A message that is neither the reply nor an error has used up the waiter: as good as lost.
    Some(if ours { error.unwrap_or(ProbeFailure::Timeout) } else { ProbeFailure::Timeout })
}

#[cfg(test)]
mod tests;
