//! A page on its way to one client: each piece is written when the client has taken the one before.

use std::{
    fmt,
    future::Future,
    io::{self, Write as _},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::Semaphore;

use super::pictures::Held;
use crate::{clock, domain::moment::Moment, exposition::Page};

/// Bytes of text that are written at once, and sent at once where they are not compressed.
const PIECE: usize = 128 * 1024;

/// Pieces of text in one compressed piece: it becomes a tenth of that, or less.
const COMPRESSED_AT_ONCE: usize = 4;

/// A line more than a piece is short of its end has to fit.
const SLACK: usize = 8 * 1024;

/// Longer than any scrape may take. Whoever reads more slowly is cut off, for the picture takes the place of another.
const LONGEST_READ: Duration = Duration::from_mins(2);

/// What is done to the text.
#[derive(Debug)]
pub(super) enum Coding {
    Plain,
    Gzip { encoder: GzEncoder<Vec<u8>>, text: String },
}

impl Coding {
    pub(super) fn gzip() -> Self {
        Self::Gzip {
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
            text: String::with_capacity(PIECE + SLACK),
        }
    }

    /// The next bytes of the page, and whether they are its last.
    fn next(&mut self, page: &mut Page) -> io::Result<(Bytes, bool)> {
        match self {
            Self::Plain => {
                let mut text = String::with_capacity(PIECE + SLACK);
                let is_end = page.fill(&mut text, PIECE);
                Ok((text.into(), is_end))
            }
            Self::Gzip { encoder, text } => {
                let mut is_end = false;
                for _ in 0..COMPRESSED_AT_ONCE {
                    text.clear();
                    is_end = page.fill(text, PIECE);
                    encoder.write_all(text.as_bytes())?;
                    if is_end {
                        encoder.try_finish()?;
                        break;
                    }
                }
                Ok((mem::take(encoder.get_mut()).into(), is_end))
            }
        }
    }
}

/// Writes a page, and keeps its picture.
#[derive(Debug)]
pub(super) struct Writer {
    page: Page,
    coding: Coding,
    _picture: Arc<Held>,
}

impl Writer {
    pub(super) fn new(page: Page, coding: Coding, picture: Arc<Held>) -> Self {
        Self { page, coding, _picture: picture }
    }
}

/// A piece, and what writes the rest, if there is any.
type Written = (Bytes, Option<Writer>);

/// One piece, written on the blocking pool, by one of as many writers as there are permits in `writers`.
async fn write(mut writer: Writer, writers: Arc<Semaphore>) -> io::Result<Written> {
    let permit = writers.acquire_owned().await.map_err(io::Error::other)?;
    let written = tokio::task::spawn_blocking(move || {
        let (piece, is_end) = writer.coding.next(&mut writer.page)?;
        drop(permit);
        Ok((piece, (!is_end).then_some(writer)))
    });
    written.await?
}

/// The body of a page.
pub(super) struct Pieces {
    /// Written and not yet sent.
    ready: Option<Bytes>,
    next: Option<Pin<Box<dyn Future<Output = io::Result<Written>> + Send>>>,
    writers: Arc<Semaphore>,
    began: Moment,
}

impl Pieces {
    /// Writes the first piece.
    ///
    /// # Errors
    /// Writing panicked; so may each later piece, and the body breaks off.
    pub(super) async fn begin(writer: Writer, writers: Arc<Semaphore>) -> io::Result<Self> {
        let written = write(writer, Arc::clone(&writers)).await?;
        let mut pieces = Self { ready: None, next: None, writers, began: clock::now() };
        pieces.take(written);
        Ok(pieces)
    }

    fn take(&mut self, (piece, rest): Written) {
        self.ready = Some(piece);
        self.next = rest.map(|writer| -> Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(write(writer, Arc::clone(&self.writers)))
        });
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

    fn size_hint(&self) -> SizeHint {
        match (&self.ready, &self.next) {
            (Some(piece), None) => SizeHint::with_exact(piece.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}
