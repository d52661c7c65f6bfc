//! Listen addresses: their text form, and the sockets that are bound to them.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _},
    str::FromStr,
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Length of the kernel's accept queue. Linux reduces it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// `:9847` (all addresses of this machine), `host:9847`, `192.0.2.1:9847` or `[2001:db8::1]:9847`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    All,
    Ip(IpAddr),
    Name(String),
}

/// The text is not a listen address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `:port`, `host:port` or `[ipv6]:port`, with a port from 0 to 65535")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        // `u16::from_str` accepts a plus sign.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ListenAddressError);
        }
        let port = port.parse().map_err(|_| ListenAddressError)?;
        Ok(Self { host: Host::parse(host).ok_or(ListenAddressError)?, port })
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::All);
        }
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(IpAddr::V6(ip)));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(IpAddr::V4(ip)));
        }
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        // Digits and dots without a letter are a mistyped address, not a host name.
        let has_letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        (is_name && has_letters).then(|| Self::Name(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::All => write!(f, ":{}", self.port),
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

/// A listening socket that is not served yet; the kernel queues its connections.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    local: SocketAddr,
}

impl Bound {
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

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is already in use; is another exporter running?".to_owned(),
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
    let listen_on = |ip: IpAddr| bind_socket(SocketAddr::new(ip, address.port));
    match &address.host {
        Host::Ip(ip) => listen_on(*ip),
        Host::All => match listen_on(Ipv6Addr::UNSPECIFIED.into()) {
            Err(error) if is_ipv6_missing(&error) => listen_on(Ipv4Addr::UNSPECIFIED.into()),
            result => result,
        },
        Host::Name(name) => bind_socket(resolve(name, address.port)?),
    }
}

impl ListenAddress {
    /// The addresses at which a program on this machine can connect to this listener, the most likely one first.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub fn resolve_local_destinations(&self) -> io::Result<Vec<SocketAddr>> {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let hosts = match &self.host {
            Host::All => loopback.to_vec(),
            Host::Ip(ip) if ip.is_unspecified() => loopback.to_vec(),
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => return Ok(vec![resolve(name, self.port)?]),
        };
        Ok(hosts.into_iter().map(|host| SocketAddr::new(host, self.port)).collect())
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
    let listener = StdListener::from(socket);
    let local = listener.local_addr()?;
    Ok(Bound { listener, local })
}
