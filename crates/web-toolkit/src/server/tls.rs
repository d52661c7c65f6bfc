//! TLS of the server: its certificate, the protocol versions, and client certificates.
//!
//! A [`TlsConfig`] is parsed and checked when it is created, so it can always be served. The web configuration file
//! supplies its parts ([`Chain`], [`PrivateKey`], [`Roots`], [`Version`], [`Clients`]). [`Encryption`] applies the
//! newest configuration to each new connection. Only this module depends on rustls.

mod certificate;
mod clients;

use std::{fmt, future, io, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        HandshakeKind, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, UnixTime},
        server::danger::ClientCertVerifier,
        version::{TLS12, TLS13},
    },
};

use crate::clock;

use self::certificate::read_alternative_names;
pub use self::{
    certificate::{Chain, PemError, PrivateKey, Roots, TlsError, Validity},
    clients::Clients,
};

/// A TCP or TLS connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An established connection.
pub(super) struct Established {
    pub(super) stream: Box<dyn Stream>,
    pub(super) proof: Proof,
    /// Names in the client's certificate, if a CA signed it.
    pub(super) names: Arc<[String]>,
}

/// What a client proved in the handshake.
#[derive(Debug)]
pub(super) enum Proof {
    Cleartext,
    /// The certificates that the client presented, its own first; empty if it presented none.
    Certificates(Vec<CertificateDer<'static>>),
}

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
    pub(super) async fn handshake(&self, mut tcp: TcpStream) -> io::Result<Established> {
        let config = self.0.borrow().clone();
        let Some(config) = config else {
            return Ok(Established { stream: Box::new(tcp), proof: Proof::Cleartext, names: Arc::default() });
        };
        if is_http(&tcp).await? {
            return Err(refuse_http(&mut tcp).await);
        }
        let stream = TlsAcceptor::from(Arc::clone(&config.rustls)).accept(tcp).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let names = certificates.first().filter(|_| config.clients.are_verified());
        let names = names.map_or_else(Arc::default, |own| read_alternative_names(own).into());
        let proof = Proof::Certificates(certificates.iter().cloned().map(CertificateDer::into_owned).collect());
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        // The ticket of a session is valid for hours, in which the certificate of the client can expire.
        if is_resumed && !config.admits(&proof) {
            let reason = "the client resumed a session, and its certificate is no longer accepted";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Established { stream: Box::new(stream), proof, names })
    }

    /// Returns when the configuration no longer admits a client with this proof: its certificate or its names were
    /// withdrawn, or cleartext was.
    pub(super) async fn withdrawn(&self, proof: &Proof) {
        let mut config = self.0.clone();
        let admits = |config: &Option<Arc<TlsConfig>>| config.as_ref().is_none_or(|config| config.admits(proof));
        if config.wait_for(|config| !admits(config)).await.is_err() {
            // The configuration cannot change any more.
            future::pending::<()>().await;
        }
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

/// A supported version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err("must be TLS12 or TLS13; older versions are insecure and not supported"),
            _ => Err("must be TLS12 or TLS13"),
        }
    }
}

/// Everything that a handshake needs. Cheap to clone.
#[derive(Clone)]
pub struct TlsConfig {
    rustls: Arc<ServerConfig>,
    /// `None` if no client is asked for a certificate.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    validity: Validity,
    clients: Clients,
}

impl TlsConfig {
    /// Accepts `versions` of all clients.
    pub fn new(
        chain: &Chain,
        key: &PrivateKey,
        versions: &RangeInclusive<Version>,
        clients: Clients,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let supported = [(Version::Tls12, &TLS12), (Version::Tls13, &TLS13)].into_iter();
        let enabled = supported.filter(|(version, _)| versions.contains(version));
        let versions: Vec<_> = enabled.map(|(_, version)| version).collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| TlsError::NoVersion)?;
        let signing = provider.key_provider.load_private_key(key.der()).map_err(|_| TlsError::UnusableKey)?;
        if signing.public_key().is_some_and(|public| public.as_ref() != chain.public_key) {
            return Err(TlsError::OtherKey);
        }
        let verifier = clients.build_verifier(&provider)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut rustls =
            builder.with_single_cert(chain.certificates.clone(), key.der()).map_err(|_| TlsError::UnusableKey)?;
        // A client that requires HTTP/2 is refused in the handshake, before it sends a request.
        rustls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets instead of sessions at the server, which would forget those of all but 256 clients. Without random
        // numbers for their keys, the sessions stay at the server. A new configuration has new keys.
        if let Ok(ticketer) = ring::Ticketer::new() {
            rustls.ticketer = ticketer;
        }
        Ok(Self { rustls: Arc::new(rustls), verifier, validity: chain.validity, clients })
    }

    fn admits(&self, proof: &Proof) -> bool {
        let (Proof::Certificates(certificates), Some(verifier)) = (proof, &self.verifier) else {
            return matches!(proof, Proof::Certificates(_));
        };
        let Some((own, intermediates)) = certificates.split_first() else { return !verifier.client_auth_mandatory() };
        let seconds = u64::try_from(clock::now().wall.as_second()).unwrap_or_default();
        verifier
            .verify_client_cert(own, intermediates, UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
            .is_ok()
    }

    /// The validity period of the server's certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub fn clients(&self) -> &Clients {
        &self.clients
    }
}

/// Leaves out `rustls`, which contains the private key.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("validity", &self.validity)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
