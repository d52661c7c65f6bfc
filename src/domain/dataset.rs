//! Data that is polled: each dataset has its own status and fails independently of the others.

use std::time::Duration;

use web_toolkit::clock::Moment;

use super::label::label_enum;

label_enum! {
    /// Data that one poll loop fetches for one account. The label is `collection`.
    pub enum Dataset {
        GreTunnels => "gre_tunnels",
        IpsecTunnels => "ipsec_tunnels",
        /// Interconnects (CNI).
        Interconnects => "cf_interconnects",
        /// Static routes.
        Routes => "routes",
        /// Results of Cloudflare's own health checks, from the GraphQL API.
        EdgeHealth => "edge_health",
        /// Traffic of each tunnel, from the GraphQL API.
        EdgeTraffic => "edge_traffic",
    }
}

impl Dataset {
    /// Returns whether the dataset comes from the GraphQL API.
    pub const fn is_edge(self) -> bool {
        matches!(self, Self::EdgeHealth | Self::EdgeTraffic)
    }

    /// Returns whether the dataset adds to the tunnels, and can be switched off by itself.
    pub const fn is_addition(self) -> bool {
        matches!(self, Self::Interconnects | Self::Routes)
    }

    /// Suggests what the operator can do about a failed poll of this dataset.
    pub const fn remedy(self, reason: FailureReason) -> &'static str {
        match reason {
            FailureReason::Auth if self.is_edge() => {
                "check the token: it needs `Account Analytics Read` on this account and must not be expired"
            }
            FailureReason::NotEntitled if self.is_edge() => {
                "the account or the token has no access to this dataset: check the permission `Account Analytics Read`"
            }
            FailureReason::RateLimited if self.is_edge() => {
                "the limit of the GraphQL API is shared with the dashboard and other tools; increase `--edge.interval`"
            }
            FailureReason::Auth | FailureReason::NotEntitled | FailureReason::NotFound if self.is_addition() => {
                "check the permissions of the token, or switch these polls off; the tunnels do not depend on them"
            }
            FailureReason::TooLarge if self.is_edge() => "the response exceeds the limit of 16 MiB",
            _ => reason.remedy(),
        }
    }
}

label_enum! {
    /// Why a poll failed.
    pub enum FailureReason {
        /// HTTP 401 or 403, or an authentication error code: the token is invalid or lacks the permission.
        Auth => "auth",
        /// The account does not have the product (error codes 1012, 1025).
        NotEntitled => "not_entitled",
        /// HTTP 404, or error codes 7000, 7003: the account or the path does not exist.
        NotFound => "not_found",
        /// HTTP 429, or error codes 971, 10100, 10429, 10502.
        RateLimited => "rate_limited",
        /// HTTP 5xx, a redirect, or `success: false` without a known error code.
        Server => "server",
        /// The body is not JSON.
        NotJson => "not_json",
        /// The body is truncated JSON, JSON of an unexpected shape, or not the whole list.
        Decode => "decode",
        /// The response was not complete within the timeout.
        Timeout => "timeout",
        /// The connection failed: DNS, TCP or TLS, or it broke before the response was complete.
        Connect => "connect",
        /// The body or its list exceeds a limit.
        TooLarge => "too_large",
        /// The GraphQL API rejects the query: an unknown field, or a limit of the dataset.
        Query => "query",
    }
}

impl FailureReason {
    /// Returns whether the failure lasts until the operator changes a setting, so that frequent retries are useless.
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::Auth | Self::NotEntitled | Self::NotFound | Self::Query)
    }

    /// Suggests what the operator can do about the failure.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Auth => {
                "check the token: it needs `Magic WAN Read` or `Magic Transit Read` on this account \
                 and must not be expired"
            }
            Self::NotEntitled => "this account does not have Magic WAN or Magic Transit; check the account id",
            Self::NotFound => "check the account id and `--cloudflare.api-url`",
            Self::RateLimited => {
                "the limit of 1,200 requests per 5 minutes is shared with the dashboard and other tools; \
                 poll less often or use a separate token"
            }
            Self::Server => "this is a fault at Cloudflare; the request is retried",
            Self::NotJson => {
                "something between the exporter and the API sent this response; \
                 check proxies and `--cloudflare.api-url`"
            }
            Self::Decode => "the response is incomplete or has an unknown format; the request is retried",
            Self::Timeout => "the API is slow or unreachable; check the network or increase `--poll.timeout`",
            Self::Connect => "check DNS, proxies, certificates and the route to the API",
            Self::TooLarge => {
                "the response exceeds a limit: 128 MiB, 200,000 members, or 72 MiB of memory for its tunnels"
            }
            Self::Query => {
                "the API does not accept the query: set `--edge.window` to its default, and check whether a newer version \
                 of this exporter exists"
            }
        }
    }
}

/// The result of the latest poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PollState {
    /// No poll has finished yet.
    #[default]
    Waiting,
    Succeeded,
    Failed(FailureReason),
}

impl PollState {
    /// Returns whether the latest poll failed for a [lasting](FailureReason::is_lasting) reason.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Failed(reason) if reason.is_lasting())
    }
}

/// The status of the polls of one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollStatus {
    pub state: PollState,
    /// End of the last successful poll.
    pub last_success: Option<Moment>,
    /// Duration of the latest poll.
    pub duration: Option<Duration>,
}

impl PollStatus {
    /// Returns whether a poll succeeded within `stale_after` before `now`.
    pub fn is_fresh(&self, now: Moment, stale_after: Duration) -> bool {
        self.last_success.is_some_and(|then| now.since(then) <= stale_after)
    }

    /// Returns whether a poll has succeeded, or failed for a [lasting](FailureReason::is_lasting) reason.
    pub fn is_settled(&self) -> bool {
        self.last_success.is_some() || self.state.is_refused()
    }
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::{super::label::Label as _, *};

    #[test]
    fn every_failure_of_every_dataset_has_a_remedy_for_its_api() {
        for dataset in Dataset::ALL {
            let remedy = |reason| dataset.remedy(reason);
            assert_eq!(
                remedy(FailureReason::Auth).contains("Account Analytics Read"),
                dataset.is_edge(),
                "{dataset:?}"
            );
            assert_eq!(remedy(FailureReason::NotEntitled).contains("dataset"), dataset.is_edge(), "{dataset:?}");
            assert_eq!(
                remedy(FailureReason::RateLimited).contains("`--edge.interval`"),
                dataset.is_edge(),
                "{dataset:?}"
            );
            assert_eq!(remedy(FailureReason::TooLarge).contains("16 MiB"), dataset.is_edge(), "{dataset:?}");
            assert!(FailureReason::ALL.iter().all(|&reason| remedy(reason).len() > 20), "{dataset:?}");
        }
        assert!(Dataset::EdgeHealth.is_edge() && Dataset::EdgeTraffic.is_edge());
        assert!(!Dataset::GreTunnels.is_edge() && !Dataset::IpsecTunnels.is_edge());
    }

    #[test]
    fn a_dataset_has_settled_after_a_success_or_a_lasting_failure() {
        let status = |state, last_success| PollStatus { state, last_success, duration: None };
        let now = clock::now();
        assert!(!status(PollState::Waiting, None).is_settled());
        assert!(!status(PollState::Failed(FailureReason::Server), None).is_settled());
        assert!(status(PollState::Failed(FailureReason::Server), Some(now)).is_settled());
        assert!(status(PollState::Failed(FailureReason::Auth), None).is_settled());
        assert!(status(PollState::Succeeded, Some(now)).is_settled());
    }
}
