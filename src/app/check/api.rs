//! What the API says to each account: the token, the time, and whether the lists may be read.

use jiff::{SignedDuration, Timestamp, Unit};
use web_toolkit::clock;

use super::finding::{Finding, Subject};
use crate::{
    cloudflare::{ApiFailure, Client, Credentials, Token, TokenStatus, Verified},
    domain::{
        dataset::{Dataset, FailureReason},
        label::Label as _,
        tunnel::TunnelType,
    },
    poller::ApiAccount,
};

/// A clock that differs by more spoils the ages and times on the page.
const MOST_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// A token that ends sooner is warned of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Three requests, or four where the token is one of an account.
pub(super) async fn findings(client: &Client, account: &ApiAccount) -> Vec<Finding> {
    let (credentials, _) = account.credentials.credentials();
    let name = account.name.as_str();
    let mut verified = client.verify(&credentials, None).await;
    if is_unknown(&verified) {
        let own = client.verify(&credentials, Some(&account.id)).await;
        if own.token.is_ok() {
            verified = own;
        }
    }
    let mut found = vec![match credentials {
        Credentials::Token(_) => token(name, &verified.token, clock::now().wall),
        Credentials::Key { .. } => {
            Finding::ok(Subject::Token, Some(name), "an API key: it does not expire, and may do all that its user may")
                .warn("a token with `Magic WAN Read` or `Magic Transit Read` is enough")
        }
    }];
    found.extend(verified.ahead.map(|ahead| clock_skew(name, ahead)));
    for &tunnel_type in TunnelType::ALL {
        let listed = client.list(&credentials, &account.id, tunnel_type).await;
        found.push(permission(name, tunnel_type.dataset(), listed.map(|listing| listing.tunnels.len())));
    }
    found
}

/// Whether the token may be one of the account, which is unknown among those of users.
fn is_unknown(verified: &Verified) -> bool {
    matches!(&verified.token, Err(failure) if failure.reason == FailureReason::Auth)
}

fn token(account: &str, token: &Result<Token, ApiFailure>, now: Timestamp) -> Finding {
    let found = |says: String| Finding::ok(Subject::Token, Some(account), says);
    let token = match token {
        Ok(token) => token,
        Err(failure) if failure.reason == FailureReason::Auth => {
            return found(format!("the API does not know the token ({failure})"))
                .fail("make a new one, and put it where the secret is read from");
        }
        Err(failure) => return found(format!("the token cannot be checked ({failure})")).fail(failure.remedy()),
    };
    match (token.status, token.expires_on) {
        (TokenStatus::Active, None) => found("active, and does not expire".into()),
        (TokenStatus::Active, Some(end)) if end <= now => {
            found(format!("expired at {}", second(end))).fail("make a new one, or let this one live longer")
        }
        (TokenStatus::Active, Some(end)) if end.duration_since(now) < SOON => {
            found(format!("active, and expires at {}", second(end)))
                .warn("make a new one before; it is taken up without a restart")
        }
        (TokenStatus::Active, Some(end)) => found(format!("active, and expires at {}", second(end))),
        (status, _) => found(format!("the API says that it is {status}")).fail("make a new one, or switch this one on"),
    }
}

fn clock_skew(account: &str, ahead: SignedDuration) -> Finding {
    let seconds = ahead.as_secs();
    let says = match seconds {
        0 => "this clock is that of the API".to_owned(),
        1.. => format!("this clock is {seconds} s ahead of that of the API"),
        ..0 => format!("this clock is {} s behind that of the API", -seconds),
    };
    let found = Finding::ok(Subject::Clock, Some(account), says);
    if ahead.abs() > MOST_SKEW { found.warn("let NTP set it: ages and times on the page depend on it") } else { found }
}

