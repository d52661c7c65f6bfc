use super::*;

/// The changes of the verdict on `fra` as `seconds from -> to`, relative to `start`.
fn recorded(rehearsal: &Rehearsal, start: Moment) -> Vec<String> {
    let histories = rehearsal.tracker.histories();
    let events = histories.values().flat_map(VerdictHistory::events);
    let seconds = |event: &VerdictEvent<'_>| (event.at.as_millisecond() - start.wall.as_millisecond()) / 1000;
    events.map(|event| format!("{} {} -> {}", seconds(&event), event.from, event.to)).collect()
}

#[test]
fn each_change_is_recorded_with_its_time_and_explanation() {
    let mut rehearsal = healthy();
    let start = rehearsal.now;
    assert!(rehearsal.tracker.histories().is_empty(), "the first verdict is not a change");
    rehearsal.wait(10);
    rehearsal.settle("10.0.0.0", false);
    rehearsal.changes();
    rehearsal.wait(20);
    rehearsal.settle("10.0.0.0", true);
    rehearsal.changes();
    assert_eq!(recorded(&rehearsal, start), ["10 healthy -> path_mismatch", "30 path_mismatch -> healthy"]);
    let histories = rehearsal.tracker.histories();
    let history = histories.values().next().unwrap();
    assert_eq!(history.began().unwrap().as_millisecond(), start.wall.as_millisecond());
    assert_eq!(history.event(1).unwrap().why, Some(&*rehearsal.verdict("fra").why));
}

/// A tracker after a restart with one change that is this old, stored when the verdict was.
fn restarted_with_history(stored_before: Duration) -> (Rehearsal, Moment) {
    let mut rehearsal = restarted([fra()], &[]);
    let saved = rehearsal.now.wall - stored_before;
    let past = PastVerdict { verdict: Verdict::TunnelFault, since: saved };
    let event = VerdictEvent { at: saved, from: Verdict::Healthy, to: Verdict::TunnelFault, why: Some("it is silent") };
    let histories = [(Arc::new(key("fra")), VerdictHistory::new(saved, &[event]))].into();
    rehearsal.tracker = Tracker::new(PastVerdicts { saved, tunnels: [(key("fra"), past)].into(), histories });
    let start = rehearsal.now;
    (rehearsal, start)
}

#[test]
fn a_restart_continues_the_history() {
    let (mut rehearsal, start) = restarted_with_history(Duration::from_hours(1));
    rehearsal.judge();
    assert_eq!(recorded(&rehearsal, start), ["-3600 healthy -> tunnel_fault"]);
    rehearsal.wait(5);
    rehearsal.everything(true);
    assert_eq!(rehearsal.changes(), ["fra tunnel_fault -> healthy"]);
    assert_eq!(recorded(&rehearsal, start), ["-3600 healthy -> tunnel_fault", "5 tunnel_fault -> healthy"]);
}

#[test]
fn a_history_is_kept_even_if_the_verdict_is_too_old() {
    let (mut rehearsal, start) = restarted_with_history(Duration::from_hours(48));
    rehearsal.everything(true);
    assert_eq!(rehearsal.changes(), [""; 0], "the first verdict of this run");
    assert_eq!(recorded(&rehearsal, start), ["-172800 healthy -> tunnel_fault"]);
    rehearsal.tunnels.clear();
    rehearsal.judge();
    assert_eq!(recorded(&rehearsal, start), [""; 0], "the tunnel left the inventory");
}
