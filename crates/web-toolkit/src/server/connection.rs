//! One connection: its handshake, its requests, its end.

use std::{convert::Infallible, future::Future, pin::pin};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    body::Body,
    handshake::Handshake,
    limits::Limits,
    watched::{Progress, Watched},
};

/// Returns when the connection is closed, for whatever reason: the client's mistakes are its own and only logged.
pub(super) async fn serve<H, S, F>(handshake: H, tcp: TcpStream, limits: Limits, stop: CancellationToken, service: S)
where
    H: Handshake,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    // Pages go out in one or two writes; waiting to fill a segment only delays them.
    let _ = tcp.set_nodelay(true);
    let progress = Progress::new();
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        () = progress.head_overdue(limits.header_timeout) => return debug!("closed a connection: no handshake in time"),
        made = handshake.handshake(tcp) => match made {
            Ok(stream) => stream,
            Err(error) => return debug!("closed a connection: {error}"),
        },
    };
    let counted = service_fn(|request| {
        progress.request_began();
        let answering = service(request);
        let progress = &progress;
        async move {
            let response = answering.await;
            progress.request_ended();
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(Watched::new(stream, progress.clone(), limits.write_timeout));
    let mut connection = pin!(builder(limits).serve_connection(io, counted));
    let mut overdue = pin!(progress.head_overdue(limits.header_timeout));
    let mut stopping = false;
    loop {
        tokio::select! {
            closed = connection.as_mut() => {
                if let Err(error) = closed {
                    debug!("connection ended: {error}");
                }
                return;
            }
            () = overdue.as_mut() => return debug!("closed a connection: its request did not come in time"),
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8192));
    builder
}
