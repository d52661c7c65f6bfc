//! A complete TLS configuration of the server.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, crypto::ring};

use super::{
    certificate::{Chain, PrivateKey, Validity},
    clients::Clients,
    version::Version,
};

/// Individually valid settings that do not fit together. Each message continues a sentence that begins with the name of
/// the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("does not belong to the certificate: the public keys differ")]
    OtherKey,
    #[error("has an unsupported key type; use an RSA key (2048 bits or more), ECDSA P-256, ECDSA P-384 or Ed25519")]
    UnusableKey,
    #[error("contains a certificate that cannot be used as a CA")]
    UnusableRoots,
    #[error("leaves no protocol version")]
    NoVersion,
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
