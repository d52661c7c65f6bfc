use std::{collections::BTreeSet, net::IpAddr, sync::Mutex};

use tokio::{task::JoinSet, time};

use super::{
    client::task::{Link, Network},
    session::Echo,
    *,
};
use crate::domain::{
    fixtures::{addressed, fleet},
    probe::{EchoOutcome, ProbeFailure},
    pulse::Pulses,
};

/// A network in which some addresses reply after a millisecond and all others are silent.
#[derive(Debug, Clone, Default)]
struct Site {
    answering: Arc<Mutex<BTreeSet<IpAddr>>>,
    sent: Arc<Mutex<Vec<(std::time::Instant, IpAddr)>>>,
    links: Arc<Mutex<Vec<IpVersion>>>,
}

impl Site {
    fn answers(&self, address: &str) {
        self.answering.lock().unwrap().insert(address.parse().unwrap());
    }

    fn falls_silent(&self, address: &str) {
        self.answering.lock().unwrap().remove(&address.parse::<IpAddr>().unwrap());
    }

    fn sent_to(&self, address: &str) -> usize {
        let address: IpAddr = address.parse().unwrap();
        self.sent.lock().unwrap().iter().filter(|(_, to)| *to == address).count()
    }
}

impl Link for Site {
    async fn send_echo(&self, echo: Echo) -> EchoOutcome {
        self.sent.lock().unwrap().push((clock::now().instant, echo.target));
        let answers = self.answering.lock().unwrap().contains(&echo.target);
        let rtt = Duration::from_millis(1);
        time::sleep(if answers { rtt } else { echo.timeout }).await;
        if answers { EchoOutcome::Reply { rtt } } else { EchoOutcome::Failed(ProbeFailure::Timeout) }
    }
}

impl Network for Site {
    type Link = Self;

    fn create_link(&self, version: IpVersion, _: &Arc<Binding>) -> Self {
        self.links.lock().unwrap().push(version);
        self.clone()
    }
}

/// The client engine in this network.
fn engine_of(site: &Site) -> impl FnOnce(SessionContext, Arc<Sockets>) -> io::Result<Box<dyn Engine>> + use<> {
    let site = site.clone();
    |context, _| Ok(Box::new(ClientEngine::new(site, context)))
}

struct Stage {
    site: Site,
    fleet: watch::Sender<Arc<Fleet>>,
    settings: watch::Sender<Arc<ProbeSettings>>,
    handle: ProberHandle,
    pulses: Pulses,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn enabled() -> ProbeSettings {
    ProbeSettings { enabled: true, ..ProbeSettings::default() }
}

/// Starts a prober and waits half a second, so that checks fall between the sends.
async fn start_stage(first: Arc<Fleet>) -> Stage {
    let site = Site::default();
    let (fleet, fleet_rx) = watch::channel(first);
    let (settings, settings_rx) = watch::channel(Arc::new(enabled()));
    let pulses = Pulses::default();
    let (driver, handle) =
        Driver::new(engine_of(&site), fleet_rx, settings_rx, PastReplies::new(), pulses.register("prober")).unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run(stop.clone()));
    time::sleep(Duration::from_millis(500)).await;
    Stage { site, fleet, settings, handle, pulses, stop, tasks }
}

impl Stage {
    /// Requests and debounced state of each target of a tunnel.
    fn state(&self, id: &str) -> Vec<(u64, Option<bool>)> {
        let board = self.handle.board.borrow();
        let found = board.tunnels.iter().find(|(key, _)| key.id.as_str() == id);
        found.map_or_else(Vec::new, |(_, probes)| {
            probes.targets.iter().map(|probe| (probe.tally.read().requests, probe.tally.state().up)).collect()
        })
    }
}

