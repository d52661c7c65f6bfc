use web_toolkit::clock;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn report(prober: &str, is_newest: Option<bool>) -> AgentReport {
    AgentReport {
        key: AgentKey { prober: prober.into(), client: None },
        sites: vec!["fra".into()],
        version: None,
        vantage: None,
        interval: 30 * SECOND,
        scrape: None,
        is_newest,
    }
}

#[test]
fn an_agent_that_keeps_asking_with_an_old_list_is_behind_until_it_has_the_newest() {
    let (agents, start) = (Agents::default(), clock::now());
    let state = |now| agents.list(now)[0].state(now);
    agents.record(report("fra-1", Some(false)), start);
    assert_eq!(state(start), AgentState::Current, "the first request never has a list");
    agents.record(report("fra-1", Some(false)), start);
    assert_eq!(state(start), AgentState::Behind);
    agents.record(report("fra-1", None), start);
    assert_eq!(state(start), AgentState::Behind, "without a list there is nothing to compare");
    agents.record(report("fra-1", Some(true)), start);
    assert_eq!(state(start), AgentState::Current);
}

#[test]
fn a_silent_agent_is_missing_and_stays_listed_for_a_day() {
    let (agents, start) = (Agents::default(), clock::now());
    agents.record(report("fra-1", Some(true)), start);
    for (later, state) in [(90, AgentState::Current), (91, AgentState::Missing), (24 * 3600, AgentState::Missing)] {
        let now = start.after(later * SECOND);
        assert_eq!(agents.list(now)[0].state(now), state, "after {later} s");
        assert_eq!(agents.count(state, now), 1);
    }
    assert!(agents.list(start.after((24 * 3600 + 1) * SECOND)).is_empty());
}

#[test]
fn invented_agents_displace_those_that_are_silent_for_longest() {
    let (agents, start) = (Agents::default(), clock::now());
    for number in 0..MAX_AGENTS {
        agents.record(report(&number.to_string(), Some(true)), start.after(SECOND));
    }
    agents.record(report("0", Some(true)), start.after(2 * SECOND));
    agents.record(report("1", Some(true)), start);
    agents.record(report("one more", Some(true)), start.after(2 * SECOND));
    let names: Vec<_> = agents.list(start.after(2 * SECOND)).into_iter().map(|agent| agent.report.key.prober).collect();
    assert_eq!(names.len(), MAX_AGENTS);
    assert!(names.contains(&"0".into()) && names.contains(&"one more".into()) && !names.contains(&"1".into()));
}

#[test]
fn one_client_cannot_replace_the_agent_of_another() {
    let (agents, now) = (Agents::default(), clock::now());
    for client in ["fra", "mallory"] {
        let key = AgentKey { prober: "fra-1".into(), client: Some(client.into()) };
        agents.record(AgentReport { key, ..report("", Some(true)) }, now);
    }
    assert_eq!(agents.list(now).len(), 2);
}

#[test]
fn a_scrape_address_is_a_plain_url_with_a_port() {
    let parts = |text: &str| {
        ScrapeAddress::parse(text).map(|address| format!("{} {} {}", address.scheme, address.authority, address.path))
    };
    for (text, expected) in [
        ("http://fra.example:9847", Some("http fra.example:9847 /metrics")),
        ("https://[2001:db8::1]:9847/tunnels/metrics", Some("https [2001:db8::1]:9847 /tunnels/metrics")),
        ("http://192.0.2.1:9847/", Some("http 192.0.2.1:9847 /")),
        ("fra.example:9847", None),
        ("http://fra.example", None),
        ("http://fra.example:0", None),
        ("http://user:secret@fra.example:9847", None),
        ("http://fra.example:9847/metrics?token=x", None),
        ("ftp://fra.example:21", None),
        ("http://:9847", None),
    ] {
        assert_eq!(parts(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn agents_of_an_earlier_run_are_as_old_as_their_last_request_whatever_the_clock_shows() {
    let start = clock::now();
    let (before, ahead) = (start.wall - 60 * SECOND, start.wall + 3_600 * SECOND);
    for (seen, state) in [(before, AgentState::Current), (start.wall - 100 * SECOND, AgentState::Missing)] {
        let agents = Agents::default();
        agents.restore([(report("fra-1", None), seen)], start);
        assert_eq!(agents.list(start)[0].state(start), state);
    }
    let agents = Agents::default();
    agents.record(report("fra-1", Some(true)), start);
    agents.restore([(report("fra-1", None), before), (report("fra-2", None), ahead)], start);
    let list = agents.list(start);
    assert_eq!(list[0].report.is_newest, Some(true), "a request of this run is newer");
    assert_eq!((list.len(), list[1].last_seen.wall), (2, start.wall), "the clock was set back");
}
