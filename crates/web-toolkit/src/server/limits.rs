//! The limits that keep clients from using up the server.

use std::time::Duration;

/// What clients may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time, over all listen addresses. One more waits in the accept queue until another ends.
    pub connections: usize,
    /// From the first byte of a request's head to its last; for a new connection from the accept (a TLS handshake
    /// included) on.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests. It must be longer than the longest usual scrape interval,
    /// or every scrape pays for a new connection.
    pub idle_timeout: Duration,
    /// How long a client may take none of an answer that waits for it.
    pub write_timeout: Duration,
    /// Request line and headers together; more is answered with 431. At least 8 KiB, hyper's own minimum.
    pub header_bytes: usize,
    /// After `stop`: how long requests in flight may take to finish.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(150),
            write_timeout: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            grace: Duration::from_millis(1500),
        }
    }
}
