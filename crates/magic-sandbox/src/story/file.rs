//! Reads and checks a story file. Each mistake is reported with its file, line, key and rule.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use web_toolkit::{
    settings::{ConfigError, Layout, SettingsReader},
    yaml::{Node, YamlError, keys_of},
};

use super::plan::{AccountPlan, Event, Story, TunnelPlan, id};
use crate::{
    faults::{Fault, Faults},
    kind::Kind,
    reply::ApiError,
    session::Report,
    store::{Account, Candidate},
    tunnel::Config,
    validate::{self, Context, Draft},
    world,
};

/// Events of one period, repetitions counted; more is a mistake in the file.
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

/// The body of a tunnel as in the API, with the additional keys `type` and `bgp_status`.
type Fields = BTreeMap<String, Spanned<Value>>;

#[derive(Deserialize)]
struct EventEntry {
    #[serde(deserialize_with = "required_duration")]
    at: Duration,
    /// Time between repetitions, until the period ends.
    #[serde(default, deserialize_with = "duration")]
    every: Option<Duration>,
    /// Needed if several accounts have a tunnel of this name.
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

/// Reports every wrong key, and otherwise the first wrong value.
pub(super) fn parse(name: &str, text: &str) -> Result<Story, ConfigError> {
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
    let keys_are_right = reader.mistakes() == 0;
    let story = keys_are_right.then(|| check(file.period, &accounts, &events));
    let story = story.and_then(|story| reader.check_line(story));
    reader.finish_with(story)
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
        if accounts.iter().any(|other: &AccountPlan| other.name == plan.name) {
            return Err(wrong(entry.line, format!("accounts.name: `{}` is the name of another account", plan.name)));
        }
        if accounts.iter().any(|other: &AccountPlan| other.id == plan.id) {
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

fn account(entry: &ListedAccount) -> Result<AccountPlan, YamlError> {
    let own = entry.id.clone().unwrap_or_else(|| id(&["account", &entry.name]));
    if !world::is_id(&own) {
        let length = own.chars().count();
        return Err(wrong(entry.line, format!("accounts.id ({length} characters, not shown): must be 32 hex digits")));
    }
    let fields = &entry.tunnels;
    let tunnels = fields.iter().map(|(line, fields)| tunnel(&own, *line, fields)).collect::<Result<Vec<_>, _>>()?;
    let at: Vec<String> = (0..tunnels.len()).map(|position| format!("/{position}")).collect();
    let candidates = tunnels.iter().zip(&at);
    let candidates: Vec<_> = candidates.map(|(plan, at)| Candidate { id: None, config: &plan.config, at }).collect();
    if let Some(error) = Account::new(own.clone(), true).check(&candidates).into_iter().next() {
        return Err(clash(fields, error));
    }
    Ok(AccountPlan { name: entry.name.clone(), id: own, onboarded: entry.onboarded, tunnels })
}

/// Names the tunnel of a mistake that concerns two tunnels.
fn clash(tunnels: &[(u64, Fields)], error: ApiError) -> YamlError {
    let pointer = error.pointer.clone().unwrap_or_default();
    let (position, field) = pointer.trim_start_matches('/').split_once('/').unwrap_or_default();
    let position: usize = position.parse().unwrap_or_default();
    let error = ApiError { pointer: Some(format!("/{field}")), ..error };
    let (line, fields) = &tunnels[position];
    tunnel_mistake(*line, fields, &error)
}

fn tunnel(account: &str, line: u64, fields: &Fields) -> Result<TunnelPlan, YamlError> {
    let mut body = Map::new();
    let (mut kind, mut report) = (None, None);
    for (key, value) in fields {
        match key.as_str() {
            "type" => kind = Some(tunnel_type(value)?),
            "bgp_status" => {
                let parsed = Report::parse(&value.value);
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
    let Draft { config, psk } =
        validated(account, kind, &body).map_err(|error| tunnel_mistake(line, fields, &error))?;
    if report.is_some() && config.bgp.is_none() {
        return Err(wrong(line, "tunnels.bgp_status: needs `bgp`, because only a BGP session has a status"));
    }
    let id = id(&["tunnel", account, &config.name]);
    Ok(TunnelPlan { id, config, psk, report })
}

fn tunnel_type(value: &Spanned<Value>) -> Result<Kind, YamlError> {
    match value.value.as_str() {
        Some("ipsec") => Ok(Kind::Ipsec),
        Some("gre") => Ok(Kind::Gre),
        _ => Err(wrong(value.defined.line(), "tunnels.type: must be `ipsec` or `gre`")),
    }
}

/// The first mistake that the API would report. Stories can use any addresses, so they are never strict.
fn validated(account: &str, kind: Kind, body: &Map<String, Value>) -> Result<Draft, ApiError> {
    let context = Context { kind, account, strict: false, form: None };
    validate::draft(context, body, "").map_err(|errors| {
        let unnamed = ApiError::new(0, "the tunnel is not valid");
        errors.into_iter().next().unwrap_or(unnamed)
    })
}

/// Uses the line of the key that the API's pointer names, or else of the tunnel.
fn tunnel_mistake(line: u64, fields: &Fields, error: &ApiError) -> YamlError {
    let pointer = error.pointer.as_deref().unwrap_or_default().trim_start_matches('/');
    let first = pointer.split('/').next().unwrap_or_default();
    let line = fields.get(first).map_or(line, |value| value.defined.line());
    wrong(line, format!("tunnels.{}: {}", pointer.replace('/', "."), error.message))
}

/// Plays all events once, in order, so that none can fail later.
fn events(
    period: Option<Duration>,
    entries: &[(u64, EventEntry)],
    accounts: &[AccountPlan],
) -> Result<Vec<Event>, YamlError> {
    let mut all: Vec<(u64, Event)> = Vec::new();
    for (line, entry) in entries {
        let event = event(*line, entry, accounts)?;
        let times = repetitions(*line, entry, period)?;
        if all.len() + times.len() > MOST_EVENTS {
            return Err(wrong(*line, format!("events: more than {MOST_EVENTS} in one period")));
        }
        all.extend(times.into_iter().map(|at| (*line, Event { at, ..event.clone() })));
    }
    all.sort_by_key(|(_, event)| event.at);
    let mut configs: BTreeMap<(usize, String), Config> = BTreeMap::new();
    for (position, account) in accounts.iter().enumerate() {
        configs.extend(account.tunnels.iter().map(|plan| ((position, plan.id.clone()), plan.config.clone())));
    }
    for (line, event) in &all {
        rehearse(*line, event, accounts, &mut configs)?;
    }
    Ok(all.into_iter().map(|(_, event)| event).collect())
}

fn rehearse(
    line: u64,
    event: &Event,
    accounts: &[AccountPlan],
    configs: &mut BTreeMap<(usize, String), Config>,
) -> Result<(), YamlError> {
    let Some((key, config)) = event.tunnel.as_ref().and_then(|key| Some((key, configs.get_mut(key)?))) else {
        return Ok(());
    };
    if let Some(set) = &event.set {
        let mistake = |error: ApiError| {
            let pointer = error.pointer.unwrap_or_default().trim_start_matches('/').replace('/', ".");
            wrong(line, format!("events.set.{pointer}: {}", error.message))
        };
        *config = patched(&accounts[key.0].id, config, set).map_err(mistake)?.config;
    }
    if event.report.is_some() && config.bgp.is_none() {
        let what = format!("events.bgp_status: `{}` has no `bgp` at that time", event.name);
        return Err(wrong(line, what));
    }
    Ok(())
}

/// Applies `patch` to `fields`: objects are merged, null removes a key, other values replace (RFC 7396).
fn merge(fields: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (fields.get_mut(key), value) {
            (_, Value::Null) => {
                fields.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            _ => {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The tunnel's body after a change of some of its fields.
pub(crate) fn patched(account: &str, config: &Config, set: &Map<String, Value>) -> Result<Draft, ApiError> {
    let mut body = config.body();
    merge(&mut body, set);
    validated(account, config.kind(), &body)
}

fn event(line: u64, entry: &EventEntry, accounts: &[AccountPlan]) -> Result<Event, YamlError> {
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
    let report = entry.bgp_status.as_ref().map(Report::parse).transpose();
    let faults = entry.faults.clone().map(Faults::new).transpose();
    Ok(Event {
        at: entry.at,
        say: entry.say.clone(),
        tunnel,
        name: entry.tunnel.clone().unwrap_or_default(),
        set: entry.set.clone(),
        report: report.map_err(|rule| mistake(format!("events.bgp_status: {rule}")))?,
        faults: faults.map_err(|rule| mistake(format!("events.faults: {rule}")))?,
    })
}

fn find(account: Option<&str>, name: &str, accounts: &[AccountPlan]) -> Result<(usize, String), String> {
    if let Some(account) = account.filter(|account| !accounts.iter().any(|plan| plan.name == *account)) {
        return Err(format!("events.account: there is no account `{account}`"));
    }
    let mut found = Vec::new();
    for (position, plan) in accounts.iter().enumerate() {
        if account.is_none_or(|account| plan.name == account) {
            let tunnels = plan.tunnels.iter().filter(|tunnel| tunnel.config.name == name);
            found.extend(tunnels.map(|tunnel| (position, tunnel.id.clone())));
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(format!("events.tunnel: there is no tunnel `{name}`")),
        _ => Err(format!("events.tunnel: `{name}` is in several accounts; set `account`")),
    }
}

/// The times of an event in one period.
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
