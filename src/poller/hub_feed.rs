//! Reads the inventory of an agent from its hubs and publishes it as the fleet.
//!
//! Hubs are tried in order, and the one that answers is asked first the next time. Nothing that a hub answers ends the
//! task: without a usable response, the last inventory stays and its reported values grow old.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use web_toolkit::clock::{self, Moment};

use super::hub_session::{Adopted, HubSession, Update, phase};
use crate::{
    domain::{
        dataset::FailureReason,
        inventory::Fleet,
        label::Label as _,
        past::PastInventory,
        pulse::{Pulse, Pulses},
        rules::TunnelRules,
    },
    inventory::{HubClient, HubFailure, HubReply, InventoryMetrics, InventorySettings, decode},
};

/// Maximum wait while there is no inventory at all.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// Largest inventory that is stored. The state file has a limit of 64 MiB, and text in JSON can grow.
const MAX_STORED: usize = 24 << 20;

/// Sender of the inventory that the state file keeps.
pub type InventoryStore = watch::Sender<Option<Arc<PastInventory>>>;

/// The task of an agent that reads the inventory.
#[derive(Debug)]
pub struct HubFeed {
    pub settings: Arc<InventorySettings>,
    pub rules: Arc<TunnelRules>,
    pub fleet: Arc<watch::Sender<Arc<Fleet>>>,
    pub pulses: Pulses,
    pub metrics: InventoryMetrics,
    /// The newest inventory, at first that of an earlier run.
    pub store: Arc<InventoryStore>,
}

/// The state of a running feed.
struct Reader {
    feed: HubFeed,
    client: HubClient,
    session: HubSession,
    /// Whether a hub has answered, so that the phase of the requests is set.
    in_phase: bool,
    /// The failure of each hub that was logged.
    complaints: Vec<Option<FailureReason>>,
}

impl HubFeed {
    /// Reads until `stop` is cancelled, which drops a request in progress. Continues from the published fleet, or else
    /// from the stored inventory.
    pub async fn run(self, stop: CancellationToken) {
        let mut reader = Reader::new(self);
        reader.start();
        // Cancel safety: a dropped request publishes nothing.
        stop.run_until_cancelled(reader.read_forever()).await;
    }
}

impl Reader {
    fn new(feed: HubFeed) -> Self {
        feed.metrics.describe(&feed.settings);
        let hubs = feed.settings.urls.len();
        let session = HubSession::resume(Arc::clone(&feed.rules), &feed.fleet.borrow(), hubs);
        Self {
            client: HubClient::new(Arc::clone(&feed.settings)),
            session,
            in_phase: false,
            complaints: vec![None; feed.settings.urls.len()],
            feed,
        }
    }

    /// Adopts the stored inventory if nothing better is known.
    fn start(&mut self) {
        let stored = self.feed.store.borrow().clone();
        let stored = stored.filter(|stored| *stored.query == *self.feed.settings.query());
        if let Some(stored) = stored.filter(|_| self.session.confirmed().is_none()) {
            let now = clock::now();
            match decode(&stored.body) {
                Ok(inventory) => {
                    info!("probing the {} tunnels of the stored inventory until a hub answers", inventory.tunnels());
                    let tag = stored.tag.as_deref().map(str::to_owned);
                    self.session.restore(inventory, tag, Moment { wall: stored.confirmed, ..now }, now);
                }
                Err(failure) => warn!("the stored inventory is not used: {failure}"),
            }
        }
        self.publish();
    }

    async fn read_forever(&mut self) {
        let pulse = self.feed.pulses.register("the reader of the inventory");
        loop {
            let wait = self.read_once(&pulse).await;
            self.publish();
            pulse.beat(clock::now().instant, wait);
            sleep(wait).await;
        }
    }

    /// Asks the hubs until one answers. Returns the time until the next request.
    async fn read_once(&mut self, pulse: &Pulse) -> Duration {
        loop {
            let (number, started) = (self.session.target(), clock::now());
            pulse.beat(started.instant, self.feed.settings.timeout);
            match self.ask(number).await {
                Ok(update) => {
                    self.recover(number);
                    let adopted = self.session.succeed(update, started);
                    self.report(adopted, number);
                    return self.wait_after_success();
                }
                Err(failure) => {
                    self.complain(number, &failure);
                    if !self.session.fail(failure.reason) {
                        return self.wait_after(&failure);
                    }
                }
            }
        }
    }

