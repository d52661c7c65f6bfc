use std::num::NonZeroU32;

use web_toolkit::clock;

use super::*;
use crate::{
    domain::{
        edge::EdgeView,
        fixtures::{addressed, polled, reporting, seen_by_edge},
        inventory::AccountName,
        past::PastVerdict,
        probe::{
            Binding, EchoOutcome, ProbeFailure, ProbeTarget, SessionKey, Silence, SocketMode, Thresholds, Vantage,
        },
        tunnel::BgpState,
    },
    prober::{
        board::{ProbeBoard, TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        tally::Tally,
    },
    snapshot::Judged,
};

mod edge;
mod history;

const STALE_AFTER: Duration = Duration::from_mins(5);

/// Tunnels with probe results and a time that the test sets.
struct Rehearsal {
    now: Moment,
    polled: Moment,
    tunnels: Vec<Tunnel>,
    board: ProbeBoard,
    edge: Option<EdgeView>,
    tracker: Tracker,
}

const ADDRESSES: [&str; 2] = ["203.0.113.1", "10.0.0.0"];

impl Rehearsal {
    fn new(tunnels: impl IntoIterator<Item = Tunnel>) -> Self {
        let now = clock::now();
        let mut rehearsal = Self {
            now,
            polled: now,
            tunnels: tunnels.into_iter().collect(),
            board: ProbeBoard::default(),
            edge: None,
            tracker: Tracker::default(),
        };
        rehearsal.board.tunnels = rehearsal.tunnels.iter().map(probes).collect();
        rehearsal.share_sessions();
        rehearsal
    }

    fn with_uplink(mut self, address: &str) -> Self {
        let uplink = UplinkProbe { address: address.parse().unwrap(), tally: Arc::new(Tally::new(Buckets::rtt())) };
        self.board.uplinks = [uplink].into();
        for probes in self.board.tunnels.values_mut() {
            Arc::make_mut(probes).uplinks = Arc::clone(&self.board.uplinks);
        }
        self.share_sessions();
        self
    }

    fn share_sessions(&mut self) {
        let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None, dscp: 0 });
        let targets = self.board.tunnels.values().flat_map(|probes| probes.targets.iter());
        let targets = targets.map(|probe| (probe.address, &probe.tally));
        let uplinks = self.board.uplinks.iter().map(|uplink| (uplink.address, &uplink.tally));
        let sessions = targets
            .chain(uplinks)
            .map(|(address, tally)| (SessionKey { address, binding: Arc::clone(&binding) }, Arc::clone(tally)));
        self.board.sessions = sessions.collect();
    }

    /// Settles the state of an address.
    fn settle(&self, address: &str, answers: bool) {
        let one = NonZeroU32::MIN;
        let outcome = if answers {
            EchoOutcome::Reply { rtt: Duration::from_millis(5) }
        } else {
            EchoOutcome::Failed(ProbeFailure::Timeout)
        };
        let sessions = self.board.sessions.iter().filter(|(key, _)| key.address.to_string() == address);
        for (_, tally) in sessions {
            tally.begin();
            tally.finish(outcome, self.now, Thresholds { down_after: one, up_after: one });
        }
    }

    fn everything(&self, answers: bool) {
        for (key, _) in self.board.sessions.iter() {
            self.settle(&key.address.to_string(), answers);
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn poll(&mut self, id: &str, state: BgpState) {
        self.polled = self.now;
        for tunnel in &mut self.tunnels {
            if tunnel.id.as_str() == id {
                *tunnel = reporting(tunnel.clone(), state);
            }
        }
    }

    fn judge(&mut self) -> Round {
        let mut fleet = polled(Some(self.polled), self.tunnels.iter().cloned());
        if let Some(view) = &self.edge {
            fleet = seen_by_edge(&fleet, view);
        }
        let judged = Judged { fleet, board: Arc::new(self.board.clone()), ..Judged::default() };
        self.tracker.judge(&Snapshot { judged, stale_after: STALE_AFTER, now: self.now })
    }

    /// Judges, and returns each change as `from -> to`.
    fn changes(&mut self) -> Vec<String> {
        self.judge().changes.iter().map(|c| format!("{} {} -> {}", c.tunnel.name, c.from, c.to)).collect()
    }

    fn verdict(&self, id: &str) -> Arc<TunnelVerdict> {
        let verdicts = self.tracker.verdicts();
        let (_, found) = verdicts.tunnels.iter().find(|(key, _)| key.id.as_str() == id).unwrap();
        Arc::clone(found)
    }
}

fn probes(tunnel: &Tunnel) -> (Arc<TunnelKey>, Arc<TunnelProbes>) {
    let key = TunnelKey {
        account: crate::domain::inventory::AccountName::new("acme"),
        tunnel_type: tunnel.tunnel_type(),
        id: tunnel.id.clone(),
    };
    let target = |target, address| TargetProbe { target, address, tally: Arc::new(Tally::new(Buckets::rtt())) };
    let endpoint = tunnel.customer_endpoint.value().map(|ip| target(ProbeTarget::CustomerEndpoint, *ip));
    let inside = tunnel.interface_address.value().map(|net| target(ProbeTarget::InterfaceAddress, net.addr()));
    let targets = endpoint.into_iter().chain(inside).collect();
    (Arc::new(key), Arc::new(TunnelProbes { vantage: Vantage::Site, targets, uplinks: Arc::default() }))
}

fn fra() -> Tunnel {
    addressed("fra", ADDRESSES[0], "10.0.0.0/31", "")
}

fn par() -> Tunnel {
    addressed("par", "203.0.113.2", "10.0.0.2/31", "")
}

/// One tunnel that is up, with addresses that answer.
fn healthy() -> Rehearsal {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up)]);
    rehearsal.everything(true);
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::Healthy);
    rehearsal
}

