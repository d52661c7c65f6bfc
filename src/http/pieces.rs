//! A large answer on its way to one client: each piece is written when the client has taken the one before.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use web_toolkit::clock::{self, Moment};

use super::threads::Threads;

/// Longer than any answer may take. Whoever reads more slowly is cut off, for his picture takes the place of another.
pub(super) const LONGEST_READ: Duration = Duration::from_mins(2);

/// Writes an answer, piece by piece. Not for an async thread.
pub(super) trait Source: Send + 'static {
    /// The next bytes, and whether they are the last.
    fn next(&mut self) -> io::Result<(Bytes, bool)>;
}

/// A piece, and what writes the rest, if there is any.
type Written = (Bytes, Option<Box<dyn Source>>);

async fn write(mut writer: Box<dyn Source>, threads: Arc<Threads>) -> io::Result<Written> {
    let write = move || writer.next().map(|(piece, is_end)| (piece, (!is_end).then_some(writer)));
    threads.run(write).await?
}

/// The body of an answer. It breaks off where writing fails, or the client takes too long.
pub(super) struct Pieces {
    /// Written and not yet sent.
    ready: Option<Bytes>,
    next: Option<Pin<Box<dyn Future<Output = io::Result<Written>> + Send>>>,
    threads: Arc<Threads>,
    began: Moment,
}

impl Pieces {
    /// Writes the first piece.
    pub(super) async fn begin(source: impl Source, threads: Arc<Threads>) -> io::Result<Self> {
        let first = write(Box::new(source), Arc::clone(&threads)).await?;
        let mut pieces = Self { ready: None, next: None, threads, began: clock::now() };
        pieces.take(first);
        Ok(pieces)
    }

    fn take(&mut self, (piece, rest): Written) {
        self.ready = Some(piece);
        self.next = rest.map(|writer| Box::pin(write(writer, Arc::clone(&self.threads))) as Pin<Box<_>>);
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let (None, Some(next)) = (&this.ready, &mut this.next) {
            let written = if clock::now().since(this.began) > LONGEST_READ {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly"))
            } else {
                ready!(next.as_mut().poll(cx))
            };
            this.next = None;
            this.take(written?);
        }
        Poll::Ready(this.ready.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_none() && self.next.is_none()
    }

    /// Known where the page is one piece: it is sent with its length then.
    fn size_hint(&self) -> SizeHint {
        match (&self.ready, &self.next) {
            (_, Some(_)) => SizeHint::default(),
            (ready, None) => SizeHint::with_exact(ready.as_ref().map_or(0, |piece| piece.len() as u64)),
        }
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}
