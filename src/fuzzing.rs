//! Entry points of the fuzzer: one function for each kind of bytes that reaches the exporter from outside.
//!
//! `fuzz/` holds the programs and the corpora; `make fuzz` runs them, and a test replays the corpora. A function panics
//! if the code does, or if a property does not hold.

use std::{collections::HashSet, fs, path::PathBuf, process, str, sync::Arc, time::Duration};

use serde_json::Value;
use web_toolkit::{clock, settings::Setting, web_file::WebFile};

use crate::{
    cloudflare::{decode::decode_list, graphql, routes::decode_routes},
    config::{
        Config, Inputs,
        flags::{FileFlags, Flags, LogFlags},
    },
    domain::{
        inventory::Fleet,
        label::Label as _,
        routes::{
            matching::RouteMatches,
            prefixes::{HopState, PrefixReport, PrefixState},
        },
        tunnel::{GreDetails, Stated, Tunnel, TunnelDetails, TunnelId, TunnelLists, TunnelType},
    },
    http,
    inventory::{EdgeAge, HubList, Inventory, ListAge, ReplyTimes, decode},
    poller::hub_session::{HubSession, Update},
    prober,
};

/// The name of a target, which is the name of its corpus, and its function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 9] = [
    ("list", decode_tunnels),
    ("routes", decode_static_routes),
    ("edge", graphql::fuzz::decode_answer),
    ("inventory", adopt_inventory),
    ("config_file", load_config),
    ("web_file", load_web_file),
    ("packet", prober::client::icmp::fuzz::judge_packet),
    ("message", prober::batch::fuzz::decode_packet),
    ("request", http::fuzz::find_and_parse),
];

/// Runs the target with this name.
///
/// # Panics
/// A property does not hold, or no target has the name.
pub fn run(target: &str, data: &[u8]) {
    let (_, function) = TARGETS.iter().find(|(name, _)| *name == target).expect("the name of a target");
    function(data);
}

/// The answer to a list operation. Ids are unique, and the order does not depend on the answer.
fn decode_tunnels(data: &[u8]) {
    for &tunnel_type in TunnelType::ALL {
        let Ok(listing) = decode_list(data, 200, tunnel_type) else { continue };
        let ids: HashSet<_> = listing.tunnels.iter().map(|tunnel| tunnel.id.clone()).collect();
        assert_eq!(ids.len(), listing.tunnels.len(), "ids are unique");
        assert!(listing.tunnels.is_sorted_by_key(|tunnel| (tunnel.name.clone(), tunnel.id.clone())));
        assert!(listing.tunnels.iter().all(|tunnel| tunnel.tunnel_type() == tunnel_type));
    }
}

/// The response of a hub: the first line has the ages of its headers, the rest is the body.
///
/// The agent does not know more tunnels than the hub sends, no value is newer than the request, and a hub that has what
/// the agent knows sends the same tunnels.
fn adopt_inventory(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (header, body) = text.split_once('\n').unwrap_or(("", text));
    let times = ReplyTimes {
        age: Duration::from_secs(header.len() as u64),
        lists: reread(&ListAge::parse_all(header), ListAge::parse_all),
        edges: reread(&EdgeAge::parse_all(header), EdgeAge::parse_all),
    };
    let Ok(inventory) = decode(body) else { return };
    inventory.lists.iter().for_each(|((_, tunnel_type), list)| check_list(*tunnel_type, list));
    let sent = inventory.tunnels();
    let fleet = adopt(inventory, times);
    let known: usize = fleet.accounts.values().map(|account| account.entries().count()).sum();
    assert!(known <= sent, "{known} of {sent}");
    let serve_again = |body: &str| {
        let inventory = decode(body).expect("an agent reads what a hub writes");
        http::fuzz::serve_inventory(&adopt(inventory, ReplyTimes::default()))
    };
    let first = serve_again(&http::fuzz::serve_inventory(&fleet));
    let tunnels = |body: &str| serde_json::from_str::<Value>(body).expect("JSON")["tunnels"].take();
    assert_eq!(tunnels(&first), tunnels(&serve_again(&first)));
}

/// Members of a header that are written and read again. Names are written as they are shown.
fn reread<T: ToString + PartialEq + std::fmt::Debug>(members: &[T], parse: impl Fn(&str) -> Vec<T>) -> Vec<T> {
    let write = |members: &[T]| members.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    let once = parse(&write(members));
    assert_eq!(once.len(), members.len());
    assert_eq!(parse(&write(&once)), once);
    once
}

