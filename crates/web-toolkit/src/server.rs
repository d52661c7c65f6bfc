//! The bounded HTTP/1 server under the exporter's own pages and under the sandbox.
//!
//! It owns sockets and connections and knows no route. Binding ([`bind`]) is apart from serving ([`serve`]), so that a
//! taken port is found before anything else is started. Everything a client can make grow has a limit ([`Limits`]):
//! a connection beyond the limit waits in the kernel's accept queue; a head that is slow or too long and an answer that is
//! not fetched end their connection.

mod address;
mod body;
mod connection;
mod handshake;
mod limits;
pub mod tls;
mod watched;

use std::{future::Future, io, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::{
    address::{BindError, Bound, ListenAddress, ListenAddressError, bind},
    body::{Body, full},
    handshake::{Handshake, Plain},
    limits::Limits,
};

/// Serves HTTP in the clear on all of `bound` until `stop`, then drains: idle connections close at once, requests in flight finish
/// within [`Limits::grace`], what is left is cut.
pub async fn serve<S, F>(bound: Vec<Bound>, limits: Limits, stop: CancellationToken, service: S)
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    serve_over(Plain, bound, limits, stop, service).await;
}

/// [`serve`] over the streams that `handshake` makes.
pub async fn serve_over<H, S, F>(handshake: H, bound: Vec<Bound>, limits: Limits, stop: CancellationToken, service: S)
where
    H: Handshake,
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut listeners = JoinSet::new();
    for bound in bound {
        let server = Listener {
            handshake: handshake.clone(),
            limits,
            slots: Arc::clone(&slots),
            stop: stop.clone(),
            service: service.clone(),
        };
        listeners.spawn(server.run(bound));
    }
    while listeners.join_next().await.is_some() {}
}

/// How long to leave the accept queue alone after an error that is not the client's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

struct Listener<H, S> {
    handshake: H,
    limits: Limits,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    service: S,
}

impl<H, S, F> Listener<H, S>
where
    H: Handshake,
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    async fn run(self, bound: Bound) {
        let address = bound.local_addr();
        let listener = match bound.into_listener() {
            Ok(listener) => listener,
            Err(error) => return warn!(%address, "cannot serve on {address}: {error}"),
        };
        let mut connections = JoinSet::new();
        self.accept_until_stopped(&listener, &mut connections).await;
        drop(listener);
        let drained =
            tokio::time::timeout(self.limits.grace, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            debug!(%address, "cut {} connections that did not finish in time", connections.len());
            connections.shutdown().await;
        }
    }

    /// Takes a slot first and a connection second, so that a full server accepts nothing.
    async fn accept_until_stopped(&self, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let mut refused = false;
        loop {
            // Cancel safety: a permit or a connection that a dropped future had not yet handed over stays where it was.
            let slot = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
            };
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, _)) => {
                    refused = false;
                    let serving = connection::serve(
                        self.handshake.clone(),
                        tcp,
                        self.limits,
                        self.stop.clone(),
                        self.service.clone(),
                    );
                    connections.spawn(async move {
                        serving.await;
                        drop(slot);
                    });
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut refused, true) {
                        warn!("cannot accept connections, trying again: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Errors of `accept` that concern one connection which went away while it was queued.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
