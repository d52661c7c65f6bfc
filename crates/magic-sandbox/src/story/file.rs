//! Parses and checks a story file. An error is one line with file, line, key and rule.

use std::{collections::BTreeMap, iter, mem, time::Duration};

use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use web_toolkit::{
    settings::{ConfigError, Layout, SettingsReader},
    yaml::{YamlError, keys_of},
};

use super::{
    AnalyticsLimits, MAX_PAGE_SIZE, Story, StoryAccount, StoryEvent, StoryTunnel,
    entries::{AccountEntry, EventEntry, Fields, ListedAccount, StoryKeys, wrong, wrong_field},
    items::{self, ItemEvent},
    patch_edge, patch_tunnel, validate_tunnel,
};
use crate::{
    catalog::Catalog,
    edge::SimulatedEdge,
    faults::Faults,
    interconnects::InterconnectSpec,
    items::ItemKind,
    routes::RouteSpec,
    session::SessionReport,
    spec::{TunnelKind, TunnelSpec},
    store::{Candidate, StoredAccount, is_id, stable_id},
    token::TokenSettings,
};

/// The story of the `demo` command, and the default of `sandbox`.
const DEMO: &str = include_str!("../stories/demo.yml");

/// Maximum number of events in one period, including repetitions.
const MOST_EVENTS: usize = 10_000;

impl Story {
    /// The embedded story: eight tunnels that go through every verdict in three minutes, repeated forever.
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
        let accounts = reader.sections("accounts", file.accounts).into_iter();
        let accounts: Vec<_> = accounts
            .map(|(line, mut entry)| {
                let tunnels = reader.sections("tunnels", mem::take(&mut entry.tunnels));
                let routes = reader.sections("routes", mem::take(&mut entry.routes));
                let interconnects = reader.sections("interconnects", mem::take(&mut entry.interconnects));
                ListedAccount { line, entry, tunnels, routes, interconnects }
            })
            .collect();
        let events = reader.sections("events", file.events);
        let limits = check_limits(file.edge_delay, file.edge_page_size);
        let token = check_token(file.token.as_ref());
        let story = (reader.mistakes() == 0).then(|| {
            let story = check(limits?, file.period, accounts, &events)?;
            Ok(Self { token: token?, ..story })
        });
        let story = story.and_then(|story| reader.check_line(story));
        reader.finish_with(story)
    }
}

fn check_limits(delay: Option<Duration>, page_size: Option<u64>) -> Result<AnalyticsLimits, YamlError> {
    let default = AnalyticsLimits::default();
    let (delay, page_size) = (delay.unwrap_or(default.delay), page_size.unwrap_or(default.page_size));
    if !(1..=MAX_PAGE_SIZE).contains(&page_size) {
        return Err(wrong(1, format!("edge_page_size: must be from 1 to {MAX_PAGE_SIZE}")));
    }
    Ok(AnalyticsLimits { delay, page_size })
}

fn check_token(token: Option<&Spanned<Value>>) -> Result<TokenSettings, YamlError> {
    let Some(token) = token else { return Ok(TokenSettings::default()) };
    TokenSettings::parse(&token.value).map_err(|rule| wrong(token.defined.line(), format!("token: {rule}")))
}

fn check(
    analytics: AnalyticsLimits,
    period: Option<Duration>,
    entries: Vec<ListedAccount>,
    events: &[(u64, EventEntry)],
) -> Result<Story, YamlError> {
    let mut accounts: Vec<StoryAccount> = Vec::with_capacity(entries.len());
    for listed in entries {
        let line = listed.line;
        let account = check_account(listed)?;
        let name = &account.name;
        if accounts.iter().any(|other| other.name == *name) {
            return Err(wrong(line, format!("accounts.name: `{name}` is the name of another account")));
        }
        if accounts.iter().any(|other| other.id == account.id) {
            return Err(wrong(line, format!("accounts.id: `{name}` has the id of another account")));
        }
        accounts.push(account);
    }
    if accounts.is_empty() {
        return Err(wrong(1, "accounts: there must be at least one"));
    }
    if period.is_some_and(|period| period < Duration::from_secs(1)) {
        return Err(wrong(1, "period: must be at least 1s"));
    }
    let events = check_events(period, events, &accounts)?;
    Ok(Story { accounts, analytics, token: TokenSettings::default(), period, events })
}

