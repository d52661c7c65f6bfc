//! A minimal HTTP client: one request per connection, with the time to the first byte.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use web_toolkit::clock;

use super::Result;

/// A response including its head, and the time to its first byte.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) first_byte: Duration,
}

pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let began = clock::now();
    write!(stream, "GET {path} HTTP/1.0\r\n{headers}\r\n")?;
    let mut bytes = vec![0; 1];
    stream.read_exact(&mut bytes)?;
    let first_byte = clock::now().since(began);
    stream.read_to_end(&mut bytes)?;
    Ok(Reply { bytes, first_byte })
}

/// Returns a page as text.
pub(crate) fn text(address: SocketAddr, path: &str) -> Result<String> {
    Ok(String::from_utf8(get(address, path, "")?.bytes)?)
}

/// An unused loopback address.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Sums all series of a metric that contain `label` in their line.
pub(crate) fn sum(page: &str, name: &str, label: &str) -> f64 {
    let samples = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