async fn seconds(count: u64) {
    time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn targets_follow_the_inventory() {
    let t1 = || addressed("t1", "203.0.113.1", "10.0.0.0/31", "");
    let mut stage = start_stage(fleet([])).await;
    seconds(5).await;
    assert!(stage.handle.board.borrow().sessions.is_empty());

    stage.site.answers("10.0.0.0");
    stage.fleet.send_replace(fleet([t1()]));
    seconds(10).await;
    assert_eq!(stage.state("t1"), [(10, Some(false)), (10, Some(true))]);

    stage.fleet.send_replace(fleet([t1(), addressed("t2", "203.0.113.1", "10.0.0.2/31", "")]));
    seconds(10).await;
    assert_eq!(stage.state("t1"), [(20, Some(false)), (20, Some(true))]);
    assert_eq!(stage.state("t2"), [(20, Some(false)), (10, Some(false))], "the endpoint is shared");

    stage.fleet.send_replace(fleet([addressed("t2", "203.0.113.1", "10.0.0.2/31", "")]));
    seconds(5).await;
    let sent = stage.site.sent_to("10.0.0.0");
    seconds(5).await;
    assert_eq!(stage.site.sent_to("10.0.0.0"), sent, "a removed tunnel is not probed");
    assert_eq!(stage.state("t1"), []);

    stage.stop.cancel();
    assert!(stage.tasks.join_next().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_state_change_is_published_within_three_intervals_and_a_timeout() {
    let mut stage = start_stage(fleet([addressed("t1", "203.0.113.1", "", "")])).await;
    stage.site.answers("203.0.113.1");
    seconds(10).await;
    stage.handle.changes.borrow_and_update();
    stage.site.falls_silent("203.0.113.1");
    let fell = clock::now();
    stage.handle.changes.changed().await.unwrap();
    assert_eq!(stage.state("t1")[0].1, Some(false));
    let took = clock::now().since(fell);
    assert!(took <= Duration::from_millis(4_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn starts_and_reloads_with_a_thousand_targets_send_no_burst() {
    let tunnels = |prefix: u8| {
        (0..1_000_u32)
            .map(move |n| addressed(&format!("t{prefix}-{n}"), &format!("10.{prefix}.{}.{}", n / 250, n % 250), "", ""))
    };
    let stage = start_stage(fleet(tunnels(1))).await;
    seconds(10).await;
    stage.fleet.send_replace(fleet(tunnels(1).chain(tunnels(2))));
    seconds(10).await;
    let mut sent: Vec<_> = stage.site.sent.lock().unwrap().iter().map(|(at, _)| *at).collect();
    sent.sort_unstable();
    let window = Duration::from_millis(10);
    let densest =
        sent.iter().enumerate().map(|(n, at)| sent[n..].iter().take_while(|later| **later < *at + window).count());
    let densest = densest.max().unwrap();
    assert!(densest <= 24, "{densest} of 2,000 sends a second within 10 ms");
    assert!((29_000..=31_000).contains(&sent.len()), "{}", sent.len());
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_affect_unchanged_sessions() {
    let stage = start_stage(fleet([addressed("t1", "203.0.113.1", "", "")])).await;
    stage.site.answers("203.0.113.1");
    seconds(10).await;
    let mut settings = enabled();
    settings.uplinks = vec!["192.0.2.1".parse().unwrap()];
    settings.session.timing = settings::Timing::new(Duration::from_millis(500), Duration::from_millis(500)).unwrap();
    stage.settings.send_replace(Arc::new(settings));
    seconds(10).await;
    let requests = stage.state("t1")[0].0;
    assert!((29..=31).contains(&requests), "{requests}");
    assert_eq!(stage.handle.board.borrow().uplinks.len(), 1);

    stage.settings.send_replace(Arc::new(ProbeSettings::default()));
    seconds(1).await;
    let sent = stage.site.sent.lock().unwrap().len();
    seconds(10).await;
    assert_eq!(stage.site.sent.lock().unwrap().len(), sent, "probing is disabled");
    assert!(stage.handle.board.borrow().tunnels.is_empty());
}

#[tokio::test(start_paused = true)]
async fn sessions_with_the_same_binding_share_one_link() {
    let tunnels =
        (0..50).map(|n| addressed(&format!("t{n}"), &format!("203.0.113.{n}"), "", &format!("fd00::{n}/127")));
    let stage = start_stage(fleet(tunnels)).await;
    seconds(2).await;
    let versions = stage.site.links.lock().unwrap();
    assert_eq!(versions.len(), 2, "one per IP version: {versions:?}");
}

#[tokio::test]
async fn the_thread_stops_when_the_token_is_cancelled() {
    let (_fleet, fleet_rx) = watch::channel(fleet([addressed("t1", "203.0.113.1", "", "")]));
    let (_settings, settings_rx) = watch::channel(Arc::new(enabled()));
    let stop = CancellationToken::new();
    let site = Site::default();
    let (past, pulse) = (PastReplies::new(), Pulse::default());
    let (mut handle, thread) = start_with(engine_of(&site), fleet_rx, settings_rx, past, pulse, stop.clone()).unwrap();
    handle.board.changed().await.unwrap();
    assert_eq!(handle.board.borrow().sessions.len(), 1);
    stop.cancel();
    thread.stopped().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_prober_beats_with_and_without_targets() {
    let stage = start_stage(fleet([])).await;
    for first in [fleet([]), fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", "")]), fleet([])] {
        stage.fleet.send_replace(first);
        for _ in 0..30 {
            seconds(7).await;
            assert!(stage.pulses.overdue(clock::now().instant).is_empty());
        }
    }
    let later = clock::now().instant + Duration::from_mins(1);
    assert_eq!(stage.pulses.overdue(later), ["prober"], "the last beat announced another one");
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Checks every five seconds. Returns whether the prober was overdue at any time.
fn was_overdue(checks: impl IntoIterator<Item = (usize, u64, Duration)>) -> bool {
    let pulses = Pulses::default();
    let mut monitor = SendMonitor::new(pulses.register("the prober"));
    let mut now = clock::now().instant;
    let mut overdue = false;
    for (sessions, sends, interval) in checks {
        overdue |= !pulses.overdue(now).is_empty();
        monitor.check(sessions, sends, interval, now);
        now += PROGRESS_INTERVAL;
    }
    overdue
}

#[test]
fn a_prober_that_sends_or_has_no_targets_is_not_overdue() {
    assert!(!was_overdue((0..50).map(|check| (10, 50 * check, SECOND))), "ten sessions, one send per second each");
    assert!(!was_overdue((0..50).map(|_| (0, 7, SECOND))), "probing is disabled");
    assert!(!was_overdue((0..50).map(|check| (1, check / 12, MINUTE))), "one send per minute");
    let slowed = |check| if check < 3 { (1, check, SECOND) } else { (1, 3 + (check - 3) / 12, MINUTE) };
    assert!(!was_overdue((0..50).map(slowed)), "a reload increased the interval");
}

#[test]
fn sessions_that_do_not_send_are_overdue_although_the_driver_runs() {
    assert!(was_overdue((0..5).map(|check| (10, check.min(1), SECOND))));
    assert!(was_overdue((0..50).map(|_| (1, 0, MINUTE))));
}
