//! TLS for our own pages: a certificate, the protocol versions, and the client certificates that are accepted.
//!
//! A [`TlsConfig`] is valid once it is created: all of its parts were parsed and fit together. The configuration provides
//! the material ([`Chain`], [`Key`], [`Roots`]) and the versions; [`Encryption`] performs the handshake of each connection
//! with the newest configuration. This is the only module that uses rustls.

mod certificate;
mod clients;
mod config;
mod error;
mod handshake;
mod pem;
mod version;

pub use self::{
    certificate::Validity,
    clients::Clients,
    config::{Protocol, TlsConfig},
    error::TlsError,
    handshake::{Encryption, Stream},
    pem::{Chain, Key, PemError, Roots},
    version::{Version, VersionError},
};

#[cfg(test)]
mod tests;
