//! Large answers: rendered off the async threads, a few at once, compressed for those who ask.

use std::{
    io::{self, Write},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use tokio::sync::Semaphore;

/// Answers rendered at one time; further requests wait their turn.
const RENDERS: usize = 2;

/// Renders answers.
#[derive(Debug)]
pub(super) struct Renderer(Arc<Semaphore>);

/// The bytes of an answer, and whether they are compressed.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) body: Bytes,
    pub(super) gzip: bool,
}

impl Renderer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(RENDERS)))
    }

    /// What `work` makes; `None` where it panicked. A client that goes away while it runs does not make room for another.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let slot = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let working = move || {
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(working).await.ok()
    }
}

/// What `write` writes, compressed if `headers` allow it. Only what comes out is kept in memory.
pub(super) fn encode(gzip: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Rendered> {
    let body = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        write(&mut encoder)?;
        encoder.finish()?
    } else {
        let mut body = Vec::new();
        write(&mut body)?;
        body
    };
    Ok(Rendered { body: body.into(), gzip })
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_client_that_hangs_up_makes_no_room_while_its_answer_is_rendered() {
        let renderer = Arc::new(Renderer::new());
        let mut clients = JoinSet::new();
        let mut rendering = Vec::new();
        for _ in 0..RENDERS {
            let (go, wait) = mpsc::channel::<()>();
            let (began, begins) = tokio::sync::oneshot::channel();
            let renderer = Arc::clone(&renderer);
            clients.spawn(async move {
                renderer
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
        assert!(timeout(Duration::from_millis(50), renderer.run(|| ())).await.is_err(), "both slots are still in use");
        drop(rendering);
        assert_eq!(renderer.run(|| 7).await, Some(7));
    }
}