fn check_list(tunnel_type: TunnelType, list: &HubList) {
    let ids: HashSet<_> = list.tunnels.iter().map(|tunnel| &tunnel.id).collect();
    assert_eq!(ids.len(), list.tunnels.len(), "ids are unique");
    assert!(list.tunnels.is_sorted_by_key(|tunnel| (&tunnel.name, &tunnel.id)));
    assert!(list.tunnels.iter().all(|tunnel| tunnel.tunnel_type() == tunnel_type));
    assert!(list.sites.keys().chain(list.steering.keys()).all(|id| ids.contains(id)));
}

/// What an agent knows that has just started and receives this.
fn adopt(inventory: Inventory, times: ReplyTimes) -> Arc<Fleet> {
    let (mut session, now) = (HubSession::resume(Arc::default(), &Fleet::awaiting_hub(), 1), clock::now());
    session.succeed(Update::Changed { inventory, times, body: String::new(), tag: None }, now);
    let fleet = session.fleet();
    let lists = fleet.accounts.values().flat_map(|account| account.lists());
    let newest = lists.filter_map(|(_, list)| list.status.last_success).map(|at| at.instant).max();
    assert!(newest.is_none_or(|newest| newest <= now.instant));
    Arc::new(fleet)
}

/// The answer to the list of static routes, beside one tunnel that is broken. Each route belongs to one group, and no
/// prefix is known to work.
fn decode_static_routes(data: &[u8]) {
    let Ok(listing) = decode_routes(data, 200) else { return };
    assert!(listing.routes.is_sorted_by(|a, b| a.sort_key() <= b.sort_key()));
    assert!(listing.routes.iter().all(|route| route.prefix == route.prefix.trunc()));
    let count = listing.routes.len();
    let tunnel = Tunnel {
        interface_address: Stated::Value("10.0.0.0/31".parse().expect("a prefix")),
        ..Tunnel::bare(TunnelId::new("a"), "a", TunnelDetails::Gre(GreDetails::default()))
    };
    let mut lists = TunnelLists::default();
    lists[TunnelType::Gre as usize].push(&tunnel);
    let matches = Arc::new(RouteMatches::join(listing.routes.into(), &lists));
    assert_eq!(matches.groups().iter().map(|group| group.routes.len()).sum::<usize>(), count);
    let hits = matches.count(TunnelType::Gre, 0).map_or(0, |count| count as usize);
    assert_eq!(hits + matches.unmatched(), count);
    let report = PrefixReport::assess(matches, |_| HopState::Broken);
    assert_eq!(report.count(PrefixState::Ok), 0);
}

/// The configuration file, in an empty environment.
fn load_config(data: &[u8]) {
    let path = write(data);
    let file = FileFlags { path: Some(path.to_string_lossy().into_owned()) };
    let inputs = Inputs { file, log: LogFlags::default(), environment: Arc::new(|_| None), secrets: Arc::default() };
    if let Err(error) = Config::for_serve(&Flags::default(), &inputs) {
        check_message(&error.to_string());
    }
}

/// The web configuration file. A file that is read twice is equal to itself and does not weaken itself.
fn load_web_file(data: &[u8]) {
    let path = write(data);
    let load = || WebFile::load(Setting::from_flag("--web.config.file", &path.to_string_lossy()));
    match load() {
        Ok(file) => assert_eq!(load().map(|again| file.weakened_by(&again)).ok(), Some(None)),
        Err(error) => check_message(&error.to_string()),
    }
}

/// A message is not empty and does not control a terminal.
fn check_message(message: &str) {
    assert!(!message.is_empty());
    assert!(message.chars().all(|char| char == '\n' || !char.is_control()), "{message:?}");
}

/// A file in memory with these bytes. Each process has one.
fn write(data: &[u8]) -> PathBuf {
    let name = format!("magic-tunnel-exporter-fuzz-{}-{:?}", process::id(), std::thread::current().id());
    let folder = PathBuf::from("/dev/shm");
    let path = if folder.is_dir() { folder } else { std::env::temp_dir() }.join(name);
    fs::write(&path, data).expect("a file in memory");
    path
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_input_that_the_fuzzer_kept_is_handled() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, function) in TARGETS {
            let inputs: Vec<_> = fs::read_dir(corpora.join(name)).expect("a corpus").collect();
            assert!(inputs.len() >= 5, "the corpus of `{name}` has {} inputs", inputs.len());
            for input in inputs {
                function(&fs::read(input.expect("an entry").path()).expect("an input"));
            }
        }
    }
}
