//! What happens on one connection: which part of a request or a response is due, as its stream, its service and its
//! response bodies report it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{self, Sleep},
};

use super::{Body, slots::Slot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestPhase {
    /// Nothing was received since the last response.
    Idle,
    /// A part of a request head was received. A new connection begins here, because its first request is due.
    Head,
    /// A request is being answered.
    Responding,
    /// The response is complete, but not sent.
    Flushing,
}

/// The phase of one connection. Its slot is active in the phases with a response.
#[derive(Debug, Clone)]
pub(super) struct ConnectionActivity(Arc<ActivityState>);

#[derive(Debug)]
struct ActivityState {
    phase: watch::Sender<RequestPhase>,
    slot: Slot,
}

impl ConnectionActivity {
    pub(super) fn new(slot: Slot) -> Self {
        Self(Arc::new(ActivityState { phase: watch::Sender::new(RequestPhase::Head), slot }))
    }

    /// A request head is complete.
    pub(super) fn begin_response(&self) {
        self.0.slot.set_active();
        self.0.phase.send_replace(RequestPhase::Responding);
    }

    /// `body` as it is; its end is noticed.
    pub(super) fn track(&self, body: Body) -> TrackedBody {
        TrackedBody { body, activity: self.clone() }
    }

    /// Returns when all slots are taken and this connection has to make room.
    pub(super) async fn evicted(&self) {
        self.0.slot.evicted().await;
    }

    /// Returns when a request head has been incomplete for longer than `limit`.
    pub(super) async fn wait_for_overdue_head(&self, limit: Duration) {
        let mut phase = self.0.phase.subscribe();
        loop {
            // Neither wait can fail, because `self` holds the sender.
            let _ = phase.wait_for(|phase| *phase == RequestPhase::Head).await;
            let completed = phase.wait_for(|phase| *phase != RequestPhase::Head);
            if time::timeout(limit, completed).await.is_err() {
                return;
            }
        }
    }

    /// Changes the phase if it is `from`, and returns whether it was.
    fn advance(&self, from: RequestPhase, to: RequestPhase) -> bool {
        self.0.phase.send_if_modified(|phase| {
            let advances = *phase == from;
            if advances {
                *phase = to;
            }
            advances
        })
    }
}

/// A response body that reports when it is dropped, which the connection does at its end.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    activity: ConnectionActivity,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.activity.advance(RequestPhase::Responding, RequestPhase::Flushing);
    }
}

/// A stream that reports what it receives and sends, and fails when a write waits for too long.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    stream: S,
    activity: ConnectionActivity,
    write_timeout: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> TrackedStream<S> {
    pub(super) fn new(stream: S, activity: ConnectionActivity, write_timeout: Duration) -> Self {
        Self { stream, activity, write_timeout, stalled: None }
    }

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
            self.activity.advance(RequestPhase::Idle, RequestPhase::Head);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limit_wait(cx, polled)
    }

    /// Called when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() && self.activity.advance(RequestPhase::Flushing, RequestPhase::Idle) {
            self.activity.0.slot.set_idle();
        }
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
