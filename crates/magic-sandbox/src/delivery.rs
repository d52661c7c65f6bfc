//! Response bodies that travel badly.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::time::Sleep;
use web_toolkit::server;

use super::faults::Delivery;

/// What an endless body is made of: white space, so that a JSON reader has nothing to object to.
const FILLER: Bytes = Bytes::from_static(&[b' '; 64 * 1024]);

/// The body of an answer, whichever way it travels. Never called for [`Delivery::Silence`], which has none.
pub(super) fn body(bytes: Vec<u8>, delivery: Delivery) -> server::Body {
    let bytes = Bytes::from(bytes);
    match delivery {
        Delivery::Whole | Delivery::Silence => server::full(bytes),
        Delivery::Drip(every) => Drip { rest: bytes, every, pause: None }.boxed_unsync(),
        Delivery::Reset => Reset { half: Some(bytes.slice(..bytes.len() / 2)), pause: None }.boxed_unsync(),
        Delivery::Endless => Endless { start: Some(Bytes::from_static(b"{\"result\":")) }.boxed_unsync(),
    }
}

/// One byte each so often.
struct Drip {
    rest: Bytes,
    every: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let every = self.every;
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
        if pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(1)))))
    }
}

/// Half of it, and then an error, on which the server closes the connection.
struct Reset {
    half: Option<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// The server writes out what it has when a body makes it wait; an error at once would take the first half with it.
const BEFORE_RESET: Duration = Duration::from_millis(20);

impl HttpBody for Reset {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(BEFORE_RESET)));
        pause
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "a fault was asked for"))))
    }
}

/// The beginning of a body and no end.
struct Endless {
    start: Option<Bytes>,
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Ok(Frame::data(self.start.take().unwrap_or(FILLER)))))
    }
}
