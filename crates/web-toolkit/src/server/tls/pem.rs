//! Certificates and keys from PEM text, each parsed once.

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::certificate::{Parsed, Validity};

/// Text that does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("must hold a certificate in PEM, beginning with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    #[error("holds a certificate that cannot be read")]
    BrokenCertificate,
    #[error("must hold a private key in PEM, PKCS #8, PKCS #1 or SEC1, that is not encrypted")]
    NoKey,
}

/// The server's certificate and those that lead to its CA.
#[derive(Clone)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    public_key: Vec<u8>,
    validity: Validity,
}

impl Chain {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let certificates = certificates(pem)?;
        let first = certificates.first().ok_or(PemError::NoCertificate)?;
        let parsed = Parsed::from_der(first).ok_or(PemError::BrokenCertificate)?;
        Ok(Self { public_key: parsed.public_key(), validity: parsed.validity(), certificates })
    }

    pub(super) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.clone()
    }

    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(super) fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// A private key.
pub struct Key(PrivateKeyDer<'static>);

impl Key {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        PrivateKeyDer::from_pem_slice(pem).map(Self).map_err(|_| PemError::NoKey)
    }

    pub(super) fn der(&self) -> PrivateKeyDer<'static> {
        self.0.clone_key()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// CAs that sign the certificates of clients.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|_| PemError::BrokenCertificate)?;
        }
        Ok(Self(Arc::new(store)))
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| PemError::BrokenCertificate)?;
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}
