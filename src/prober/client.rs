//! The client engine: each session is a task on the driver's runtime, and `surge-ping` sends and receives.
//!
//! It is the reference in tests, and portable. The workarounds for the client belong to it alone: the
//! [gate](gate::SendGate) for late sessions and the grace period for reading.

mod gate;
pub mod icmp;
pub mod mute;
pub mod task;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::error;

use self::{
    gate::SendGate,
    task::{Link, Network},
};
use super::{
    engine::{Engine, EngineStopped},
    session::{ProbeSession, SessionContext},
    tally::Tally,
};
use crate::domain::probe::{Binding, IpVersion, SessionKey};

/// Runs each session as a task. Sessions with the same IP version and binding share a link.
pub struct ClientEngine<N: Network> {
    network: N,
    context: SessionContext,
    gate: SendGate,
    links: HashMap<(IpVersion, Arc<Binding>), Arc<N::Link>>,
    tasks: JoinSet<()>,
    running: HashMap<SessionKey, AbortHandle>,
}

impl<N: Network> ClientEngine<N> {
    /// [`start`](Engine::start) must be called on a tokio runtime.
    pub fn new(network: N, context: SessionContext) -> Self {
        let (links, running) = (HashMap::new(), HashMap::new());
        Self { network, context, gate: SendGate::default(), links, tasks: JoinSet::new(), running }
    }

    fn link(&mut self, key: &SessionKey) -> Arc<N::Link> {
        let version = IpVersion::from(key.address);
        let network = &self.network;
        let link = self.links.entry((version, Arc::clone(&key.binding)));
        Arc::clone(link.or_insert_with(|| Arc::new(network.create_link(version, &key.binding))))
    }

    fn drop_unused_links(&mut self) {
        let used: BTreeSet<_> =
            self.running.keys().map(|key| (IpVersion::from(key.address), Arc::clone(&key.binding))).collect();
        self.links.retain(|link, _| used.contains(link));
    }

    fn log_failures(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            log_failure(ended);
        }
    }
}

impl<N: Network<Link: Link>> Engine for ClientEngine<N> {
    fn start(&mut self, key: SessionKey, session: ProbeSession, tally: Arc<Tally>) {
        let link = self.link(&key);
        let task = self.tasks.spawn(task::run(session, link, tally, self.context.clone(), self.gate.clone()));
        self.running.insert(key, task);
    }

    fn stop(&mut self, key: &SessionKey) {
        if let Some(task) = self.running.remove(key) {
            task.abort();
        }
    }

    fn apply(&mut self) {
        self.drop_unused_links();
        self.log_failures();
    }

    fn sessions(&self) -> usize {
        self.running.len()
    }

    fn check(&mut self) -> Result<(), EngineStopped> {
        self.log_failures();
        Ok(())
    }
}

impl<N: Network> fmt::Debug for ClientEngine<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientEngine").field("sessions", &self.running.len()).finish_non_exhaustive()
    }
}

/// Logs a session that ended unexpectedly.
fn log_failure(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && !failed.is_cancelled()
    {
        error!("a probe session failed: {failed}");
    }
}
