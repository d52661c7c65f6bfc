//! The client of Cloudflare's API: asks for the tunnels of an account, and bounds whatever comes back.
//!
//! Every request has a deadline, every body a cap, and no redirect is followed. What an answer says goes through [`decode`]; what goes
//! wrong becomes an [`ApiFailure`]. Nothing here retries: that is the poller's.

pub mod decode;
pub mod error;
pub mod listing;
pub mod metrics;
pub mod retry;
mod token;
mod url;
mod wire;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Certificate, Response,
    header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use web_toolkit::clock;

pub use self::{
    error::ApiFailure,
    listing::Listing,
    metrics::Metrics,
    token::{Token, TokenStatus, Verified},
    url::{ApiUrl, ApiUrlError},
};
use crate::domain::{dataset::FailureReason, tunnel::TunnelType};

/// No body of a list is read beyond this many bytes, counted after decompression.
const LARGEST_LIST: usize = 64 << 20;

/// Of an error's body only the beginning is read: its codes stand there.
const LARGEST_ERROR: usize = 64 << 10;

/// How to prove who we are. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// An API token, of a user or of an account.
    Token(SecretString),
    /// The older pair of e-mail address and global key.
    Key { email: String, key: SecretString },
}

/// A secret with characters that no HTTP header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the credentials hold characters that no HTTP header can carry: is there a line break or a byte that is not ASCII in them?"
)]
pub struct BadCredentials;

impl Credentials {
    /// Whether requests can carry them.
    pub fn check(&self) -> Result<(), BadCredentials> {
        self.headers().map(|_| ())
    }

    fn headers(&self) -> Result<HeaderMap, BadCredentials> {
        let mut headers = HeaderMap::new();
        let mut insert = |name: &'static str, value: &str| {
            let mut value = HeaderValue::from_str(value).map_err(|_| BadCredentials)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        match self {
            Self::Token(token) => insert("authorization", &format!("Bearer {}", token.expose_secret()))?,
            Self::Key { email, key } => {
                insert("x-auth-email", email)?;
                insert("x-auth-key", key.expose_secret())?;
            }
        }
        Ok(headers)
    }
}

/// How to reach the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub url: ApiUrl,
    /// For one request, from the first byte sent to the last received.
    pub timeout: Duration,
}

/// No HTTP client could be made.
#[derive(Debug, Error)]
#[error("cannot set up TLS for the Cloudflare API")]
pub struct SetupError(#[source] reqwest::Error);

/// Asks one API. Cheap to clone; clones share connections and counters.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: ApiUrl,
    timeout: Duration,
    metrics: Metrics,
}

