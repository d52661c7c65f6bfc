//! Response bodies: the text of any producer, plain or compressed, encoded piece by piece.
//!
//! A metrics page can have hundreds of megabytes. The next piece is written when the client has taken the previous one,
//! so that neither many clients nor slow ones take the memory and the threads of the rest of the program.

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
use hyper::{
    StatusCode,
    body::{Body, Bytes, Frame, SizeHint},
};
use tokio::runtime::{Builder, Runtime};
use web_toolkit::clock::{self, Moment};

/// Bytes of text in one piece. An uncompressed piece is sent as it is.
pub(super) const PIECE: usize = 128 * 1024;

/// Producers write whole rows, so a piece can be this much longer.
const SLACK: usize = 8 * 1024;

/// Bytes of text in one compressed piece, which has a tenth of that size or less.
const COMPRESSED_AT_ONCE: usize = 4 * PIECE;

/// Maximum time to stream one body. Slower clients are disconnected, because each stream pins one of the few captures.
pub(super) const MAX_STREAM_TIME: Duration = Duration::from_mins(2);

/// Pieces, pages and captures that are written at the same time.
const THREADS: usize = 2;

/// Longer than a usual scrape interval, so that threads survive from scrape to scrape.
const KEEP_ALIVE: Duration = Duration::from_mins(10);

/// The text of a body, in pieces. Runs on a page thread.
pub(super) trait Producer: Send + 'static {
    /// Writes the next piece to `text`, which is empty. Returns whether it is the last one.
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool>;

    /// Estimated bytes of the next piece, for which memory is allocated at once.
    fn capacity(&self) -> usize {
        PIECE + SLACK
    }
}

/// A short text, which is one piece.
#[derive(Debug)]
pub(super) struct WholeText(pub(super) Vec<u8>);

impl Producer for WholeText {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        *text = mem::take(&mut self.0);
        Ok(true)
    }

    /// The text is there already.
    fn capacity(&self) -> usize {
        0
    }
}

/// Turns text into the bytes that are sent.
struct Encoder {
    producer: Box<dyn Producer>,
    gzip: Option<Gzip>,
}

struct Gzip {
    compressor: GzEncoder<Vec<u8>>,
    /// Reused from piece to piece. The compressor is slow when it is fed a few bytes at a time.
    text: Vec<u8>,
}

/// A piece, and the encoder of the rest, if there is any.
type Encoded = (Bytes, Option<Box<Encoder>>);

impl Encoder {
    fn new(producer: impl Producer, gzip: bool) -> Box<Self> {
        let gzip = gzip.then(|| Gzip::new(producer.capacity()));
        Box::new(Self { producer: Box::new(producer), gzip })
    }

    /// Takes less than a millisecond for uncompressed metrics.
    fn encode_piece(mut self: Box<Self>) -> io::Result<Encoded> {
        let (piece, is_last) = if let Some(gzip) = &mut self.gzip {
            gzip.compress_piece(&mut *self.producer)?
        } else {
            let mut text = Vec::with_capacity(self.producer.capacity());
            let is_last = self.producer.write_piece(&mut text)?;
            (text.into(), is_last)
        };
        Ok((piece, (!is_last).then_some(self)))
    }
}

impl Gzip {
    fn new(capacity: usize) -> Self {
        let compressor = GzEncoder::new(Vec::new(), Compression::fast());
        Self { compressor, text: Vec::with_capacity(capacity) }
    }

    fn compress_piece(&mut self, producer: &mut dyn Producer) -> io::Result<(Bytes, bool)> {
        let (mut length, mut is_last) = (0, false);
        while !is_last && length < COMPRESSED_AT_ONCE {
            self.text.clear();
            is_last = producer.write_piece(&mut self.text)?;
            self.compressor.write_all(&self.text)?;
            length += self.text.len();
        }
        if is_last {
            self.compressor.try_finish()?;
        }
        Ok((mem::take(self.compressor.get_mut()).into(), is_last))
    }
}

