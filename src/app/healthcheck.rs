//! Asks a running exporter on this machine for its health. The command `healthcheck` exists because a container image
//! may contain no other HTTP client; `check` recognizes a running exporter.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use web_toolkit::server::ListenAddress;

/// Maximum time for the request. Container engines usually allow more.
const TIMEOUT: Duration = Duration::from_secs(4);

const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Number of bytes of the response that are read.
const MAX_BYTES: u64 = 4096;

/// Number of bytes of an unexpected response that are shown.
const SHOWN_BYTES: usize = 64;

/// Texts that only this program answers with: the health, the realm of its passwords, and the port of its TLS.
const OWN_TEXTS: [&str; 3] = [
    "healthy: the process serves requests",
    "Basic realm=\"magic-tunnel-exporter\"",
    "this port requires HTTPS; use an",
];

/// Sends a request to the exporter that listens on `address` on this machine.
///
/// # Errors
/// The response does not arrive in time, or is not from a working exporter.
pub async fn request_health(address: Option<&ListenAddress>) -> anyhow::Result<()> {
    let address = address.context("no listen address is configured")?;
    let response = ask(address).await.with_context(|| format!("no exporter answers on {address}"))?;
    if !is_healthy(&response) {
        let response = String::from_utf8_lossy(&response[..response.len().min(SHOWN_BYTES)]);
        bail!("unexpected response on {address}, expected a working exporter: {}", response.escape_debug());
    }
    Ok(())
}

/// Whether this program already listens on `address`.
pub(super) async fn is_running(address: &ListenAddress) -> bool {
    ask(address).await.is_ok_and(|response| is_own(&response))
}

async fn ask(address: &ListenAddress) -> io::Result<Vec<u8>> {
    timeout(TIMEOUT, exchange(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(address: &ListenAddress) -> io::Result<Vec<u8>> {
    let addresses: Vec<SocketAddr> = address.resolve_local_destinations()?;
    let mut stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.write_all(REQUEST).await?;
    let mut response = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut response).await?;
    Ok(response)
}

/// A working exporter can also answer with 401 (it requires a password), 429 (rate limit) or 400 (it requires TLS).
fn is_healthy(response: &[u8]) -> bool {
    const STATUSES: [&[u8]; 4] = [b"200 ", b"400 ", b"401 ", b"429 "];
    response.strip_prefix(b"HTTP/1.1 ").is_some_and(|rest| STATUSES.iter().any(|status| rest.starts_with(status)))
}

/// Whether the response is from this program, healthy or not.
fn is_own(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    OWN_TEXTS.iter().any(|own| text.contains(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_responses_of_a_working_exporter_are_healthy() {
        for (response, healthy) in [
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
            assert_eq!(is_healthy(response), healthy, "{:?}", String::from_utf8_lossy(response));
        }
    }

    #[test]
    fn another_program_on_the_port_is_not_taken_for_an_exporter() {
        for (response, own) in [
            ("HTTP/1.1 200 OK\r\n\r\nhealthy: the process serves requests\n", true),
            ("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"magic-tunnel-exporter\"\r\n", true),
            ("HTTP/1.1 400 Bad Request\r\n\r\nthis port requires HTTPS; use an https:// URL\n", true),
            ("HTTP/1.1 200 OK\r\n\r\nhealthy\n", false),
            ("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"router\"\r\n", false),
            ("SSH-2.0-OpenSSH_9.2\r\n", false),
        ] {
            assert_eq!(is_own(response.as_bytes()), own, "{response}");
        }
    }
}
