//! Parses and checks a story file. An error is one line with file, line, key and rule.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use web_toolkit::{
    settings::{ConfigError, Layout, SettingsReader},
    yaml::{Node, YamlError, keys_of},
};

use super::{Story, StoryAccount, StoryEvent, StoryTunnel, patch_tunnel, validate_tunnel};
use crate::{
    faults::{Fault, Faults},
    response::ApiError,
    session::SessionReport,
    spec::{TunnelKind, TunnelSpec},
    store::{Candidate, StoredAccount, is_id, stable_id},
    validate::ValidTunnel,
};

/// The story of the `demo` command, and the default of `sandbox`.
const DEMO: &str = include_str!("../stories/demo.yml");

/// Maximum number of events in one period, including repetitions.
const MOST_EVENTS: usize = 10_000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoryKeys {
    #[serde(deserialize_with = "duration")]
    period: Option<Duration>,
    accounts: Node<AccountEntry>,
    events: Node<EventEntry>,
}

#[derive(Deserialize)]
struct AccountEntry {
    name: String,
    /// 32 hex digits; derived from the name by default.
    id: Option<String>,
    #[serde(default = "yes")]
    onboarded: bool,
    #[serde(default)]
    tunnels: Node<Fields>,
}

/// An account of the file, and the lines on which it and its tunnels begin.
struct ListedAccount {
    line: u64,
    name: String,
    id: Option<String>,
    onboarded: bool,
    tunnels: Vec<(u64, Fields)>,
}

/// The body of a tunnel, as for the API, plus `type` and `bgp_status`.
type Fields = BTreeMap<String, Spanned<Value>>;

#[derive(Deserialize)]
struct EventEntry {
    #[serde(deserialize_with = "required_duration")]
    at: Duration,
    /// Interval at which the event is repeated until the period ends.
    #[serde(default, deserialize_with = "duration")]
    every: Option<Duration>,
    /// Required if tunnels of several accounts have this name.
    account: Option<String>,
    tunnel: Option<String>,
    say: String,
    set: Option<Map<String, Value>>,
    bgp_status: Option<Value>,
    faults: Option<Vec<Fault>>,
}

const fn yes() -> bool {
    true
}

fn required_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = humantime::parse_duration(&text);
    parsed.map_err(|_| serde::de::Error::custom(format!("`{text}` is not a duration such as 500ms, 20s or 2m")))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    required_duration(deserializer).map(Some)
}

impl Story {
    /// The embedded story: seven tunnels that go through every verdict in three minutes, repeated forever.
    pub fn demo() -> Self {
        Self::parse("demo.yml", DEMO).unwrap_or_else(|error| unreachable!("a test parses the embedded story: {error}"))
    }

    /// Parses a story file. `name` is the name of the file in errors.
    ///
    /// # Errors
    /// Every wrong key, or else the first wrong value.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let sections = vec![("accounts", keys_of::<AccountEntry>()), ("events", keys_of::<EventEntry>())];
        let (mut reader, file) = SettingsReader::open::<StoryKeys>(name, text, Layout { sections, secrets: &[] })?;
        let accounts: Vec<ListedAccount> = reader
            .sections("accounts", file.accounts)
            .into_iter()
            .map(|(line, AccountEntry { name, id, onboarded, tunnels })| ListedAccount {
                line,
                name,
                id,
                onboarded,
                tunnels: reader.sections("tunnels", tunnels),
            })
            .collect();
        let events = reader.sections("events", file.events);
        let story = (reader.mistakes() == 0).then(|| check(file.period, &accounts, &events));
        let story = story.and_then(|story| reader.check_line(story));
        reader.finish_with(story)
    }
}

fn wrong(line: u64, what: impl Into<String>) -> YamlError {
    YamlError { line, what: what.into() }
}

fn check(
    period: Option<Duration>,
    entries: &[ListedAccount],
    event_entries: &[(u64, EventEntry)],
) -> Result<Story, YamlError> {
    let mut accounts = Vec::with_capacity(entries.len());
    for entry in entries {
        let plan = account(entry)?;
        if accounts.iter().any(|other: &StoryAccount| other.name == plan.name) {
            return Err(wrong(entry.line, format!("accounts.name: `{}` is the name of another account", plan.name)));
        }
        if accounts.iter().any(|other: &StoryAccount| other.id == plan.id) {
            return Err(wrong(entry.line, format!("accounts.id: `{}` has the id of another account", plan.name)));
        }
        accounts.push(plan);
    }
    if accounts.is_empty() {
        return Err(wrong(1, "accounts: there must be at least one"));
    }
    if period.is_some_and(|period| period < Duration::from_secs(1)) {
        return Err(wrong(1, "period: must be at least 1s"));
    }
    let events = events(period, event_entries, &accounts)?;
    Ok(Story { accounts, period, events })
}