/// The threads that write pages, apart from the pool of the runtime.
///
/// The allocator keeps freed memory for the thread that used it. In the shared pool each scrape would leave its memory
/// on another thread, and the process would grow with the number of scrapes.
#[derive(Debug)]
pub(super) struct PageThreads(Option<Runtime>);

impl PageThreads {
    /// # Errors
    /// The operating system refuses a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.thread_name("page").max_blocking_threads(THREADS).thread_keep_alive(KEEP_ALIVE);
        Ok(Self(Some(builder.build()?)))
    }

    /// Runs `work` on a page thread.
    ///
    /// # Errors
    /// `work` panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let Some(runtime) = &self.0 else { return Err(io::Error::other("the page threads have ended")) };
        Ok(runtime.spawn_blocking(work).await?)
    }
}

/// Does not wait for the runtime, because the last connection may drop it on an async thread.
impl Drop for PageThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A response body. Ends with an error if writing fails or the client takes too long.
pub(super) struct EncodedBody {
    /// Encoded and not sent yet.
    piece: Option<Bytes>,
    next: Option<Pin<Box<dyn Future<Output = io::Result<Encoded>> + Send>>>,
    threads: Arc<PageThreads>,
    began: Moment,
    is_compressed: bool,
}

impl EncodedBody {
    /// Runs `open` on a page thread and encodes the first piece of its text there.
    pub(super) async fn open<P: Producer>(
        threads: &Arc<PageThreads>,
        gzip: bool,
        open: impl FnOnce() -> (StatusCode, P) + Send + 'static,
    ) -> io::Result<(StatusCode, Self)> {
        let encode = move || {
            let (status, producer) = open();
            Encoder::new(producer, gzip).encode_piece().map(|encoded| (status, encoded))
        };
        let (status, encoded) = threads.run(encode).await??;
        let mut body =
            Self { piece: None, next: None, threads: Arc::clone(threads), began: clock::now(), is_compressed: gzip };
        body.set_piece(encoded);
        Ok((status, body))
    }

    pub(super) const fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    fn set_piece(&mut self, (piece, rest): Encoded) {
        self.piece = Some(piece);
        self.next = rest.map(|encoder| {
            let threads = Arc::clone(&self.threads);
            Box::pin(async move { threads.run(|| encoder.encode_piece()).await? }) as Pin<Box<_>>
        });
    }
}

impl Body for EncodedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let (None, Some(next)) = (&this.piece, &mut this.next) {
            let encoded = if clock::now().since(this.began) > MAX_STREAM_TIME {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly"))
            } else {
                ready!(next.as_mut().poll(cx))
            };
            this.next = None;
            this.set_piece(encoded?);
        }
        Poll::Ready(this.piece.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && self.next.is_none()
    }

    /// Exact if the body is one piece, which is then sent with its length.
    fn size_hint(&self) -> SizeHint {
        match (&self.piece, &self.next) {
            (_, Some(_)) => SizeHint::default(),
            (piece, None) => SizeHint::with_exact(piece.as_ref().map_or(0, |piece| piece.len() as u64)),
        }
    }
}

impl fmt::Debug for EncodedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_client_that_hangs_up_makes_no_room_while_its_answer_is_rendered() {
        let threads = Arc::new(PageThreads::new().unwrap());
        let mut clients = JoinSet::new();
        let mut rendering = Vec::new();
        for _ in 0..THREADS {
            let (go, wait) = mpsc::channel::<()>();
            let (began, begins) = tokio::sync::oneshot::channel();
            let threads = Arc::clone(&threads);
            clients.spawn(async move {
                threads
                    .run(move || {
                        let _ = began.send(());
                        let _ = wait.recv();
                    })
                    .await
            });
            begins.await.unwrap();
            rendering.push(go);
        }
        clients.shutdown().await;
        assert!(timeout(Duration::from_millis(50), threads.run(|| ())).await.is_err(), "both are still at work");
        drop(rendering);
        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
    }
}
