//! The base URL of the API.

use std::{fmt, net::IpAddr, str::FromStr};

use reqwest::Url;
use thiserror::Error;

use super::failure::server_of;

/// Base URL of the API, for example `https://api.cloudflare.com/client/v4`. It uses https, or http on a loopback
/// address, and contains no user, password, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl(Url);

/// Why a base URL is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiUrlError {
    #[error("must be a URL, for example https://api.cloudflare.com/client/v4")]
    NotAUrl,
    #[error("must use https; http would expose the token and is allowed on loopback addresses only")]
    NotHttps,
    #[error("must not contain a user, a password, a query or a fragment")]
    Extras,
}

impl ApiUrl {
    /// The public API.
    pub const DEFAULT: &'static str = "https://api.cloudflare.com/client/v4";

    /// Returns whether the host is `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        let Some(host) = self.0.host_str() else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    }

    /// Host and port, as in the header `Host`.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The host without brackets, and its port.
    pub fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (host, self.0.port_or_known_default().unwrap_or(443))
    }

    /// Host and port, to name the server in a message.
    pub fn server(&self) -> String {
        server_of(&self.0)
    }

    /// Appends path segments, each percent-encoded.
    pub fn join<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| ApiUrlError::NotAUrl)?;
        if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "http" | "https") {
            return Err(ApiUrlError::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(ApiUrlError::Extras);
        }
        let url = Self(url);
        if url.0.scheme() == "http" && !url.is_loopback() {
            return Err(ApiUrlError::NotHttps);
        }
        Ok(url)
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_allowed_on_loopback_only() {
        use ApiUrlError::{Extras, NotAUrl, NotHttps};
        let table = [
            ("https://api.cloudflare.com/client/v4", Ok(())),
            ("https://proxy.example/cf/", Ok(())),
            ("http://127.0.0.1:9848/client/v4", Ok(())),
            ("http://127.9.9.9/client/v4", Ok(())),
            ("http://[::1]:9848/client/v4", Ok(())),
            ("http://localhost:9848", Ok(())),
            ("http://api.cloudflare.com/client/v4", Err(NotHttps)),
            ("http://localhost.example/client/v4", Err(NotHttps)),
            ("http://192.0.2.1/", Err(NotHttps)),
            ("ftp://127.0.0.1/", Err(NotAUrl)),
            ("api.cloudflare.com", Err(NotAUrl)),
            ("", Err(NotAUrl)),
            ("https://user:secret@api.cloudflare.com/", Err(Extras)),
            ("https://api.cloudflare.com/?token=x", Err(Extras)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<ApiUrl>().map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn an_account_id_cannot_leave_its_path_segment() {
        let url: ApiUrl = "https://api.cloudflare.com/client/v4/".parse().unwrap();
        let joined = url.join(["accounts", "a/../b?c", "magic"]);
        assert_eq!(joined.as_str(), "https://api.cloudflare.com/client/v4/accounts/a%2F..%2Fb%3Fc/magic");
    }
}