#[test]
fn the_first_verdict_does_not_count_as_a_change() {
    let mut rehearsal = healthy();
    assert_eq!(rehearsal.verdict("fra").changes, 0);
    assert_eq!(rehearsal.verdict("fra").changed, rehearsal.now);
    assert!(!rehearsal.judge().moved, "a second judgement changes nothing");
}

#[test]
fn a_verdict_during_settling_does_not_count_as_a_change() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down)]);
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::ReportedDown);
    rehearsal.wait(3);
    rehearsal.everything(true);
    let round = rehearsal.judge();
    assert!(round.moved && round.changes.is_empty());
    assert_eq!((rehearsal.verdict("fra").verdict, rehearsal.verdict("fra").changes), (Verdict::BgpFault, 0));
    assert_eq!(rehearsal.verdict("fra").changed, rehearsal.now);
}

#[test]
fn a_probe_that_never_settles_hides_changes_for_a_minute_only() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up)]);
    rehearsal.judge();
    rehearsal.wait(60);
    rehearsal.judge();
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra healthy -> reported_down"]);
}

#[test]
fn a_tunnel_that_dies_goes_through_path_mismatch() {
    let mut rehearsal = healthy();
    let fine = rehearsal.now;
    rehearsal.wait(3);
    rehearsal.settle("10.0.0.0", false);
    assert_eq!(rehearsal.changes(), ["fra healthy -> path_mismatch"]);
    rehearsal.wait(90);
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra path_mismatch -> tunnel_fault"]);
    let verdict = rehearsal.verdict("fra");
    assert_eq!((verdict.changes, verdict.changed), (2, fine.after(Duration::from_secs(93))));
    assert!(verdict.why.contains("10.0.0.0 inside the tunnel does not answer"), "{}", verdict.why);
}

#[test]
fn a_router_without_power_is_unreachable() {
    let mut rehearsal = healthy();
    rehearsal.everything(false);
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra healthy -> unreachable"]);
}

#[test]
fn a_session_that_stays_down_while_traffic_flows_is_a_bgp_fault() {
    let mut rehearsal = healthy();
    rehearsal.poll("fra", BgpState::Establishing);
    assert_eq!(rehearsal.changes(), ["fra healthy -> bgp_fault"]);
    rehearsal.poll("fra", BgpState::Up);
    assert_eq!(rehearsal.changes(), ["fra bgp_fault -> healthy"]);
}

#[test]
fn a_missing_first_reply_proves_nothing_by_default() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down)]);
    rehearsal.everything(false);
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::ReportedDown);
    Arc::make_mut(&mut rehearsal.board.settings).silence = Silence::Always;
    assert_eq!(rehearsal.changes(), ["fra reported_down -> unreachable"]);
}

