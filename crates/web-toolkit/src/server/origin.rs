//! Checks of every request: which host it is addressed to, and whether another site sent it through a browser.
//!
//! A browser sends requests that a foreign page makes it send, with the rights of the browser's user: from inside the
//! network, with cached passwords and client certificates. Two checks protect against that. A request that changes
//! something must not come from another site ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/) and the `Origin`
//! header, RFC 6454). With an allow-list of host names, a foreign name that resolves to this server (DNS rebinding) is
//! refused.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use hyper::{
    Method, Request, StatusCode, Version,
    header::{HOST, HeaderMap, HeaderName, ORIGIN},
    http::uri::Authority,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A host name without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// The text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name such as `exporter.example`, without scheme and port; IP addresses are always allowed")]
pub struct HostNameError;

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let is_name = is_name && text.contains(|c: char| c.is_ascii_alphanumeric()) && text.parse::<IpAddr>().is_err();
        is_name.then(|| Self(normalize(text))).ok_or(HostNameError)
    }
}

/// The host names that requests may be addressed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Arc<[HostName]>);

impl Hosts {
    /// An empty list allows any name. IP addresses and `localhost` are always allowed, because DNS rebinding needs a
    /// name that the attacker controls.
    pub fn new(names: &[HostName]) -> Self {
        Self(names.into())
    }

    /// Status and text of the response to a request that must not be answered: 400, 403 or 421.
    pub(super) fn refuse<B>(&self, request: &Request<B>) -> Option<(StatusCode, &'static str)> {
        let Ok(host) = read_host(request) else {
            return Some((StatusCode::BAD_REQUEST, "bad request; exactly one valid Host header is required\n"));
        };
        if !self.allow(host.as_ref()) {
            let text = "misdirected request; the host name is not one of those that the server is configured for\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, text));
        }
        let is_foreign = is_cross_site(request.method(), request.headers(), host.as_ref());
        is_foreign.then_some((StatusCode::FORBIDDEN, "forbidden; the request comes from another site\n"))
    }

    fn allow(&self, host: Option<&Authority>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let name = host.map_or_else(String::new, |host| normalize(host.host()));
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || self.0.iter().any(|allowed| allowed.0 == name)
    }
}

fn normalize(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The host that the request is addressed to (RFC 9112 section 3.2). `None` if HTTP/1.0 names none.
///
/// # Errors
/// The header is missing, repeated or malformed.
fn read_host<B>(request: &Request<B>) -> Result<Option<Authority>, ()> {
    let mut values = request.headers().get_all(HOST).iter();
    let host = match (values.next(), values.next()) {
        (Some(host), None) if host.is_empty() => None,
        (Some(host), None) => Some(Authority::try_from(host.as_bytes()).map_err(drop)?),
        (None, _) if request.version() < Version::HTTP_11 => None,
        _ => return Err(()),
    };
    let host = request.uri().authority().cloned().or(host);
    if host.as_ref().is_some_and(|host| host.as_str().contains('@')) { Err(()) } else { Ok(host) }
}

/// Whether a page of another site made a browser send this request, and it can change something. Clients that are not
/// browsers send neither header.
fn is_cross_site(method: &Method, headers: &HeaderMap, host: Option<&Authority>) -> bool {
    if method.is_safe() {
        return false;
    }
    // Browsers compute this header from the real origin, so it is right behind a proxy that changes `Host` as well.
    if headers.contains_key(SEC_FETCH_SITE) {
        return headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none");
    }
    headers.get_all(ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        authority.zip(host).is_none_or(|(origin, host)| !origin.eq_ignore_ascii_case(host.as_str()))
    })
}

#[cfg(test)]
mod tests;
