use std::sync::Mutex;

use super::*;
use crate::{
    cloudflare::graphql::{colos::ColoPages, settings::DatasetSettings, traffic::TrafficListing},
    domain::{
        edge::{TrafficDirection, TrafficRate, TrafficRow},
        fixtures::{fleet, tunnel},
        tunnel::TunnelType,
    },
};

/// Answers that the test sets, and the requests so far.
#[derive(Debug, Default)]
struct Script {
    limits: EdgeSettings,
    health: Option<FailureReason>,
    traffic: Option<FailureReason>,
    colos: Option<FailureReason>,
    secret: u64,
    requests: Vec<(&'static str, Duration, EdgeWindow)>,
}

#[derive(Debug, Clone)]
struct Scripted {
    script: Arc<Mutex<Script>>,
    start: Moment,
}

impl Scripted {
    fn answer(
        &self,
        what: &'static str,
        window: EdgeWindow,
        failure: fn(&Script) -> Option<FailureReason>,
    ) -> Result<(), ApiFailure> {
        let mut script = self.script.lock().unwrap();
        script.requests.push((what, clock::now().since(self.start), window));
        let failed =
            |reason| ApiFailure { reason, status: None, codes: Vec::new(), retry_after: None, transport: None };
        failure(&script).map_or(Ok(()), |reason| Err(failed(reason)))
    }
}

impl EdgeSource for Scripted {
    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn secret_version(&self, _: Look) -> u64 {
        self.script.lock().unwrap().secret
    }

    async fn settings(&self) -> Result<EdgeSettings, ApiFailure> {
        let now = clock::now();
        self.answer("settings", EdgeWindow { from: now, to: now }, |_| None)?;
        Ok(self.script.lock().unwrap().limits)
    }

    async fn health(&self, window: EdgeWindow, _: u64, _: HealthPages) -> Result<HealthPages, ApiFailure> {
        self.answer("health", window, |script| script.health)?;
        Ok(HealthPages::of_test("fra", "frankfurt"))
    }

