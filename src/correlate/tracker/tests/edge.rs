//! Verdicts with the reports of Cloudflare's edge.

use super::*;
use crate::domain::{fixtures::edge_view, tunnel::HealthCheck};

const MINUTE: Duration = Duration::from_mins(1);

impl Rehearsal {
    /// The edge reports the five minutes that ended two minutes ago.
    fn poll_edge(&mut self, passed: &[(&str, u64)]) {
        let ago = |minutes| self.now.earlier(self.now.wall - MINUTE * minutes);
        self.polled = self.now;
        self.edge = Some(edge_view(ago(7), ago(2), passed.iter().copied()));
    }
}

/// A tunnel with static routes and addresses that have answered for ten minutes.
fn routed_statically() -> Rehearsal {
    let mut rehearsal = Rehearsal::new([fra()]);
    rehearsal.everything(true);
    rehearsal.judge();
    rehearsal.wait(600);
    rehearsal
}

#[test]
fn a_tunnel_that_carries_traffic_and_fails_the_checks_of_cloudflare_has_a_check_fault() {
    let mut rehearsal = routed_statically();
    rehearsal.poll_edge(&[("fra", 900)]);
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.poll_edge(&[("fra", 300)]);
    assert_eq!(rehearsal.changes(), ["fra healthy -> check_fault"]);
    assert_eq!(rehearsal.verdict("fra").evidence.edge, Reported::Down);
    rehearsal.poll_edge(&[("fra", 500)]);
    assert_eq!(rehearsal.changes(), ["fra check_fault -> healthy"], "a degraded tunnel has no report");
}

#[test]
fn disabled_checks_and_stale_data_are_no_report() {
    let mut rehearsal = routed_statically();
    rehearsal.poll_edge(&[("fra", 0)]);
    rehearsal.tunnels[0].health_check = Some(HealthCheck { enabled: Some(false), ..HealthCheck::default() });
    assert_eq!(rehearsal.changes(), [""; 0]);
    rehearsal.tunnels[0].health_check = None;
    assert_eq!(rehearsal.changes(), ["fra healthy -> check_fault"]);
    rehearsal.wait(14 * 60);
    rehearsal.polled = rehearsal.now;
    assert_eq!(rehearsal.changes(), ["fra check_fault -> healthy"]);
}

#[test]
fn a_static_tunnel_that_dies_is_found_at_once_with_and_without_the_edge() {
    for edge in [false, true] {
        let mut rehearsal = routed_statically();
        if edge {
            rehearsal.poll_edge(&[("fra", 1000)]);
        }
        rehearsal.settle("10.0.0.0", false);
        rehearsal.polled = rehearsal.now;
        assert_eq!(rehearsal.changes(), ["fra healthy -> tunnel_fault"], "edge: {edge}");
    }
}

#[test]
fn an_edge_that_sees_the_same_minutes_contradicts_the_probes() {
    let mut rehearsal = routed_statically();
    rehearsal.settle("10.0.0.0", false);
    rehearsal.poll_edge(&[("fra", 1000)]);
    assert_eq!(rehearsal.changes(), ["fra healthy -> tunnel_fault"]);
    rehearsal.wait(7 * 60);
    rehearsal.poll_edge(&[("fra", 1000)]);
    assert_eq!(rehearsal.changes(), ["fra tunnel_fault -> path_mismatch"]);
}

#[test]
fn a_short_flap_is_no_check_fault() {
    let mut rehearsal = routed_statically();
    rehearsal.everything(false);
    assert_eq!(rehearsal.changes(), ["fra healthy -> unreachable"]);
    rehearsal.wait(240);
    rehearsal.everything(true);
    for seconds in 0..20 {
        // The edge sees the outage two minutes later, and most of it for five minutes.
        rehearsal.wait(30);
        let passed = if (4..13).contains(&seconds) { 200 } else { 1000 };
        rehearsal.poll_edge(&[("fra", passed)]);
        rehearsal.judge();
        assert_eq!(rehearsal.verdict("fra").verdict, Verdict::Healthy, "{} s later", 30 * (seconds + 1));
    }
}

#[test]
fn an_isolated_prober_is_found_by_the_tunnels_that_the_edge_reports_up() {
    let mut rehearsal = Rehearsal::new([fra(), par()]);
    rehearsal.everything(true);
    rehearsal.judge();
    rehearsal.wait(600);
    rehearsal.everything(false);
    rehearsal.poll_edge(&[("fra", 1000), ("par", 1000)]);
    assert_eq!(rehearsal.changes(), ["fra healthy -> unreachable", "par healthy -> unreachable"]);
    rehearsal.wait(7 * 60);
    rehearsal.poll_edge(&[("fra", 1000), ("par", 0)]);
    assert_eq!(rehearsal.changes(), ["fra unreachable -> prober_isolated", "par unreachable -> prober_isolated"]);
}