fn account(entry: &ListedAccount) -> Result<StoryAccount, YamlError> {
    let own = entry.id.clone().unwrap_or_else(|| stable_id(&["account", &entry.name]));
    if !is_id(&own) {
        let length = own.chars().count();
        return Err(wrong(entry.line, format!("accounts.id ({length} characters, not shown): must be 32 hex digits")));
    }
    let fields = &entry.tunnels;
    let tunnels = fields.iter().map(|(line, fields)| tunnel(&own, *line, fields)).collect::<Result<Vec<_>, _>>()?;
    let at: Vec<String> = (0..tunnels.len()).map(|position| format!("/{position}")).collect();
    let candidates = tunnels.iter().zip(&at);
    let candidates: Vec<_> = candidates.map(|(plan, at)| Candidate { id: None, spec: &plan.spec, at }).collect();
    if let Some(error) = StoredAccount::new(own.clone(), true).check(&candidates).into_iter().next() {
        return Err(clash(fields, error));
    }
    Ok(StoryAccount { name: entry.name.clone(), id: own, onboarded: entry.onboarded, tunnels })
}

/// Locates an error in the rules between tunnels.
fn clash(tunnels: &[(u64, Fields)], error: ApiError) -> YamlError {
    let pointer = error.pointer.clone().unwrap_or_default();
    let (position, field) = pointer.trim_start_matches('/').split_once('/').unwrap_or_default();
    let position: usize = position.parse().unwrap_or_default();
    let error = ApiError { pointer: Some(format!("/{field}")), ..error };
    let (line, fields) = &tunnels[position];
    tunnel_mistake(*line, fields, &error)
}

fn tunnel(account: &str, line: u64, fields: &Fields) -> Result<StoryTunnel, YamlError> {
    let mut body = Map::new();
    let (mut kind, mut report) = (None, None);
    for (key, value) in fields {
        match key.as_str() {
            "type" => kind = Some(tunnel_type(value)?),
            "bgp_status" => {
                let parsed = SessionReport::parse(&value.value);
                let mistake = |rule| wrong(value.defined.line(), format!("tunnels.bgp_status: {rule}"));
                report = Some(parsed.map_err(mistake)?);
            }
            _ => {
                body.insert(key.clone(), value.value.clone());
            }
        }
    }
    let missing = || wrong(line, "tunnels.type: is required, `ipsec` or `gre`");
    let kind = kind.ok_or_else(missing)?;
    let ValidTunnel { spec, psk } =
        validate_tunnel(account, kind, &body).map_err(|error| tunnel_mistake(line, fields, &error))?;
    if report.is_some() && spec.bgp.is_none() {
        return Err(wrong(line, "tunnels.bgp_status: needs `bgp`, because only a BGP session has a status"));
    }
    let id = stable_id(&["tunnel", account, &spec.name]);
    Ok(StoryTunnel { id, spec, psk, report })
}

fn tunnel_type(value: &Spanned<Value>) -> Result<TunnelKind, YamlError> {
    match value.value.as_str() {
        Some("ipsec") => Ok(TunnelKind::Ipsec),
        Some("gre") => Ok(TunnelKind::Gre),
        _ => Err(wrong(value.defined.line(), "tunnels.type: must be `ipsec` or `gre`")),
    }
}

/// Locates an error at the key that its pointer names, or else at the tunnel.
fn tunnel_mistake(line: u64, fields: &Fields, error: &ApiError) -> YamlError {
    let pointer = error.pointer.as_deref().unwrap_or_default().trim_start_matches('/');
    let first = pointer.split('/').next().unwrap_or_default();
    let line = fields.get(first).map_or(line, |value| value.defined.line());
    wrong(line, format!("tunnels.{}: {}", pointer.replace('/', "."), error.message))
}

