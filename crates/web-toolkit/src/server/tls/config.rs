//! A complete TLS configuration of the server.

use std::{fmt, str::FromStr, sync::Arc};

use tokio_rustls::rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    version::{TLS12, TLS13},
};

use super::{
    certificate::{Chain, PrivateKey, TlsError, Validity},
    clients::Clients,
};

/// A supported version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(super) const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    pub(super) fn rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &TLS12,
            Self::Tls13 => &TLS13,
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(VersionError::Broken),
            _ => Err(VersionError::Unknown),
        }
    }
}

/// A name that is not a version we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("must be TLS12 or TLS13; older versions are insecure and not supported")]
    Broken,
    #[error("must be TLS12 or TLS13")]
    Unknown,
}

/// The accepted versions of TLS, the same for all clients.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    pub oldest: Version,
    pub newest: Version,
}

impl Default for Protocol {
    fn default() -> Self {
        Self { oldest: Version::Tls12, newest: Version::Tls13 }
    }
}

/// Everything that a handshake needs. Cheap to clone.
#[derive(Clone)]
pub struct TlsConfig {
    pub(super) rustls: Arc<ServerConfig>,
    validity: Validity,
    clients: Clients,
}

impl TlsConfig {
    pub fn new(chain: &Chain, key: &PrivateKey, protocol: Protocol, clients: Clients) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let enabled = Version::ALL.into_iter().filter(|v| (protocol.oldest..=protocol.newest).contains(v));
        let versions: Vec<&SupportedProtocolVersion> = enabled.map(Version::rustls).collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| TlsError::NoVersion)?;
        let signing = provider.key_provider.load_private_key(key.der()).map_err(|_| TlsError::UnusableKey)?;
        if signing.public_key().is_some_and(|public| public.as_ref() != chain.public_key) {
            return Err(TlsError::OtherKey);
        }
        let builder = match clients.build_verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut rustls =
            builder.with_single_cert(chain.certificates.clone(), key.der()).map_err(|_| TlsError::UnusableKey)?;
        // A client that requires HTTP/2 is refused in the handshake, before it sends a request.
        rustls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { rustls: Arc::new(rustls), validity: chain.validity, clients })
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
