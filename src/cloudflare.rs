//! The client of the Cloudflare API. It lists the tunnels and the routes of an account, reads what the edge measures,
//! and verifies tokens.
//!
//! Every request has a timeout and every body a size limit. Redirects are not followed. [`decode`] converts responses;
//! failures become an [`ApiFailure`]. The client does not retry, because the poller does.

pub mod decode;
mod envelope;
pub mod error;
pub mod fields;
pub mod graphql;
mod lists;
pub mod metrics;
pub mod routes;
mod split;
mod token;
mod wire;

use std::time::Duration;

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Response,
    header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::sync::Mutex;
use web_toolkit::clock;

pub use self::{
    decode::TunnelListing,
    error::ApiFailure,
    metrics::Metrics,
    routes::RouteListing,
    token::{TokenCheck, TokenInfo, VerifiedStatus},
};
pub use crate::https::{ApiUrl, ApiUrlError, SetupError};
use crate::{
    domain::{dataset::FailureReason, inventory::AccountName},
    https,
};

/// Maximum number of bytes that are decoded before other tasks get a turn: well below a millisecond.
const MAX_PIECE_SIZE: usize = 64 << 10;

/// Held while a piece of a list is decoded, so that large lists never occupy both worker threads.
static DECODING: Mutex<()> = Mutex::const_new(());

/// Maximum size of an error response or a token status in bytes.
const MAX_SMALL_BODY_SIZE: usize = 64 << 10;

/// Credentials of requests. `Debug` hides the secrets.
#[derive(Debug, Clone)]
pub enum ApiCredentials {
    /// API token of a user or of an account.
    Token(SecretString),
    /// Email address and global API key.
    Key { email: String, key: SecretString },
}

/// The credentials contain characters that are not allowed in an HTTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the credentials contain characters that are not allowed in an HTTP header; \
     remove line breaks and non-ASCII characters"
)]
pub struct BadCredentials;

impl ApiCredentials {
    /// Checks that the credentials can be sent in HTTP headers.
    ///
    /// # Errors
    /// [`BadCredentials`] if they contain other characters.
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

/// Settings of a [`Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    pub url: ApiUrl,
    /// Timeout of one request, from connecting to the last byte of the response.
    pub timeout: Duration,
}

/// The account of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestAccount<'a> {
    /// Account id in the path.
    pub id: &'a str,
    /// Account name in the metrics.
    pub name: &'a AccountName,
}

/// HTTP client of one API. Clones share connections and metrics.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: ApiUrl,
    timeout: Duration,
    metrics: Metrics,
}

impl Client {
    /// Reads proxies (`HTTPS_PROXY`, `NO_PROXY`) and extra CA certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`) from the
    /// environment.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &ClientSettings, metrics: Metrics) -> Result<Self, SetupError> {
        let http = https::build(|| builder(settings))?;
        Ok(Self { http, url: settings.url.clone(), timeout: settings.timeout, metrics })
    }

    /// Returns the timeout of one request.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Verifies the token, as a token of `account_id` or of a user. The request is not counted in the metrics.
    async fn verify_token(&self, credentials: &ApiCredentials, account_id: Option<&str>) -> TokenCheck {
        let url = match account_id {
            None => self.url.join(["user", "tokens", "verify"]),
            Some(id) => self.url.join(["accounts", id, "tokens", "verify"]),
        };
        let mut ahead = None;
        let token = self.request_token(credentials, url, &mut ahead).await;
        TokenCheck { token, ahead }
    }

    /// Verifies the token as a token of a user, and if that endpoint rejects it, as a token of `account_id`. Sends one
    /// request or two.
    pub async fn verify_any_token(&self, credentials: &ApiCredentials, account_id: &str) -> TokenCheck {
        let of_user = self.verify_token(credentials, None).await;
        if !matches!(&of_user.token, Err(failure) if failure.reason == FailureReason::Auth) {
            return of_user;
        }
        let of_account = self.verify_token(credentials, Some(account_id)).await;
        // If this endpoint rejects the token, too, the first failure is the more specific one.
        let is_rejected = matches!(&of_account.token, Err(failure) if failure.reason.is_lasting());
        if is_rejected { of_user } else { of_account }
    }

    async fn request_token(
        &self,
        credentials: &ApiCredentials,
        url: reqwest::Url,
        ahead: &mut Option<SignedDuration>,
    ) -> Result<TokenInfo, ApiFailure> {
        let response = self.send(credentials, url).await?;
        *ahead = parse_date(response.headers()).map(|date| clock::now().wall.duration_since(date));
        if !response.status().is_success() {
            return Err(read_failure(response).await);
        }
        let status = response.status().as_u16();
        token::decode_token(&read_body(response, MAX_SMALL_BODY_SIZE).await?, status)
    }

    async fn send(&self, credentials: &ApiCredentials, url: reqwest::Url) -> Result<Response, ApiFailure> {
        let headers = credentials.headers().map_err(|_| ApiFailure::new(FailureReason::Auth))?;
        self.http.get(url).headers(headers).send().await.map_err(|error| ApiFailure::from_transport(&error))
    }
}

fn builder(settings: &ClientSettings) -> reqwest::ClientBuilder {
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("x-magic-new-hc-target"), HeaderValue::from_static("true"))]);
    https::builder(settings.url.is_loopback())
        .default_headers(headers)
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout)
}

/// Parses the `Date` header.
fn parse_date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Timestamp::try_from(date).ok()
}

/// Reads a response with an error status.
async fn read_failure(response: Response) -> ApiFailure {
    let status = response.status().as_u16();
    let retry_after = read_retry_after(&response);
    let body = read_body(response, MAX_SMALL_BODY_SIZE).await.unwrap_or_default();
    ApiFailure { retry_after, ..ApiFailure::from_response(status, &body) }
}

/// Reads the `Retry-After` header.
fn read_retry_after(response: &Response) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?;
    error::parse_retry_after(header.to_str().ok()?, clock::now().wall)
}

/// The next piece of a body.
async fn next_chunk(response: &mut Response) -> Result<Option<Bytes>, ApiFailure> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| ApiFailure::from_transport(&error.with_url(response.url().clone())))
}

/// Reads a body of at most `max_size` bytes.
async fn read_body(mut response: Response, max_size: usize) -> Result<Vec<u8>, ApiFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&mut response).await? {
        if body.len() + chunk.len() > max_size {
            return Err(ApiFailure::new(FailureReason::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