#[test]
fn uplinks_replace_the_customer_endpoint_as_evidence() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up)]).with_uplink("192.0.2.1");
    rehearsal.everything(true);
    rehearsal.judge();
    // The circuit breaks, but the router on this side still answers.
    rehearsal.settle("192.0.2.1", false);
    rehearsal.settle("10.0.0.0", false);
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra healthy -> unreachable"]);
    assert!(rehearsal.verdict("fra").why.ends_with("check the circuit of this site"));
}

#[test]
fn a_stale_report_does_not_count() {
    let mut rehearsal = healthy();
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra healthy -> bgp_fault"]);
    rehearsal.wait(STALE_AFTER.as_secs());
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.wait(1);
    assert_eq!(rehearsal.changes(), ["fra bgp_fault -> healthy"]);
    assert!(rehearsal.verdict("fra").why.contains("stale"), "{}", rehearsal.verdict("fra").why);
}

#[test]
fn without_probes_the_verdict_follows_the_report() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up), par()]);
    rehearsal.board = ProbeBoard::default();
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::Healthy);
    assert_eq!(rehearsal.verdict("par").verdict, Verdict::Unknown);
    rehearsal.poll("fra", BgpState::Down);
    assert_eq!(rehearsal.changes(), ["fra healthy -> reported_down"]);
}

#[test]
fn a_prober_that_reaches_nothing_while_sessions_are_up_is_isolated() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up), reporting(par(), BgpState::Down)]);
    rehearsal.everything(true);
    rehearsal.judge();
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra healthy -> prober_isolated", "par bgp_fault -> prober_isolated"]);
    assert!(rehearsal.verdict("par").why.contains("the fault is on this side"));
    rehearsal.settle("203.0.113.2", true);
    assert_eq!(rehearsal.changes(), ["fra prober_isolated -> path_mismatch", "par prober_isolated -> tunnel_fault"]);
}

#[test]
fn isolation_needs_a_session_that_is_up_and_two_targets_that_answered() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down), reporting(par(), BgpState::Down)]);
    rehearsal.everything(true);
    rehearsal.judge();
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra bgp_fault -> unreachable", "par bgp_fault -> unreachable"]);

    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up), reporting(par(), BgpState::Up)]);
    rehearsal.everything(false);
    rehearsal.settle("10.0.0.0", true);
    rehearsal.judge();
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra healthy -> path_mismatch"]);
}

#[test]
fn isolation_changes_only_verdicts_that_rest_on_silence() {
    let silent = addressed("ams", "203.0.113.3", "", "");
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Up), reporting(silent, BgpState::Up)]);
    rehearsal.everything(true);
    rehearsal.board.tunnels.retain(|key, _| key.id.as_str() == "fra");
    rehearsal.judge();
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra healthy -> prober_isolated"]);
    assert_eq!(rehearsal.verdict("ams").verdict, Verdict::Healthy);
}

#[test]
fn a_removed_tunnel_is_forgotten() {
    let mut rehearsal = healthy();
    rehearsal.poll("fra", BgpState::Down);
    rehearsal.judge();
    let kept = std::mem::take(&mut rehearsal.tunnels);
    assert!(rehearsal.judge().moved);
    assert!(rehearsal.tracker.verdicts().tunnels.is_empty());
    rehearsal.tunnels = kept;
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!(rehearsal.verdict("fra").changes, 0);
}

#[test]
fn an_extra_address_that_answers_proves_that_the_tunnel_carries_traffic() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down)]);
    let extra = TargetProbe {
        target: ProbeTarget::ExtraAddress,
        address: "10.20.0.1".parse().unwrap(),
        tally: Arc::new(Tally::new(Buckets::rtt())),
    };
    for probes in rehearsal.board.tunnels.values_mut() {
        let probes = Arc::make_mut(probes);
        probes.targets = probes.targets.iter().cloned().chain([extra.clone()]).collect();
    }
    rehearsal.share_sessions();
    rehearsal.everything(true);
    rehearsal.settle("10.0.0.0", false);
    rehearsal.judge();
    assert_eq!(
        rehearsal.verdict("fra").verdict,
        Verdict::BgpFault,
        "its own address does not answer, the host beyond it does"
    );
    rehearsal.settle("10.20.0.1", false);
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::TunnelFault);
}

