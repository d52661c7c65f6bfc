//! Log lines that are not written yet.
//!
//! A write to standard error blocks while the other end of a pipe is not read. Therefore a thread of its own writes,
//! and all others only append to a queue. If the queue is full, new lines are dropped and counted, because a program
//! that waits for the reader of its log stops polling, probing and reacting to signals.

use std::{io::Write, mem, time::Duration};

use memchr::memchr_iter;
use parking_lot::{Condvar, Mutex};
use tracing::warn;

/// Maximum size in bytes: some thousands of lines.
const MOST_BYTES: usize = 1 << 20;

/// Buffers up to this size in bytes are kept for the next lines.
const KEPT_BYTES: usize = 64 << 10;

/// Lines in their order, each with its line break.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when lines are added and when they are written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Whether the writer holds lines that it took.
    writing: bool,
    dropped: u64,
    /// Dropped since the last batch that the writer took.
    unreported: u64,
}

impl Queue {
    /// Adds a line, or drops it if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > MOST_BYTES {
            state.dropped += 1;
            state.unreported += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        self.changed.notify_all();
    }

    /// Number of lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    /// Adds the last lines of the program, even to a full queue, and waits until everything is written. Returns whether
    /// that happened.
    ///
    /// A write may take `within`. On a busy machine it can take longer until the writer runs; this wait is limited,
    /// too.
    pub(super) fn finish(&self, last: &[u8], within: Duration) -> bool {
        const ROUNDS: usize = 10;
        let mut state = self.state.lock();
        state.lines.extend_from_slice(last);
        self.changed.notify_all();
        let is_pending = |state: &mut State| state.writing || !state.lines.is_empty();
        for _ in 0..ROUNDS {
            if !self.changed.wait_while_for(&mut state, is_pending, within).timed_out() {
                return true;
            }
            if state.writing {
                break;
            }
        }
        false
    }

    /// Writes lines as they are added, forever.
    pub(super) fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let dropped = self.take(&mut batch);
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                self.count_unwritten(&batch);
            }
            if dropped > 0 {
                warn!(lines = dropped, "{dropped} log lines were dropped, because standard error was not read");
            }
        }
    }

    /// Waits for lines and exchanges them for the written ones. Returns how many were dropped since the last time.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        batch.clear();
        batch.shrink_to(KEPT_BYTES);
        let mut state = self.state.lock();
        state.writing = false;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.lines.is_empty());
        state.writing = true;
        mem::swap(&mut state.lines, batch);
        mem::take(&mut state.unreported)
    }

    /// Counts lines that standard error did not accept, for example because it is closed. They are not reported in the
    /// log, because that line would not be accepted either.
    fn count_unwritten(&self, batch: &[u8]) {
        let lines = memchr_iter(b'\n', batch).count();
        self.state.lock().dropped += lines as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc, thread};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Standard error with a reader that reads only on command.
    #[derive(Clone, Default)]
    struct Pipe(Arc<(Mutex<PipeState>, Condvar)>);

    #[derive(Default)]
    struct PipeState {
        is_read: bool,
        text: Vec<u8>,
    }

    impl Pipe {
        fn read(&self, is_read: bool) {
            self.0.0.lock().is_read = is_read;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().text.clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock();
            self.0.1.wait_while(&mut state, |state| !state.is_read);
            state.text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue with a thread that writes to `out` until the test program ends.
    fn queue(out: impl Write + Send + 'static) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        thread::spawn(move || writer.write_to(out));
        queue
    }

    #[test]
    fn lines_are_written_in_their_order_and_the_last_words_last() {
        let pipe = Pipe::default();
        pipe.read(true);
        let queue = queue(pipe.clone());
        let lines: Vec<String> = (0..10_000).map(|n| format!("line {n}\n")).collect();
        for line in &lines {
            queue.push(line.as_bytes());
        }
        assert!(queue.finish(b"the end\n", LONG));
        assert_eq!(queue.dropped(), 0);
        assert_eq!(pipe.text(), format!("{}the end\n", lines.concat()));
    }

    #[test]
    fn an_unread_pipe_costs_lines_but_neither_time_nor_memory() {
        let pipe = Pipe::default();
        let queue = queue(pipe.clone());
        let line = [&[b'x'; 99][..], b"\n"].concat();
        for _ in 0..100_000 {
            queue.push(&line);
        }
        assert!(queue.dropped() >= 70_000, "{} of 100,000 lines were dropped", queue.dropped());
        assert!(queue.state.lock().lines.capacity() <= 2 * MOST_BYTES);
        assert!(!queue.finish(b"the end\n", Duration::from_millis(50)), "nothing was written");
        pipe.read(true);
        assert!(queue.finish(b"", LONG));
        let written = pipe.text();
        assert!(written.ends_with("x\nthe end\n"), "the last words were added to a full queue");
        assert_eq!(written.lines().count() as u64, 100_001 - queue.dropped());
    }

    /// Several threads log at once into a pipe that is read, then not, then again. Every line is written once, in the
    /// order of its thread, or counted as dropped.
    #[test]
    fn lines_of_many_threads_are_written_or_counted_whatever_the_schedule() {
        const THREADS: usize = 8;
        const LINES: usize = 20_000;
        let pipe = Pipe::default();
        let queue = queue(pipe.clone());
        thread::scope(|scope| {
            for number in 0..THREADS {
                let queue = &queue;
                scope.spawn(move || (0..LINES).for_each(|line| queue.push(format!("{number} {line}\n").as_bytes())));
            }
            let (queue, pipe) = (&queue, &pipe);
            scope.spawn(move || {
                for _ in 0..100 {
                    pipe.read(true);
                    queue.finish(b"", Duration::from_micros(200));
                    pipe.read(false);
                    thread::yield_now();
                }
                pipe.read(true);
            });
        });
        assert!(queue.finish(b"", LONG));
        let text = pipe.text();
        let mut last = [None; THREADS];
        for line in text.lines() {
            let (thread, number) = line.split_once(' ').unwrap();
            let (thread, number): (usize, usize) = (thread.parse().unwrap(), number.parse().unwrap());
            assert!(last[thread].replace(number).is_none_or(|last| last < number), "{line} after {last:?}");
        }
        assert_eq!(text.lines().count() as u64 + queue.dropped(), (THREADS * LINES) as u64);
    }

    #[test]
    fn lines_for_a_closed_standard_error_are_counted() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = queue(Closed);
        queue.push(b"one\n");
        queue.push(b"two\n");
        assert!(queue.finish(b"three\n", LONG));
        assert_eq!(queue.dropped(), 3);
    }
}
