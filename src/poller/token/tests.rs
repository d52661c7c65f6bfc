use std::{collections::VecDeque, sync::Mutex};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    cloudflare::{RouteListing, TunnelListing},
    domain::{
        inventory::{AccountName, InventoryEntry},
        pulse::Pulses,
        rules::TunnelRules,
        tunnel::TunnelType,
    },
    poller::{Limiter, rule_usage::RuleUsage},
};

const DAY: Duration = Duration::from_hours(24);

fn active() -> TokenReport {
    TokenReport { active: true, expires_on: "2027-01-01T00:00:00Z".parse().ok() }
}

fn refused() -> ApiFailure {
    ApiFailure { status: Some(401), ..ApiFailure::new(FailureReason::Auth) }
}

/// Returns one result per request, and tells the time of each. The lists are always refused.
struct ScriptedSource {
    results: Mutex<VecDeque<Result<TokenReport, ApiFailure>>>,
    verified: mpsc::Sender<()>,
    listed: mpsc::Sender<()>,
    has_token: bool,
    version: watch::Receiver<u64>,
}

impl TunnelSource for ScriptedSource {
    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn fetch_list(
        &self,
        _: TunnelType,
        _: Arc<[InventoryEntry]>,
        _: Look,
    ) -> (Result<TunnelListing, ApiFailure>, u64) {
        let _ = self.listed.try_send(());
        (Err(refused()), *self.version.borrow())
    }

    async fn fetch_routes(&self, _: bool, _: Look) -> (Result<RouteListing, ApiFailure>, u64) {
        (Err(refused()), *self.version.borrow())
    }

    fn has_token(&self) -> bool {
        self.has_token
    }

    async fn verify_token(&self, _: Look) -> (Result<TokenReport, ApiFailure>, u64) {
        let _ = self.verified.try_send(());
        let result = self.results.lock().unwrap().pop_front();
        (result.unwrap_or_else(|| Ok(active())), *self.version.borrow())
    }

    async fn secret_version(&self, _: Look) -> u64 {
        *self.version.borrow()
    }
}

/// A running poller of one account.
struct RunningPoller {
    fleet: watch::Receiver<Arc<Fleet>>,
    verified: mpsc::Receiver<()>,
    listed: mpsc::Receiver<()>,
    reloads: watch::Sender<()>,
    secret: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

fn start(has_token: bool, results: impl IntoIterator<Item = Result<TokenReport, ApiFailure>>) -> RunningPoller {
    let name = AccountName::new("lab");
    let (fleet, published) = watch::channel(Arc::new(Fleet::unpolled([name.clone()])));
    let (verified_by, verified) = mpsc::channel(1000);
    let (listed_by, listed) = mpsc::channel(1000);
    let (secret, version) = watch::channel(1);
    let (reloads, reload) = watch::channel(());
    let results = Mutex::new(results.into_iter().collect());
    let rules = Arc::<TunnelRules>::default();
    let poller = Poller {
        account: name.clone(),
        source: ScriptedSource { results, verified: verified_by, listed: listed_by, has_token, version },
        limiter: Limiter::unlimited(),
        interval: Duration::from_mins(1),
        rules: Arc::clone(&rules),
        rule_usage: RuleUsage::new(rules, &[], [&name], false),
        routes: false,
        interconnects: false,
        fleet: Arc::new(fleet),
        pulses: Pulses::default(),
        reloads: reload,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(poller.run(CancellationToken::new()));
    RunningPoller { fleet: published, verified, listed, reloads, secret, _tasks: tasks }
}

impl RunningPoller {
    /// The time until the next verification.
    async fn next_verification(&mut self) -> Duration {
        let start = clock::now();
        self.verified.recv().await.unwrap();
        clock::now().since(start)
    }

    /// The published report, after all tasks have run.
    async fn report(&self) -> Option<TokenReport> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.fleet.borrow().accounts[&AccountName::new("lab")].token
    }
}

#[tokio::test(start_paused = true)]
async fn an_active_token_is_verified_once_a_day() {
    let mut poller = start(true, []);
    assert_eq!(poller.next_verification().await, Duration::ZERO);
    assert_eq!(poller.report().await, Some(active()));
    let next = poller.next_verification().await;
    assert!((DAY.saturating_sub(Duration::from_secs(1))..=DAY).contains(&next), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_active_until_a_new_secret_is_verified() {
    let mut poller = start(true, [Err(refused()), Err(refused())]);
    poller.next_verification().await;
    assert_eq!(poller.report().await, Some(TokenReport { active: false, expires_on: None }));
    let next = poller.next_verification().await;
    assert!(next <= RETRY_INTERVAL && next > RETRY_INTERVAL / 2, "{next:?}");

    poller.secret.send_replace(2);
    let next = poller.next_verification().await;
    assert!(next <= SECRET_CHECK_INTERVAL, "{next:?}");
    assert_eq!(poller.report().await, Some(active()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_keeps_the_last_report() {
    let mut poller = start(true, [Ok(active()), Err(ApiFailure::new(FailureReason::Server))]);
    poller.next_verification().await;
    poller.secret.send_replace(2);
    poller.next_verification().await;
    assert_eq!(poller.report().await, Some(active()));
    assert!(poller.next_verification().await <= RETRY_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_other_than_401_says_nothing_about_the_token() {
    let missing_permission = ApiFailure { status: Some(403), ..ApiFailure::new(FailureReason::Auth) };
    let mut poller = start(true, [Err(missing_permission)]);
    poller.next_verification().await;
    assert_eq!(poller.report().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_api_key_is_not_verified() {
    let mut poller = start(false, []);
    tokio::time::sleep(2 * DAY).await;
    assert!(poller.verified.try_recv().is_err());
    assert_eq!(poller.report().await, None);
}

#[tokio::test(start_paused = true)]
async fn refused_pollers_try_again_at_a_reload_and_with_a_new_secret() {
    let mut poller = start(true, [Err(refused())]);
    let wait = Duration::from_millis(1);
    let polls = async |poller: &mut RunningPoller, wait| {
        tokio::time::sleep(wait).await;
        std::iter::from_fn(|| poller.listed.try_recv().ok()).count()
    };
    assert_eq!(polls(&mut poller, wait).await, 2, "one poll of each list");
    assert_eq!(polls(&mut poller, Duration::from_secs(20)).await, 0, "a refused poller waits");
    poller.reloads.send_replace(());
    assert_eq!(polls(&mut poller, wait).await, 2, "a reload");
    assert_eq!(poller.report().await, Some(active()), "the token is verified again, too");
    poller.secret.send_replace(2);
    assert_eq!(polls(&mut poller, SECRET_CHECK_INTERVAL).await, 2, "a new secret");
}