#[test]
fn an_uplink_is_evidence_for_its_own_tunnel_only() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down), reporting(par(), BgpState::Down)]);
    let uplink = UplinkProbe { address: "192.0.2.9".parse().unwrap(), tally: Arc::new(Tally::new(Buckets::rtt())) };
    rehearsal.board.uplinks = [uplink].into();
    let uplinks = Arc::clone(&rehearsal.board.uplinks);
    for (key, probes) in &mut rehearsal.board.tunnels {
        if key.id.as_str() == "par" {
            Arc::make_mut(probes).uplinks = Arc::clone(&uplinks);
        }
    }
    rehearsal.share_sessions();
    rehearsal.everything(true);
    rehearsal.judge();
    for silent in ["10.0.0.0", "10.0.0.2", "192.0.2.9"] {
        rehearsal.settle(silent, false);
    }
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::TunnelFault, "its customer endpoint answers");
    assert_eq!(rehearsal.verdict("par").verdict, Verdict::Unreachable, "its uplink does not");
}

fn key(id: &str) -> TunnelKey {
    TunnelKey::new(&AccountName::new("acme"), &addressed(id, "", "", ""))
}

/// A tracker after a restart, with stored verdicts that are an hour old. All addresses have answered before.
fn restarted(tunnels: impl IntoIterator<Item = Tunnel>, past: &[(&str, Verdict)]) -> Rehearsal {
    let mut rehearsal = Rehearsal::new(tunnels);
    let since = rehearsal.now.wall.saturating_sub(Duration::from_hours(1)).unwrap();
    let past = past.iter().map(|&(id, verdict)| (key(id), PastVerdict { verdict, since }));
    rehearsal.tracker =
        Tracker::new(PastVerdicts { saved: rehearsal.now.wall, tunnels: past.collect(), ..Default::default() });
    let answered = || Arc::new(Tally::new(Buckets::rtt()).with_past_reply(None));
    for probes in rehearsal.board.tunnels.values_mut() {
        for probe in &mut Arc::make_mut(probes).targets {
            probe.tally = answered();
        }
    }
    rehearsal.share_sessions();
    let settings = Arc::make_mut(&mut rehearsal.board.settings);
    settings.enabled = true;
    rehearsal
}

#[test]
fn a_dead_tunnel_stays_dead_over_a_restart_and_keeps_its_time() {
    let mut rehearsal = restarted([fra()], &[("fra", Verdict::TunnelFault)]);
    let since = rehearsal.now.wall.saturating_sub(Duration::from_hours(1)).unwrap();
    assert_eq!(rehearsal.changes(), [""; 0]);
    let held = rehearsal.verdict("fra");
    assert_eq!((held.verdict, held.changed.wall, &*held.why), (Verdict::TunnelFault, since, HELD));
    rehearsal.wait(1);
    rehearsal.settle("203.0.113.1", true);
    assert_eq!(rehearsal.changes(), [""; 0], "the inside has not settled");
    rehearsal.wait(2);
    rehearsal.settle("10.0.0.0", false);
    assert_eq!(rehearsal.changes(), [""; 0]);
    let settled = rehearsal.verdict("fra");
    assert_eq!((settled.verdict, settled.changed.wall, settled.changes), (Verdict::TunnelFault, since, 0));
    assert!(settled.why.contains("10.0.0.0 inside the tunnel does not answer"), "{}", settled.why);
}

#[test]
fn a_tunnel_that_recovered_during_the_restart_is_held_until_its_probes_settle() {
    let mut rehearsal = restarted([fra()], &[("fra", Verdict::TunnelFault)]);
    rehearsal.judge();
    rehearsal.wait(1);
    rehearsal.settle("10.0.0.0", true);
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.settle("203.0.113.1", true);
    assert_eq!(rehearsal.changes(), ["fra tunnel_fault -> healthy"]);
    assert_eq!((rehearsal.verdict("fra").changed, rehearsal.verdict("fra").changes), (rehearsal.now, 1));
}

#[test]
fn a_verdict_is_not_held_for_a_target_that_never_settles() {
    let mut rehearsal = restarted([reporting(fra(), BgpState::Down)], &[("fra", Verdict::Healthy)]);
    let limit = rehearsal.board.settings.session.time_to_settle();
    rehearsal.judge();
    rehearsal.wait(limit.as_secs() - 1);
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.wait(1);
    assert_eq!(rehearsal.changes(), ["fra healthy -> reported_down"]);
}

