//! What the web configuration file asks of clients, and how long its certificate holds.

use jiff::{SignedDuration, Timestamp, Unit};
use web_toolkit::{server::tls::Validity, web_file::WebFile};

use super::finding::{Finding, Subject};

/// A certificate that ends sooner is warned of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn findings(file: Option<&WebFile>, now: Timestamp) -> Vec<Finding> {
    let Some(file) = file else {
        return vec![Finding::ok(Subject::Web, None, "pages are served in the clear and without a password")];
    };
    let mut found = Vec::new();
    found.extend(file.tls.as_ref().map(|tls| certificate(tls.validity(), now)));
    if file.rules.users().is_some() {
        found.push(Finding::ok(Subject::Web, None, "a password is asked for"));
    }
    found.extend(
        file.remarks().iter().map(|remark| Finding::ok(Subject::Web, None, remark).warn("see docs/WEB-CONFIG.md")),
    );
    found
}

fn certificate(validity: Validity, now: Timestamp) -> Finding {
    let found = |says: String| Finding::ok(Subject::Web, None, says);
    let second = |time: Timestamp| time.round(Unit::Second).unwrap_or(time);
    let end = second(validity.not_after);
    if now < validity.not_before {
        let start = second(validity.not_before);
        return found(format!("the certificate holds only from {start} on"))
            .fail("set the clock, or take another certificate");
    }
    match validity.not_after.duration_since(now) {
        left if left.is_negative() => {
            found(format!("the certificate expired at {end}")).fail("renew it; no restart is needed")
        }
        left if left < SOON => {
            found(format!("the certificate expires at {end}")).warn("renew it; no restart is needed")
        }
        _ => found(format!("the certificate holds until {end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    #[test]
    fn a_certificate_is_judged_by_its_time() {
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let validity = Validity { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2026-12-31T00:00:00Z") };
        let table = [
            ("2025-12-31T23:59:59Z", Level::Fail, "the certificate holds only from 2026-01-01T00:00:00Z on"),
            ("2026-01-01T00:00:00Z", Level::Ok, "the certificate holds until 2026-12-31T00:00:00Z"),
            ("2026-12-17T00:00:00Z", Level::Ok, "the certificate holds until 2026-12-31T00:00:00Z"),
            ("2026-12-17T00:00:01Z", Level::Warn, "the certificate expires at 2026-12-31T00:00:00Z"),
            ("2026-12-31T00:00:00Z", Level::Warn, "the certificate expires at 2026-12-31T00:00:00Z"),
            ("2026-12-31T00:00:01Z", Level::Fail, "the certificate expired at 2026-12-31T00:00:00Z"),
        ];
        for (now, level, says) in table {
            let found = certificate(validity, at(now));
            assert_eq!((found.level, found.says.as_str()), (level, says), "{now}");
        }
    }
}
