use std::{collections::VecDeque, num::NonZeroU32, sync::Mutex, time::Duration};

use proptest::prelude::*;
use tokio::{task::JoinSet, time};

use super::*;
use crate::{
    domain::{label::Label, probe::Thresholds},
    prober::{histogram::Buckets, schedule::Phases},
};

const SECOND: Duration = Duration::from_secs(1);

fn address() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

/// What the network does to one echo.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The reply comes after this time, if the deadline leaves it that much.
    After(Duration),
    Lost,
    Fails(ProbeFailure),
}

/// A network that deals out fates in order, and then the last one for ever.
#[derive(Debug)]
struct Played {
    fates: Mutex<VecDeque<Fate>>,
    seen: Mutex<Vec<(Instant, Echo)>>,
    renewed: Mutex<u32>,
}

impl Played {
    fn new(fates: impl IntoIterator<Item = Fate>) -> Arc<Self> {
        let fates = Mutex::new(fates.into_iter().collect());
        Arc::new(Self { fates, seen: Mutex::default(), renewed: Mutex::default() })
    }

    fn fate(&self) -> Fate {
        let mut fates = self.fates.lock().unwrap();
        if fates.len() > 1 { fates.pop_front().unwrap() } else { fates[0] }
    }

    fn sent_at(&self, start: Instant) -> Vec<Duration> {
        self.seen.lock().unwrap().iter().map(|(at, _)| *at - start).collect()
    }
}

impl Link for Played {
    async fn echo(&self, echo: Echo) -> Outcome {
        self.seen.lock().unwrap().push((clock::now().instant, echo));
        match self.fate() {
            Fate::After(rtt) if rtt < echo.timeout => {
                time::sleep(rtt).await;
                Outcome::Reply { rtt }
            }
            Fate::After(_) | Fate::Lost => {
                time::sleep(echo.timeout).await;
                Outcome::Failed(ProbeFailure::Timeout)
            }
            Fate::Fails(failure) => Outcome::Failed(failure),
        }
    }

    fn renew(&self) {
        *self.renewed.lock().unwrap() += 1;
    }
}

struct Stage {
    start: Instant,
    tally: Arc<Tally>,
    pace: watch::Sender<Pace>,
    changes: watch::Receiver<u64>,
    activity: Arc<Activity>,
    tasks: JoinSet<()>,
}

/// Sets one session going on a played network; its turns are at whole seconds, the first one after one second.
fn play(link: &Arc<Played>) -> Stage {
    let (pace, pace_rx) = watch::channel(Pace::default());
    let (changes, changes_rx) = watch::channel(0);
    let common = Common {
        origin: clock::now().instant,
        identifier: 7,
        pace: pace_rx,
        changes: Arc::new(changes),
        activity: Arc::default(),
        turnstile: Turnstile::default(),
    };
    let tally = Arc::new(Tally::new(Buckets::rtt()));
    let session = common.session(address(), Phases::default().take(), common.origin);
    let (start, activity) = (common.origin, Arc::clone(&common.activity));
    let mut tasks = JoinSet::new();
    tasks.spawn(run(session, Arc::clone(link), Arc::clone(&tally), common));
    Stage { start, tally, pace, changes: changes_rx, activity, tasks }
}

fn secs(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
    values.into_iter().map(Duration::from_secs).collect()
}

