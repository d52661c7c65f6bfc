//! Which clients are let in: all, or those that prove with a certificate of their own who they are.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::debug;

use super::{certificate::Parsed, error::TlsError, pem::Roots};
use crate::text::shown;

/// The certificates that are asked of clients.
#[derive(Debug, Clone, Default)]
pub enum Clients {
    /// None is asked for.
    #[default]
    All,
    /// None is needed; one that is sent must be signed by one of `roots`.
    VerifiedIfGiven { roots: Roots },
    /// One that is signed by one of `roots` and has one of `names`, if there are any.
    Verified { roots: Roots, names: Vec<String> },
}

impl Clients {
    pub(super) fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let builder = |roots: &Roots| WebPkiClientVerifier::builder_with_provider(roots.store(), provider);
        let built = match self {
            Self::All => return Ok(None),
            Self::VerifiedIfGiven { roots } => builder(roots).allow_unauthenticated().build(),
            Self::Verified { roots, .. } => builder(roots).build(),
        };
        let verifier = built.map_err(|_| TlsError::UnusableRoots)?;
        Ok(Some(match self {
            Self::Verified { names, .. } if !names.is_empty() => {
                Arc::new(Named { signed: verifier, names: names.clone() })
            }
            _ => verifier,
        }))
    }
}

/// Asks for a name beside the signature.
#[derive(Debug)]
struct Named {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed.verify_client_cert(end_entity, intermediates, now)?;
        let names = Parsed::from_der(end_entity).map(|certificate| certificate.names()).unwrap_or_default();
        if names.iter().any(|name| self.names.contains(name)) {
            return Ok(verified);
        }
        debug!(
            "a client shows a certificate for `{}`, which is none of client_allowed_sans",
            shown(&names.join("`, `"))
        );
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