    async fn ask(&mut self, number: usize) -> Result<Update, HubFailure> {
        let reply = self.client.fetch(number, self.session.tag()).await;
        let status = match &reply {
            Ok(HubReply::Unchanged(_)) => Some(304),
            Ok(HubReply::Changed { .. }) => Some(200),
            Err(failure) => failure.status,
        };
        self.feed.metrics.count_request(status);
        let update = match reply {
            Ok(reply) => read(reply).await,
            Err(failure) => Err(failure),
        };
        update.inspect_err(|failure| self.feed.metrics.count_failure(failure.reason))
    }

    /// Logs what an update changed, and stores it.
    fn report(&mut self, adopted: Adopted, number: usize) {
        for (account, tunnel_type, event) in &adopted.events {
            event.log(account, *tunnel_type);
        }
        let (before, tunnels) = adopted.tunnels;
        if tunnels * 2 < before {
            warn!(before, after = tunnels, "the inventory of the hub has lost more than half of its tunnels");
        }
        if let Some(body) = adopted.body {
            self.keep(body);
        }
        if adopted.is_first {
            let hub = &self.feed.settings.urls[number];
            info!(%hub, tunnels, "the hub {hub} lists {tunnels} tunnels for this agent");
        }
    }

    /// Hands the inventory to the state file.
    fn keep(&self, body: String) {
        let Some(confirmed) = self.session.confirmed().filter(|_| body.len() <= MAX_STORED) else { return };
        let stored = PastInventory {
            query: self.feed.settings.query().into(),
            tag: self.session.tag().map(Into::into),
            body: body.into(),
            confirmed: confirmed.wall,
        };
        self.feed.store.send_replace(Some(Arc::new(stored)));
    }

    fn publish(&self) {
        let confirmed = self.session.confirmed().map(|moment| moment.wall);
        self.feed.metrics.set_inventory(self.session.tunnels(), self.session.is_from_cache(), confirmed);
        self.feed.fleet.send_replace(Arc::new(self.session.fleet()));
    }

    /// Logs a failure of a hub once.
    fn complain(&mut self, number: usize, failure: &HubFailure) {
        if self.complaints[number].replace(failure.reason) != Some(failure.reason) {
            let (hub, reason) = (&self.feed.settings.urls[number], failure.reason.as_str());
            warn!(%hub, reason, "cannot read the inventory from {hub}: {failure}; {}", failure.remedy());
        }
    }

    fn recover(&mut self, number: usize) {
        if let Some(reason) = self.complaints[number].take() {
            let hub = &self.feed.settings.urls[number];
            info!(%hub, "the hub {hub} answers again after `{reason}`");
        }
    }

    fn wait_after_success(&mut self) -> Duration {
        let settings = &self.feed.settings;
        let is_first = !std::mem::replace(&mut self.in_phase, true);
        if is_first { phase(&settings.prober, settings.interval) } else { jitter(settings.interval) }
    }

    fn wait_after(&self, failure: &HubFailure) -> Duration {
        let interval = self.feed.settings.interval;
        let usual = if self.session.confirmed().is_none() { interval.min(FIRST_RETRY) } else { interval };
        jitter(failure.retry_after.map_or(usual, |wait| wait.clamp(Duration::from_secs(1), interval)))
    }
}

async fn read(reply: HubReply) -> Result<Update, HubFailure> {
    let (body, tag, times) = match reply {
        HubReply::Unchanged(times) => return Ok(Update::Unchanged(times)),
        HubReply::Changed { body, tag, times } => (body, tag, times),
    };
    // A list of many thousand tunnels takes tens of milliseconds.
    let decoded = spawn_blocking(move || decode(&body).map(|inventory| (inventory, body))).await;
    let failed = |_| Err(HubFailure::new(FailureReason::Decode));
    decoded.unwrap_or_else(failed).map(|(inventory, body)| Update::Changed { inventory, times, body, tag })
}

/// Spreads the requests of many agents.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.9..=1.1))
}
