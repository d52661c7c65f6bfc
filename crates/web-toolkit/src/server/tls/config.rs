//! A complete TLS configuration, whose parts fit together.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, crypto::aws_lc_rs};

use super::{
    certificate::Validity,
    clients::Clients,
    error::TlsError,
    pem::{Chain, Key},
    version::Version,
};

/// The versions of TLS that are accepted.
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

/// All that a handshake needs.
#[derive(Clone)]
pub struct TlsConfig {
    pub(super) rustls: Arc<ServerConfig>,
    validity: Validity,
    clients: Clients,
}

impl TlsConfig {
    pub fn new(chain: &Chain, key: &Key, protocol: Protocol, clients: Clients) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: Vec<&SupportedProtocolVersion> = Version::ALL
            .into_iter()
            .filter(|v| (protocol.oldest..=protocol.newest).contains(v))
            .map(Version::rustls)
            .collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| TlsError::NothingLeft)?;
        let signing = provider.key_provider.load_private_key(key.der()).map_err(|_| TlsError::UnusableKey)?;
        if signing.public_key().is_some_and(|public| public.as_ref() != chain.public_key()) {
            return Err(TlsError::OtherKey);
        }
        let builder = match clients.verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut rustls =
            builder.with_single_cert(chain.certificates(), key.der()).map_err(|_| TlsError::UnusableKey)?;
        // A client that requires HTTP/2 is refused in the handshake, before it sends a request.
        rustls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { rustls: Arc::new(rustls), validity: chain.validity(), clients })
    }

    /// The validity of the server's certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub fn clients(&self) -> &Clients {
        &self.clients
    }
}

/// The key is inside.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("validity", &self.validity)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
