//! Whether a running exporter answers, for a container whose image has no other program to ask with.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use web_toolkit::server::ListenAddress;

/// Less than a container engine usually allows.
const PATIENCE: Duration = Duration::from_secs(4);

const QUESTION: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The longest beginning of an answer that is looked at.
const LONGEST: u64 = 64;

/// Asks the exporter that listens on `address` on this machine.
///
/// # Errors
/// Nobody answers in time, or not as an exporter that serves.
pub(super) async fn ask(address: Option<&ListenAddress>) -> anyhow::Result<()> {
    let address = address.context("the exporter listens nowhere")?;
    let answer = timeout(PATIENCE, exchange(address)).await;
    let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let answer = answer.with_context(|| format!("no exporter answers on {address}"))?;
    if !serves(&answer) {
        bail!(
            "what answers on {address} is no exporter that serves: {}",
            String::from_utf8_lossy(&answer).escape_debug()
        );
    }
    Ok(())
}

async fn exchange(address: &ListenAddress) -> io::Result<Vec<u8>> {
    let addresses: Vec<SocketAddr> = address.resolve_local_destinations()?;
    let mut stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.write_all(QUESTION).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// An exporter that wants a password says 401, one that is asked too often 429, and one that speaks TLS answers plain text with 400: all
/// of them serve.
fn serves(answer: &[u8]) -> bool {
    const STATUSES: [&[u8]; 4] = [b"200 ", b"400 ", b"401 ", b"429 "];
    answer.strip_prefix(b"HTTP/1.1 ").is_some_and(|rest| STATUSES.iter().any(|status| rest.starts_with(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answers_of_an_exporter_that_serves_count() {
        for (answer, counts) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], true),
            (b"HTTP/1.1 401 Unauthorized\r\n", true),
            (b"HTTP/1.1 400 Bad Request\r\n", true),
            (b"HTTP/1.1 429 Too Many Requests\r\n", true),
            (b"HTTP/1.1 2000 OK\r\n", false),
            (b"HTTP/1.1 2", false),
            (b"HTTP/1.1 503 Service Unavailable\r\n", false),
            (b"HTTP/1.1 404 Not Found\r\n", false),
            (b"SSH-2.0-OpenSSH_9.2\r\n", false),
            (b"", false),
        ] {
            assert_eq!(serves(answer), counts, "{:?}", String::from_utf8_lossy(answer));
        }
    }
}
