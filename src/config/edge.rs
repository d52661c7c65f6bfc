//! The section `edge`: what is polled of Cloudflare's edge.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use web_toolkit::{
    keys,
    settings::{Setting, SettingsReader},
    yaml::Node,
};

use super::flags::EdgeFlags;
use crate::poller::edge::{BUCKET, EdgePollSettings, MAX_COLOS};

keys! { pub(super) struct EdgeKeys { enabled, interval, window, delay, stale_after, min_checks, traffic, colos } }

const LONGEST_INTERVAL: Duration = Duration::from_hours(1);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
/// Of an API on this machine, which has no quota.
const SHORTEST_LOCAL_INTERVAL: Duration = Duration::from_millis(200);
const WINDOW: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(1);
/// Maximum length of the name of a data center. Cloudflare's have five characters.
const MAX_COLO_LENGTH: usize = 32;
const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(30);

/// The flags over the section. `None` if the edge is not polled; the other values are checked nevertheless. `is_local`
/// means that all accounts have an API on this machine. An agent polls nothing.
pub(super) fn read(
    flags: &EdgeFlags,
    reader: &mut SettingsReader,
    node: Node<EdgeKeys>,
    (is_local, is_agent): (bool, bool),
    (usually_enabled, usual): (bool, EdgePollSettings),
) -> Option<EdgePollSettings> {
    let keys = reader.section("edge", node);
    let before = reader.mistakes();
    let setting = reader.one(("edge.enabled", flags.edge_enabled.as_deref(), keys.enabled));
    let enabled = reader.switch(setting.clone(), usually_enabled);
    if let Some(setting) = setting.filter(|_| enabled && is_agent) {
        let rule = "cannot be combined with `--inventory.url`: an agent gets the state at the edge from its hub; enable \
            it there";
        reader.report(setting.unquoted_mistake(rule));
    }
    let setting = reader.one(("edge.interval", flags.edge_interval.as_deref(), keys.interval));
    let shortest = if is_local { SHORTEST_LOCAL_INTERVAL } else { SHORTEST_INTERVAL };
    let interval = duration(reader, setting, &(shortest..=LONGEST_INTERVAL)).unwrap_or(usual.interval);
    let setting = reader.one(("edge.window", flags.edge_window.as_deref(), keys.window));
    let window = duration(reader, setting, &WINDOW).unwrap_or(usual.window);
    let setting = reader.one(("edge.delay", flags.edge_delay.as_deref(), keys.delay));
    let delay = duration(reader, setting, &DELAY).unwrap_or(usual.delay);
    let min_checks = reader.one(("edge.min_checks", flags.edge_min_checks.as_deref(), keys.min_checks));
    let min_checks = min_checks.and_then(|setting| reader.number(&setting, 1..=1_000_000)).unwrap_or(usual.min_checks);
    let traffic = reader.one(("edge.traffic", flags.edge_traffic.as_deref(), keys.traffic));
    let traffic = reader.switch(traffic, usual.traffic);
    let colos = reader.many("edge.colos", &flags.edge_colos, keys.colos);
    let colos = read_colos(reader, &colos);
    let setting = reader.one(("edge.stale_after", flags.edge_stale_after.as_deref(), keys.stale_after));
    let stale_after = setting.as_ref().and_then(|setting| reader.duration(setting, Duration::ZERO));
    let stale_after = stale_after.unwrap_or(usual.stale_after);
    // Otherwise data is stale before the next poll replaces it.
    let longest = delay + interval + if traffic { window.max(BUCKET) } else { window };
    if stale_after <= longest && reader.mistakes() == before {
        let shown = humantime::format_duration(stale_after).to_string();
        let setting = setting.unwrap_or_else(|| Setting::from_flag("--edge.stale-after", &shown));
        let parts =
            ["edge.delay", "edge.interval", "edge.window"].map(|key| format!("`{}`", setting.name_like_this(key)));
        let longest = humantime::format_duration(longest);
        reader.report(setting.mistake(format!(
            "must be longer than the sum of {} and {}, which counts as at least 5m with traffic ({longest})",
            parts[..2].join(", "),
            parts[2]
        )));
    }
    enabled.then_some(EdgePollSettings { interval, window, delay, stale_after, min_checks, traffic, colos })
}

/// Names of data centers, each once.
fn read_colos(reader: &mut SettingsReader, settings: &[Setting]) -> Arc<[Arc<str>]> {
    let mut colos: Vec<Arc<str>> = Vec::new();
    for setting in settings.iter().filter(|setting| !setting.trimmed().is_empty()) {
        let colo = setting.trimmed();
        let is_known = colos.iter().any(|known| &**known == colo);
        if colo.len() > MAX_COLO_LENGTH || !colo.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            reader.report(setting.mistake("must be the name of a data center, such as fra01"));
        } else if !is_known && colos.len() < MAX_COLOS {
            colos.push(colo.into());
        } else if !is_known {
            reader.report(setting.mistake(format!("must contain at most {MAX_COLOS} data centers")));
            break;
        }
    }
    colos.into()
}

fn duration(
    reader: &mut SettingsReader,
    setting: Option<Setting>,
    range: &RangeInclusive<Duration>,
) -> Option<Duration> {
    let setting = setting?;
    let duration = reader.duration(&setting, *range.start())?;
    if duration <= *range.end() {
        return Some(duration);
    }
    reader.report(setting.mistake(format!("must not be longer than {}", humantime::format_duration(*range.end()))));
    None
}
