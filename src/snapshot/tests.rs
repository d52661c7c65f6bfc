use std::{num::NonZeroU32, time::Instant};

use jiff::Timestamp;

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, edge_view, gre, polled, reporting, seen_by_edge, tunnel},
        probe::{EchoOutcome, ProbeFailure, ProbeTarget, Silence, Thresholds, Vantage},
        tunnel::{BgpState, Tunnel, TunnelType},
        verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict},
    },
    prober::{
        board::{TargetProbe, TunnelProbes},
        histogram::Buckets,
        history::History,
        settings::ProbeSettings,
        tally::Tally,
    },
    snapshot::rows::{BY_URGENCY, Concern, Order, VerdictFilter},
};

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn start() -> Moment {
    Moment { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH }
}

fn snapshot(tunnels: impl IntoIterator<Item = Tunnel>) -> Snapshot {
    let now = start();
    let judged = Judged { fleet: polled(Some(now), tunnels), ..Judged::default() };
    Snapshot { judged, stale_after: Duration::from_mins(5), now }
}

/// The key of a tunnel of the fixtures.
fn key(tunnel: &Tunnel) -> Arc<TunnelKey> {
    Arc::new(TunnelKey::new(&AccountName::new("acme"), tunnel))
}

fn judged(snapshot: &mut Snapshot, verdicts: impl IntoIterator<Item = (Tunnel, Verdict, Duration)>) {
    let evidence =
        Evidence { reported: Reported::None, edge: Reported::None, inside: Side::Unsettled, outside: Side::Unsettled };
    let verdicts = verdicts.into_iter().map(|(tunnel, verdict, age)| {
        let changed = snapshot.now.after(Duration::from_hours(1).saturating_sub(age));
        (key(&tunnel), Arc::new(TunnelVerdict { verdict, evidence, changed, changes: 0, why: "".into() }))
    });
    snapshot.judged.verdicts = Arc::new(Verdicts { tunnels: verdicts.collect() });
}

/// A target that answered in the last minutes with this round-trip time, or did not answer.
fn probed(target: ProbeTarget, rtt: Option<Duration>) -> TargetProbe {
    const ONE: NonZeroU32 = NonZeroU32::MIN;
    let tally = Tally::new(Buckets::rtt());
    let start = start();
    tally.sample(start.instant);
    for _ in 0..10 {
        tally.begin();
        let outcome = rtt.map_or(EchoOutcome::Failed(ProbeFailure::Timeout), |rtt| EchoOutcome::Reply { rtt });
        tally.finish(outcome, start, Thresholds { down_after: ONE, up_after: ONE });
    }
    tally.sample(start.instant + History::STEP);
    TargetProbe { target, address: [127, 0, 0, 1].into(), tally: Arc::new(tally) }
}

fn names<'a>(rows: impl IntoIterator<Item = Row<'a>>) -> Vec<&'a str> {
    rows.into_iter().map(|row| &*row.entry.tunnel.name).collect()
}

fn found(snapshot: &Snapshot, filter: &Filter) -> Vec<String> {
    names(snapshot.matching(filter)).into_iter().map(str::to_owned).collect()
}

#[test]
fn broken_tunnels_come_first_then_names() {
    let tunnels = ["b", "a", "d", "c"].map(tunnel);
    let mut snapshot = snapshot(tunnels.clone());
    let verdicts = [Verdict::Healthy, Verdict::Healthy, Verdict::Unreachable, Verdict::BgpFault];
    judged(&mut snapshot, tunnels.into_iter().zip(verdicts).map(|(tunnel, verdict)| (tunnel, verdict, Duration::ZERO)));
    let mut rows: Vec<_> = snapshot.rows().collect();
    Order::Trouble.sort(&mut rows);
    assert_eq!(names(rows.clone()), ["d", "c", "a", "b"]);
    Order::Name.sort(&mut rows);
    assert_eq!(names(rows), ["a", "b", "c", "d"]);
}

#[test]
fn tunnels_sort_by_age_of_verdict_rtt_and_loss() {
    let tunnels = ["a", "b", "c"].map(tunnel);
    let mut snapshot = snapshot(tunnels.clone());
    let ages = [30, 10, 20].map(Duration::from_secs);
    judged(&mut snapshot, tunnels.clone().into_iter().zip(ages).map(|(tunnel, age)| (tunnel, Verdict::Healthy, age)));
    let ms = |n| Some(Duration::from_millis(n));
    let board = tunnels.iter().zip([ms(5), None, ms(70)]).map(|(tunnel, rtt)| {
        let targets = [probed(ProbeTarget::InterfaceAddress, rtt)].into();
        (key(tunnel), Arc::new(TunnelProbes { vantage: Vantage::Site, targets, uplinks: [].into() }))
    });
    snapshot.judged.board = Arc::new(ProbeBoard { tunnels: board.collect(), ..ProbeBoard::default() });
    let mut rows: Vec<_> = snapshot.rows().collect();
    for (order, expected) in
        [(Order::Since, ["b", "c", "a"]), (Order::Rtt, ["c", "a", "b"]), (Order::Loss, ["b", "a", "c"])]
    {
        order.sort(&mut rows);
        assert_eq!(names(rows.clone()), expected, "{order}");
    }
}