fn check_account(listed: ListedAccount) -> Result<StoryAccount, YamlError> {
    let ListedAccount { line, entry, tunnels: entries, routes, interconnects } = listed;
    let AccountEntry { name, id, onboarded, analytics, .. } = entry;
    let id = id.unwrap_or_else(|| stable_id(&["account", &name]));
    if !is_id(&id) {
        let length = id.chars().count();
        return Err(wrong(line, format!("accounts.id ({length} characters, not shown): must be 32 hex digits")));
    }
    let tunnels = entries.iter().map(|(line, fields)| check_tunnel(&id, *line, fields));
    let tunnels = tunnels.collect::<Result<Vec<_>, _>>()?;
    let valid = tunnels.iter().map(|tunnel| tunnel.valid.clone()).enumerate();
    let candidates = valid.map(|(position, valid)| Candidate { id: None, valid, at: position.to_string() });
    let candidates: Vec<_> = candidates.collect();
    let mut account = StoredAccount::new(id.clone(), true);
    account.interconnects = items::check("interconnects", &id, &interconnects)?;
    if let Some(error) = account.check(&candidates).into_iter().next() {
        let pointer = error.pointer.unwrap_or_default();
        let (position, field) = pointer.split_once('/').unwrap_or_default();
        let (line, fields) = &entries[position.parse::<usize>().unwrap_or_default()];
        return Err(wrong_field("tunnels", *line, fields, field, &error.message));
    }
    let (routes, interconnects) = (items::check("routes", &id, &routes)?, account.interconnects);
    let (onboarded, analytics) = (onboarded.unwrap_or(true), analytics.unwrap_or(true));
    Ok(StoryAccount { name, id, onboarded, analytics, tunnels, routes, interconnects })
}

fn check_tunnel(account: &str, line: u64, fields: &Fields) -> Result<StoryTunnel, YamlError> {
    let wrong = |pointer: &str, rule: &str| wrong_field("tunnels", line, fields, pointer, rule);
    let kind = match fields.get("type").map(|kind| kind.value.as_str()) {
        Some(Some("ipsec")) => TunnelKind::Ipsec,
        Some(Some("gre")) => TunnelKind::Gre,
        Some(_) => return Err(wrong("type", "must be `ipsec` or `gre`")),
        None => return Err(wrong("type", "is required, `ipsec` or `gre`")),
    };
    let report = fields.get("bgp_status").map(|status| SessionReport::parse(&status.value)).transpose();
    let report = report.map_err(|rule| wrong("bgp_status", &rule))?;
    let edge = fields.get("edge").map(|edge| SimulatedEdge::parse(&edge.value)).transpose();
    let edge = edge.map_err(|rule| wrong("edge", &rule))?;
    let body = fields.iter().filter(|(key, _)| !["type", "bgp_status", "edge"].contains(&key.as_str()));
    let body: Map<_, _> = body.map(|(key, value)| (key.clone(), value.value.clone())).collect();
    let valid = validate_tunnel(account, kind, &body);
    let valid = valid.map_err(|error| wrong(&error.pointer.unwrap_or_default(), &error.message))?;
    if report.is_some() && valid.spec.bgp.is_none() {
        return Err(wrong("bgp_status", "needs `bgp`, because only a BGP session has a status"));
    }
    Ok(StoryTunnel { id: stable_id(&["tunnel", account, &valid.spec.name]), valid, report, edge })
}

