//! A small HTTP/1.1 client that shows the whole answer. One connection for each request.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use flate2::read::GzDecoder;

/// Timeout of connecting and of each read.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer as received, except that the chunks of a body are joined.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// All values of a header, joined by commas; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    /// The body as text, decompressed according to `Content-Encoding`.
    pub(crate) fn text(&self) -> String {
        let mut body = Vec::new();
        match self.header("content-encoding").as_str() {
            "" => body.clone_from(&self.body),
            "gzip" => drop(GzDecoder::new(&*self.body).read_to_end(&mut body).expect("a gzip body")),
            other => panic!("content-encoding {other}"),
        }
        String::from_utf8(body).expect("a body of UTF-8 text")
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    request(address, "GET", path, &[])
}

/// The text of a page. Panics unless the status is 200.
pub(crate) fn text(address: SocketAddr, path: &str) -> String {
    let reply = get(address, path).unwrap_or_else(|e| panic!("GET {path} from {address}: {e}"));
    assert_eq!(reply.status, 200, "GET {path} from {address}: {}", reply.text());
    reply.text()
}

pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
    send(address, method, path, headers, "")
}

pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("{head}{length}\r\n{body}").as_bytes())?;
    let answer = read_answer(&mut stream, method)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("no HTTP answer: {}", String::from_utf8_lossy(&answer))))
}

/// Reads to the end of the answer: the end of the body if its length is known, otherwise the end of the connection.
fn read_answer(stream: &mut TcpStream, method: &str) -> io::Result<Vec<u8>> {
    let (mut answer, mut part) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..read]);
        if read == 0 || (method != "HEAD" && is_whole(&answer)) {
            return Ok(answer);
        }
    }
}

/// Whether the body is as long as `Content-Length`.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse::<usize>().ok()).is_some_and(|length| answer.len() >= end + 4 + length)
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (status_line, header_lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = header_lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: answer[end + 4..].to_vec() };
    if reply.header("transfer-encoding") == "chunked" {
        reply.body = unchunk(&reply.body)?;
    }
    Some(reply)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}
