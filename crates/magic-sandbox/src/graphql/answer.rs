//! The answer to one of the documents: limits, filters, order, and the rows.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{
    error::AnalyticsError,
    rows::{
        ColoKey, ColoLists, EgressKey, HealthLists, IngressKey, MinuteKey, ResultKey, ShownColo, ShownMinute,
        ShownResult, ShownSampling, ShownScore, ShownState, ShownTraffic, StateKey, TrafficLists,
    },
    variables::TypedVariables,
};
use crate::{
    edge::{AnswerWindow, EdgeTimeline, FlowDirection},
    store::{StoredAccount, StoredTunnel},
};

/// Maximum range of one query. The documentation of tunnel health says one week.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Maximum age of data. The documentation of tunnel health says three months.
const NOT_OLDER_THAN: SignedDuration = SignedDuration::from_hours(90 * 24);
/// `limit` of the list `minutes`, which is part of its document.
const MAX_MINUTES: usize = 30;
/// Names that the documents exclude from traffic: those of WARP devices.
const NO_TUNNELS: [&str; 2] = ["", "device_id"];

/// What an answer depends on besides the request and the accounts.
#[derive(Debug)]
pub(crate) struct AnswerContext {
    pub now: Timestamp,
    /// Age at which data becomes visible.
    pub delay: Duration,
    /// Maximum number of rows of a list.
    pub page_size: u64,
    pub distortion: Distortion,
}

/// What a fault changes in an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Distortion {
    /// Added to the delay.
    pub late: Duration,
    /// The first tunnel of the account has a name that its inventory lacks.
    pub renamed: bool,
    /// Repeats the last row until each list has `limit` rows, as if it were cut.
    pub padded: bool,
}

/// Returns the body of the answer as JSON text.
pub(super) fn answer_account(
    query: &TypedVariables,
    accounts: &[StoredAccount],
    context: &AnswerContext,
) -> Result<String, AnalyticsError> {
    let account = accounts.iter().find(|account| account.id == query.account());
    let account = account.ok_or_else(AnalyticsError::unknown_account)?;
    let page = |window, limit| AnswerPage { account, context, window, limit, after: "" };
    match query {
        TypedVariables::Settings { .. } => Ok(envelope(&settings(account, context))),
        TypedVariables::EdgeHealth { window, after, limit, .. } => {
            let page = AnswerPage { after, ..page(*window, *limit) };
            page.check("results")?;
            Ok(envelope(&page.health()))
        }
        TypedVariables::EdgeTraffic { window, limit, .. } => {
            let page = page(*window, *limit);
            page.check("from_site")?;
            Ok(envelope(&page.traffic()))
        }
        TypedVariables::EdgeColos { window, after, limit, colos, .. } => {
            let page = AnswerPage { after, ..page(*window, *limit) };
            page.check("colos")?;
            Ok(envelope(&page.colos(colos)))
        }
    }
}

fn envelope(account: &impl Serialize) -> String {
    let account = serde_json::to_string(account).unwrap_or_default();
    format!("{{\"data\":{{\"viewer\":{{\"accounts\":[{account}]}}}}}}")
}

fn settings(account: &StoredAccount, context: &AnswerContext) -> impl Serialize + use<> {
    let dataset = |fields: &[&str]| {
        json!({
            "enabled": account.has_analytics(),
            "maxDuration": MAX_DURATION.as_secs(),
            "maxPageSize": context.page_size,
            "notOlderThan": NOT_OLDER_THAN.as_secs(),
            "availableFields": if account.has_analytics() { fields } else { &[] },
        })
    };
    json!({"settings": {
        "magicTransitTunnelHealthChecksAdaptiveGroups": dataset(&HEALTH_FIELDS),
        "magicTransitNetworkAnalyticsAdaptiveGroups": dataset(&TRAFFIC_FIELDS),
    }})
}

