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

use super::hub_ledger::HubLedger;
use crate::{
    domain::{
        dataset::FailureReason,
        inventory::Fleet,
        label::Label as _,
        past::PastInventory,
        pulse::{Pulse, Pulses},
        rules::TunnelRules,
    },
    inventory::{HubClient, HubFailure, HubReply, Inventory, InventoryMetrics, InventorySettings, ReplyTimes, decode},
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

/// A usable response.
enum Update {
    Unchanged(ReplyTimes),
    Changed { inventory: Inventory, times: ReplyTimes, body: String, tag: Option<String> },
}

/// The state of a running feed.
struct Reader {
    feed: HubFeed,
    client: HubClient,
    ledger: HubLedger,
    tag: Option<String>,
    from_cache: bool,
    /// Number of the hub that is asked first.
    preferred: usize,
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
        let ledger = HubLedger::resume(Arc::clone(&feed.rules), &feed.fleet.borrow());
        Self {
            client: HubClient::new(Arc::clone(&feed.settings)),
            ledger,
            tag: None,
            from_cache: false,
            preferred: 0,
            complaints: vec![None; feed.settings.urls.len()],
            feed,
        }
    }

    /// Adopts the stored inventory if nothing better is known.
    fn start(&mut self) {
        let stored = self.feed.store.borrow().clone();
        let stored = stored.filter(|stored| *stored.query == *self.feed.settings.query());
        if let Some(stored) = stored.filter(|_| self.ledger.confirmed().is_none()) {
            let now = clock::now();
            match decode(&stored.body) {
                Ok(inventory) => {
                    info!("probing the {} tunnels of the stored inventory until a hub answers", inventory.tunnels());
                    self.ledger.apply_stored(inventory, Moment { wall: stored.confirmed, ..now }, now);
                    self.tag = stored.tag.as_deref().map(str::to_owned);
                    self.from_cache = true;
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
        let hubs = self.feed.settings.urls.len();
        let mut last = None;
        let preferred = self.preferred;
        for number in (0..hubs).map(|offset| (preferred + offset) % hubs) {
            let started = clock::now();
            pulse.beat(started.instant, self.feed.settings.timeout);
            match self.ask(number).await {
                Ok(update) => {
                    self.recover(number);
                    self.preferred = number;
                    self.adopt(update, started, number);
                    return jitter(self.feed.settings.interval);
                }
                Err(failure) => {
                    self.complain(number, &failure);
                    last = Some(failure);
                }
            }
        }
        let failure = last.unwrap_or_else(|| HubFailure::new(FailureReason::Connect));
        self.ledger.fail(failure.reason);
        self.wait_after(&failure)
    }

    async fn ask(&mut self, number: usize) -> Result<Update, HubFailure> {
        let reply = self.client.fetch(number, self.tag.as_deref()).await;
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

    fn adopt(&mut self, update: Update, started: Moment, number: usize) {
        let is_first = self.ledger.confirmed().is_none() || self.from_cache;
        match update {
            Update::Unchanged(times) => self.ledger.confirm(&times, started),
            Update::Changed { inventory, times, body, tag } => {
                let before = self.ledger.tunnels();
                let (events, believed) = self.ledger.apply(inventory, &times, started);
                for (account, tunnel_type, event) in &events {
                    event.log(account, *tunnel_type);
                }
                let after = self.ledger.tunnels();
                if after * 2 < before {
                    warn!(before, after, "the inventory of the hub has lost more than half of its tunnels");
                }
                self.tag = tag;
                if believed {
                    self.keep(body);
                }
            }
        }
        self.from_cache = false;
        if is_first {
            let (hub, tunnels) = (&self.feed.settings.urls[number], self.ledger.tunnels());
            info!(%hub, tunnels, "the hub {hub} lists {tunnels} tunnels for this agent");
        }
    }

    /// Hands the inventory to the state file.
    fn keep(&self, body: String) {
        let Some(confirmed) = self.ledger.confirmed().filter(|_| body.len() <= MAX_STORED) else { return };
        let stored = PastInventory {
            query: self.feed.settings.query().into(),
            tag: self.tag.as_deref().map(Into::into),
            body: body.into(),
            confirmed: confirmed.wall,
        };
        self.feed.store.send_replace(Some(Arc::new(stored)));
    }

    fn publish(&self) {
        let confirmed = self.ledger.confirmed().map(|moment| moment.wall);
        self.feed.metrics.set_inventory(self.ledger.tunnels(), self.from_cache, confirmed);
        self.feed.fleet.send_replace(Arc::new(self.ledger.fleet()));
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

    fn wait_after(&self, failure: &HubFailure) -> Duration {
        let interval = self.feed.settings.interval;
        let usual = if self.ledger.confirmed().is_none() { interval.min(FIRST_RETRY) } else { interval };
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