#[test]
fn a_filter_combines_its_conditions_with_and() {
    let fra =
        Tunnel { description: "Frankfurt, first circuit".into(), ..addressed("fra-1", "192.0.2.7", "10.0.0.0/31", "") };
    let tunnels = [fra.clone(), gre(tunnel("fra-2")), tunnel("ams-1")];
    let mut snapshot = snapshot(tunnels);
    judged(&mut snapshot, [(fra, Verdict::Unreachable, Duration::ZERO)]);
    let search = |search: &str| Filter { search: search.into(), ..Filter::default() };
    let of_verdict = |verdict| Filter { verdict: Some(verdict), ..Filter::default() };
    let of_account = |account: &str| Filter { account: Some(account.into()), ..Filter::default() };
    for (filter, expected) in [
        (Filter::default(), &["fra-2", "fra-1", "ams-1"][..]),
        (search("FRA"), &["fra-2", "fra-1"]),
        (search("  circuit  fra "), &["fra-1"]),
        (search("192.0.2.7"), &["fra-1"]),
        (search("10.0.0.0/31"), &["fra-1"]),
        (search("fra ams"), &[]),
        (of_account("acme"), &["fra-2", "fra-1", "ams-1"]),
        (of_account("other"), &[]),
        (of_verdict(VerdictFilter::Attention), &["fra-1"]),
        (of_verdict(VerdictFilter::Only(Verdict::Unreachable)), &["fra-1"]),
        (of_verdict(VerdictFilter::Only(Verdict::Unknown)), &["fra-2", "ams-1"]),
        (Filter { tunnel_type: Some(TunnelType::Gre), ..search("fra") }, &["fra-2"]),
    ] {
        assert_eq!(found(&snapshot, &filter), expected, "{filter:?}");
    }
}

#[test]
fn the_summary_counts_every_tunnel_once() {
    let tunnels: Vec<Tunnel> = BY_URGENCY.iter().map(|verdict| tunnel(&verdict.to_string())).collect();
    let mut snapshot = snapshot(tunnels.clone());
    judged(
        &mut snapshot,
        tunnels.into_iter().zip(BY_URGENCY).map(|(tunnel, verdict)| (tunnel, verdict, Duration::ZERO)),
    );
    let summary = snapshot.summary();
    assert_eq!((summary.tunnels, summary.stale, summary.needing_attention()), (9, 0, 6));
    assert!(BY_URGENCY.iter().all(|&verdict| summary.with(verdict) == 1));
}

#[test]
fn a_stale_tunnel_is_marked_and_has_no_session() {
    let up = reporting(tunnel("a"), BgpState::Up);
    let mut snapshot = snapshot([up]);
    assert!(snapshot.rows().next().unwrap().status().is_some());
    snapshot.now = snapshot.now.after(Duration::from_mins(6));
    let row = snapshot.rows().next().unwrap();
    assert!(!row.fresh && row.status().is_none() && row.tunnel().bgp_status.is_some());
    assert_eq!(snapshot.summary().stale, 1);
}

#[test]
fn an_answering_address_inside_represents_the_tunnel() {
    use ProbeTarget::{CustomerEndpoint, InterfaceAddress, InterfaceAddress6};
    let answers = Some(Duration::from_millis(1));
    for (targets, after_answer, always) in [
        (
            vec![(CustomerEndpoint, answers), (InterfaceAddress, answers)],
            Some(InterfaceAddress),
            Some(InterfaceAddress),
        ),
        (
            vec![(CustomerEndpoint, answers), (InterfaceAddress, None), (InterfaceAddress6, answers)],
            Some(InterfaceAddress6),
            Some(InterfaceAddress6),
        ),
        (vec![(CustomerEndpoint, answers), (InterfaceAddress, None)], Some(CustomerEndpoint), Some(InterfaceAddress)),
        (vec![(CustomerEndpoint, None), (InterfaceAddress, None)], Some(CustomerEndpoint), Some(InterfaceAddress)),
        (vec![], None, None),
    ] {
        let bare = tunnel("a");
        let targets: Box<[_]> = targets.into_iter().map(|(target, rtt)| probed(target, rtt)).collect();
        for (silence, expected) in [(Silence::AfterAnswer, after_answer), (Silence::Always, always)] {
            let mut snapshot = snapshot([bare.clone()]);
            let probes =
                Arc::new(TunnelProbes { vantage: Vantage::Site, targets: targets.clone(), uplinks: [].into() });
            let tunnels = [(key(&bare), probes)].into();
            let settings = Arc::new(ProbeSettings { silence, ..ProbeSettings::default() });
            snapshot.judged.board = Arc::new(ProbeBoard { tunnels, settings, ..ProbeBoard::default() });
            let row = snapshot.row(&key(&bare)).unwrap();
            assert_eq!(row.main_target().map(|probe| probe.target), expected, "{silence}");
        }
    }
}

