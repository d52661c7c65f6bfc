//! A bounded HTTP/1 server. It owns sockets and connections and knows no routes.
//!
//! Binding ([`bind`]) is separate from serving ([`serve`]), so that a port that is in use is reported before anything
//! else is started. Every resource that a client can use up has a limit ([`Limits`]): connections beyond the limit wait
//! in the kernel's accept queue, and a connection is closed if its request head is slow or too long, or if the client
//! does not read the response.

mod address;
mod connection;
pub mod tls;

use std::{convert::Infallible, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::address::{BindError, Bound, ListenAddress, ListenAddressError, bind};
use self::tls::Encryption;

/// A response body: in memory, streamed, or one that ends with an error.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A complete body in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The response after an internal error, whose cause is logged.
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
    /// Concurrent connections over all listen addresses. Further connections wait in the accept queue.
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

/// Serves HTTP on all of `bound` until `stop`, over TLS as far as `encryption` has a configuration. After `stop`, idle
/// connections are closed at once, requests in flight have [`Limits::grace`] to finish, and the rest is aborted.
pub async fn serve<S, F>(encryption: Encryption, bound: Vec<Bound>, limits: Limits, stop: CancellationToken, service: S)
where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let service: Service = Box::new(move |request| Box::pin(service(request)));
    let server = Arc::new(Server { encryption, limits, slots, stop, service });
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
    encryption: Encryption,
    limits: Limits,
    slots: Arc<Semaphore>,
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
        self.accept_until_stopped(&listener, &mut connections).await;
        drop(listener);
        let drained = time::timeout(self.limits.grace, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            debug!(%address, "aborted {} connections at the end of the grace period", connections.len());
            connections.shutdown().await;
        }
    }

    async fn accept_until_stopped(self: &Arc<Self>, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(listener) => accepted,
            };
            match accepted {
                Ok((tcp, slot)) => {
                    failing = false;
                    let server = Arc::clone(self);
                    connections.spawn(async move {
                        server.serve_connection(tcp).await;
                        drop(slot);
                    });
                }
                Err(error) if is_caused_by_client(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!("cannot accept connections, retrying: {error}");
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Acquires a slot before it accepts a connection, so that a full server leaves new connections in the queue.
    ///
    /// Cancel safety: dropping the future returns the slot, and a connection that was not accepted stays in the queue.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (tcp, _) = listener.accept().await?;
        Ok((tcp, slot))
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
