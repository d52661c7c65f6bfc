use web_toolkit::clock;

use super::*;
use crate::domain::{fixtures, inventory::RejectReason};

const INTERVAL: Duration = Duration::from_mins(1);

fn tunnel(id: &str, state: Option<BgpState>) -> Arc<Tunnel> {
    let tunnel = fixtures::tunnel(id);
    Arc::new(match state {
        Some(state) => fixtures::reporting(tunnel, state),
        None => tunnel,
    })
}

fn failure(reason: FailureReason) -> ApiFailure {
    ApiFailure { reason, status: None, codes: Vec::new(), retry_after: None, transport: None }
}

/// One list and a clock that the test advances: each poll takes a second, and polls start a minute apart.
struct Story {
    list: TrackedList,
    now: Moment,
}

impl Story {
    fn start() -> Self {
        Self {
            list: TrackedList::resume(AccountName::new("acme"), Arc::default(), TunnelList::default()),
            now: clock::now(),
        }
    }

    fn poll(&mut self, result: Result<TunnelListing, ApiFailure>) -> PollUpdate {
        let started = self.now;
        let ended = started.after(Duration::from_secs(1));
        self.now = started.after(INTERVAL);
        self.list.update(result, started, ended, INTERVAL)
    }

    fn lists(&mut self, tunnels: &[Arc<Tunnel>]) -> Vec<PollEvent> {
        self.poll(Ok(TunnelListing { tunnels: tunnels.to_vec(), ..TunnelListing::default() })).events
    }

    fn fails(&mut self, reason: FailureReason) -> Vec<PollEvent> {
        self.poll(Err(failure(reason))).events
    }

    fn changes_of(&self, id: &str) -> u64 {
        let entries = &self.list.current().entries;
        entries.iter().find(|entry| entry.tunnel.id.as_str() == id).unwrap().bgp_state_changes
    }
}

#[test]
fn every_bgp_state_change_is_counted_and_logged() {
    use BgpState::{Down, Establishing, Up};
    let mut story = Story::start();
    let mut logged = Vec::new();
    for state in [Up, Up, Down, Establishing, Up, Up] {
        for event in story.lists(&[tunnel("a", Some(state))]) {
            if let PollEvent::BgpChanged { from, to, .. } = event {
                logged.push((from, to));
            }
        }
    }
    assert_eq!(logged, [(Up, Down), (Down, Establishing), (Establishing, Up)]);
    assert_eq!(story.changes_of("a"), 3);
}

#[test]
fn a_temporarily_absent_status_hides_no_change() {
    let mut story = Story::start();
    story.lists(&[tunnel("a", Some(BgpState::Up))]);
    assert_eq!(story.lists(&[tunnel("a", None)]), []);
    let events = story.lists(&[tunnel("a", Some(BgpState::Down))]);
    assert!(matches!(events[..], [PollEvent::BgpChanged { from: BgpState::Up, to: BgpState::Down, .. }]));
    story.lists(&[tunnel("a", None)]);
    assert_eq!(story.lists(&[tunnel("a", Some(BgpState::Down))]), [], "the same state again is not a change");
    assert_eq!(story.changes_of("a"), 1);
}

#[test]
fn failures_keep_the_last_list_and_are_logged_once_per_reason() {
    let mut story = Story::start();
    story.lists(&[tunnel("a", Some(BgpState::Up))]);
    let good_until = story.list.current().status.last_success;
    assert_eq!(story.fails(FailureReason::Server), [PollEvent::Failing(failure(FailureReason::Server))]);
    assert_eq!(story.fails(FailureReason::Server), []);
    assert_eq!(story.fails(FailureReason::Auth), [PollEvent::Failing(failure(FailureReason::Auth))]);
    assert_eq!(story.list.current().entries.len(), 1);
    assert_eq!(
        story.list.current().status.last_success,
        good_until,
        "a failure does not move the time of the last success"
    );
    let events = story.lists(&[tunnel("a", Some(BgpState::Up))]);
    assert_eq!(events, [PollEvent::Answering { tunnels: 1, excluded: 0, after: Some(FailureReason::Auth) }]);
}

#[test]
fn a_change_during_an_api_outage_is_counted_after_it() {
    let mut story = Story::start();
    story.lists(&[tunnel("a", Some(BgpState::Up))]);
    story.fails(FailureReason::Timeout);
    story.lists(&[tunnel("a", Some(BgpState::Down))]);
    assert_eq!(story.changes_of("a"), 1);
}

#[test]
fn new_and_removed_tunnels_are_logged_except_in_the_first_list() {
    let [a, b] = ["a", "b"].map(|id| tunnel(id, None));
    let mut story = Story::start();
    assert_eq!(story.lists(&[Arc::clone(&a)]), [PollEvent::Answering { tunnels: 1, excluded: 0, after: None }]);
    assert_eq!(story.lists(&[Arc::clone(&b)]), [PollEvent::Appeared(vec![b]), PollEvent::Removed(vec![a])]);
}

#[test]
fn counters_vanish_with_their_tunnel() {
    let mut story = Story::start();
    story.lists(&[tunnel("a", Some(BgpState::Up))]);
    story.lists(&[tunnel("a", Some(BgpState::Down))]);
    story.lists(&[]);
    story.lists(&[tunnel("a", Some(BgpState::Up))]);
    assert_eq!(story.changes_of("a"), 0, "a tunnel that reappears is a new one");
}

