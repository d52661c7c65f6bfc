//! Why a request failed: the reason, and one sentence that names the server instead of every layer that passed the
//! error on.
//!
//! No sentence contains text of the server or the URL, because both can contain secrets.

use std::{env, error::Error, io};

use rustls::CertificateError;

use crate::domain::dataset::FailureReason;

/// Variables that make the client connect to a proxy.
const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Classifies an error of a client.
pub fn classify_error(error: &reqwest::Error) -> FailureReason {
    if error.is_timeout() {
        FailureReason::Timeout
    } else if error.is_decode() && find::<hyper::Error>(error).is_none() {
        // reqwest reports truncated bodies and damaged compression as the same kind of error.
        FailureReason::Decode
    } else {
        FailureReason::Connect
    }
}

/// Describes an error of a client in one sentence. `server` is the host and the port that the request was sent to.
pub fn describe_error(error: &reqwest::Error, server: &str) -> String {
    if let Some(tls) = find::<rustls::Error>(error) {
        return describe_tls(tls, server);
    }
    let is_unclear = error.is_connect() && uses_proxy(server);
    let peer = if is_unclear { format!("{server} or its proxy") } else { server.to_owned() };
    describe_connection(error, server, &peer)
        .or_else(|| describe_response(error, &peer))
        .unwrap_or_else(|| format!("request to {server} failed: {}", innermost(error)))
}

/// Describes a response of `server` that is not complete in time.
pub fn describe_timeout(server: &str) -> String {
    format!("no complete response from {server} within the timeout")
}

/// The server of a request, from its URL: host and port.
pub fn server_of(url: &reqwest::Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}"));
    format!("{}{}", url.host_str().unwrap_or_default(), port.unwrap_or_default())
}

/// Whether a proxy may stand between this machine and the server. Requests to this machine use none.
fn uses_proxy(server: &str) -> bool {
    let is_local = server.starts_with("127.") || server.starts_with("localhost:") || server.starts_with("[::1]:");
    !is_local && PROXIES.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Before a connection exists. `peer` is the server, or also its proxy.
fn describe_connection(error: &reqwest::Error, server: &str, peer: &str) -> Option<String> {
    let cause = innermost(error);
    if error.is_dns() {
        let cause = cause.rsplit(": ").next().unwrap_or(&cause);
        return Some(format!("cannot resolve the name of {peer} ({cause})"));
    }
    if error.is_timeout() {
        let connecting = || format!("no connection to {peer} within the timeout");
        return Some(if error.is_connect() { connecting() } else { describe_timeout(peer) });
    }
    let refusal = cause.strip_prefix("tunnel error: ");
    refusal.map(|refusal| format!("the proxy does not connect to {server} ({refusal})"))
}

/// On a connection, or when it is refused.
fn describe_response(error: &reqwest::Error, server: &str) -> Option<String> {
    use io::ErrorKind as Kind;
    let kind = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind);
    match kind {
        Some(Kind::ConnectionRefused) => return Some(format!("connection refused by {server}")),
        Some(Kind::HostUnreachable | Kind::NetworkUnreachable) => return Some(format!("no route to {server}")),
        Some(Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe) => {
            return Some(format!("connection reset by {server}"));
        }
        Some(Kind::UnexpectedEof) => return Some(ended_early(server)),
        _ => {}
    }
    match find::<hyper::Error>(error)? {
        broken if broken.is_incomplete_message() => Some(ended_early(server)),
        foreign if foreign.is_parse() => Some(format!("{server} does not answer with HTTP")),
        _ => None,
    }
}

fn ended_early(server: &str) -> String {
    format!("{server} closed the connection before the end of the response")
}

fn describe_tls(error: &rustls::Error, server: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            format!("the certificate of {server} {}", describe_certificate(error))
        }
        rustls::Error::AlertReceived(alert) => format!("{server} refused TLS: {alert:?}"),
        rustls::Error::InvalidMessage(_) => format!("{server} does not speak TLS"),
        other => format!("TLS with {server} failed: {other}"),
    }
}

fn describe_certificate(error: &CertificateError) -> String {
    use CertificateError as Problem;
    let text = match error {
        Problem::Expired | Problem::ExpiredContext { .. } => "has expired",
        Problem::NotValidYet | Problem::NotValidYetContext { .. } => "is not valid yet; check the clock",
        Problem::UnknownIssuer => "is signed by an unknown CA",
        Problem::NotValidForName | Problem::NotValidForNameContext { .. } => "is for another name",
        Problem::Revoked => "is revoked",
        Problem::BadSignature => "has a wrong signature",
        Problem::InvalidPurpose | Problem::InvalidPurposeContext { .. } => "is not that of a server",
        other => return format!("is not accepted: {other}"),
    };
    text.to_owned()
}

/// The message of the innermost cause.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(|| "unknown error".to_owned(), ToString::to_string)
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// The causes of an error, the outermost first. The error itself may quote the URL.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| {
        // The source of an I/O error is that of the error inside it.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => cause.source(),
        }
    })
}

#[cfg(test)]
mod tests;
