//! What the API reports about the token of an account.

use std::time::Duration;

use jiff::Timestamp;

/// Time before the expiry from which the token should be replaced.
pub const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// The newest verification of the token of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenReport {
    /// Whether the API reported the token as active.
    pub active: bool,
    /// `None` if the token does not expire.
    pub expires_on: Option<Timestamp>,
}

impl TokenReport {
    /// Returns whether the token is active and has not expired since the verification.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.active && self.expires_on.is_none_or(|end| now < end)
    }

    /// Returns the time that is left if the token expires [soon](EXPIRES_SOON).
    pub fn expires_soon(&self, now: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(self.expires_on?.duration_since(now)).ok()?;
        (left < EXPIRES_SOON).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_between_two_verifications() {
        let now: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let after = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).ok();
        for (active, expires_on, is_active, soon) in [
            (true, None, true, None),
            (true, after(15 * 24), true, None),
            (true, after(10 * 24), true, Some(Duration::from_hours(10 * 24))),
            (true, after(0), false, Some(Duration::ZERO)),
            (true, after(-1), false, None),
            (false, None, false, None),
        ] {
            let report = TokenReport { active, expires_on };
            assert_eq!((report.is_active(now), report.expires_soon(now)), (is_active, soon), "{report:?}");
        }
    }
}
