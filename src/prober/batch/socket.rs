//! An ICMP socket that sends and receives several packets per system call, with the kernel's time of arrival.

use std::{
    fmt,
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use jiff::Timestamp;
use nix::{
    cmsg_space, libc,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, SetSockOpt, SockaddrStorage, recvmmsg, recvmsg, sendmmsg,
            sockopt,
        },
        time::TimeSpec,
    },
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tracing::debug;

use crate::{
    domain::probe::{Binding, IpVersion, SocketMode},
    prober::{
        meaning,
        slot::{EchoSocket, RECEIVE_BUFFER, SocketPurpose, set_class},
    },
};

/// Packets per send. They share one send time, so larger batches would make round-trip times too long.
pub(super) const SEND_BATCH: usize = 4;

/// Packets per receive.
const RECEIVE_BATCH: usize = 16;

/// Larger than a reply, which has up to 1,500 bytes with its IP header, and than an error of IPv4, which has up to 576
/// bytes (RFC 1812 section 4.3.2.3).
const PACKET_BUFFER: usize = 2_048;

/// A packet that was received.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) source: IpAddr,
    pub(super) data: &'a [u8],
    /// Time of arrival by the wall clock.
    pub(super) stamp: Option<Timestamp>,
    /// Number of packets that the socket has dropped so far, modulo 2^32.
    pub(super) drops: Option<u32>,
}

/// An ICMP error that a datagram socket has received.
#[derive(Debug)]
pub(super) struct QueuedError<'a> {
    /// The address that the quoted packet was sent to.
    pub(super) target: IpAddr,
    pub(super) icmp_type: u8,
    pub(super) code: u8,
    /// The MTU of the next link in an error about a packet that is too big, else 0.
    pub(super) next_mtu: u32,
    /// The quoted packet from its ICMP header on.
    pub(super) quoted: &'a [u8],
}

/// An open socket.
pub(super) struct BatchSocket {
    socket: Socket,
    version: IpVersion,
    mode: SocketMode,
    buffers: [Box<[u8; PACKET_BUFFER]>; RECEIVE_BATCH],
    /// `None` after it has been used, because the kernel writes the sizes of the results into it.
    receive_headers: Option<MultiHeaders<SockaddrStorage>>,
    send_headers: MultiHeaders<SockaddrStorage>,
}

impl EchoSocket for BatchSocket {
    fn open(version: IpVersion, binding: &Binding, purpose: SocketPurpose) -> io::Result<Self> {
        let (socket, mode) = create(version, binding.mode)?;
        if let Some(source) = binding.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        if let Some(interface) = &binding.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        set_options(&socket, version, mode)?;
        set_class(&SockRef::from(&socket), version, binding.dscp)?;
        match purpose {
            SocketPurpose::Echoes => attach_filter(&socket, mode, &meaning::socket_filter(version))?,
            SocketPurpose::PathMtu { identifier } => {
                attach_filter(&socket, mode, &meaning::socket_filter_for(version, identifier))?;
                forbid_fragments(&socket, version)?;
            }
        }
        Ok(Self {
            socket,
            version,
            mode,
            buffers: std::array::from_fn(|_| Box::new([0; PACKET_BUFFER])),
            receive_headers: None,
            send_headers: MultiHeaders::preallocate(SEND_BATCH, None),
        })
    }

    fn mode(&self) -> SocketMode {
        self.mode
    }
}

/// Creates a socket of this mode. [`SocketMode::Auto`] prefers the datagram socket.
fn create(version: IpVersion, mode: SocketMode) -> io::Result<(Socket, SocketMode)> {
    let (domain, protocol) = match version {
        IpVersion::V4 => (Domain::IPV4, Protocol::ICMPV4),
        IpVersion::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let of_type = |kind| Socket::new(domain, kind, Some(protocol));
    match mode {
        SocketMode::Dgram => Ok((of_type(Type::DGRAM)?, SocketMode::Dgram)),
        SocketMode::Raw => Ok((of_type(Type::RAW)?, SocketMode::Raw)),
        SocketMode::Auto => match of_type(Type::DGRAM) {
            Ok(socket) => Ok((socket, SocketMode::Dgram)),
            Err(_) => Ok((of_type(Type::RAW)?, SocketMode::Raw)),
        },
    }
}

fn set_options(socket: &Socket, version: IpVersion, mode: SocketMode) -> io::Result<()> {
    // Probing works with a smaller buffer, too.
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!("cannot set the receive buffer of the ICMPv{version} socket: {error}");
    }
    sockopt::ReceiveTimestampns.set(socket, &true)?;
    sockopt::RxqOvfl.set(socket, &1)?;
    match (mode, version) {
        // ICMP errors arrive like other packets.
        (SocketMode::Raw, _) => Ok(()),
        (_, IpVersion::V4) => Ok(sockopt::Ipv4RecvErr.set(socket, &true)?),
        (_, IpVersion::V6) => Ok(sockopt::Ipv6RecvErr.set(socket, &true)?),
    }
}