#[tokio::test(start_paused = true)]
async fn a_healthy_target_is_asked_once_a_second() {
    let link = Played::new([Fate::After(Duration::from_millis(20))]);
    let mut stage = play(&link);
    time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(link.sent_at(stage.start), secs(1..=10));
    let reading = stage.tally.read();
    assert_eq!((reading.requests, reading.replies, reading.in_flight), (10, 10, 0));
    assert_eq!(reading.rtt.sum(), Duration::from_millis(200));
    assert_eq!(reading.standing.up, Some(true));
    assert_eq!(*stage.changes.borrow_and_update(), 2, "the first answer, and up");
    assert_eq!(stage.activity.lag().count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_down_after_three_timeouts_and_asked_on() {
    let link = Played::new([Fate::Lost]);
    let stage = play(&link);
    time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(stage.tally.standing().up, None, "the third echo is in flight");
    assert_eq!((stage.tally.read().in_flight, stage.activity.in_flight()), (1, 1));
    time::sleep(SECOND).await;
    assert_eq!(stage.tally.standing().up, Some(false));
    time::sleep(Duration::from_mins(1)).await;
    let reading = stage.tally.read();
    assert_eq!(reading.requests, reading.failures(ProbeFailure::Timeout) + reading.in_flight);
    assert_eq!(reading.requests, 64, "not one turn was missed");
    assert!(stage.activity.lag().sum() < Duration::from_millis(200), "nor did the turns fall behind");
}

#[tokio::test(start_paused = true)]
async fn a_send_error_ends_no_session() {
    for &failure in ProbeFailure::ALL {
        let link = Played::new([Fate::Fails(failure), Fate::Fails(failure), Fate::After(Duration::from_millis(5))]);
        let stage = play(&link);
        time::sleep(Duration::from_millis(5_500)).await;
        let reading = stage.tally.read();
        assert_eq!((reading.requests, reading.failures(failure), reading.replies), (5, 2, 3), "{failure}");
        assert_eq!(reading.standing.up, Some(true), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_slept_too_long_skips_turns() {
    let link = Played::new([Fate::After(Duration::from_millis(5))]);
    let stage = play(&link);
    time::sleep(Duration::from_millis(2_500)).await;
    // Nobody runs for a minute, as on a suspended machine.
    time::advance(Duration::from_mins(1)).await;
    time::sleep(SECOND).await;
    let late = Duration::from_millis(62_500);
    assert_eq!(link.sent_at(stage.start), [secs([1, 2]), vec![late], secs([63])].concat());
    assert_eq!(stage.activity.lag().sum(), Duration::from_millis(59_500));
}

#[tokio::test(start_paused = true)]
async fn another_pace_counts_at_once_and_keeps_the_counters() {
    let link = Played::new([Fate::Lost]);
    let stage = play(&link);
    time::sleep(Duration::from_millis(1_500)).await;
    let timing = Timing::new(Duration::from_millis(200), Duration::from_millis(100)).unwrap();
    let one = NonZeroU32::MIN;
    stage.pace.send_replace(Pace { timing, thresholds: Thresholds { down_after: one, up_after: one } });
    // The echo in flight ends as it began, after two seconds; the next ones keep the new pace.
    time::sleep(SECOND).await;
    let sent = link.sent_at(stage.start);
    assert_eq!(sent, [1_000, 2_200, 2_400].map(Duration::from_millis));
    assert_eq!(stage.tally.standing().up, Some(false));
    assert_eq!(stage.tally.read().requests, sent.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_driver() {
    let mut stage = play(&Played::new([Fate::Lost]));
    time::sleep(Duration::from_millis(1_500)).await;
    drop(stage.pace);
    assert!(stage.tasks.join_next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_session_leaves_nothing_in_flight() {
    let mut stage = play(&Played::new([Fate::Lost]));
    time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.activity.in_flight(), 1);
    stage.tasks.shutdown().await;
    assert_eq!(stage.activity.in_flight(), 0);
}

fn session() -> Session {
    let now = clock::now().instant;
    let timing = Timing::default();
    Session::new(address(), Schedule::new(now, Phases::default().take(), timing.interval(), now), timing, 7)
}

const REPLY: Outcome = Outcome::Reply { rtt: Duration::from_millis(1) };
const LOST: Outcome = Outcome::Failed(ProbeFailure::Timeout);

#[tokio::test(start_paused = true)]
async fn sequence_numbers_wrap() {
    let mut session = session();
    let mut last = None;
    for _ in 0..200_000 {
        let (echo, _) = session.take_turn(session.due()).unwrap();
        if let Some(last) = last {
            assert_eq!(echo.sequence, u16::wrapping_add(last, 1));
        }
        last = Some(echo.sequence);
        session.finish(REPLY);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_run_of_losses_brings_a_new_identifier_and_never_soon_an_old_one() {
    let mut session = session();
    let mut identifiers = vec![session.identifier];
    for loss in 1..=LOSSES_BEFORE_NEW_IDENTIFIER * 100 {
        let renewed = session.finish(LOST);
        assert_eq!(renewed, loss % LOSSES_BEFORE_NEW_IDENTIFIER == 0);
        if renewed {
            assert!(!identifiers.contains(&session.identifier));
            identifiers.push(session.identifier);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn replies_between_losses_keep_the_identifier_and_unsent_packets_do_not_count() {
    let mut session = session();
    for _ in 0..1_000 {
        for _ in 1..LOSSES_BEFORE_NEW_IDENTIFIER {
            assert!(!session.finish(LOST));
        }
        assert!(!session.finish(Outcome::Failed(ProbeFailure::NotSent)));
        assert!(!session.finish(REPLY));
    }
    assert_eq!(session.identifier, 7);
}

#[tokio::test(start_paused = true)]
async fn the_link_hears_of_the_new_identifier() {
    let link = Played::new([Fate::Lost]);
    let _stage = play(&link);
    time::sleep(Duration::from_secs(u64::from(LOSSES_BEFORE_NEW_IDENTIFIER) + 5)).await;
    assert_eq!(*link.renewed.lock().unwrap(), 1);
    let seen = link.seen.lock().unwrap();
    assert_ne!(seen.first().unwrap().1.identifier, seen.last().unwrap().1.identifier);
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0..1_500_u64).prop_map(|ms| Fate::After(Duration::from_millis(ms))),
        2 => Just(Fate::Lost),
        1 => proptest::sample::select(ProbeFailure::ALL).prop_map(Fate::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// On any network, however the process stumbles, every echo has exactly one end and one is in flight at most.
    #[test]
    fn every_echo_has_exactly_one_end(
        fates in proptest::collection::vec(fate(), 1..100),
        steps in proptest::collection::vec((0..3_000_u64, any::<bool>()), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let link = Played::new(fates);
            let stage = play(&link);
            for (ms, suspended) in steps {
                let step = Duration::from_millis(ms);
                if suspended { time::advance(step).await } else { time::sleep(step).await }
                let seen = stage.tally.read();
                prop_assert_eq!(seen.requests, seen.replies + seen.failures_total() + seen.in_flight);
                prop_assert_eq!(seen.requests, link.seen.lock().unwrap().len() as u64);
                prop_assert!(seen.in_flight <= 1);
                prop_assert_eq!(seen.in_flight, stage.activity.in_flight());
            }
            Ok(())
        })?;
    }
}
