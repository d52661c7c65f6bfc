//! TLS of the server: its certificate, the protocol versions, and client certificates.
//!
//! A [`TlsConfig`] is parsed and checked when it is created, so it can always be served. The web configuration file
//! supplies its parts ([`Chain`], [`PrivateKey`], [`Roots`], [`Protocol`], [`Clients`]). [`Encryption`] applies the
//! newest configuration to each new connection. Only this module depends on rustls.

mod certificate;
mod clients;
mod config;

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

pub use self::{
    certificate::{Chain, PemError, PrivateKey, Roots, TlsError, Validity},
    clients::Clients,
    config::{Protocol, TlsConfig, Version, VersionError},
};

/// A TCP or TLS connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// TLS with the newest configuration, or cleartext while there is none. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Encryption(watch::Receiver<Option<Arc<TlsConfig>>>);

impl Encryption {
    pub fn new(config: watch::Receiver<Option<Arc<TlsConfig>>>) -> Self {
        Self(config)
    }

    /// Always cleartext.
    pub fn off() -> Self {
        Self(watch::channel(None).1)
    }

    /// # Errors
    /// The connection must be closed; the error is for the log.
    pub(super) async fn handshake(&self, mut tcp: TcpStream) -> io::Result<Box<dyn Stream>> {
        let config = self.0.borrow().clone();
        let Some(config) = config else { return Ok(Box::new(tcp)) };
        if is_http(&tcp).await? {
            return Err(refuse_http(&mut tcp).await);
        }
        Ok(Box::new(TlsAcceptor::from(Arc::clone(&config.rustls)).accept(tcp).await?))
    }
}

/// An HTTP request begins with a capital letter, a TLS handshake with the byte 22.
async fn is_http(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let seen = tcp.peek(&mut first).await?;
    Ok(seen == 1 && first[0].is_ascii_uppercase())
}

/// Answers in cleartext, so that the operator of a misconfigured scrape sees a status instead of a TLS error.
async fn refuse_http(tcp: &mut TcpStream) -> io::Error {
    const BODY: &str = "this port requires HTTPS; use an https:// URL\n";
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    // Closing a socket with unread bytes would reset it and drop the response, so the request is read first. Errors do
    // not matter, because the connection is closed anyway.
    let _ = tcp.read(&mut [0; 4096]).await;
    let _ = tcp.write_all(response.as_bytes()).await;
    let _ = tcp.shutdown().await;
    io::Error::new(io::ErrorKind::InvalidData, "the client sent an HTTP request to an HTTPS port")
}

#[cfg(test)]
mod tests;
