use super::*;
use crate::domain::inventory::{RejectReason, RejectedMember};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn failure(reason: FailureReason) -> ApiFailure {
    ApiFailure { reason, status: Some(403), codes: vec![10000], retry_after: None, transport: None }
}

#[test]
fn a_token_is_judged_by_its_status_and_its_expiry() {
    use VerifiedStatus::{Active, Disabled, Expired, Unknown};
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
        let result = check_token(&Ok(TokenInfo { status: token_status, expires_on }), now());
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
    let result = check_permission(Dataset::GreTunnels, Err(&failure(FailureReason::Auth)));
    assert_eq!(result.message, "gre_tunnels cannot be read (auth, HTTP status 403, code 10000)");
    assert_eq!(result.fix.unwrap(), "the token needs `Magic WAN Read` or `Magic Transit Read` on this account");
    for &reason in FailureReason::ALL {
        let result = check_permission(Dataset::IpsecTunnels, Err(&failure(reason)));
        assert!(result.status == CheckStatus::Fail && result.fix.is_some(), "{reason}");
    }
    let tunnels = vec![Arc::new(crate::domain::fixtures::tunnel("a"))];
    let listing = TunnelListing { tunnels, ..TunnelListing::default() };
    let result = check_permission(Dataset::IpsecTunnels, Ok(&listing));
    assert_eq!((result.status, result.message.as_str()), (CheckStatus::Ok, "ipsec_tunnels can be read: 1 tunnel"));
}

#[test]
fn rejected_members_are_counted_and_the_first_20_are_shown() {
    let rejected = (0..50).map(|index| RejectedMember { reason: RejectReason::MissingName, index, id: None });
    let listing = TunnelListing { rejected: rejected.collect(), ..TunnelListing::default() };
    let result = check_permission(Dataset::GreTunnels, Ok(&listing));
    assert_eq!(result.status, CheckStatus::Warn);
    let message = "gre_tunnels can be read: 0 tunnels, and 50 members that cannot be decoded: missing_name (50)";
    assert_eq!(result.message, message);
    let fix = result.fix.unwrap();
    assert!(fix.contains("member 19: missing_name") && !fix.contains("member 20"), "{fix}");
}

#[test]
fn a_certificate_is_checked_against_its_validity() {
    let at = |time: &str| time.parse::<Timestamp>().unwrap();
    let validity = Validity { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2026-12-31T00:00:00Z") };
    let table = [
        ("2025-12-31T23:59:59Z", CheckStatus::Fail, "the certificate is not valid before 2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", CheckStatus::Ok, "the certificate is valid until 2026-12-31T00:00:00Z"),
        ("2026-12-17T00:00:00Z", CheckStatus::Ok, "the certificate is valid until 2026-12-31T00:00:00Z"),
        ("2026-12-17T00:00:01Z", CheckStatus::Warn, "the certificate expires at 2026-12-31T00:00:00Z"),
        ("2026-12-31T00:00:00Z", CheckStatus::Warn, "the certificate expires at 2026-12-31T00:00:00Z"),
        ("2026-12-31T00:00:01Z", CheckStatus::Fail, "the certificate expired at 2026-12-31T00:00:00Z"),
    ];
    for (now, status, message) in table {
        let result = check_certificate(validity, at(now));
        assert_eq!((result.status, result.message.as_str()), (status, message), "{now}");
    }
}