/// Datagram sockets receive only messages about their own echoes.
fn attach_filter(socket: &Socket, mode: SocketMode, filter: &[SockFilter]) -> io::Result<()> {
    if mode == SocketMode::Raw { socket.attach_filter(filter) } else { Ok(()) }
}

/// Sets the DF flag of every packet, ignores the path MTU that the kernel knows, and never fragments here: a packet
/// above the MTU of the interface is refused.
fn forbid_fragments(socket: &Socket, version: IpVersion) -> io::Result<()> {
    match version {
        IpVersion::V4 => Ok(set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?),
        IpVersion::V6 => Ok(set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?),
    }
}

impl BatchSocket {
    pub(super) const fn version(&self) -> IpVersion {
        self.version
    }

    /// Returns the size of the receive buffer in bytes, as the kernel charges packets.
    pub(super) fn capacity(&self) -> usize {
        self.socket.recv_buffer_size().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn set_receive_buffer(&self, size: usize) {
        self.socket.set_recv_buffer_size(size).unwrap();
    }

    /// Sends up to [`SEND_BATCH`] packets. Returns how many the kernel has accepted.
    ///
    /// # Errors
    /// The first packet cannot be sent, or an ICMP error for another echo has arrived on a datagram socket.
    pub(super) fn send(&mut self, packets: &[(IpAddr, &[u8])]) -> io::Result<usize> {
        let addresses: [Option<SockaddrStorage>; SEND_BATCH] =
            std::array::from_fn(|n| packets.get(n).map(|(to, _)| SocketAddr::new(*to, 0).into()));
        let slices: [[IoSlice<'_>; 1]; SEND_BATCH] =
            std::array::from_fn(|n| [IoSlice::new(packets.get(n).map_or(&[], |(_, packet)| packet))]);
        let (slices, addresses) = (&slices[..packets.len().min(SEND_BATCH)], &addresses[..]);
        let sent =
            sendmmsg(self.socket.as_raw_fd(), &mut self.send_headers, slices, addresses, [], MsgFlags::MSG_DONTWAIT)?;
        Ok(sent.count())
    }

    /// Reads packets that have arrived, with one system call. Returns whether there may be more.
    ///
    /// # Errors
    /// An ICMP error has arrived on a datagram socket, or the interface is down.
    pub(super) fn receive(&mut self, mut handle: impl FnMut(&Received<'_>)) -> io::Result<bool> {
        let headers = self
            .receive_headers
            .get_or_insert_with(|| MultiHeaders::preallocate(RECEIVE_BATCH, Some(cmsg_space!(TimeSpec, u32))));
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(&mut **buffer)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = match recvmmsg(self.socket.as_raw_fd(), headers, &mut slices, flags, None) {
            Ok(messages) => messages,
            Err(nix::errno::Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut count = 0;
        for message in messages {
            count += 1;
            let data = message.iovs().next().unwrap_or_default();
            let Some(source) = message.address.as_ref().and_then(ip_address) else { continue };
            let mut received = Received { source, data, stamp: None, drops: None };
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmTimestampns(time) => received.stamp = timestamp(time),
                    ControlMessageOwned::RxqOvfl(drops) => received.drops = Some(drops),
                    _ => {}
                }
            }
            handle(&received);
        }
        self.receive_headers = None;
        Ok(count == RECEIVE_BATCH)
    }

    /// Reads one ICMP error of a datagram socket. Returns `false` if there is none.
    pub(super) fn receive_error(&mut self, handle: impl FnOnce(&QueuedError<'_>)) -> io::Result<bool> {
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6, TimeSpec, u32);
        let mut slices = [IoSliceMut::new(&mut *self.buffers[0])];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_ERRQUEUE;
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags) {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (target, quoted) = (message.address.as_ref().and_then(ip_address), message.iovs().next());
        let errors = message.cmsgs().into_iter().flatten().filter_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _) if error.ee_origin == libc::SO_EE_ORIGIN_ICMP => Some(error),
            ControlMessageOwned::Ipv6RecvErr(error, _) if error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 => Some(error),
            _ => None,
        });
        if let (Some(target), Some(quoted), Some(error)) = (target, quoted, errors.last()) {
            let (icmp_type, code, next_mtu) = (error.ee_type, error.ee_code, error.ee_info);
            handle(&QueuedError { target, icmp_type, code, next_mtu, quoted });
        }
        Ok(true)
    }
}

impl AsFd for BatchSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for BatchSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchSocket").field("version", &self.version).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Returns whether an error is temporary: the call may succeed when it is repeated.
pub(super) fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Interrupted
}

fn ip_address(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn timestamp(time: TimeSpec) -> Option<Timestamp> {
    Timestamp::new(time.tv_sec(), i32::try_from(time.tv_nsec()).ok()?).ok()
}
