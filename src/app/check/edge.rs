//! Checks what the edge view needs: the permission, the datasets, and the age of the newest data.

use std::time::Duration;

use web_toolkit::clock::{self, Moment};

use super::result::{CheckResult, CheckSubject};
use crate::{
    cloudflare::{
        ApiCredentials, ApiFailure, Client,
        graphql::{health::HealthPages, settings::EdgeSettings},
    },
    domain::dataset::{Dataset, FailureReason},
    poller::{ApiAccount, edge::EdgePollSettings},
};

/// Checks one account. Sends two requests, or three with traffic.
pub(super) async fn check(client: &Client, account: &ApiAccount, settings: &EdgePollSettings) -> Vec<CheckResult> {
    let (credentials, _) = account.credentials.credentials();
    let limits = client.edge_settings(&credentials, account.in_requests()).await;
    let mut results = vec![check_permission(limits.as_ref())];
    if let Ok(limits) = limits {
        results.extend(check_health(client, &credentials, account, settings, limits).await);
        if settings.traffic {
            results.push(check_traffic(client, &credentials, account, settings, limits).await);
        }
    }
    results.into_iter().map(|result| result.for_account(account.name.as_str())).collect()
}

fn ok(message: impl Into<String>) -> CheckResult {
    CheckResult::ok(CheckSubject::Edge, message)
}

fn failed(dataset: Dataset, failure: &ApiFailure) -> CheckResult {
    ok(format!("{dataset} cannot be read ({failure})")).fail(dataset.remedy(failure.reason))
}

fn check_permission(limits: Result<&EdgeSettings, &ApiFailure>) -> CheckResult {
    match limits {
        Ok(_) => ok("the token can read the analytics of the account"),
        Err(failure) => ok(format!("the token cannot read the analytics of the account ({failure})"))
            .fail(Dataset::EdgeHealth.remedy(failure.reason)),
    }
}

async fn check_health(
    client: &Client,
    credentials: &ApiCredentials,
    account: &ApiAccount,
    settings: &EdgePollSettings,
    limits: EdgeSettings,
) -> Vec<CheckResult> {
    if limits.health.is_refused {
        return vec![refused(Dataset::EdgeHealth)];
    }
    let window = settings.window_at(clock::now(), limits.health.window(settings.window));
    let (limit, pages) = (limits.health.limit(), HealthPages::default());
    match client.edge_health(credentials, account.in_requests(), window, limit, pages).await {
        Err(failure) => vec![failed(Dataset::EdgeHealth, &failure)],
        Ok(pages) => {
            let now = clock::now();
            let (more, listing) = (pages.is_unfinished(), pages.finish(settings.min_checks, now.wall));
            let more = if more { " on the first page" } else { "" };
            let read = format!("{} can be read: {} tunnels{more}", Dataset::EdgeHealth, listing.tunnels.len());
            vec![ok(read), check_delay(listing.newest, settings.delay, now)]
        }
    }
}

/// Compares the age of the newest complete minute with `edge.delay`.
fn check_delay(newest: Option<jiff::Timestamp>, delay: Duration, now: Moment) -> CheckResult {
    let Some(newest) = newest else {
        return ok("there is no recent data, so the delay of the data cannot be measured")
            .warn("check that the health checks of the tunnels are enabled, and run this command again");
    };
    // The minute is complete at its end.
    let age = Duration::try_from(now.wall.duration_since(newest)).unwrap_or_default();
    let age = age.saturating_sub(Duration::from_mins(1));
    let message = format!("newest complete minute ended {} s ago", age.as_secs());
    let delay_text = humantime::format_duration(delay);
    if age <= delay {
        return ok(format!("{message}: `edge.delay` {delay_text} is enough"));
    }
    ok(format!("{message}: `edge.delay` {delay_text} is too short"))
        .warn("increase `--edge.delay`; otherwise the newest minutes of each poll are incomplete")
}

async fn check_traffic(
    client: &Client,
    credentials: &ApiCredentials,
    account: &ApiAccount,
    settings: &EdgePollSettings,
    limits: EdgeSettings,
) -> CheckResult {
    if limits.traffic.is_refused {
        return refused(Dataset::EdgeTraffic);
    }
    let bucket = settings.bucket_at(clock::now());
    match client.edge_traffic(credentials, account.in_requests(), bucket, limits.traffic.limit()).await {
        Err(failure) => failed(Dataset::EdgeTraffic, &failure),
        Ok(listing) => ok(format!("{} can be read: {} rows", Dataset::EdgeTraffic, listing.rows.len())),
    }
}

fn refused(dataset: Dataset) -> CheckResult {
    ok(format!("{dataset} is not available to this account or token")).fail(dataset.remedy(FailureReason::NotEntitled))
}

#[cfg(test)]
mod tests {
    use super::{super::result::CheckStatus, *};

    #[test]
    fn the_delay_is_compared_with_the_age_of_the_newest_complete_minute() {
        let now = clock::now();
        let delay = Duration::from_mins(2);
        for (age, status, part) in [
            (Some(134), CheckStatus::Ok, "ended 74 s ago: `edge.delay` 2m is enough"),
            (Some(180), CheckStatus::Ok, "ended 120 s ago"),
            (Some(181), CheckStatus::Warn, "ended 121 s ago: `edge.delay` 2m is too short"),
            (None, CheckStatus::Warn, "cannot be measured"),
        ] {
            let newest = age.map(|age| now.wall - Duration::from_secs(age));
            let result = check_delay(newest, delay, now);
            assert_eq!(result.status, status, "{age:?}");
            assert!(result.message.contains(part), "{}", result.message);
        }
    }
}