/// Gives each tunnel of the fixtures the site before the first dash of its name; none to a name without a dash.
fn with_sites(snapshot: &mut Snapshot) {
    let mut fleet = snapshot.fleet().clone();
    for account in fleet.accounts.values_mut().map(Arc::make_mut) {
        let list = account.list(TunnelType::Ipsec).as_ref().clone();
        let site = |name: &str| name.split_once('-').map(|(site, _)| Arc::from(site));
        let entries =
            list.entries.iter().map(|entry| InventoryEntry { site: site(&entry.tunnel.name), ..entry.clone() });
        let entries = entries.collect();
        account.set_list(TunnelType::Ipsec, TunnelList { entries, ..list });
    }
    snapshot.judged.fleet = Arc::new(fleet);
}

/// Two sites that work, one without a working tunnel, one with a broken tunnel, and a tunnel without a site.
fn five_groups() -> Snapshot {
    use Verdict::{BgpFault, Healthy, PathMismatch, Unknown, Unreachable};
    let tunnels = [
        ("waw-1", Healthy),
        ("ams-1", Healthy),
        ("ams-2", Healthy),
        ("fra-1", Unreachable),
        ("fra-2", Unknown),
        ("lon-1", Unreachable),
        ("lon-2", Healthy),
        ("par-1", PathMismatch),
        ("vie-1", Unknown),
        ("alone", BgpFault),
    ];
    let tunnels = tunnels.map(|(name, verdict)| (tunnel(name), verdict, Duration::ZERO));
    let mut snapshot = snapshot(tunnels.iter().map(|(tunnel, ..)| tunnel.clone()));
    judged(&mut snapshot, tunnels);
    with_sites(&mut snapshot);
    snapshot
}

#[test]
fn sites_are_counted_and_the_most_broken_is_first() {
    use Concern::{Broken, Fine, Suspect, Unsure};
    let snapshot = five_groups();
    let sites = snapshot.sites(&Filter::default());
    let sites: Vec<_> = sites
        .iter()
        .map(|group| {
            let site = group.site.map_or("", |site| site);
            (site, group.concern(), group.tunnels.tunnels, group.working(), group.broken())
        })
        .collect();
    let expected = [
        ("fra", Broken, 2, 0, 1),
        ("lon", Suspect, 2, 1, 1),
        ("par", Suspect, 1, 0, 0),
        ("vie", Unsure, 1, 0, 0),
        ("ams", Fine, 2, 2, 0),
        ("waw", Fine, 1, 1, 0),
        ("", Broken, 1, 0, 1),
    ];
    assert_eq!(sites, expected);
}

#[test]
fn tunnels_are_filtered_and_sorted_by_site() {
    let snapshot = five_groups();
    let fra = Filter { site: Some("fra".into()), ..Filter::default() };
    assert_eq!(found(&snapshot, &fra), ["fra-1", "fra-2"]);
    assert_eq!(found(&snapshot, &Filter { site: Some("fr".into()), ..Filter::default() }), [""; 0]);
    assert_eq!(snapshot.sites(&fra).len(), 1);
    let mut rows: Vec<_> = snapshot.rows().collect();
    Order::Site.sort(&mut rows);
    let expected = ["ams-1", "ams-2", "fra-1", "fra-2", "lon-1", "lon-2", "par-1", "vie-1", "waw-1", "alone"];
    assert_eq!(names(rows), expected);
}

#[test]
fn the_site_that_cloudflare_assigns_is_used_if_the_configuration_has_none() {
    let mut snapshot = five_groups();
    let mut view = edge_view(snapshot.now, snapshot.now, [("alone", 1000), ("fra-1", 1000)]);
    view.health.sites = Arc::new(["alone", "fra-1"].map(|name| (name.into(), Arc::from("from-edge"))).into());
    snapshot.judged.fleet = seen_by_edge(&snapshot.judged.fleet, &view);
    let site = |name: &str| snapshot.rows().find(|row| &*row.tunnel().name == name).and_then(|row| row.site().cloned());
    assert_eq!(site("alone").as_deref(), Some("from-edge"));
    assert_eq!(site("fra-1").as_deref(), Some("fra"));
    let later = Snapshot { now: snapshot.now.after(Duration::from_hours(1)), ..snapshot.clone() };
    let alone = later.rows().find(|row| &*row.tunnel().name == "alone").unwrap();
    assert_eq!((alone.site().map(|site| &**site), alone.edge_health()), (Some("from-edge"), None), "health is stale");
}