/// The fields that the documents select. A nested field is a path with underscores, as the documentation says.
const HEALTH_FIELDS: [&str; 8] = [
    "avg_sampleInterval",
    "avg_tunnelState",
    "count",
    "dimensions_datetimeMinute",
    "dimensions_edgeColoName",
    "dimensions_resultStatus",
    "dimensions_siteName",
    "dimensions_tunnelName",
];
const TRAFFIC_FIELDS: [&str; 6] = [
    "dimensions_egressTunnelID",
    "dimensions_egressTunnelName",
    "dimensions_ingressTunnelID",
    "dimensions_ingressTunnelName",
    "sum_bits",
    "sum_packets",
];

/// A query for rows of one account.
#[derive(Clone, Copy)]
struct AnswerPage<'a> {
    account: &'a StoredAccount,
    context: &'a AnswerContext,
    window: AnswerWindow,
    limit: u64,
    /// The first name that is wanted.
    after: &'a str,
}

impl<'a> AnswerPage<'a> {
    /// The rules of the API, with its messages. `alias` names the first list of the document.
    fn check(&self, alias: &str) -> Result<(), AnalyticsError> {
        if !self.account.has_analytics() {
            return Err(AnalyticsError::no_access_to_path().at_alias(alias));
        }
        let page_size = self.context.page_size;
        let range = self.window.to.duration_since(self.window.from);
        let message = if self.limit == 0 || self.limit > page_size {
            format!("limit must be positive number and not greater than {page_size}")
        } else if range > MAX_DURATION {
            let [most, range] = [MAX_DURATION, range].map(|range| range.as_secs());
            format!("query time range is too large. Time range can't be wider than {most}s, but it's {range}s")
        } else if self.context.now.duration_since(self.window.from) > NOT_OLDER_THAN {
            format!("cannot request data older than {}s", NOT_OLDER_THAN.as_secs())
        } else {
            return Ok(());
        };
        Err(AnalyticsError::bad_request(message).at_alias(alias))
    }

