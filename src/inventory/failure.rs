//! Failed requests to a hub, and what the operator can do about them.

use std::{fmt, time::Duration};

use crate::domain::dataset::FailureReason;

/// A failed request to a hub. Contains no text of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFailure {
    pub reason: FailureReason,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// Time to wait as requested by the hub (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// What is wrong, in addition to the reason.
    pub detail: Option<String>,
}

impl HubFailure {
    pub fn new(reason: FailureReason) -> Self {
        Self { reason, status: None, retry_after: None, detail: None }
    }

    pub fn with_detail(reason: FailureReason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(reason) }
    }

    /// Classifies a response with an error status.
    pub fn from_status(status: u16, retry_after: Option<Duration>) -> Self {
        let reason = match status {
            401 | 403 => FailureReason::Auth,
            404 => FailureReason::NotFound,
            429 => FailureReason::RateLimited,
            _ => FailureReason::Server,
        };
        Self { status: Some(status), retry_after, ..Self::new(reason) }
    }

    /// Suggests what the operator can do about the failure.
    pub const fn remedy(&self) -> &'static str {
        match (self.reason, self.status) {
            (FailureReason::Auth, Some(403)) => {
                "the hub does not let this client read these sites; check `inventory.site` here and `fleet.users` there"
            }
            (FailureReason::Auth, _) => "check the credentials in `inventory` here and the users of the hub",
            (FailureReason::NotFound, _) => {
                "the address is not that of a hub, the hub is older than this agent, or it does not poll this account"
            }
            (FailureReason::RateLimited, _) => "raise `rate_limit` in the web configuration file of the hub",
            (FailureReason::Server, Some(503)) => "the hub has no list from the Cloudflare API yet; see its log",
            (FailureReason::Server, _) => "see the log of the hub, or of a proxy before it",
            (FailureReason::NotJson, _) => "something other than a hub answers at this address; check `inventory.url`",
            (FailureReason::Timeout, _) => "the hub is slow or unreachable; check the network or `inventory.timeout`",
            (FailureReason::Connect, _) => "check `inventory.url`, DNS, certificates and the route to the hub",
            (FailureReason::Decode | FailureReason::NotEntitled | FailureReason::Query, _) => {
                "the response is incomplete or has an unknown format; update this agent if the hub is newer"
            }
            (FailureReason::TooLarge, _) => "the inventory is larger than 64 MiB; name sites with `inventory.site`",
        }
    }
}

impl fmt::Display for HubFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(status) = self.status {
            write!(f, ", HTTP status {status}")?;
        }
        match &self.detail {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for HubFailure {}