/// Applies all events once, in time order, so that no event can fail when the story is played.
fn events(
    period: Option<Duration>,
    entries: &[(u64, EventEntry)],
    accounts: &[StoryAccount],
) -> Result<Vec<StoryEvent>, YamlError> {
    let mut all: Vec<(u64, StoryEvent)> = Vec::new();
    for (line, entry) in entries {
        let event = event(*line, entry, accounts)?;
        let times = repetitions(*line, entry, period)?;
        if all.len() + times.len() > MOST_EVENTS {
            return Err(wrong(*line, format!("events: more than {MOST_EVENTS} in one period")));
        }
        all.extend(times.into_iter().map(|at| (*line, StoryEvent { at, ..event.clone() })));
    }
    all.sort_by_key(|(_, event)| event.at);
    let mut specs: BTreeMap<(usize, String), TunnelSpec> = BTreeMap::new();
    for (position, account) in accounts.iter().enumerate() {
        specs.extend(account.tunnels.iter().map(|plan| ((position, plan.id.clone()), plan.spec.clone())));
    }
    for (line, event) in &all {
        rehearse(*line, event, accounts, &mut specs)?;
    }
    Ok(all.into_iter().map(|(_, event)| event).collect())
}

fn rehearse(
    line: u64,
    event: &StoryEvent,
    accounts: &[StoryAccount],
    specs: &mut BTreeMap<(usize, String), TunnelSpec>,
) -> Result<(), YamlError> {
    let Some((key, spec)) = event.tunnel.as_ref().and_then(|key| Some((key, specs.get_mut(key)?))) else {
        return Ok(());
    };
    if let Some(set) = &event.set {
        let mistake = |error: ApiError| {
            let pointer = error.pointer.unwrap_or_default().trim_start_matches('/').replace('/', ".");
            wrong(line, format!("events.set.{pointer}: {}", error.message))
        };
        *spec = patch_tunnel(&accounts[key.0].id, spec, set).map_err(mistake)?.spec;
    }
    if event.report.is_some() && spec.bgp.is_none() {
        let what = format!("events.bgp_status: `{}` has no `bgp` at that time", event.name);
        return Err(wrong(line, what));
    }
    Ok(())
}

fn event(line: u64, entry: &EventEntry, accounts: &[StoryAccount]) -> Result<StoryEvent, YamlError> {
    let mistake = |what: String| wrong(line, what);
    let tunnel = match &entry.tunnel {
        Some(name) => Some(find(entry.account.as_deref(), name, accounts).map_err(mistake)?),
        None if entry.set.is_some() || entry.bgp_status.is_some() => {
            return Err(mistake("events.tunnel: is required with `set` and `bgp_status`".to_owned()));
        }
        None => None,
    };
    if entry.set.as_ref().is_some_and(|set| set.contains_key("name")) {
        return Err(mistake("events.set.name: a story cannot rename a tunnel".to_owned()));
    }
    let report = entry.bgp_status.as_ref().map(SessionReport::parse).transpose();
    let faults = entry.faults.clone().map(Faults::new).transpose();
    Ok(StoryEvent {
        at: entry.at,
        say: entry.say.clone(),
        tunnel,
        name: entry.tunnel.clone().unwrap_or_default(),
        set: entry.set.clone(),
        report: report.map_err(|rule| mistake(format!("events.bgp_status: {rule}")))?,
        faults: faults.map_err(|rule| mistake(format!("events.faults: {rule}")))?,
    })
}

fn find(account: Option<&str>, name: &str, accounts: &[StoryAccount]) -> Result<(usize, String), String> {
    if let Some(account) = account.filter(|account| !accounts.iter().any(|plan| plan.name == *account)) {
        return Err(format!("events.account: there is no account `{account}`"));
    }
    let mut found = Vec::new();
    for (position, plan) in accounts.iter().enumerate() {
        if account.is_none_or(|account| plan.name == account) {
            let tunnels = plan.tunnels.iter().filter(|tunnel| tunnel.spec.name == name);
            found.extend(tunnels.map(|tunnel| (position, tunnel.id.clone())));
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(format!("events.tunnel: there is no tunnel `{name}`")),
        _ => Err(format!("events.tunnel: `{name}` is in several accounts; set `account`")),
    }
}

/// The times of an event within one period.
fn repetitions(line: u64, entry: &EventEntry, period: Option<Duration>) -> Result<Vec<Duration>, YamlError> {
    let mistake = |what: &str| Err(wrong(line, what.to_owned()));
    let at = entry.at;
    if period.is_some_and(|period| at >= period) {
        return mistake("events.at: must be before the end of the period");
    }
    let Some(every) = entry.every else { return Ok(vec![at]) };
    let Some(period) = period else { return mistake("events.every: needs a `period`, or it would never end") };
    if every < Duration::from_secs(1) {
        return mistake("events.every: must be at least 1s");
    }
    let times = std::iter::successors(Some(at), |at| at.checked_add(every)).take_while(|at| *at < period);
    Ok(times.take(MOST_EVENTS + 1).collect())
}
