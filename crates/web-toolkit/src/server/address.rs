//! Where to listen: the text of a flag, and the sockets made of it.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _},
    str::FromStr,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps ready for us; Linux cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// `:9847` (all addresses of the machine), `host:9847`, `192.0.2.1:9847` or `[2001:db8::1]:9847`.
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

/// Text that is no listen address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `:port`, `host:port` or `[ipv6]:port`, with a port from 0 to 65535")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ListenAddressError;
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self { host: Host::parse(host).ok_or_else(wrong)?, port })
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
        let name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        // A name of digits and dots only is a mistyped address, and never a host.
        let letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        (name && letters).then(|| Self::Name(text.to_owned()))
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

/// A socket that listens and that nobody serves yet: the kernel queues what comes.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    local: SocketAddr,
}

impl Bound {
    /// The address in use, with the port that the kernel chose where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Needs a tokio runtime.
    pub(super) fn into_listener(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", reason(source))]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is already in use (another exporter?)".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need the capability CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Listens on every one of `addresses`, or on none: the first that fails is the error.
pub fn bind(addresses: &[ListenAddress]) -> Result<Vec<Bound>, BindError> {
    addresses
        .iter()
        .map(|address| bind_one(address).map_err(|source| BindError { address: address.clone(), source }))
        .collect()
}

fn bind_one(address: &ListenAddress) -> io::Result<Bound> {
    match &address.host {
        Host::Ip(ip) => listen(SocketAddr::new(*ip, address.port)),
        Host::All => listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port)).or_else(|error| {
            if ipv6_is_missing(&error) {
                listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port))
            } else {
                Err(error)
            }
        }),
        Host::Name(name) => listen(resolve(name, address.port)?),
    }
}

impl ListenAddress {
    /// Where a program on this machine reaches what listens here, the likelier first.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub fn from_this_machine(&self) -> io::Result<Vec<SocketAddr>> {
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

/// One address of `name`, IPv4 before IPv6, as Go's `net.Listen` and so every other exporter does.
fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    let mut found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| io::Error::other("the name has no address"))
}

fn ipv6_is_missing(error: &io::Error) -> bool {
    let unsupported = error.raw_os_error() == Some(97); // EAFNOSUPPORT: IPv6 is not in this kernel
    unsupported || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Only the unspecified address speaks for both families, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = StdListener::from(socket);
    let local = listener.local_addr()?;
    Ok(Bound { listener, local })
}
