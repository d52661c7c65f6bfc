//! The handshake of one connection, by the configuration that is in force when it comes.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::config::TlsConfig;
use crate::server::handshake::Handshake;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// TLS as the newest configuration has it; HTTP in the clear while there is none.
#[derive(Debug, Clone)]
pub struct Encryption(watch::Receiver<Option<Arc<TlsConfig>>>);

impl Encryption {
    pub fn new(config: watch::Receiver<Option<Arc<TlsConfig>>>) -> Self {
        Self(config)
    }
}

impl Handshake for Encryption {
    type Stream = Box<dyn Stream>;

    async fn handshake(&self, mut tcp: TcpStream) -> io::Result<Self::Stream> {
        let config = self.0.borrow().clone();
        let Some(config) = config else { return Ok(Box::new(tcp)) };
        if speaks_http(&tcp).await? {
            return Err(refuse_http(&mut tcp).await);
        }
        let stream = TlsAcceptor::from(Arc::clone(&config.rustls)).accept(tcp).await?;
        Ok(Box::new(stream))
    }
}

/// A method begins with a capital letter, a TLS handshake with the byte 22.
async fn speaks_http(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let seen = tcp.peek(&mut first).await?;
    Ok(seen == 1 && first[0].is_ascii_uppercase())
}

/// Says what is wrong in the client's own language; a scrape then fails with a status that its operator can read.
async fn refuse_http(tcp: &mut TcpStream) -> io::Error {
    const ANSWER: &[u8] =
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 44\r\n\
        Connection: close\r\n\r\nThis port speaks HTTPS: use an https:// URL\n";
    // What was sent is taken first: closing with bytes unread would cut the answer off. Errors change nothing, the connection ends.
    let _ = tcp.read(&mut [0; 4096]).await;
    let _ = tcp.write_all(ANSWER).await;
    let _ = tcp.shutdown().await;
    io::Error::new(io::ErrorKind::InvalidData, "the client speaks HTTP where HTTPS is served")
}
