//! One connection, from the handshake to its end.
//!
//! hyper has one timer for both reading a request head and idling between requests. The first must be short and the
//! second longer than a scrape interval. The first is therefore measured here, by an [`ConnectionActivity`] that
//! notices when bytes arrive while no request is in progress.

use std::{convert::Infallible, io, pin::pin};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tracing::debug;

use super::{
    Body, Server,
    activity::{ConnectionActivity, TrackedStream},
    peer::Peer,
    plain_text,
    slots::Slot,
    tls::Established,
};
use crate::requester::Requester;

impl Server {
    /// Returns when the connection is closed. Errors of the client are logged at debug level only.
    pub(super) async fn serve_connection(&self, tcp: TcpStream, peer: Peer, slot: Slot) {
        // A response is one or two writes. Waiting for a full segment only delays it.
        let _ = tcp.set_nodelay(true);
        let activity = ConnectionActivity::new(slot);
        tokio::select! {
            ended = self.serve_requests(tcp, peer, &activity) => if let Err(error) = ended {
                debug!("closed a connection: {error}");
            },
            () = activity.evicted() => debug!("closed an idle connection, because all slots are taken"),
            () = activity.wait_for_overdue_head(self.options.limits.header_timeout) => {
                debug!("closed a connection: timeout of the handshake or of a request head");
            }
        }
    }

    /// Serves requests until the client closes the connection. After `stop`, and when a new configuration no longer
    /// admits the client, the request in progress is the last one.
    async fn serve_requests(&self, tcp: TcpStream, peer: Peer, activity: &ConnectionActivity) -> io::Result<()> {
        let encryption = &self.options.encryption;
        let Some(session) = self.stop.run_until_cancelled(encryption.handshake(tcp)).await else { return Ok(()) };
        let Established { stream, proof, names } = session?;
        let stream = TrackedStream::new(stream, activity.clone(), self.options.limits.write_timeout);
        let requester = Requester { user: None, certificate_names: names };
        let service = service_fn(|request| {
            let requester = requester.clone();
            async move {
                activity.begin_response();
                Ok::<_, Infallible>(self.respond(request, peer, requester).await.map(|body| activity.track(body)))
            }
        });
        let connection = self.http1().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = self.stop.cancelled() => {}
            () = encryption.withdrawn(&proof) => debug!("closing a connection, because its client is no longer admitted"),
        }
        connection.as_mut().graceful_shutdown();
        connection.await.map_err(io::Error::other)
    }

    async fn respond(&self, mut request: Request<Incoming>, peer: Peer, requester: Requester) -> Response<Body> {
        if let Some((status, text)) = self.options.hosts.refuse(&request) {
            return plain_text(status, text);
        }
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(requester);
        (self.service)(request).await
    }

    fn http1(&self) -> http1::Builder {
        let limits = self.options.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .half_close(self.options.answer_half_closed)
            .header_read_timeout(limits.idle_timeout)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(8192));
        builder
    }
}
