//! Client certificates: whether they are required, and how they are verified.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::debug;

use super::certificate::{Roots, TlsError, read_alternative_names};
use crate::text::shown;

/// The certificates that clients must present.
#[derive(Debug, Clone, Default)]
pub enum Clients {
    /// None is requested.
    #[default]
    All,
    /// Optional; a certificate that is sent must be signed by one of `roots`.
    VerifiedIfGiven { roots: Roots },
    /// Required, of any issuer, with one of `names` unless that list is empty. A client can sign it itself.
    Unverified { names: Vec<String> },
    /// Required, signed by one of `roots`, with one of `names` unless that list is empty. Without `roots`, every
    /// certificate is refused.
    Verified { roots: Option<Roots>, names: Vec<String> },
}

impl Clients {
    /// Whether a CA has signed every certificate that is accepted, so that its names can be trusted.
    pub fn are_verified(&self) -> bool {
        matches!(self, Self::VerifiedIfGiven { .. } | Self::Verified { .. })
    }

    pub(super) fn build_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let by_roots =
            |roots: &Roots| WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.0), Arc::clone(provider));
        let by_itself =
            |accepts| Arc::new(IssuerBlind { accepts, algorithms: provider.signature_verification_algorithms });
        let built = match self {
            Self::All => return Ok(None),
            Self::VerifiedIfGiven { roots } => by_roots(roots).allow_unauthenticated().build(),
            Self::Verified { roots: Some(roots), .. } => by_roots(roots).build(),
            Self::Verified { roots: None, .. } => Ok(by_itself(false) as _),
            Self::Unverified { .. } => Ok(by_itself(true) as _),
        };
        let verifier = built.map_err(|_| TlsError::UnusableRoots)?;
        Ok(Some(match self {
            Self::Verified { names, .. } | Self::Unverified { names } if !names.is_empty() => {
                Arc::new(NameVerifier { signature: verifier, allowed: names.clone() })
            }
            _ => verifier,
        }))
    }
}

/// Requires a certificate, accepts or refuses all of them, and verifies that the client has the private key.
#[derive(Debug)]
struct IssuerBlind {
    accepts: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for IssuerBlind {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.accepts { Ok(ClientCertVerified::assertion()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Requires one of the allowed names in addition to a valid signature.
#[derive(Debug)]
struct NameVerifier {
    signature: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for NameVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signature.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signature.verify_client_cert(end_entity, intermediates, now)?;
        let names = read_alternative_names(end_entity);
        if names.iter().any(|name| self.allowed.contains(name)) {
            return Ok(verified);
        }
        debug!("refused the certificate of a client: `{}` not in client_allowed_sans", shown(&names.join("`, `")));
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signature.supported_verify_schemes()
    }
}
