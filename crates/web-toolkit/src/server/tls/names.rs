//! Versions, cipher suites and curves by their Go names, which the files of Prometheus use.

use std::str::FromStr;

use tokio_rustls::rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{SupportedKxGroup, ring},
    version::{TLS12, TLS13},
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
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(NameError::BrokenVersion),
            _ => Err(NameError::UnknownVersion),
        }
    }
}

/// A cipher suite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suite(SupportedCipherSuite);

impl FromStr for Suite {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let named = |suite: &&SupportedCipherSuite| go_name(suite) == text;
        ring::DEFAULT_CIPHER_SUITES.iter().find(named).copied().map(Self).ok_or(NameError::Suite)
    }
}

/// `wanted` of TLS 1.2 in its order, behind all of TLS 1.3 in `known`: as in Go, those cannot be chosen.
pub(super) fn suites(wanted: &[Suite], known: &[SupportedCipherSuite]) -> Vec<SupportedCipherSuite> {
    let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let of_13 = known.iter().copied().filter(is_13);
    of_13.chain(wanted.iter().map(|suite| suite.0).filter(|suite| !is_13(suite))).collect()
}

/// rustls marks the suites of TLS 1.3 in their names, Go and the standard do not.
fn go_name(suite: &SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// A group for the exchange of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    X25519,
    /// Hybrid of X25519 and ML-KEM 768. Accepted in files; the handshake offers X25519 only.
    X25519MlKem768,
}

impl Curve {
    pub(super) fn rustls(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::P256 => ring::kx_group::SECP256R1,
            Self::P384 => ring::kx_group::SECP384R1,
            // ring has no ML-KEM, so a file that names the hybrid group gets its classical half.
            Self::X25519 | Self::X25519MlKem768 => ring::kx_group::X25519,
        }
    }
}

impl FromStr for Curve {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "CurveP256" => Ok(Self::P256),
            "CurveP384" => Ok(Self::P384),
            "X25519" => Ok(Self::X25519),
            "X25519MLKEM768" => Ok(Self::X25519MlKem768),
            _ => Err(NameError::Curve),
        }
    }
}

/// A name that is unknown or not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must be TLS12 or TLS13; older versions are insecure and not supported")]
    BrokenVersion,
    #[error("must be TLS12 or TLS13")]
    UnknownVersion,
    #[error(
        "must be a suite with ECDHE and AES-GCM or ChaCha20, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; weaker suites are not supported"
    )]
    Suite,
    #[error("must be one of CurveP256, CurveP384, X25519, X25519MLKEM768")]
    Curve,
}
