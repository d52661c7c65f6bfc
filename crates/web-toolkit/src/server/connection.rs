//! One connection, from the handshake to its end.
//!
//! hyper has one timer for both reading a request head and idling between requests. The first must be short and the
//! second longer than a scrape interval. The first is therefore measured here, by a stream that notices when bytes
//! arrive while no request is in progress.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{self, Sleep},
};
use tracing::debug;

use super::{Limits, Server};

impl Server {
    /// Returns when the connection is closed. Errors of the client are logged at debug level only.
    pub(super) async fn serve_connection(&self, tcp: TcpStream) {
        // A response is one or two writes. Waiting for a full segment only delays it.
        let _ = tcp.set_nodelay(true);
        let tracker = RequestTracker::new();
        tokio::select! {
            ended = self.serve_requests(tcp, &tracker) => if let Err(error) = ended {
                debug!("closed a connection: {error}");
            },
            () = tracker.wait_for_overdue_head(self.limits.header_timeout) => {
                debug!("closed a connection: timeout of the handshake or of a request head");
            }
        }
    }

    /// Serves requests until the client closes the connection. After `stop`, the request in progress is the last one.
    async fn serve_requests(&self, tcp: TcpStream, tracker: &RequestTracker) -> io::Result<()> {
        let handshake = self.encryption.handshake(tcp);
        let Some(stream) = self.stop.run_until_cancelled(handshake).await else { return Ok(()) };
        let (stream, write_timeout) = (stream?, self.limits.write_timeout);
        let io = TokioIo::new(TrackedStream { stream, tracker: tracker.clone(), write_timeout, stalled: None });
        let service = service_fn(|request| {
            tracker.set(RequestPhase::Responding);
            let responding = (self.service)(request);
            async move {
                let response = responding.await;
                tracker.set(RequestPhase::Idle);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(http1_builder(self.limits).serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await.map_err(io::Error::other)
    }
}

fn http1_builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8192));
    builder
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestPhase {
    /// Nothing was received since the last response.
    Idle,
    /// A part of a request head was received. A new connection begins here, because its first request is due.
    Head,
    /// A request is being processed.
    Responding,
}

/// The phase of one connection, shared by its stream, its service and its timeout.
#[derive(Debug, Clone)]
struct RequestTracker(watch::Sender<RequestPhase>);

impl RequestTracker {
    fn new() -> Self {
        Self(watch::Sender::new(RequestPhase::Head))
    }

    fn set(&self, phase: RequestPhase) {
        self.0.send_replace(phase);
    }

    fn note_received_bytes(&self) {
        self.0.send_if_modified(|phase| {
            let is_first = *phase == RequestPhase::Idle;
            if is_first {
                *phase = RequestPhase::Head;
            }
            is_first
        });
    }

    /// Returns when a request head has been incomplete for longer than `limit`.
    async fn wait_for_overdue_head(&self, limit: Duration) {
        let mut phase = self.0.subscribe();
        loop {
            // Neither wait can fail, because `self` holds the sender.
            let _ = phase.wait_for(|phase| *phase == RequestPhase::Head).await;
            let completed = phase.wait_for(|phase| *phase != RequestPhase::Head);
            if time::timeout(limit, completed).await.is_err() {
                return;
            }
        }
    }
}

/// A stream that reports received bytes to its [`RequestTracker`], and fails when a write waits for too long.
#[derive(Debug)]
struct TrackedStream<S> {
    stream: S,
    tracker: RequestTracker,
    write_timeout: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> TrackedStream<S> {
    /// Returns `polled`, or an error if the client has read nothing for the write timeout.
    fn limit_wait<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let write_timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(time::sleep(write_timeout)));
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "write timeout: the client does not read");
        stalled.as_mut().poll(cx).map(|()| Err(timed_out()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.tracker.note_received_bytes();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limit_wait(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.limit_wait(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.limit_wait(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.limit_wait(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
