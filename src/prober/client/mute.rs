//! A network in which some addresses do not reply, although they exist: the outages of `demo`.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::{sync::watch, time::sleep};

use super::task::{Link, Network};
use crate::{
    domain::probe::{Binding, EchoOutcome, IpVersion, ProbeFailure},
    prober::session::Echo,
};

/// The addresses that do not reply now.
pub type MutedAddresses = watch::Receiver<BTreeSet<IpAddr>>;

/// Sends no echo to the muted addresses; others use the network behind it.
#[derive(Debug)]
pub struct MutedNetwork<N> {
    network: N,
    muted: MutedAddresses,
}

impl<N> MutedNetwork<N> {
    pub const fn new(network: N, muted: MutedAddresses) -> Self {
        Self { network, muted }
    }
}

impl<N: Network<Link: Link>> Network for MutedNetwork<N> {
    type Link = MutedLink<N::Link>;

    fn create_link(&self, version: IpVersion, binding: &Arc<Binding>) -> Self::Link {
        MutedLink { link: self.network.create_link(version, binding), muted: self.muted.clone() }
    }
}

/// A link of a [`MutedNetwork`].
#[derive(Debug)]
pub struct MutedLink<L> {
    link: L,
    muted: MutedAddresses,
}

impl<L: Link> Link for MutedLink<L> {
    async fn send_echo(&self, echo: Echo) -> EchoOutcome {
        let is_muted = self.muted.borrow().contains(&echo.target);
        if is_muted {
            sleep(echo.timeout).await;
            return EchoOutcome::Failed(ProbeFailure::Timeout);
        }
        self.link.send_echo(echo).await
    }

    fn renew_identifier(&self) {
        self.link.renew_identifier();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::probe::SocketMode;

    const RTT: Duration = Duration::from_millis(7);

    /// Every address replies.
    struct Open;

    impl Link for Open {
        async fn send_echo(&self, _: Echo) -> EchoOutcome {
            EchoOutcome::Reply { rtt: RTT }
        }
    }

    impl Network for Open {
        type Link = Self;

        fn create_link(&self, _: IpVersion, _: &Arc<Binding>) -> Self {
            Self
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_muted_address_is_silent_until_it_replies_again() {
        let (muted, receiver) = watch::channel(BTreeSet::new());
        let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None, dscp: 0 });
        let link = MutedNetwork::new(Open, receiver).create_link(IpVersion::V4, &binding);
        let [silent, other]: [IpAddr; 2] = ["127.0.1.1", "127.0.1.2"].map(|text| text.parse().unwrap());
        let limit = Duration::from_secs(1);
        let echo = |target| Echo { target, identifier: 1, sequence: 1, timeout: limit };
        let reply = EchoOutcome::Reply { rtt: RTT };
        assert_eq!(link.send_echo(echo(silent)).await, reply);
        muted.send_replace(BTreeSet::from([silent]));
        let early = tokio::time::timeout(Duration::from_millis(999), link.send_echo(echo(silent))).await;
        assert!(early.is_err(), "an outcome before the timeout");
        assert_eq!(link.send_echo(echo(silent)).await, EchoOutcome::Failed(ProbeFailure::Timeout));
        assert_eq!(link.send_echo(echo(other)).await, reply);
        muted.send_replace(BTreeSet::new());
        assert_eq!(link.send_echo(echo(silent)).await, reply);
    }
}