#[test]
fn an_unchanged_list_is_not_rebuilt() {
    let mut story = Story::start();
    story.lists(&[tunnel("a", Some(BgpState::Up)), tunnel("b", None)]);
    let before = Arc::clone(&story.list.current().entries);
    story.lists(&[tunnel("a", Some(BgpState::Up)), tunnel("b", None)]);
    assert!(Arc::ptr_eq(&before, &story.list.current().entries));
    story.lists(&[tunnel("a", Some(BgpState::Down)), tunnel("b", None)]);
    let after = &story.list.current().entries;
    assert!(Arc::ptr_eq(&before[1].tunnel, &after[1].tunnel), "a tunnel that did not change keeps its allocation");
}

/// A list without tunnels and with this number of members without a name.
fn nameless(count: usize) -> TunnelListing {
    let members = (0..count).map(|index| RejectedMember { reason: RejectReason::MissingName, index, id: None });
    TunnelListing { rejected: members.collect(), ..TunnelListing::default() }
}

#[test]
fn rejected_members_and_unknown_values_are_logged_once() {
    let unreadable = || Ok(TunnelListing { unknown: [(KnownField::Mtu, 2)].into(), ..nameless(1) });
    let mut story = Story::start();
    assert_eq!(story.poll(unreadable()).events.len(), 3, "the list, the member, the field");
    assert_eq!(story.poll(unreadable()).events, []);
    assert_eq!(story.list.current().rejected.count(RejectReason::MissingName), 1);
}

#[test]
fn at_most_five_rejected_members_are_logged_and_then_their_number() {
    let mut story = Story::start();
    story.lists(&[]);
    let events = story.poll(Ok(nameless(100_000))).events;
    assert_eq!(events.len(), 6);
    assert!(events[..5].iter().all(|event| matches!(event, PollEvent::Rejected(_))), "{events:?}");
    assert!(matches!(&events[5], PollEvent::RejectedInTotal(rejected) if rejected.total() == 100_000), "{events:?}");
    assert_eq!(story.list.current().rejected.total(), 100_000, "the metric has the true number");
    assert_eq!(story.poll(Ok(nameless(100_000))).events, [], "they are not new");
    assert_eq!(story.poll(Ok(nameless(99_000))).events, [], "fewer than before");
    assert_eq!(story.poll(Ok(nameless(100_000))).events.len(), 1, "more again");
}

#[test]
fn polls_start_one_interval_apart_and_back_off_after_failures() {
    let mut story = Story::start();
    assert_eq!(story.poll(Ok(TunnelListing::default())).wait, INTERVAL.saturating_sub(Duration::from_secs(1)));
    assert!(story.poll(Err(failure(FailureReason::Auth))).wait > 4 * INTERVAL);
    let limited = story.poll(Err(failure(FailureReason::RateLimited)));
    assert!(limited.rate_limited && limited.wait >= 5 * INTERVAL);
}

#[test]
fn a_resumed_list_continues_counting_and_logs_nothing_twice() {
    let mut story = Story::start();
    let up = tunnel("a", Some(BgpState::Up));
    story.lists(&[Arc::clone(&up)]);
    story.lists(&[tunnel("a", Some(BgpState::Down))]);
    let known = story.list.current().clone();
    story.list = TrackedList::resume(AccountName::new("acme"), Arc::default(), known);
    assert_eq!(story.lists(&[tunnel("a", Some(BgpState::Down))]), [], "nothing is new");
    story.lists(&[up]);
    let entries = &story.list.current().entries;
    assert_eq!(entries[0].bgp_state_changes, 2, "one change before and one after resuming");
}

#[test]
fn rules_apply_immediately_and_at_every_poll() {
    use crate::domain::rules::{Pattern, Selector};
    let rules = TunnelRules {
        exclude: vec![Pattern::new("*lab*")],
        sites: vec![(Selector::id("a"), "frankfurt".into())],
        ..TunnelRules::default()
    };
    let mut story = Story::start();
    let tunnels = [tunnel("a", None), tunnel("lab", None)];
    story.lists(&tunnels);
    let known = story.list.current().clone();
    story.list = TrackedList::resume(AccountName::new("acme"), Arc::new(rules), known);
    let seen = |list: &TrackedList| -> Vec<(String, Option<String>)> {
        let entries = list.current().entries.iter();
        entries.map(|e| (e.tunnel.id.to_string(), e.site.as_ref().map(ToString::to_string))).collect()
    };
    let expected = [("a".to_owned(), Some("frankfurt".to_owned()))];
    assert_eq!(seen(&story.list), expected, "before the next poll");
    assert_eq!(story.lists(&tunnels), [], "an excluded tunnel is neither new nor removed");
    assert_eq!(seen(&story.list), expected);
}

#[test]
fn the_site_follows_the_name_and_the_description() {
    use crate::domain::sites::{SitePattern, SiteRule, SiteSource};
    let rule = |from, pattern| SiteRule { from, pattern: SitePattern::new(pattern).unwrap() };
    let rules = TunnelRules {
        site_rules: vec![
            rule(SiteSource::Description, "^(?<site>[A-Z][a-z]+),"),
            rule(SiteSource::Name, "^(?<site>[a-z]+)-"),
        ],
        ..TunnelRules::default()
    };
    let mut story = Story::start();
    story.list = TrackedList::resume(AccountName::new("acme"), Arc::new(rules), TunnelList::default());
    let named = |name: &str, description: &str| {
        Arc::new(Tunnel { name: name.into(), description: description.into(), ..crate::domain::fixtures::tunnel("id") })
    };
    for (tunnel, site) in [
        (named("fra-1", ""), Some("fra")),
        (named("fra-1", ""), Some("fra")),
        (named("lon-1", ""), Some("lon")),
        (named("lon-1", "Paris, spare"), Some("Paris")),
        (named("LON", ""), None),
    ] {
        story.lists(&[Arc::clone(&tunnel)]);
        assert_eq!(story.list.current().entries[0].site.as_deref(), site, "{tunnel:?}");
    }
}