    async fn colos(&self, window: EdgeWindow, limit: u64, pages: ColoPages) -> Result<ColoPages, ApiFailure> {
        self.answer("colos", window, |script| script.colos)?;
        let rows =
            r#"{"colos":[{"avg":{"tunnelState":0.5},"dimensions":{"tunnelName":"fra","edgeColoName":"ams01"}}]}"#;
        pages.read(limit, format!(r#"{{"data":{{"viewer":{{"accounts":[{rows}]}}}}}}"#).as_bytes())
    }

    async fn traffic(&self, bucket: EdgeWindow, _: u64) -> Result<TrafficListing, ApiFailure> {
        self.answer("traffic", bucket, |script| script.traffic)?;
        let rate = TrafficRate { bytes_per_second: 1.0, packets_per_second: 1.0 };
        let row = TrafficRow { id: "fra".into(), name: "fra".into(), direction: TrafficDirection::ToSite, rate };
        Ok(TrafficListing { rows: vec![row], ..TrafficListing::default() })
    }
}

/// What a test changes while the edge is polled.
struct Controls {
    script: Arc<Mutex<Script>>,
    reload: watch::Sender<()>,
}

impl Controls {
    /// The number of requests for the limits, for health checks and for traffic after this time.
    async fn counts_after(&self, wait: Duration) -> [usize; 3] {
        tokio::time::sleep(wait).await;
        let script = self.script.lock().unwrap();
        ["settings", "health", "traffic"].map(|what| count(&script, what))
    }
}

/// Polls for this time with paused clocks.
async fn poll(script: Script, settings: EdgePollSettings, time: Duration) -> (Arc<FleetSender>, Script) {
    poll_during(script, settings, async |_| tokio::time::sleep(time).await).await
}

/// Polls while `during` runs.
async fn poll_during(
    script: Script,
    settings: EdgePollSettings,
    during: impl AsyncFnOnce(&Controls),
) -> (Arc<FleetSender>, Script) {
    let fleet = Arc::new(watch::Sender::new(fleet([tunnel("fra")])));
    let account = AccountName::new("acme");
    prepare_view(&fleet, &account, Some(&settings));
    let source = Scripted { script: Arc::new(Mutex::new(script)), start: clock::now() };
    let (reload, reloads) = watch::channel(());
    let controls = Controls { script: Arc::clone(&source.script), reload };
    let poller = EdgePoller {
        account,
        source,
        limiter: Limiter::for_graphql(),
        settings,
        fleet: Arc::clone(&fleet),
        pulses: Pulses::default(),
        reloads,
    };
    let stop = CancellationToken::new();
    tokio::join!(poller.run(stop.clone()), async {
        during(&controls).await;
        stop.cancel();
    });
    let script = std::mem::take(&mut *controls.script.lock().unwrap());
    (fleet, script)
}

fn count(script: &Script, what: &str) -> usize {
    script.requests.iter().filter(|(request, ..)| *request == what).count()
}

fn view(fleet: &FleetSender) -> Arc<EdgeView> {
    Arc::clone(fleet.borrow().accounts.values().next().unwrap().edge().unwrap())
}

#[tokio::test(start_paused = true)]
async fn both_datasets_are_polled_and_published() {
    let minutes = Duration::from_mins(10) - Duration::from_secs(1);
    let (fleet, script) = poll(Script::default(), EdgePollSettings::default(), minutes).await;
    assert_eq!((count(&script, "settings"), count(&script, "health")), (1, 10));
    let fleet = fleet.borrow();
    let account = fleet.accounts.values().next().unwrap();
    let edge = account.matches().get(TunnelType::Ipsec, 0).unwrap();
    assert!(edge.health.is_some() && !edge.traffic.is_empty());
    assert_eq!(edge.site.as_deref(), Some("frankfurt"));
    assert!(account.datasets().all(|(dataset, status)| !dataset.is_edge() || status.state == PollState::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn time_spans_are_aligned_and_old_enough() {
    let (_, script) = poll(Script::default(), EdgePollSettings::default(), Duration::from_mins(7)).await;
    for (what, _, window) in script.requests.iter().filter(|(what, ..)| *what != "settings") {
        let (from, to) = (window.from.wall.as_second(), window.to.wall.as_second());
        let step = if *what == "health" { 60 } else { 300 };
        assert_eq!((to % step, to - from), (0, 300), "{what}");
        assert!(clock::now().wall.as_second() - to >= 120, "{what}");
        assert_eq!(window.to.since(window.from), Duration::from_mins(5));
    }
}

#[tokio::test(start_paused = true)]
async fn each_dataset_fails_alone_and_keeps_its_data() {
    let script = Script { traffic: Some(FailureReason::Query), ..Script::default() };
    let (fleet, script) = poll(script, EdgePollSettings::default(), Duration::from_secs(239)).await;
    let view = view(&fleet);
    assert_eq!(view.health.status.state, PollState::Succeeded);
    assert_eq!(view.traffic.as_ref().unwrap().status.state, PollState::Failed(FailureReason::Query));
    assert_eq!(count(&script, "traffic"), 1, "a lasting failure is retried slowly");
    assert_eq!(count(&script, "health"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_dataset_is_not_asked_for() {
    let refused = DatasetSettings { is_refused: true, ..DatasetSettings::default() };
    let limits = EdgeSettings { health: refused, ..EdgeSettings::default() };
    let (fleet, script) =
        poll(Script { limits, ..Script::default() }, EdgePollSettings::default(), Duration::from_hours(25)).await;
    assert_eq!((count(&script, "settings"), count(&script, "health")), (2, 0), "asked again after a day");
    assert!(count(&script, "traffic") > 0);
    assert_eq!(view(&fleet).health.status.state, PollState::Failed(FailureReason::NotEntitled));
}

#[tokio::test(start_paused = true)]
async fn a_refused_dataset_is_asked_for_again_at_a_reload_and_with_a_new_secret() {
    const MOMENT: Duration = Duration::from_millis(1);
    for reason in [FailureReason::Auth, FailureReason::NotEntitled, FailureReason::NotFound, FailureReason::Query] {
        let script = Script { health: Some(reason), traffic: Some(reason), ..Script::default() };
        let poll = poll_during(script, EdgePollSettings::default(), async |controls| {
            assert_eq!(controls.counts_after(Duration::from_mins(4)).await, [1, 1, 1], "{reason}: no storm of retries");
            controls.reload.send_replace(());
            assert_eq!(controls.counts_after(MOMENT).await, [2, 2, 2], "{reason}: a reload");
            controls.script.lock().unwrap().secret = 1;
            assert_eq!(controls.counts_after(SECRET_CHECK_INTERVAL).await, [3, 3, 3], "{reason}: a new secret");
            controls.script.lock().unwrap().health = None;
            controls.script.lock().unwrap().secret = 2;
            assert_eq!(controls.counts_after(SECRET_CHECK_INTERVAL).await, [4, 4, 4]);
        });
        let (fleet, _) = poll.await;
        assert_eq!(view(&fleet).health.status.state, PollState::Succeeded, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dataset_that_the_limits_refuse_returns_at_a_reload() {
    let refused = DatasetSettings { is_refused: true, ..DatasetSettings::default() };
    let limits = EdgeSettings { health: refused, ..EdgeSettings::default() };
    let script = Script { limits, ..Script::default() };
    let poll = poll_during(script, EdgePollSettings::default(), async |controls| {
        // The traffic is polled once or twice, depending on the time until the next bucket is complete.
        assert_eq!(controls.counts_after(Duration::from_mins(1)).await[..2], [1, 0]);
        controls.reload.send_replace(());
        assert_eq!(controls.counts_after(Duration::from_secs(1)).await[..2], [2, 0], "it is still refused");
        controls.script.lock().unwrap().limits = EdgeSettings::default();
        controls.reload.send_replace(());
        assert_eq!(controls.counts_after(Duration::from_secs(1)).await[..2], [3, 1]);
    });
    let (fleet, _) = poll.await;
    assert_eq!(view(&fleet).health.status.state, PollState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn single_data_centers_are_asked_for_if_some_are_configured_and_fail_alone() {
    let settings = EdgePollSettings { colos: [Arc::from("ams01")].into(), ..EdgePollSettings::default() };
    let polls = poll_during(Script::default(), settings, async |controls| {
        controls.counts_after(Duration::from_secs(1)).await;
        assert_eq!(count(&controls.script.lock().unwrap(), "colos"), 1);
        controls.script.lock().unwrap().colos = Some(FailureReason::Query);
        controls.counts_after(Duration::from_mins(4)).await;
        assert_eq!(count(&controls.script.lock().unwrap(), "colos"), 2, "a lasting failure is retried slowly");
        controls.script.lock().unwrap().colos = None;
        controls.reload.send_replace(());
        controls.counts_after(Duration::from_mins(1)).await;
    });
    let (fleet, script) = polls.await;
    assert_eq!((count(&script, "colos"), count(&script, "health")), (3, 6));
    let health = &view(&fleet).health;
    assert_eq!(health.status.state, PollState::Succeeded);
    assert_eq!((&*health.tunnels["fra"].colos[0].colo, health.tunnels["fra"].colos[0].score), ("ams01", 0.5));

    let (fleet, script) = poll(Script::default(), EdgePollSettings::default(), Duration::from_mins(2)).await;
    assert_eq!(count(&script, "colos"), 0);
    assert!(view(&fleet).health.tunnels["fra"].colos.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_traffic_there_is_no_dataset_of_it() {
    let settings = EdgePollSettings { traffic: false, ..EdgePollSettings::default() };
    let (fleet, script) = poll(Script::default(), settings, Duration::from_mins(1)).await;
    assert!(view(&fleet).traffic.is_none());
    assert_eq!(count(&script, "traffic"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_depleted_budget_pauses_all_queries() {
    let script = Script { health: Some(FailureReason::RateLimited), ..Script::default() };
    let (_, script) = poll(script, EdgePollSettings::default(), Duration::from_secs(299)).await;
    assert_eq!((count(&script, "health"), count(&script, "traffic")), (1, 0));
}

#[test]
fn the_budget_allows_a_hundred_datasets_in_five_minutes() {
    let limiter = Limiter::for_graphql();
    let start = clock::now().instant;
    let taken = (0..300).filter(|second| limiter.0.lock().take(start + Duration::from_secs(*second)).is_ok()).count();
    let burst = std::iter::repeat_with(|| limiter.0.lock().take(start + Duration::from_mins(5)));
    let burst = burst.take_while(Result::is_ok).count();
    assert!(taken + burst <= 100, "{taken} and {burst}");
}
