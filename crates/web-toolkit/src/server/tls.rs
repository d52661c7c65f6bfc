//! TLS for our own pages: a certificate, the versions and suites that are spoken, and the clients that are let in.
//!
//! A [`TlsConfig`] that exists can be served: everything in it was parsed and fits together when it was made. The configuration brings
//! the material ([`Chain`], [`Key`], [`Roots`]) and the names of versions, suites and curves; [`Encryption`] is the handshake that uses
//! the newest configuration for each connection. The only place that knows rustls.

mod certificate;
mod clients;
mod config;
mod error;
mod handshake;
mod names;
mod pem;

pub use self::{
    certificate::Validity,
    clients::Clients,
    config::{Protocol, TlsConfig},
    error::TlsError,
    handshake::{Encryption, Stream},
    names::{Curve, NameError, Suite, Version},
    pem::{Chain, Key, PemError, Roots},
};

#[cfg(test)]
mod tests;