/// Applies all events once, in time order, so that no event can fail when the story is played.
fn check_events(
    period: Option<Duration>,
    entries: &[(u64, EventEntry)],
    accounts: &[StoryAccount],
) -> Result<Vec<StoryEvent>, YamlError> {
    let mut all: Vec<(u64, StoryEvent)> = Vec::new();
    for (line, entry) in entries {
        let repeated = repeat_event(entry, period, accounts).map_err(|what| wrong(*line, what))?;
        all.extend(repeated.take(MOST_EVENTS + 1).map(|event| (*line, event)));
        if all.len() > MOST_EVENTS {
            return Err(wrong(*line, format!("events: more than {MOST_EVENTS} in one period")));
        }
    }
    all.sort_by_key(|(_, event)| event.at);
    let mut items: RehearsedItems =
        accounts.iter().map(|account| (account.routes.clone(), account.interconnects.clone())).collect();
    let mut tunnels: RehearsedTunnels = BTreeMap::new();
    for (position, account) in accounts.iter().enumerate() {
        let initial = account.tunnels.iter().map(|tunnel| {
            let edge = tunnel.edge.clone().unwrap_or_default();
            ((position, tunnel.id.clone()), (tunnel.valid.spec.clone(), edge))
        });
        tunnels.extend(initial);
    }
    for (line, event) in &all {
        rehearse(event, accounts, &mut tunnels).map_err(|what| wrong(*line, what))?;
        let Some((item, (routes, interconnects))) =
            event.item.as_ref().and_then(|item| Some((item, items.get_mut(item.account)?)))
        else {
            continue;
        };
        item.apply(routes, interconnects).map_err(|what| wrong(*line, what))?;
    }
    Ok(all.into_iter().map(|(_, event)| event).collect())
}

/// What events can change, by position of the account and id of the tunnel.
type RehearsedTunnels = BTreeMap<(usize, String), (TunnelSpec, SimulatedEdge)>;

/// The routes and interconnects of each account.
type RehearsedItems = Vec<(Catalog<RouteSpec>, Catalog<InterconnectSpec>)>;

fn rehearse(event: &StoryEvent, accounts: &[StoryAccount], tunnels: &mut RehearsedTunnels) -> Result<(), String> {
    let Some((key, (spec, edge))) = event.tunnel.as_ref().and_then(|key| Some((key, tunnels.get_mut(key)?))) else {
        return Ok(());
    };
    if let Some(set) = &event.set {
        let valid = patch_tunnel(&accounts[key.0].id, spec, set).map_err(|error| {
            let path = error.pointer.unwrap_or_default().trim_start_matches('/').replace('/', ".");
            format!("events.set.{path}: {}", error.message)
        });
        *spec = valid?.spec;
    }
    if let Some(set) = &event.edge {
        *edge = patch_edge(edge, set).map_err(|rule| format!("events.edge: {rule}"))?;
    }
    if event.report.is_some() && spec.bgp.is_none() {
        return Err(format!("events.bgp_status: `{}` has no `bgp` at that time", event.name));
    }
    Ok(())
}

/// The event at each of its times within one period.
fn repeat_event(
    entry: &EventEntry,
    period: Option<Duration>,
    accounts: &[StoryAccount],
) -> Result<impl Iterator<Item = StoryEvent>, String> {
    let event = read_event(entry, accounts)?;
    if period.is_some_and(|period| entry.at >= period) {
        return Err("events.at: must be before the end of the period".to_owned());
    }
    let every = match entry.every {
        Some(_) if period.is_none() => {
            return Err("events.every: needs a `period`, or it would never end".to_owned());
        }
        Some(every) if every < Duration::from_secs(1) => return Err("events.every: must be at least 1s".to_owned()),
        every => every,
    };
    let times = iter::successors(Some(entry.at), move |at| at.checked_add(every?));
    let times = times.take_while(move |at| period.is_none_or(|period| *at < period));
    Ok(times.map(move |at| StoryEvent { at, ..event.clone() }))
}

