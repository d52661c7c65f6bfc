use std::time::Duration;

use serde_json::Value;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::{
        fixtures::{fleet, tunnel},
        inventory::AccountName,
        verdict::Verdict,
    },
    snapshot::Judged,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A snapshot of tunnels, each with changes at these times in seconds.
fn snapshot(tunnels: &[(&str, &[i64])]) -> Snapshot {
    let events = |times: &[i64]| -> VerdictHistory {
        let event = |&time: &i64| VerdictEvent {
            at: at(time),
            from: Verdict::Healthy,
            to: Verdict::TunnelFault,
            why: Some("it is silent"),
        };
        VerdictHistory::new(at(0), &times.iter().map(event).collect::<Vec<_>>())
    };
    let key = |id| TunnelKey::new(&AccountName::new("acme"), &tunnel(id));
    let histories = tunnels.iter().filter(|(_, times)| !times.is_empty());
    let histories = histories.map(|(id, times)| (Arc::new(key(id)), events(times)));
    let judged = Judged {
        histories: Arc::new(histories.collect()),
        fleet: fleet(tunnels.iter().map(|(id, _)| tunnel(id))),
        ..Judged::default()
    };
    Snapshot { judged, stale_after: Duration::from_mins(5), now: clock::now() }
}

/// The whole text, and the number of its pieces.
fn text(snapshot: &Snapshot, filter: &Filter, since: i64, format: EventFormat) -> (String, usize) {
    let mut list = EventList::new(snapshot, filter, at(since), format);
    let (mut all, mut pieces, mut is_last) = (Vec::new(), 0, false);
    while !is_last {
        let mut piece = Vec::new();
        is_last = list.write_piece(&mut piece).unwrap();
        all.extend(piece);
        pieces += 1;
    }
    (String::from_utf8(all).unwrap(), pieces)
}

fn times(lines: &str) -> Vec<(String, i64)> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        (event["tunnel_name"].as_str().unwrap().to_owned(), time.as_second())
    };
    lines.lines().map(event).collect()
}

#[test]
fn events_of_all_tunnels_are_in_the_order_of_their_times() {
    let snapshot = snapshot(&[("a", &[10, 40]), ("b", &[20, 20, 30]), ("c", &[])]);
    let of = |since| times(&text(&snapshot, &Filter::default(), since, EventFormat::Lines).0);
    let all = [("a", 10), ("b", 20), ("b", 20), ("b", 30), ("a", 40)].map(|(name, time)| (name.to_owned(), time));
    assert_eq!(of(0), all);
    assert_eq!(of(10), all[1..], "events at the time itself are known already");
    assert_eq!(of(20), all[3..]);
    assert_eq!(of(40), []);
    let only_a = Filter { search: "a".into(), ..Filter::default() };
    assert_eq!(times(&text(&snapshot, &only_a, 0, EventFormat::Lines).0), [all[0].clone(), all[4].clone()]);
}

#[test]
fn both_formats_hold_the_same_events() {
    let snapshot = snapshot(&[("a", &[10]), ("b", &[20, 30])]);
    let lines = text(&snapshot, &Filter::default(), 0, EventFormat::Lines).0;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let list: Value = serde_json::from_str(&text(&snapshot, &Filter::default(), 0, EventFormat::Json).0).unwrap();
    assert_eq!(list["events"], Value::Array(lines.clone()));
    assert_eq!(
        lines[0],
        serde_json::json!({
            "account": "acme", "tunnel_type": "ipsec", "tunnel_id": "a", "tunnel_name": "a",
            "time": "1970-01-01T00:00:10Z", "from": "healthy", "to": "tunnel_fault", "why": "it is silent",
        })
    );
    assert_eq!(text(&snapshot, &Filter::default(), 99, EventFormat::Lines), (String::new(), 1));
    assert!(text(&snapshot, &Filter::default(), 99, EventFormat::Json).0.ends_with("\"events\":[]}\n"));
}

#[test]
fn many_events_are_written_in_pieces() {
    let ids: Vec<String> = (0..100).map(|n| format!("t{n:03}")).collect();
    let seconds: Vec<i64> = (1..=50).collect();
    let tunnels: Vec<(&str, &[i64])> = ids.iter().map(|id| (id.as_str(), &seconds[..])).collect();
    let snapshot = snapshot(&tunnels);
    for format in [EventFormat::Json, EventFormat::Lines] {
        let (text, pieces) = text(&snapshot, &Filter::default(), 0, format);
        assert_eq!((text.matches("it is silent").count(), pieces), (5_000, 13));
    }
}
