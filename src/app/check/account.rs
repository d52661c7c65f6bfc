//! Checks of one account against the API: the token, the clock and the permission to read each list.

use jiff::{SignedDuration, Timestamp};
use web_toolkit::clock;

use super::{CheckResult, CheckSubject, EXPIRES_SOON, to_second};
use crate::{
    cloudflare::{ApiFailure, Client, Credentials, Token, TokenStatus, Verified},
    domain::{
        dataset::{Dataset, FailureReason},
        label::Label as _,
        tunnel::TunnelType,
    },
    poller::ApiAccount,
};

/// Largest clock difference without a warning. A larger one distorts the ages and times on the page.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Sends three requests, or four if the token belongs to the account instead of a user.
pub(super) async fn check(client: &Client, account: &ApiAccount) -> Vec<CheckResult> {
    let (credentials, _) = account.credentials.credentials();
    let mut verified = client.verify(&credentials, None).await;
    if is_unknown(&verified) {
        let of_account = client.verify(&credentials, Some(&account.id)).await;
        if of_account.token.is_ok() {
            verified = of_account;
        }
    }
    let mut results = vec![match credentials {
        Credentials::Token(_) => check_token(&verified.token, clock::now().wall),
        Credentials::Key { .. } => {
            CheckResult::ok(CheckSubject::Token, "an API key; it does not expire and has all permissions of its user")
                .warn("use a token; `Magic WAN Read` or `Magic Transit Read` is sufficient")
        }
    }];
    results.extend(verified.ahead.map(check_clock));
    for &tunnel_type in TunnelType::ALL {
        let listing = client.list(&credentials, &account.id, tunnel_type).await;
        results.push(check_permission(tunnel_type.dataset(), listing.map(|listing| listing.tunnels.len())));
    }
    results.into_iter().map(|result| result.for_account(account.name.as_str())).collect()
}

/// Whether the token may belong to the account. The endpoint for tokens of users does not know these.
fn is_unknown(verified: &Verified) -> bool {
    matches!(&verified.token, Err(failure) if failure.reason == FailureReason::Auth)
}

fn check_token(token: &Result<Token, ApiFailure>, now: Timestamp) -> CheckResult {
    let ok = |message: String| CheckResult::ok(CheckSubject::Token, message);
    let token = match token {
        Ok(token) => token,
        Err(failure) if failure.reason == FailureReason::Auth => {
            return ok(format!("the API rejects the token ({failure})"))
                .fail("create a new token, and store it where the exporter reads it");
        }
        Err(failure) => return ok(format!("the token cannot be verified ({failure})")).fail(failure.remedy()),
    };
    match (token.status, token.expires_on) {
        (TokenStatus::Active, None) => ok("active, does not expire".into()),
        (TokenStatus::Active, Some(end)) if end <= now => {
            ok(format!("expired at {}", to_second(end))).fail("create a new token, or extend this one")
        }
        (TokenStatus::Active, Some(end)) if end.duration_since(now) < EXPIRES_SOON => {
            ok(format!("active, expires at {}", to_second(end)))
                .warn("create a new token before that; the exporter uses it without a restart")
        }
        (TokenStatus::Active, Some(end)) => ok(format!("active, expires at {}", to_second(end))),
        (status, _) => {
            ok(format!("the API reports that the token is {status}")).fail("create a new token, or enable this one")
        }
    }
}

fn check_clock(ahead: SignedDuration) -> CheckResult {
    let message = match ahead.as_secs() {
        0 => "clock is in sync with the API".to_owned(),
        seconds @ 1.. => format!("clock is {seconds} s ahead of the API"),
        seconds @ ..0 => format!("clock is {} s behind the API", -seconds),
    };
    let result = CheckResult::ok(CheckSubject::Clock, message);
    if ahead.abs() <= MAX_SKEW {
        return result;
    }
    result.warn("synchronize the clock with NTP; ages and times on the page depend on it")
}

