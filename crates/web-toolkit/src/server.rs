//! A bounded HTTP/1 server. It owns sockets and connections and knows no routes.
//!
//! Binding ([`bind`]) is separate from serving ([`serve`]), so that a port that is in use is reported before anything
//! else is started. Every resource that a client can use up has a limit ([`Limits`]): beyond the limit of connections,
//! the one that has been idle for longest is closed, and a connection is closed if its request head is slow or too
//! long, or if the client does not read the response.

mod activity;
mod address;
mod connection;
mod inherited;
mod origin;
mod peer;
mod slots;
pub mod tls;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::{
    address::{BindError, Bound, ListenAddress, ListenAddressError, bind},
    inherited::{InheritError, inherit},
    origin::{HostName, HostNameError, Hosts},
    peer::Peer,
    slots::ConnectionCounts,
};
use self::{slots::Slots, tls::Encryption};

/// A response body: in memory, streamed, or one that ends with an error.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A complete body in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The response after an internal error. The cause is logged.
pub fn internal_error() -> Response<Body> {
    plain_text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error; see the log of the exporter\n")
}

/// The response to a method that is not one of `methods`, a list such as `GET, HEAD`.
pub fn method_not_allowed(methods: &'static str) -> Response<Body> {
    let text = format!("method not allowed; use {}\n", methods.replace(", ", " or "));
    let mut response = plain_text(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// A response in plain text. `text` ends with a line break.
pub fn plain_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

/// A response with a complete body.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Limits on what clients can use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent connections over all listen addresses. For further ones, idle connections are closed. While all are
    /// taken, one [`Peer`] keeps at most an eighth of them.
    pub connections: usize,
    /// Maximum time from the first byte of a request head to its last. For a new connection it starts at the accept and
    /// includes the TLS handshake.
    pub header_timeout: Duration,
    /// Maximum time between two requests. It must be longer than the longest usual scrape interval, otherwise every
    /// scrape opens a new connection.
    pub idle_timeout: Duration,
    /// Maximum time that a write may wait for the client to read.
    pub write_timeout: Duration,
    /// Maximum size of request line and headers together; larger heads are answered with 431. At least 8 KiB, the
    /// minimum of hyper.
    pub header_bytes: usize,
    /// After `stop`: the time that requests in flight have to finish.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(150),
            write_timeout: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            grace: Duration::from_millis(1500),
        }
    }
}

impl Limits {
    /// The defaults and `more` connections, for clients that the configuration names, with at most `percent` of the file
    /// descriptors that this process may open (`RLIMIT_NOFILE`), so that enough of them are left for all other purposes.
    /// For `more` connections the limit is raised, as far as the process may do so.
    pub fn within_descriptors(percent: u8, more: usize) -> Self {
        let defaults = Self::default();
        let connections = defaults.connections.saturating_add(more);
        if more > 0 {
            raise_descriptors(connections.saturating_mul(100) / usize::from(percent.max(1)));
        }
        let share = getrlimit(Resource::Nofile).current.map(|most| most.saturating_mul(percent.into()) / 100);
        let share = share.and_then(|share| usize::try_from(share).ok()).unwrap_or(usize::MAX);
        Self { connections: connections.min(share.max(1)), ..defaults }
    }
}

/// Raises the soft limit on file descriptors to `wanted`, or to the hard limit. A refusal leaves it as it is.
fn raise_descriptors(wanted: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    if current.is_some_and(|current| current < wanted) {
        let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
}

/// How a server treats its clients. The default serves cleartext to any host name.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub encryption: Encryption,
    pub limits: Limits,
    pub hosts: Hosts,
    pub counts: ConnectionCounts,
    /// Whether a client that closes only its sending direction after the request gets the response. A server that does
    /// so cannot notice that a client disconnects before its response is written.
    pub answer_half_closed: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            encryption: Encryption::off(),
            limits: Limits::default(),
            hosts: Hosts::default(),
            counts: ConnectionCounts::default(),
            answer_half_closed: true,
        }
    }
}

/// Serves HTTP on all of `bound` until `stop`, over TLS as far as the encryption has a configuration. After `stop`,
/// idle connections are closed at once, requests in flight have [`Limits::grace`] to finish, and the rest is aborted.
pub async fn serve<S, F>(options: ServerOptions, bound: Vec<Bound>, stop: CancellationToken, service: S)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Slots::new(options.limits.connections, options.counts.clone());
    let service: Service = Box::new(move |request| Box::pin(service(request)));
    let server = Arc::new(Server { options, slots, stop, service });
    let mut listeners = JoinSet::new();
    for bound in bound {
        listeners.spawn(Arc::clone(&server).serve_address(bound));
    }
    while listeners.join_next().await.is_some() {}
}

/// Pause after an accept error that is not caused by the client, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers requests. Boxed, so that connections are compiled once and not for each service.
type Service = Box<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// State shared by all listen addresses and connections.
struct Server {
    options: ServerOptions,
    slots: Arc<Slots>,
    stop: CancellationToken,
    service: Service,
}

impl Server {
    /// Accepts connections until `stop`, then drains them.
    async fn serve_address(self: Arc<Self>, bound: Bound) {
        let address = bound.local_addr();
        let listener = match bound.into_listener() {
            Ok(listener) => listener,
            Err(error) => return warn!(%address, "cannot serve on {address}: {error}"),
        };
        let mut connections = JoinSet::new();
        // Cancel safety: a connection that was accepted and has no slot yet is closed, as all others without a request.
        self.stop.run_until_cancelled(self.accept_connections(&listener, &mut connections)).await;
        drop(listener);
        let grace = self.options.limits.grace;
        let drained = time::timeout(grace, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            debug!(%address, "aborted {} connections at the end of the grace period", connections.len());
            connections.shutdown().await;
        }
    }

    /// Never returns.
    async fn accept_connections(self: &Arc<Self>, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let mut failing = false;
        loop {
            let accepted = listener.accept().await;
            // At most as many ended tasks as there are slots wait for this.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((tcp, address)) => {
                    failing = false;
                    self.start_connection(tcp, address, connections).await;
                }
                Err(error) if is_caused_by_client(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!("cannot accept connections, retrying: {error}");
                    }
                    self.recover(&error).await;
                }
            }
        }
    }

    /// Waits for a slot. Meanwhile further connections wait in the accept queue.
    async fn start_connection(self: &Arc<Self>, tcp: TcpStream, address: SocketAddr, connections: &mut JoinSet<()>) {
        let peer = Peer::from(address.ip());
        let Some(slot) = self.slots.admit(peer).await else {
            return debug!("closed a new connection, because its client has too many in use");
        };
        let server = Arc::clone(self);
        connections.spawn(async move { server.serve_connection(tcp, peer, slot).await });
    }

    async fn recover(&self, error: &io::Error) {
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            self.slots.evict_longest_idle();
        }
        time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether an error of `accept` concerns only one connection, which the client closed while it was queued.
fn is_caused_by_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
