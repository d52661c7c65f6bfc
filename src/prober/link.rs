//! The network as the prober sees it: something that takes one echo and tells how it ended. Tests put another one here.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::domain::probe::{Binding, IpVersion, Outcome};

/// One echo to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    pub target: IpAddr,
    /// Used where the link can choose it, see [`Link::renew`].
    pub identifier: u16,
    pub sequence: u16,
    /// From the moment of sending; the answer counts only before it has passed.
    pub timeout: Duration,
}

/// Carries echoes through one socket.
pub trait Link: Send + Sync + 'static {
    /// Sends one echo and waits for its end, no longer than its timeout. Dropping the future gives the echo up.
    fn echo(&self, echo: Echo) -> impl Future<Output = Outcome> + Send;

    /// A session on this link lost many echoes in a row and from now on wants to look like a new one to firewalls on the path.
    ///
    /// Only a link that ignores [`Echo::identifier`] has anything to do.
    fn renew(&self) {}
}

/// Makes links.
pub trait Network: Send + 'static {
    type Link: Link;

    /// The link for one version of the protocol and one binding. Never fails: a link without a socket ends each echo as
    /// failed, and tries again.
    fn link(&self, version: IpVersion, binding: &Arc<Binding>) -> Self::Link;
}
