use std::{
    collections::VecDeque,
    net::IpAddr,
    num::NonZeroU32,
    sync::Mutex,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tokio::{sync::watch, task::JoinSet, time};

use super::*;
use crate::{
    domain::{
        label::Label,
        probe::{ProbeFailure, Thresholds},
    },
    prober::{
        board::Activity,
        histogram::Buckets,
        schedule::PhaseSequence,
        settings::{SessionSettings, Timing},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn address() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

/// What happens to one echo.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The reply arrives after this time, unless the timeout is shorter.
    After(Duration),
    Lost,
    Fails(ProbeFailure),
}

/// A network with a list of fates; the last one repeats.
#[derive(Debug)]
struct ScriptedLink {
    fates: Mutex<VecDeque<Fate>>,
    seen: Mutex<Vec<(Instant, Echo)>>,
    renewed: Mutex<u32>,
}

impl ScriptedLink {
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

impl Link for ScriptedLink {
    async fn send_echo(&self, echo: Echo) -> EchoOutcome {
        self.seen.lock().unwrap().push((clock::now().instant, echo));
        match self.fate() {
            Fate::After(rtt) if rtt < echo.timeout => {
                time::sleep(rtt).await;
                EchoOutcome::Reply { rtt }
            }
            Fate::After(_) | Fate::Lost => {
                time::sleep(echo.timeout).await;
                EchoOutcome::Failed(ProbeFailure::Timeout)
            }
            Fate::Fails(failure) => EchoOutcome::Failed(failure),
        }
    }

    fn renew_identifier(&self) {
        *self.renewed.lock().unwrap() += 1;
    }
}

struct Stage {
    start: Instant,
    tally: Arc<Tally>,
    settings: watch::Sender<SessionSettings>,
    changes: watch::Receiver<u64>,
    activity: Arc<Activity>,
    tasks: JoinSet<()>,
}

/// Starts one session. It sends at whole seconds, first after one second.
fn start(link: &Arc<ScriptedLink>) -> Stage {
    let (settings, settings_rx) = watch::channel(SessionSettings::default());
    let (changes, changes_rx) = watch::channel(0);
    let context = SessionContext {
        origin: clock::now().instant,
        settings: settings_rx,
        changes: Arc::new(changes),
        activity: Arc::default(),
    };
    let tally = Arc::new(Tally::new(Buckets::rtt()));
    let session = context.create_session(address(), PhaseSequence::default().next_phase(), context.origin);
    let (start, activity) = (context.origin, Arc::clone(&context.activity));
    let mut tasks = JoinSet::new();
    tasks.spawn(run(session, Arc::clone(link), Arc::clone(&tally), context, SendGate::default()));
    Stage { start, tally, settings, changes: changes_rx, activity, tasks }
}

fn secs(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
    values.into_iter().map(Duration::from_secs).collect()
}

#[tokio::test(start_paused = true)]
async fn a_healthy_target_is_probed_once_a_second() {
    let link = ScriptedLink::new([Fate::After(Duration::from_millis(20))]);
    let mut stage = start(&link);
    time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(link.sent_at(stage.start), secs(1..=10));
    let reading = stage.tally.read();
    assert_eq!((reading.requests, reading.replies, reading.in_flight), (10, 10, 0));
    assert_eq!(reading.rtt.sum(), Duration::from_millis(200));
    assert_eq!(reading.state.up, Some(true));
    assert_eq!(*stage.changes.borrow_and_update(), 2, "the first reply, and up");
    assert_eq!(stage.activity.lag().count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_down_after_three_timeouts_and_probed_further() {
    let link = ScriptedLink::new([Fate::Lost]);
    let stage = start(&link);
    time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(stage.tally.state().up, None, "the third echo is in flight");
    assert_eq!((stage.tally.read().in_flight, stage.activity.in_flight()), (1, 1));
    time::sleep(SECOND).await;
    assert_eq!(stage.tally.state().up, Some(false));
    time::sleep(Duration::from_mins(1)).await;
    let reading = stage.tally.read();
    assert_eq!(reading.requests, reading.failures(ProbeFailure::Timeout) + reading.in_flight);
    assert_eq!(reading.requests, 64, "no send was missed");
    assert!(stage.activity.lag().sum() < Duration::from_millis(200), "the sends did not drift");
}

#[tokio::test(start_paused = true)]
async fn a_send_error_does_not_end_the_session() {
    for &failure in ProbeFailure::ALL {
        let link =
            ScriptedLink::new([Fate::Fails(failure), Fate::Fails(failure), Fate::After(Duration::from_millis(5))]);
        let stage = start(&link);
        time::sleep(Duration::from_millis(5_500)).await;
        let reading = stage.tally.read();
        assert_eq!((reading.requests, reading.failures(failure), reading.replies), (5, 2, 3), "{failure}");
        assert_eq!(reading.state.up, Some(true), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_prober_skips_sends() {
    let link = ScriptedLink::new([Fate::After(Duration::from_millis(5))]);
    let stage = start(&link);
    time::sleep(Duration::from_millis(2_500)).await;
    // No task runs for a minute, as on a suspended machine.
    time::advance(Duration::from_mins(1)).await;
    time::sleep(SECOND).await;
    let late = Duration::from_millis(62_500);
    assert_eq!(link.sent_at(stage.start), [secs([1, 2]), vec![late], secs([63])].concat());
    assert_eq!(stage.activity.lag().sum(), Duration::from_millis(59_500));
}

#[tokio::test(start_paused = true)]
async fn new_settings_apply_immediately_and_keep_the_counters() {
    let link = ScriptedLink::new([Fate::Lost]);
    let stage = start(&link);
    time::sleep(Duration::from_millis(1_500)).await;
    let timing = Timing::new(Duration::from_millis(200), Duration::from_millis(100)).unwrap();
    let one = NonZeroU32::MIN;
    stage.settings.send_replace(SessionSettings { timing, thresholds: Thresholds { down_after: one, up_after: one } });
    // The echo in flight keeps its old timeout and ends after two seconds; later echoes use the new settings.
    time::sleep(SECOND).await;
    let sent = link.sent_at(stage.start);
    assert_eq!(sent, [1_000, 2_200, 2_400].map(Duration::from_millis));
    assert_eq!(stage.tally.state().up, Some(false));
    assert_eq!(stage.tally.read().requests, sent.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_driver() {
    let mut stage = start(&ScriptedLink::new([Fate::Lost]));
    time::sleep(Duration::from_millis(1_500)).await;
    drop(stage.settings);
    assert!(stage.tasks.join_next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_session_leaves_nothing_in_flight() {
    let mut stage = start(&ScriptedLink::new([Fate::Lost]));
    time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.activity.in_flight(), 1);
    stage.tasks.shutdown().await;
    assert_eq!(stage.activity.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_link_is_told_about_the_new_identifier() {
    let link = ScriptedLink::new([Fate::Lost]);
    let _stage = start(&link);
    time::sleep(Duration::from_secs(35)).await;
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

    /// On any network and with any stalls, every echo has exactly one outcome and at most one is in flight.
    #[test]
    fn every_echo_has_exactly_one_outcome(
        fates in proptest::collection::vec(fate(), 1..100),
        steps in proptest::collection::vec((0..3_000_u64, any::<bool>()), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let link = ScriptedLink::new(fates);
            let stage = start(&link);
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
