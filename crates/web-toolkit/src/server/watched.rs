//! Tells whether a client owes us the rest of a request's head, or does not fetch its answer.
//!
//! hyper has one timer for both "reading a head" and "resting between requests". The first must be short, the second
//! longer than a scrape interval, so the first is measured here: a stream that notices when bytes arrive on a
//! connection that has no request in hand.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::Sleep,
};

/// What one connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been sent since the last response.
    Resting,
    /// A part of a head has come.
    Head,
    /// A request is being answered.
    Request,
}

/// Shared by the stream, the service and the watchdog of one connection.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<watch::Sender<Phase>>);

impl Progress {
    /// A new connection owes its first request.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Head)))
    }

    pub(super) fn request_began(&self) {
        self.0.send_replace(Phase::Request);
    }

    pub(super) fn request_ended(&self) {
        self.0.send_replace(Phase::Resting);
    }

    fn bytes_came(&self) {
        self.0.send_if_modified(|phase| {
            let first = *phase == Phase::Resting;
            if first {
                *phase = Phase::Head;
            }
            first
        });
    }

    /// Returns when a head has been incomplete for longer than `limit`.
    pub(super) async fn head_overdue(&self, limit: Duration) {
        let mut phase = self.0.subscribe();
        loop {
            // Neither wait can fail: `self` holds the sender.
            let _ = phase.wait_for(|phase| *phase == Phase::Head).await;
            let moved_on = phase.wait_for(|phase| *phase != Phase::Head);
            if tokio::time::timeout(limit, moved_on).await.is_err() {
                return;
            }
        }
    }
}

/// A stream that reports arriving bytes to its [`Progress`], and fails when the client takes nothing for too long.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    progress: Progress,
    write_timeout: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, progress: Progress, write_timeout: Duration) -> Self {
        Self { stream, progress, write_timeout, stalled: None }
    }

    /// Passes `polled` on, or an error if the wait has been too long.
    fn not_for_ever<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let write_timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_timeout)));
        stalled.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.progress.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.not_for_ever(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.not_for_ever(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.not_for_ever(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.not_for_ever(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
