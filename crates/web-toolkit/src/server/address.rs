//! Listen addresses: their text form, and the sockets that are bound to them.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _},
    str::FromStr,
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::has_token;

/// Length of the kernel's accept queue. Linux reduces it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// `:9847` (all addresses of this machine), `host:9847`, `192.0.2.1:9847` or `[2001:db8::1]:9847`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenAddress(Host);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    All(u16),
    Ip(SocketAddr),
    Name(String, u16),
}

/// The text is not a listen address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `:port`, `host:port` or `[ipv6]:port`, with a port from 0 to 65535")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self(Host::Ip(address)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        // `u16::from_str` accepts a plus sign.
        let port = Some(port).filter(|port| !port.starts_with('+')).and_then(|port| port.parse().ok());
        let port = port.ok_or(ListenAddressError)?;
        let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        match host {
            "" => Ok(Self(Host::All(port))),
            // Digits and dots without a letter are a mistyped address, not a host name. Messages quote host names, so a
            // token that was set by mistake must not become one.
            name if is_name && !has_token(name) && name.contains(|c: char| c.is_ascii_alphabetic()) => {
                Ok(Self(Host::Name(name.into(), port)))
            }
            _ => Err(ListenAddressError),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Host::All(port) => write!(f, ":{port}"),
            Host::Ip(address) => address.fmt(f),
            Host::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A listening socket that is not served yet; the kernel queues its connections.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    local: SocketAddr,
}

impl Bound {
    pub(super) fn new(listener: StdListener) -> io::Result<Self> {
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// The bound address. It has the port that the kernel chose if port 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Must be called in a tokio runtime.
    pub(super) fn into_listener(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}

/// An address could not be bound. The message contains the cause, so it has no `source`.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", describe(cause))]
pub struct BindError {
    address: ListenAddress,
    cause: io::Error,
}

impl BindError {
    /// Whether another socket has the address.
    pub fn is_in_use(&self) -> bool {
        self.cause.kind() == io::ErrorKind::AddrInUse
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is already in use, perhaps by another exporter".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 require the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Listens on all of `addresses`, or on none.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(addresses: &[ListenAddress]) -> Result<Vec<Bound>, BindError> {
    addresses
        .iter()
        .map(|address| bind_address(address).map_err(|cause| BindError { address: address.clone(), cause }))
        .collect()
}

fn bind_address(address: &ListenAddress) -> io::Result<Bound> {
    match &address.0 {
        Host::Ip(address) => bind_socket(*address),
        Host::All(port) => match bind_socket((Ipv6Addr::UNSPECIFIED, *port).into()) {
            Err(error) if is_ipv6_missing(&error) => bind_socket((Ipv4Addr::UNSPECIFIED, *port).into()),
            result => result,
        },
        Host::Name(name, port) => bind_socket(resolve(name, *port)?),
    }
}

impl ListenAddress {
    /// Whether only programs on this machine can connect, judged by the text: a name is not resolved, and of all names
    /// only `localhost` counts as loopback.
    pub fn is_loopback(&self) -> bool {
        match &self.0 {
            Host::All(_) => false,
            Host::Ip(address) => address.ip().to_canonical().is_loopback(),
            Host::Name(name, _) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The addresses at which a program on this machine can connect to this listener, the most likely one first.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub fn resolve_local_destinations(&self) -> io::Result<Vec<SocketAddr>> {
        let loopback = |port| vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        match &self.0 {
            Host::All(port) => Ok(loopback(*port)),
            Host::Ip(address) if address.ip().is_unspecified() => Ok(loopback(address.port())),
            Host::Ip(address) => Ok(vec![*address]),
            Host::Name(name, port) => resolve(name, *port).map(|address| vec![address]),
        }
    }
}

/// Returns one address of `name`. IPv4 is preferred, as in Go's `net.Listen` and therefore in other exporters.
fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    let preferred = (name, port).to_socket_addrs()?.min_by_key(SocketAddr::is_ipv6);
    preferred.ok_or_else(|| io::Error::other("the host name has no address"))
}

/// Whether IPv6 is missing from this kernel (`EAFNOSUPPORT`) or disabled (`EADDRNOTAVAIL`).
fn is_ipv6_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn bind_socket(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Otherwise a restart fails while connections of the previous process are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Only the unspecified address accepts both families, regardless of net.ipv6.bindv6only.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Bound::new(socket.into())
}
