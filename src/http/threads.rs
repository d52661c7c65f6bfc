//! The threads that pages and lists are written on.

use std::{io, time::Duration};

use tokio::runtime::{Builder, Runtime};

/// Pieces and pictures at one time; further ones wait their turn.
const THREADS: usize = 2;

/// Longer than between two scrapes.
const REST: Duration = Duration::from_mins(10);

/// A few threads of their own.
///
/// The allocator keeps what was freed for the thread that had it. On the pool that the program shares each scrape would leave its
/// memory behind on another thread, and the process would grow with the number of scrapes.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// # Errors
    /// The system refuses a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.thread_name("page").max_blocking_threads(THREADS).thread_keep_alive(REST);
        Ok(Self(Some(builder.build()?)))
    }

    /// What `work` returns.
    ///
    /// # Errors
    /// It panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let Some(runtime) = &self.0 else { return Err(io::Error::other("the threads of the pages have ended")) };
        Ok(runtime.spawn_blocking(work).await?)
    }
}

/// A runtime must not be waited for on an async thread, where the last connection may drop it.
impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test]
    async fn a_client_that_hangs_up_makes_no_room_while_its_answer_is_rendered() {
        let threads = Arc::new(Threads::new().unwrap());
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
