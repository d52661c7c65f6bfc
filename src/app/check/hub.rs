//! Tests the hubs of an agent: each is asked once for the inventory.

use std::{sync::Arc, time::Duration};

use super::result::{CheckResult, CheckSubject};
use crate::inventory::{HubClient, HubReply, InventorySettings, ReplyTimes, decode};

/// Age of the lists of a hub without a warning.
const USUAL_AGE: Duration = Duration::from_mins(5);

pub(super) async fn check_hubs(settings: &InventorySettings) -> Vec<CheckResult> {
    let mut client = HubClient::new(Arc::new(settings.clone()));
    let mut results = Vec::new();
    for (number, url) in settings.urls.iter().enumerate() {
        let reply = client.fetch(number, None).await;
        let read = reply.and_then(|reply| match reply {
            HubReply::Changed { body, times, .. } => decode(&body).map(|inventory| (inventory.tunnels(), times)),
            HubReply::Unchanged(times) => Ok((0, times)),
        });
        let ok = |message: String| CheckResult::ok(CheckSubject::Inventory, message);
        results.push(match read {
            Ok((tunnels, times)) => {
                describe(ok(format!("{url} lists {tunnels} tunnels for this agent")), tunnels, &times)
            }
            Err(failure) => ok(format!("{url} sends no inventory ({failure})")).fail(failure.remedy()),
        });
    }
    results
}

fn describe(result: CheckResult, tunnels: usize, times: &ReplyTimes) -> CheckResult {
    let message = format!("{}, confirmed {} s ago", result.message, times.age.as_secs());
    let result = CheckResult { message, ..result };
    if tunnels == 0 {
        return result.warn("check `inventory.site`: no tunnel of the hub has one of these sites");
    }
    if times.age > USUAL_AGE {
        return result.warn("see the log of the hub: its polls of the Cloudflare API fail");
    }
    result
}
