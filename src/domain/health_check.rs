//! How Cloudflare's edge is configured to check a tunnel (`health_check`). Its results are not in this API.

use super::label::label_enum;

label_enum! {
    /// `health_check.type`: which ICMP message Cloudflare sends.
    pub enum CheckType {
        Request => "request",
        Reply => "reply",
        Unknown => "unknown",
    }
}

label_enum! {
    /// `health_check.direction`: whether the answer comes back through the tunnel.
    pub enum Direction {
        Unidirectional => "unidirectional",
        Bidirectional => "bidirectional",
        Unknown => "unknown",
    }
}

label_enum! {
    /// `health_check.rate`.
    pub enum Rate {
        Low => "low",
        Mid => "mid",
        High => "high",
        Unknown => "unknown",
    }
}

label_enum! {
    /// Where the checked address comes from.
    pub enum TargetSource {
        /// Somebody configured it (`target.saved`, or the string form).
        Saved => "saved",
        /// Cloudflare calculated it (`target.effective` with nothing saved).
        Default => "default",
        /// The API named no address.
        None => "none",
    }
}

/// The address that Cloudflare checks. Kept as text: a custom target may be anything the API accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    pub saved: Option<Box<str>>,
    pub effective: Option<Box<str>>,
}

impl Target {
    /// The address in use: the effective one where the API tells it, else what was saved.
    pub fn address(&self) -> Option<&str> {
        self.effective.as_deref().or(self.saved.as_deref())
    }

    pub fn source(&self) -> TargetSource {
        match (&self.saved, &self.effective) {
            (Some(_), _) => TargetSource::Saved,
            (None, Some(_)) => TargetSource::Default,
            (None, None) => TargetSource::None,
        }
    }
}

/// Configuration of the edge's checks. What the API did not state is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    pub enabled: Option<bool>,
    pub check_type: Option<CheckType>,
    pub direction: Option<Direction>,
    pub rate: Option<Rate>,
    pub target: Target,
}
