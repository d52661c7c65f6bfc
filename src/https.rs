//! What all HTTPS clients of this program share: roots of trust, cryptography, base URLs, and the reasons of failures.

mod failure;
mod url;

use std::{env, ffi::OsStr, path::Path};

use reqwest::{Certificate, ClientBuilder, redirect};
use thiserror::Error;
use web_toolkit::file::{self, FileError};

pub use self::{
    failure::{classify_error, describe_error, describe_timeout, server_of},
    url::{ApiUrl, ApiUrlError},
};

/// Maximum size of `SSL_CERT_FILE` in bytes. The bundle of a Linux distribution has 0.3 MB.
const MAX_CERT_FILE_SIZE: u64 = 8 << 20;

/// The HTTP client cannot be created.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error("cannot set up TLS: {}", failure::innermost(.0))]
    Tls(reqwest::Error),
    #[error("SSL_CERT_FILE {0}")]
    CertFile(FileError),
}

/// A client that follows no redirect, because that would carry secrets to another server. With `is_loopback`, proxies
/// of the environment are ignored.
pub fn builder(is_loopback: bool) -> ClientBuilder {
    // An error means that another client was first, with the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("magic-tunnel-exporter/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none());
    if is_loopback { builder.no_proxy() } else { builder }
}

/// Builds a client that trusts the roots of the system, and reads proxies (`HTTPS_PROXY`, `NO_PROXY`) and extra CA
/// certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`) from the environment. Blocks.
///
/// # Errors
/// TLS cannot be set up.
pub fn build(configured: impl Fn() -> ClientBuilder) -> Result<reqwest::Client, SetupError> {
    check_cert_file(env::var_os("SSL_CERT_FILE").as_deref())?;
    let with_system_roots = configured().build();
    // An image without a CA store gets the roots that were compiled in.
    with_system_roots.or_else(|_| configured().tls_certs_only(bundled_roots()).build()).map_err(SetupError::Tls)
}

/// Checks that `SSL_CERT_FILE` ends, because it is read to its end. A file that cannot be read is ignored.
fn check_cert_file(path: Option<&OsStr>) -> Result<(), SetupError> {
    match path.map(|path| file::read(Path::new(path), MAX_CERT_FILE_SIZE)) {
        Some(Err(error @ (FileError::TooLarge { .. } | FileError::NotRegular))) => Err(SetupError::CertFile(error)),
        _ => Ok(()),
    }
}

fn bundled_roots() -> Vec<Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
}