    fn health(&self) -> HealthLists<'a> {
        let (window, tunnels) = (self.visible(), self.tunnels());
        let results = tunnels.iter().flat_map(|(name, tunnel)| {
            let mut counts = tunnel.edge().results(window);
            let status = |passed| if passed { "ok" } else { "timeout" };
            counts.sort_by_key(|group| status(group.passed));
            counts.into_iter().map(move |group| ShownResult {
                count: group.count,
                avg: ShownSampling { sample_interval: 1 },
                dimensions: ResultKey {
                    tunnel_name: name.clone(),
                    site_name: group.site,
                    result_status: status(group.passed),
                },
            })
        });
        let states = tunnels.iter().filter_map(|(name, tunnel)| {
            let (count, tunnel_state) = tunnel.edge().score(window)?;
            let dimensions = StateKey { tunnel_name: name.clone() };
            Some(ShownState { count, avg: ShownScore { tunnel_state }, dimensions })
        });
        HealthLists { results: self.cut(results), states: self.cut(states), minutes: self.minutes() }
    }

    fn traffic(&self) -> TrafficLists<'a> {
        let mut tunnels = self.tunnels();
        tunnels.retain(|(name, _)| !NO_TUNNELS.contains(&name.as_ref()));
        let sum = |tunnel: &StoredTunnel, direction| tunnel.edge().traffic(self.visible(), direction);
        let from_site = tunnels.iter().filter_map(|(name, tunnel)| {
            let dimensions = IngressKey { id: tunnel.id(), name: name.clone() };
            Some(ShownTraffic { sum: sum(tunnel, FlowDirection::FromSite)?, dimensions })
        });
        let to_site = tunnels.iter().filter_map(|(name, tunnel)| {
            let dimensions = EgressKey { id: tunnel.id(), name: name.clone() };
            Some(ShownTraffic { sum: sum(tunnel, FlowDirection::ToSite)?, dimensions })
        });
        TrafficLists { from_site: self.cut(from_site), to_site: self.cut(to_site) }
    }

    /// The score of each tunnel in each of these data centers.
    fn colos(&self, wanted: &'a [String]) -> ColoLists<'a> {
        let (window, tunnels, wanted) = (self.visible(), self.tunnels(), wanted.iter().collect::<BTreeSet<_>>());
        let rows = tunnels.iter().flat_map(|(name, tunnel)| {
            wanted.iter().filter_map(move |colo| {
                let (count, tunnel_state) = tunnel.edge().colo_score(window, colo)?;
                let dimensions = ColoKey { tunnel_name: name.clone(), edge_colo_name: colo };
                Some(ShownColo { count, avg: ShownScore { tunnel_state }, dimensions })
            })
        });
        ColoLists { colos: self.cut(rows) }
    }

    /// The time of the newest visible data.
    fn newest(&self) -> Timestamp {
        let delay = self.context.delay.saturating_add(self.context.distortion.late);
        self.context.now.saturating_sub(delay).unwrap_or(Timestamp::MIN)
    }

    fn visible(&self) -> AnswerWindow {
        self.window.before(self.newest())
    }

    /// The tunnels from the name `after` on, in the order of their names.
    fn tunnels(&self) -> Vec<(Cow<'a, str>, &'a StoredTunnel)> {
        let mut tunnels: Vec<_> =
            self.account.tunnels().map(|tunnel| (Cow::from(&tunnel.spec().name), tunnel)).collect();
        if let Some((name, _)) = tunnels.first_mut().filter(|_| self.context.distortion.renamed) {
            *name = format!("{name}-renamed").into();
        }
        tunnels.retain(|(name, _)| name.as_ref() >= self.after);
        tunnels.sort_by(|(one, _), (other, _)| one.cmp(other));
        tunnels
    }

    /// The first `limit` rows, which are in order already.
    fn cut<T: Clone>(&self, rows: impl Iterator<Item = T>) -> Vec<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut rows: Vec<T> = rows.take(limit).collect();
        if let Some(last) = rows.last().cloned().filter(|_| self.context.distortion.padded) {
            rows.resize(limit, last);
        }
        rows
    }

    /// The newest minutes with checks, all tunnels together. The window of this list has no end, so its first row is a
    /// minute that has only just begun.
    fn minutes(&self) -> Vec<ShownMinute> {
        let histories = self.histories();
        let mut rows = Vec::new();
        let mut end = self.newest();
        while rows.len() < MAX_MINUTES {
            // Skips the time in which no tunnel was checked, which can be months.
            let checked = histories.iter().filter_map(|(history, _)| history.checked_until(end)).max();
            let Some(checked) = checked.filter(|checked| *checked > self.window.from) else { break };
            let minute = start_of_minute(checked);
            let window = AnswerWindow { from: minute.max(self.window.from), to: checked };
            let count = histories.iter().map(|(history, tunnels)| history.count(window) * tunnels).sum();
            if count > 0 {
                rows.push(ShownMinute { count, dimensions: MinuteKey { datetime_minute: minute.to_string() } });
            }
            end = minute;
        }
        rows
    }

    /// The histories of the tunnels, and the number of tunnels with the same one. Most tunnels never change, so that
    /// the number of histories is small.
    fn histories(&self) -> Vec<(&'a EdgeTimeline, u64)> {
        let mut unchanged = HashMap::new();
        let mut histories = Vec::new();
        for history in self.account.tunnels().map(StoredTunnel::edge) {
            match history.unchanged() {
                Some(checks) => unchanged.entry(checks).or_insert((history, 0)).1 += 1,
                None => histories.push((history, 1)),
            }
        }
        histories.extend(unchanged.into_values());
        histories
    }
}

/// The start of the minute before `end`, which is not part of it.
fn start_of_minute(end: Timestamp) -> Timestamp {
    let nanos = (end.as_nanosecond() - 1).div_euclid(60_000_000_000) * 60_000_000_000;
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MIN)
}