#[test]
fn a_verdict_is_held_while_its_probes_are_not_planned() {
    let mut rehearsal = restarted([fra()], &[("fra", Verdict::TunnelFault)]);
    let planned = std::mem::take(&mut rehearsal.board.tunnels);
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::TunnelFault);
    rehearsal.board.tunnels = planned;
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra tunnel_fault -> unreachable"]);
}

#[test]
fn without_probes_the_first_report_settles_the_verdict() {
    let tunnels = [reporting(fra(), BgpState::Down), reporting(par(), BgpState::Up)];
    let mut rehearsal = restarted(tunnels, &[("fra", Verdict::ReportedDown), ("par", Verdict::ReportedDown)]);
    rehearsal.board = ProbeBoard::default();
    assert_eq!(rehearsal.changes(), ["par reported_down -> healthy"]);
    assert!(rehearsal.verdict("fra").changed.wall < rehearsal.now.wall);
}

#[test]
fn an_isolated_prober_stays_isolated_until_every_target_has_settled() {
    let tunnels = [reporting(fra(), BgpState::Up), reporting(par(), BgpState::Down)];
    let isolated = [("fra", Verdict::ProberIsolated), ("par", Verdict::ProberIsolated)];
    let mut rehearsal = restarted(tunnels, &isolated);
    rehearsal.judge();
    for address in ["203.0.113.1", "10.0.0.0", "203.0.113.2", "10.0.0.2"] {
        rehearsal.settle(address, false);
        assert_eq!(rehearsal.changes(), [""; 0], "{address}");
    }
    assert!(rehearsal.verdict("fra").why.contains("the fault is on this side"));
}

#[test]
fn isolation_is_not_held_for_a_target_that_never_settles() {
    let tunnels = [reporting(fra(), BgpState::Up), reporting(par(), BgpState::Down)];
    let mut rehearsal = restarted(tunnels, &[("fra", Verdict::ProberIsolated), ("par", Verdict::ProberIsolated)]);
    let limit = rehearsal.board.settings.session.time_to_settle();
    rehearsal.judge();
    rehearsal.settle("10.0.0.0", true);
    rehearsal.wait(limit.as_secs() - 1);
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.wait(1);
    assert_eq!(rehearsal.changes(), ["fra prober_isolated -> healthy", "par prober_isolated -> reported_down"]);
}

#[test]
fn a_verdict_of_an_earlier_run_is_used_for_the_first_judgement_only() {
    let mut rehearsal = restarted([fra()], &[("fra", Verdict::TunnelFault)]);
    rehearsal.judge();
    let tunnels = std::mem::take(&mut rehearsal.tunnels);
    rehearsal.judge();
    rehearsal.tunnels = tunnels;
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::Unknown, "it was removed and added again");
}

#[test]
fn a_time_in_the_future_becomes_the_present() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down)]);
    rehearsal.board = ProbeBoard::default();
    let since = rehearsal.now.after(Duration::from_hours(5)).wall;
    let past = PastVerdict { verdict: Verdict::ReportedDown, since };
    rehearsal.tracker =
        Tracker::new(PastVerdicts { saved: since, tunnels: [(key("fra"), past)].into(), ..Default::default() });
    rehearsal.judge();
    assert_eq!(rehearsal.verdict("fra").changed, rehearsal.now);
}

#[test]
fn a_first_verdict_before_the_probes_are_planned_does_not_count() {
    let mut rehearsal = Rehearsal::new([reporting(fra(), BgpState::Down)]);
    Arc::make_mut(&mut rehearsal.board.settings).enabled = true;
    let planned = std::mem::take(&mut rehearsal.board.tunnels);
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!(rehearsal.verdict("fra").verdict, Verdict::ReportedDown);
    rehearsal.board.tunnels = planned;
    rehearsal.wait(3);
    rehearsal.everything(true);
    assert_eq!(rehearsal.changes(), [""; 0]);
    assert_eq!((rehearsal.verdict("fra").verdict, rehearsal.verdict("fra").changes), (Verdict::BgpFault, 0));
}
