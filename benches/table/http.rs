//! A small HTTP client: one request, one connection, and when the first byte came.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use web_toolkit::clock;

use super::Result;

/// What came, with its head, and after how long it began to come.
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

/// A page, as text.
pub(crate) fn text(address: SocketAddr, path: &str) -> Result<String> {
    Ok(String::from_utf8(get(address, path, "")?.bytes)?)
}

/// Where nobody listens.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The sum over all series of a metric whose labels contain `label`.
pub(crate) fn sum(page: &str, name: &str, label: &str) -> f64 {
    let samples = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
