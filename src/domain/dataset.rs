//! Anything that is polled and can fail independently of everything else.

use std::time::Duration;

use web_toolkit::clock::Moment;

use super::label::label_enum;

label_enum! {
    /// Data that is fetched by one poll loop. The label value is `collection`.
    pub enum Dataset {
        GreTunnels => "gre_tunnels",
        IpsecTunnels => "ipsec_tunnels",
    }
}

label_enum! {
    /// Why a poll failed.
    pub enum FailureReason {
        /// 401, 403, or a code that says so: the token is wrong or lacks the permission.
        Auth => "auth",
        /// The account has no such product (codes 1012, 1025).
        NotEntitled => "not_entitled",
        /// 404, or codes 7000, 7003: no such account or path.
        NotFound => "not_found",
        /// 429, or codes 971, 10100, 10429.
        RateLimited => "rate_limited",
        /// 5xx, a redirect, or `success: false` without a code that says more.
        Server => "server",
        /// The body is not JSON at all.
        NotJson => "not_json",
        /// The body is JSON, but truncated or of another shape.
        Decode => "decode",
        /// No complete answer in time.
        Timeout => "timeout",
        /// No connection: DNS, TCP, TLS, or the connection broke.
        Connect => "connect",
        /// The body is larger than the cap.
        TooLarge => "too_large",
    }
}

impl FailureReason {
    /// Whether a retry cannot help until the operator changes a setting.
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::Auth | Self::NotEntitled | Self::NotFound)
    }

    /// What the operator can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Auth => {
                "check the token: it needs `Magic WAN Read` or `Magic Transit Read` on this account, and must not be expired"
            }
            Self::NotEntitled => "the account has no Magic WAN or Magic Transit: check the account id",
            Self::NotFound => "check the account id and `--cloudflare.api-url`",
            Self::RateLimited => {
                "the budget of 1,200 requests in 5 minutes is shared with the dashboard and other tools: poll less often, or use a token of its own"
            }
            Self::Server => "a fault at Cloudflare: it is retried",
            Self::NotJson => {
                "something between here and the API answers in its place: check proxies and `--cloudflare.api-url`"
            }
            Self::Decode => "the answer is damaged or of an unknown form: it is retried",
            Self::Timeout => "the API is slow or unreachable: check the network, or raise `--poll.timeout`",
            Self::Connect => "check DNS, proxies, certificates and the route to the API",
            Self::TooLarge => "the answer is larger than 64 MiB: it is not read",
        }
    }
}

/// The result of the newest poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PollState {
    /// Not polled yet.
    #[default]
    Waiting,
    Succeeded,
    Failed(FailureReason),
}

/// How the polls of one dataset are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollStatus {
    pub state: PollState,
    /// End of the last successful poll.
    pub last_success: Option<Moment>,
    /// Duration of the newest poll.
    pub duration: Option<Duration>,
}

impl PollStatus {
    /// Whether the data was confirmed within `stale_after` before `now`.
    pub fn is_fresh(&self, now: Moment, stale_after: Duration) -> bool {
        self.last_success.is_some_and(|then| now.since(then) <= stale_after)
    }

    /// Whether the dataset was polled once, or refused for a reason that waiting does not change.
    pub fn is_settled(&self) -> bool {
        self.last_success.is_some() || matches!(self.state, PollState::Failed(reason) if reason.is_lasting())
    }
}