/// The subject of an event is a tunnel, a route or an interconnect; `set` changes it.
fn check_subject(entry: &EventEntry) -> Result<(), String> {
    let is_item = entry.route.is_some() || entry.interconnect.is_some();
    let subjects = [&entry.tunnel, &entry.route, &entry.interconnect].into_iter().flatten().count();
    if subjects > 1 {
        return Err("events: only one of `tunnel`, `route` and `interconnect` can be set".to_owned());
    }
    if subjects == 0 && entry.set.is_some()
        || entry.tunnel.is_none() && (entry.bgp_status.is_some() || entry.edge.is_some())
    {
        return Err("events.tunnel: is required with `set`, `bgp_status` and `edge`".to_owned());
    }
    if is_item && entry.set.is_none() {
        return Err("events.set: is required with `route` and `interconnect`".to_owned());
    }
    Ok(())
}

fn find_item(entry: &EventEntry, accounts: &[StoryAccount]) -> Result<Option<ItemEvent>, String> {
    let (kind, label) = match (&entry.route, &entry.interconnect) {
        (Some(label), _) => (ItemKind::Route, label),
        (_, Some(label)) => (ItemKind::Interconnect, label),
        _ => return Ok(None),
    };
    let set = entry.set.clone().unwrap_or_default();
    check_event_account(entry.account.as_deref(), accounts)?;
    let selected =
        accounts.iter().enumerate().filter(|(_, own)| entry.account.as_ref().is_none_or(|name| own.name == *name));
    let catalogs = selected.map(|(position, own)| (position, &own.routes, &own.interconnects));
    ItemEvent::find(kind, label, catalogs, set).map(Some)
}

fn read_event(entry: &EventEntry, accounts: &[StoryAccount]) -> Result<StoryEvent, String> {
    check_subject(entry)?;
    let tunnel = entry.tunnel.as_ref().map(|name| find_tunnel(entry.account.as_deref(), name, accounts)).transpose()?;
    if entry.set.as_ref().is_some_and(|set| set.contains_key("name")) {
        return Err("events.set.name: a story cannot rename a tunnel".to_owned());
    }
    let report = entry.bgp_status.as_ref().map(SessionReport::parse).transpose();
    let item = find_item(entry, accounts)?;
    let token = entry.token.as_ref().map(TokenSettings::parse).transpose();
    let faults = entry.faults.clone().map(Faults::new).transpose();
    Ok(StoryEvent {
        at: entry.at,
        say: entry.say.clone(),
        tunnel,
        name: entry.tunnel.clone().unwrap_or_default(),
        set: entry.set.clone(),
        report: report.map_err(|rule| format!("events.bgp_status: {rule}"))?,
        edge: entry.edge.clone(),
        item,
        mute: entry.mute.clone(),
        unmute: entry.unmute.clone(),
        token: token.map_err(|rule| format!("events.token: {rule}"))?,
        faults: faults.map_err(|rule| format!("events.faults: {rule}"))?,
    })
}

fn check_event_account(account: Option<&str>, accounts: &[StoryAccount]) -> Result<(), String> {
    let unknown = account.filter(|account| !accounts.iter().any(|other| other.name == *account));
    unknown.map_or(Ok(()), |account| Err(format!("events.account: unknown account `{account}`")))
}

fn find_tunnel(account: Option<&str>, name: &str, accounts: &[StoryAccount]) -> Result<(usize, String), String> {
    check_event_account(account, accounts)?;
    let selected = accounts.iter().enumerate().filter(|(_, own)| account.is_none_or(|account| own.name == account));
    let tunnels = selected.flat_map(|(position, own)| own.tunnels.iter().map(move |tunnel| (position, tunnel)));
    let mut named = tunnels.filter(|(_, tunnel)| tunnel.valid.spec.name == name);
    match (named.next(), named.next()) {
        (Some((position, tunnel)), None) => Ok((position, tunnel.id.clone())),
        (None, _) => Err(format!("events.tunnel: unknown tunnel `{name}`")),
        _ => Err(format!("events.tunnel: `{name}` is in several accounts; set `account`")),
    }
}
