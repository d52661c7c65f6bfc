//! Certificates and keys: read from PEM, and the fields of a certificate that are used here.

use std::{fmt, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

/// The text is not the expected PEM. Each message continues a sentence that begins with the name of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("must contain a PEM certificate, beginning with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    #[error("contains a certificate that cannot be parsed")]
    BrokenCertificate,
    #[error("must contain an unencrypted PEM private key in PKCS #8, PKCS #1 or SEC1 format")]
    NoKey,
}

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// The server's certificate and the intermediate certificates between it and its CA.
#[derive(Clone)]
pub struct Chain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Public key with its algorithm, in DER.
    pub(super) public_key: Vec<u8>,
    pub(super) validity: Validity,
}

impl Chain {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let certificates = parse_certificates(pem)?;
        let first = certificates.first().ok_or(PemError::NoCertificate)?;
        let parsed = Certificate::from_der(first).map_err(|_| PemError::BrokenCertificate)?;
        let fields = parsed.tbs_certificate();
        let validity = Validity {
            not_before: to_timestamp(fields.validity().not_before),
            not_after: to_timestamp(fields.validity().not_after),
        };
        let public_key = fields.subject_public_key_info().to_der().map_err(|_| PemError::BrokenCertificate)?;
        Ok(Self { certificates, public_key, validity })
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// The private key of the server's certificate.
pub struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        PrivateKeyDer::from_pem_slice(pem).map(Self).map_err(|_| PemError::NoKey)
    }

    pub(super) fn der(&self) -> PrivateKeyDer<'static> {
        self.0.clone_key()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// The CAs that sign client certificates.
#[derive(Debug, Clone)]
pub struct Roots(pub(super) Arc<RootCertStore>);

impl Roots {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        for certificate in parse_certificates(pem)? {
            store.add(certificate).map_err(|_| PemError::BrokenCertificate)?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// Returns at least one certificate.
fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| PemError::BrokenCertificate)?;
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}

/// Times beyond the range of [`Timestamp`] become its last second.
fn to_timestamp(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

/// The subject alternative names of a certificate: DNS names, IP addresses, e-mail addresses and URIs. Empty if there
/// are none or they cannot be parsed.
pub(super) fn read_alternative_names(der: &[u8]) -> Vec<String> {
    let certificate = Certificate::from_der(der).ok();
    let names = certificate.and_then(|c| c.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten());
    names.map_or_else(Vec::new, |(_, names)| names.0.iter().filter_map(format_name).collect())
}

fn format_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        GeneralName::IpAddress(octets) => parse_ip(octets.as_bytes()).map(|ip| ip.to_string()),
        _ => None,
    }
}

fn parse_ip(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

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
