//! Why parts that are right by themselves make no configuration.

/// Parts that cannot be served together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("does not belong to the certificate: the public keys differ")]
    OtherKey,
    #[error(
        "cannot be used: its kind of key is not supported; make an RSA (2048 bits or more), ECDSA P-256, P-384 or Ed25519 key"
    )]
    UnusableKey,
    #[error("holds a certificate that cannot be used as a CA")]
    UnusableRoots,
    #[error("leaves nothing that TLS could be spoken with")]
    NothingLeft,
}
