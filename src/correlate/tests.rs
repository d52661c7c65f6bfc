use std::num::NonZeroU32;

use tokio::{task::JoinSet, time};

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, polled, reporting},
        inventory::{AccountName, TunnelKey},
        probe::{EchoOutcome, ProbeFailure, ProbeTarget, Thresholds, Vantage},
        pulse::Pulses,
        tunnel::BgpState,
        verdict::Verdict,
    },
    prober::{
        board::{TargetProbe, TunnelProbes},
        histogram::Buckets,
        tally::Tally,
    },
};

struct Stage {
    fleet: watch::Sender<Arc<Fleet>>,
    changes: watch::Sender<u64>,
    tally: Arc<Tally>,
    judged: watch::Receiver<Judged>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    board: watch::Sender<Arc<ProbeBoard>>,
    stale_after: watch::Sender<Duration>,
    pulses: Pulses,
}

fn fra(state: BgpState) -> Arc<Fleet> {
    let tunnel = addressed("fra", "", "10.0.0.0/31", "");
    polled(Some(clock::now()), [reporting(tunnel, state)])
}

fn play() -> Stage {
    let tally = Arc::new(Tally::new(Buckets::rtt()));
    let probe = TargetProbe {
        target: ProbeTarget::InterfaceAddress,
        address: "10.0.0.0".parse().unwrap(),
        tally: Arc::clone(&tally),
    };
    let fleet = fra(BgpState::Up);
    let account = AccountName::new("acme");
    let key = TunnelKey::new(&account, &fleet.accounts[&account].entries().next().unwrap().tunnel);
    let probes = TunnelProbes { vantage: Vantage::Site, targets: [probe].into(), uplinks: Arc::default() };
    let board = ProbeBoard { tunnels: [(Arc::new(key), Arc::new(probes))].into(), ..ProbeBoard::default() };
    let pulses = Pulses::default();
    let (fleet, fleet_rx) = watch::channel(fleet);
    let (board, board_rx) = watch::channel(Arc::new(board));
    let (changes, changes_rx) = watch::channel(0);
    let (stale_after, stale_after_rx) = watch::channel(Duration::from_mins(5));
    let (correlator, judged) = Correlator::new(
        fleet_rx,
        board_rx,
        changes_rx,
        stale_after_rx,
        PastVerdicts::default(),
        pulses.register("correlation"),
    );
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(correlator.run(stop.clone()));
    Stage { fleet, changes, tally, judged, stop, tasks, board, stale_after, pulses }
}

impl Stage {
    fn settle(&self, outcome: EchoOutcome) {
        let one = NonZeroU32::MIN;
        self.tally.begin();
        self.tally.finish(outcome, clock::now(), Thresholds { down_after: one, up_after: one });
        self.changes.send_modify(|count| *count += 1);
    }

    async fn next(&mut self) -> Verdict {
        self.judged.changed().await.unwrap();
        self.judged.borrow_and_update().verdicts.tunnels.values().next().unwrap().verdict
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_change_reaches_the_verdict_within_a_tenth_of_a_second() {
    let mut stage = play();
    assert_eq!(stage.next().await, Verdict::Healthy);
    stage.settle(EchoOutcome::Reply { rtt: Duration::from_millis(5) });
    assert_eq!(stage.next().await, Verdict::Healthy, "because it answers");
    let fell = clock::now();
    stage.settle(EchoOutcome::Failed(ProbeFailure::Timeout));
    assert_eq!(stage.next().await, Verdict::PathMismatch);
    assert!(clock::now().since(fell) <= Duration::from_millis(100));
    stage.fleet.send_replace(fra(BgpState::Down));
    assert_eq!(stage.next().await, Verdict::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_report_without_renewal_becomes_stale() {
    let mut stage = play();
    stage.settle(EchoOutcome::Reply { rtt: Duration::from_millis(5) });
    stage.fleet.send_replace(fra(BgpState::Down));
    while stage.next().await != Verdict::BgpFault {}
    let reported = clock::now();
    assert_eq!(stage.next().await, Verdict::Healthy);
    let took = clock::now().since(reported).as_secs();
    assert!((300..=306).contains(&took), "{took} s");

    stage.stale_after.send_replace(Duration::from_mins(10));
    assert_eq!(stage.next().await, Verdict::BgpFault, "a longer limit applies at once");
}

#[tokio::test(start_paused = true)]
async fn it_continues_without_the_prober_and_stops_on_cancel() {
    let mut stage = play();
    stage.next().await;
    (stage.changes, _) = watch::channel(0);
    (stage.board, _) = watch::channel(Arc::default());
    time::sleep(Duration::from_mins(1)).await;
    stage.fleet.send_replace(fra(BgpState::Down));
    assert_eq!(stage.next().await, Verdict::ReportedDown);
    stage.stop.cancel();
    assert!(stage.tasks.join_next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_beats_while_it_judges() {
    let stage = play();
    time::sleep(Duration::from_mins(2)).await;
    let now = clock::now().instant;
    assert!(stage.pulses.overdue(now).is_empty());
    assert_eq!(stage.pulses.overdue(now + Duration::from_mins(1)), ["correlation"], "it has promised to come back");
}

#[tokio::test(start_paused = true)]
async fn without_an_event_it_judges_every_five_seconds() {
    let mut stage = play();
    let begin = clock::now().instant;
    stage.next().await;
    (stage.changes, _) = watch::channel(0);
    (stage.board, _) = watch::channel(Arc::default());
    time::sleep(Duration::from_secs(4)).await;
    let overdue_after = |elapsed| !stage.pulses.overdue(begin + elapsed).is_empty();
    assert!(!overdue_after(JUDGE_INTERVAL), "the announced time includes the gathering");
    assert!(overdue_after(JUDGE_INTERVAL + 2 * GATHER), "it has judged once");
}

#[tokio::test(start_paused = true)]
async fn a_new_board_or_fleet_is_published_even_if_no_verdict_changes() {
    let mut stage = play();
    stage.next().await;
    stage.board.send_modify(|board| *board = Arc::new(ProbeBoard::clone(board)));
    let published = time::timeout(Duration::from_mins(1), stage.next()).await;
    assert_eq!(published, Ok(Verdict::Healthy), "a new board");
    stage.fleet.send_modify(|fleet| *fleet = Arc::new(Fleet::clone(fleet)));
    let published = time::timeout(Duration::from_mins(1), stage.next()).await;
    assert_eq!(published, Ok(Verdict::Healthy), "a new fleet");
    assert!(time::timeout(Duration::from_mins(1), stage.next()).await.is_err(), "nothing is new");
}

#[tokio::test]
async fn one_judgement_reaches_a_verdict() {
    let (_board, board) = watch::channel(Arc::default());
    let (_changes, changes) = watch::channel(0);
    let (_stale_after, stale_after) = watch::channel(Duration::from_mins(5));
    let (_fleet, fleet) = watch::channel(fra(BgpState::Down));
    let past = PastVerdicts::default();
    let (correlator, judged) = Correlator::new(fleet, board, changes, stale_after, past, Pulse::default());
    correlator.judge_once();
    let verdicts = &judged.borrow().verdicts.tunnels;
    assert_eq!(verdicts.values().map(|verdict| verdict.verdict).collect::<Vec<_>>(), [Verdict::ReportedDown]);
}