impl Client {
    /// Reads proxies (`HTTPS_PROXY`, `NO_PROXY`) and extra CA certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`) from the environment.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &Settings, metrics: Metrics) -> Result<Self, SetupError> {
        use_ring();
        let with_system_roots = builder(settings).build();
        // An image without a CA store gets the roots that were compiled in.
        let http = with_system_roots.or_else(|_| builder(settings).tls_certs_only(bundled_roots()).build());
        Ok(Self { http: http.map_err(SetupError)?, url: settings.url.clone(), timeout: settings.timeout, metrics })
    }

    /// The longest time that one request takes.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Lists the tunnels of one type: `GET /accounts/{account_id}/magic/{gre_tunnels|ipsec_tunnels}`.
    ///
    /// # Errors
    /// Whatever keeps the list from being read, as an [`ApiFailure`]. Counted either way.
    pub async fn list(
        &self,
        credentials: &Credentials,
        account_id: &str,
        tunnel_type: TunnelType,
    ) -> Result<Listing, ApiFailure> {
        let started = clock::now();
        let mut status = None;
        let result = self.request(credentials, account_id, tunnel_type, &mut status).await;
        self.metrics.answered(tunnel_type.dataset(), status, clock::now().since(started));
        match &result {
            Ok(listing) => listing.unknown.iter().for_each(|&field| self.metrics.unknown_value(field)),
            Err(failure) => self.metrics.failed(tunnel_type.dataset(), failure.reason),
        }
        result
    }

    /// Asks about the token itself, as one of a user or as one of an account. Not counted.
    pub async fn verify(&self, credentials: &Credentials, account_id: Option<&str>) -> Verified {
        let url = match account_id {
            None => self.url.join(["user", "tokens", "verify"]),
            Some(id) => self.url.join(["accounts", id, "tokens", "verify"]),
        };
        let mut ahead = None;
        let token = self.ask_about_token(credentials, url, &mut ahead).await;
        Verified { token, ahead }
    }

    async fn ask_about_token(
        &self,
        credentials: &Credentials,
        url: reqwest::Url,
        ahead: &mut Option<SignedDuration>,
    ) -> Result<Token, ApiFailure> {
        let headers = credentials.headers().map_err(|_| ApiFailure::new(FailureReason::Auth))?;
        let response = self.http.get(url).headers(headers).send().await.map_err(ApiFailure::transport)?;
        *ahead = date(response.headers()).map(|date| clock::now().wall.duration_since(date));
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let status = response.status().as_u16();
        token::decode(&read(response, LARGEST_ERROR).await?, status)
    }

    async fn request(
        &self,
        credentials: &Credentials,
        account_id: &str,
        tunnel_type: TunnelType,
        status: &mut Option<u16>,
    ) -> Result<Listing, ApiFailure> {
        let headers = credentials.headers().map_err(|_| ApiFailure::new(FailureReason::Auth))?;
        let url = self.url.join(["accounts", account_id, "magic", path_segment(tunnel_type)]);
        let response = self.http.get(url).headers(headers).send().await.map_err(ApiFailure::transport)?;
        let code = response.status().as_u16();
        *status = Some(code);
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let body = read(response, LARGEST_LIST).await.map_err(|failure| ApiFailure { status: *status, ..failure })?;
        // Ten thousand tunnels take tens of milliseconds: not on a thread that others wait for.
        tokio::task::spawn_blocking(move || decode::decode(&body, code, tunnel_type))
            .await
            .unwrap_or_else(|_| Err(ApiFailure { status: Some(code), ..ApiFailure::new(FailureReason::Decode) }))
    }
}

/// Last segment of the path that lists tunnels of this type.
const fn path_segment(tunnel_type: TunnelType) -> &'static str {
    match tunnel_type {
        TunnelType::Gre => "gre_tunnels",
        TunnelType::Ipsec => "ipsec_tunnels",
    }
}

fn builder(settings: &Settings) -> reqwest::ClientBuilder {
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("x-magic-new-hc-target"), HeaderValue::from_static("true"))]);
    let builder = reqwest::Client::builder()
        .user_agent(concat!("magic-tunnel-exporter/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout)
        // A redirect would carry `X-Auth-Key` to wherever it points.
        .redirect(redirect::Policy::none());
    if settings.url.is_loopback() { builder.no_proxy() } else { builder }
}

/// Makes ring the cryptography of every TLS client in this process. reqwest is built without a default one.
fn use_ring() {
    // An error means that another client was first, with the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn bundled_roots() -> Vec<Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
}

/// When the answer was made.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Timestamp::try_from(date).ok()
}

async fn refusal(response: Response) -> ApiFailure {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| retry::retry_after(value.to_str().ok()?, clock::now().wall));
    let body = read(response, LARGEST_ERROR).await.unwrap_or_default();
    ApiFailure { retry_after, ..ApiFailure::refused(status, &body) }
}

/// The body, up to `cap` bytes.
async fn read(mut response: Response, cap: usize) -> Result<Vec<u8>, ApiFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ApiFailure::transport)? {
        if body.len() + chunk.len() > cap {
            return Err(ApiFailure::new(FailureReason::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