fn check_permission(dataset: Dataset, tunnels: Result<usize, ApiFailure>) -> CheckResult {
    let ok = |message: String| CheckResult::ok(CheckSubject::Permission, message);
    match tunnels {
        Ok(1) => ok(format!("{dataset} can be read: 1 tunnel")),
        Ok(count) => ok(format!("{dataset} can be read: {count} tunnels")),
        Err(failure) => {
            let fix = match failure.reason {
                FailureReason::Auth => "the token needs `Magic WAN Read` or `Magic Transit Read` on this account",
                _ => failure.remedy(),
            };
            ok(format!("{dataset} cannot be read ({failure})")).fail(fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CheckStatus, *};

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn failure(reason: FailureReason) -> ApiFailure {
        ApiFailure { reason, status: Some(403), codes: vec![10000], retry_after: None, transport: None }
    }

    #[test]
    fn a_token_is_judged_by_its_status_and_its_expiry() {
        use TokenStatus::{Active, Disabled, Expired, Unknown};
        let table = [
            (Active, None, CheckStatus::Ok, "active, does not expire"),
            (Active, Some("2026-12-05T10:00:00Z"), CheckStatus::Ok, "active, expires at 2026-12-05T10:00:00Z"),
            (Active, Some("2026-12-05T09:59:59.5Z"), CheckStatus::Warn, "active, expires at 2026-12-05T10:00:00Z"),
            (Active, Some("2026-11-21T10:00:00Z"), CheckStatus::Fail, "expired at 2026-11-21T10:00:00Z"),
            (Expired, Some("2026-11-01T00:00:00Z"), CheckStatus::Fail, "the API reports that the token is expired"),
            (Disabled, None, CheckStatus::Fail, "the API reports that the token is disabled"),
            (Unknown, None, CheckStatus::Fail, "the API reports that the token is unknown"),
        ];
        for (token_status, end, status, message) in table {
            let expires_on = end.map(|end| end.parse().unwrap());
            let result = check_token(&Ok(Token { status: token_status, expires_on }), now());
            assert_eq!((result.status, result.message.as_str()), (status, message), "{token_status} {end:?}");
            assert_eq!(result.fix.is_some(), status != CheckStatus::Ok);
        }
        let rejected = check_token(&Err(failure(FailureReason::Auth)), now());
        assert_eq!(rejected.message, "the API rejects the token (auth, HTTP status 403, code 10000)");
        let unreachable = check_token(&Err(failure(FailureReason::Connect)), now());
        assert_eq!(
            (unreachable.status, unreachable.fix.as_deref()),
            (CheckStatus::Fail, Some(FailureReason::Connect.remedy()))
        );
    }

    #[test]
    fn a_clock_that_differs_by_more_than_30_seconds_causes_a_warning() {
        let table = [
            (0, CheckStatus::Ok, "clock is in sync with the API"),
            (30, CheckStatus::Ok, "clock is 30 s ahead of the API"),
            (31, CheckStatus::Warn, "clock is 31 s ahead of the API"),
            (-30, CheckStatus::Ok, "clock is 30 s behind the API"),
            (-3600, CheckStatus::Warn, "clock is 3600 s behind the API"),
        ];
        for (seconds, status, message) in table {
            let result = check_clock(SignedDuration::from_secs(seconds));
            assert_eq!((result.status, result.message.as_str()), (status, message));
        }
    }

    #[test]
    fn a_missing_permission_has_the_name_that_cloudflare_uses() {
        let result = check_permission(Dataset::GreTunnels, Err(failure(FailureReason::Auth)));
        assert_eq!(result.message, "gre_tunnels cannot be read (auth, HTTP status 403, code 10000)");
        assert_eq!(result.fix.unwrap(), "the token needs `Magic WAN Read` or `Magic Transit Read` on this account");
        for &reason in FailureReason::ALL {
            let result = check_permission(Dataset::IpsecTunnels, Err(failure(reason)));
            assert!(result.status == CheckStatus::Fail && result.fix.is_some(), "{reason}");
        }
        let result = check_permission(Dataset::IpsecTunnels, Ok(1));
        assert_eq!((result.status, result.message.as_str()), (CheckStatus::Ok, "ipsec_tunnels can be read: 1 tunnel"));
    }
}
