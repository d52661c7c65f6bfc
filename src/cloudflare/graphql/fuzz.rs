//! The entry point of the fuzzer: one body as the answer to each query.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    body::{BodyReader, RowReader, failure_of},
    colos::ColoPages,
    health::{HealthListing, HealthPages},
    settings::{DatasetSettings, EdgeSettings},
    traffic::TrafficListing,
};
use crate::cloudflare::ApiFailure;

const WINDOW: Duration = Duration::from_mins(5);

/// Minimum number of checks for a state.
const MIN_CHECKS: u64 = 20;

/// Nothing that an answer states can be outside of its range, and the pieces in which a body arrives do not matter.
pub(crate) fn decode_answer(data: &[u8]) {
    for limit in [3, 10_000] {
        check_health(limit, data);
        check_colos(limit, data);
        check_traffic(limit, data);
    }
    if let Ok(EdgeSettings { health, traffic }) = EdgeSettings::read(data) {
        [health, traffic].iter().for_each(check_limits);
    }
    let failure = failure_of(400, data);
    assert_eq!((failure.status, failure.transport), (Some(400), None), "the body is not quoted");
}

fn check_health(limit: u64, data: &[u8]) {
    let now = Timestamp::from_second(1_795_000_000).expect("a time");
    let finish = |pages: HealthPages| pages.finish(MIN_CHECKS, now);
    let pieces = read_bytewise(HealthPages::default().reader(limit), data).map(finish);
    let whole = HealthPages::default().read(limit, data).map(finish);
    assert_eq!(pieces.is_ok(), whole.is_ok());
    let (Ok(pieces), Ok(whole)) = (pieces, whole) else { return };
    assert!(pieces.tunnels == whole.tunnels && pieces.sites == whole.sites && pieces.newest == whole.newest);
    check_listing(&whole, now);
    // The same page again, as the answer to the request for the next one.
    let pages = HealthPages::default().read(limit, data).expect("it was read before");
    if pages.is_unfinished()
        && let Ok(pages) = pages.read(limit, data)
    {
        check_listing(&finish(pages), now);
    }
}

fn check_listing(listing: &HealthListing, now: Timestamp) {
    for (name, health) in &listing.tunnels {
        assert!(!name.is_empty() && (health.checks.is_some() || health.routing_score.is_some()));
        let ratio = health.checks.and_then(|checks| checks.pass_ratio());
        assert!(ratio.into_iter().chain(health.routing_score).all(|share| (0.0..=1.0).contains(&share)));
        assert_eq!(health.state, health.checks.and_then(|checks| checks.state(MIN_CHECKS)));
    }
    assert!(listing.newest.is_none_or(|newest| newest.duration_since(now).as_secs() <= 60));
    assert!(listing.sites.values().all(|site| !site.is_empty()));
}

fn check_colos(limit: u64, data: &[u8]) {
    let colos = || ColoPages::new(["ams01", "fra01"].map(Into::into).into());
    let pieces = read_bytewise(colos().reader(limit), data).map(ColoPages::finish);
    let whole = colos().read(limit, data).map(ColoPages::finish);
    assert_eq!(pieces.is_ok(), whole.is_ok());
    let (Ok(pieces), Ok(whole)) = (pieces, whole) else { return };
    assert_eq!(pieces, whole);
    for scores in whole.values() {
        assert!((1..=2).contains(&scores.len()));
        assert!(scores.iter().all(|known| (0.0..=1.0).contains(&known.score)));
    }
}

fn check_traffic(limit: u64, data: &[u8]) {
    let Ok(listing) = TrafficListing::read(limit, WINDOW, data) else { return };
    for row in listing.rows {
        assert!(!["", "device_id"].contains(&&*row.name));
        let rates = [row.rate.bytes_per_second, row.rate.packets_per_second];
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0), "{rates:?}");
    }
}

fn check_limits(limits: &DatasetSettings) {
    assert!((1..=10_000).contains(&limits.limit()));
    assert!(limits.window(WINDOW) <= WINDOW && !limits.window(WINDOW).is_zero());
}

/// Decodes a body that arrives byte by byte.
fn read_bytewise<R: RowReader>(reader: R, data: &[u8]) -> Result<R::Output, ApiFailure> {
    let mut reader = BodyReader::new(reader);
    data.chunks(1).try_for_each(|piece| reader.push(piece)).map_err(ApiFailure::new)?;
    reader.finish(200)
}