fn permission(account: &str, dataset: Dataset, tunnels: Result<usize, ApiFailure>) -> Finding {
    let found = |says: String| Finding::ok(Subject::Permission, Some(account), says);
    match tunnels {
        Ok(1) => found(format!("{dataset} may be read: 1 tunnel")),
        Ok(count) => found(format!("{dataset} may be read: {count} tunnels")),
        Err(failure) if failure.reason == FailureReason::Auth => {
            found(format!("{dataset} may not be read ({failure})"))
                .fail("the token needs `Magic WAN Read` or `Magic Transit Read` on this account")
        }
        Err(failure) => found(format!("{dataset} cannot be read ({failure})")).fail(failure.remedy()),
    }
}

fn second(time: Timestamp) -> Timestamp {
    time.round(Unit::Second).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn failure(reason: FailureReason) -> ApiFailure {
        ApiFailure { reason, status: Some(403), codes: vec![10000], retry_after: None, transport: None }
    }

    #[test]
    fn a_token_is_judged_by_its_status_and_its_end() {
        use TokenStatus::{Active, Disabled, Expired, Unknown};
        let table = [
            (Active, None, Level::Ok, "active, and does not expire"),
            (Active, Some("2026-12-05T10:00:00Z"), Level::Ok, "active, and expires at 2026-12-05T10:00:00Z"),
            (Active, Some("2026-12-05T09:59:59.5Z"), Level::Warn, "active, and expires at 2026-12-05T10:00:00Z"),
            (Active, Some("2026-11-21T10:00:00Z"), Level::Fail, "expired at 2026-11-21T10:00:00Z"),
            (Expired, Some("2026-11-01T00:00:00Z"), Level::Fail, "the API says that it is expired"),
            (Disabled, None, Level::Fail, "the API says that it is disabled"),
            (Unknown, None, Level::Fail, "the API says that it is unknown"),
        ];
        for (status, end, level, says) in table {
            let expires_on = end.map(|end| end.parse().unwrap());
            let found = token("acme", &Ok(Token { status, expires_on }), now());
            assert_eq!((found.level, found.says.as_str()), (level, says), "{status} {end:?}");
            assert_eq!(found.mend.is_some(), level != Level::Ok);
        }
        let refused = token("acme", &Err(failure(FailureReason::Auth)), now());
        assert_eq!(refused.says, "the API does not know the token (auth, HTTP status 403, code 10000)");
        let unreachable = token("acme", &Err(failure(FailureReason::Connect)), now());
        assert_eq!(
            (unreachable.level, unreachable.mend.as_deref()),
            (Level::Fail, Some(FailureReason::Connect.remedy()))
        );
    }

    #[test]
    fn a_clock_may_be_half_a_minute_wrong() {
        let table = [
            (0, Level::Ok, "this clock is that of the API"),
            (30, Level::Ok, "this clock is 30 s ahead of that of the API"),
            (31, Level::Warn, "this clock is 31 s ahead of that of the API"),
            (-30, Level::Ok, "this clock is 30 s behind that of the API"),
            (-3600, Level::Warn, "this clock is 3600 s behind that of the API"),
        ];
        for (seconds, level, says) in table {
            let found = clock_skew("acme", SignedDuration::from_secs(seconds));
            assert_eq!((found.level, found.says.as_str()), (level, says));
        }
    }

    #[test]
    fn a_missing_permission_is_named_as_cloudflare_names_it() {
        let found = permission("acme", Dataset::GreTunnels, Err(failure(FailureReason::Auth)));
        assert_eq!(found.says, "gre_tunnels may not be read (auth, HTTP status 403, code 10000)");
        assert_eq!(found.mend.unwrap(), "the token needs `Magic WAN Read` or `Magic Transit Read` on this account");
        for &reason in FailureReason::ALL {
            let found = permission("acme", Dataset::IpsecTunnels, Err(failure(reason)));
            assert!(found.level == Level::Fail && found.mend.is_some(), "{reason}");
        }
        let found = permission("acme", Dataset::IpsecTunnels, Ok(1));
        assert_eq!((found.level, found.says.as_str()), (Level::Ok, "ipsec_tunnels may be read: 1 tunnel"));
    }
}
