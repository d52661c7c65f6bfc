//! Tunnels and fleets for tests.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::Moment;

use super::{
    bgp::{BgpState, BgpStatus, FsmState, Speaker},
    inventory::{AccountName, Entry, Fleet},
    tunnel::{Gre, Ipsec, Kind, Stated, Tunnel, TunnelId, TunnelType},
};
use crate::domain::{
    dataset::{PollState, PollStatus},
    inventory::{Account, TunnelList},
};

/// A tunnel without any address.
pub(crate) fn tunnel(id: &str) -> Tunnel {
    Tunnel::bare(TunnelId::new(id), id, Kind::Ipsec(Ipsec::default()))
}

pub(crate) fn gre(mut tunnel: Tunnel) -> Tunnel {
    tunnel.kind = Kind::Gre(Gre::default());
    tunnel
}

/// A tunnel with a customer endpoint and prefixes; `""` leaves one out, and what is no address stays text.
pub(crate) fn addressed(id: &str, endpoint: &str, prefix: &str, prefix6: &str) -> Tunnel {
    fn stated<T: std::str::FromStr>(text: &str) -> Stated<T> {
        if text.is_empty() {
            return Stated::Absent;
        }
        text.parse().map_or_else(|_| Stated::Unparsable(text.into()), Stated::Value)
    }
    Tunnel {
        customer_endpoint: stated(endpoint),
        interface_address: stated(prefix),
        interface_address6: stated(prefix6),
        ..tunnel(id)
    }
}

/// The same tunnel with a session in this state.
pub(crate) fn reporting(mut tunnel: Tunnel, state: BgpState) -> Tunnel {
    tunnel.bgp_status = Some(BgpStatus {
        state,
        fsm: FsmState::None,
        tcp_established: None,
        updated_at: None,
        cloudflare_speaker: Speaker::default(),
        customer_speaker: Speaker::default(),
    });
    tunnel
}

/// One account, called `acme`, with these tunnels, and no word about when it was polled.
pub(crate) fn fleet(tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    polled(None, tunnels)
}

/// The same, polled at this moment.
pub(crate) fn polled(at: Option<Moment>, tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    let mut lists: BTreeMap<TunnelType, Vec<Entry>> = BTreeMap::new();
    for tunnel in tunnels {
        let entry = Entry { tunnel: Arc::new(tunnel), bgp_state_changes: 0, site: None };
        lists.entry(entry.tunnel.tunnel_type()).or_default().push(entry);
    }
    let mut account = Account::default();
    for (tunnel_type, entries) in lists {
        let status = PollStatus { state: PollState::Succeeded, last_success: at, ..PollStatus::default() };
        account.set_list(tunnel_type, TunnelList { status, entries: entries.into(), ..TunnelList::default() });
    }
    Arc::new(Fleet { accounts: [(AccountName::new("acme"), Arc::new(account))].into() })
}
