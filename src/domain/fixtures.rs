//! Tunnels and fleets for tests.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::Moment;

use super::{
    dataset::{PollState, PollStatus},
    inventory::{AccountInventory, AccountName, Fleet, InventoryEntry, TunnelList},
    tunnel::{
        BgpState, BgpStatus, FsmState, GreDetails, IpsecDetails, Speaker, Stated, Tunnel, TunnelDetails, TunnelId,
        TunnelType,
    },
};

/// An IPsec tunnel without addresses.
pub(crate) fn tunnel(id: &str) -> Tunnel {
    Tunnel::bare(TunnelId::new(id), id, TunnelDetails::Ipsec(IpsecDetails::default()))
}

pub(crate) fn gre(mut tunnel: Tunnel) -> Tunnel {
    tunnel.details = TunnelDetails::Gre(GreDetails::default());
    tunnel
}

/// A tunnel with a customer endpoint and prefixes; `""` means absent, and invalid addresses are kept as text.
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

/// The same tunnel with a BGP session in this state.
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

/// One account, `acme`, with these tunnels and without a successful poll.
pub(crate) fn fleet(tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    polled(None, tunnels)
}

/// One account, `acme`, with these tunnels, last polled at `at`.
pub(crate) fn polled(at: Option<Moment>, tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    let mut lists: BTreeMap<TunnelType, Vec<InventoryEntry>> = BTreeMap::new();
    for tunnel in tunnels {
        let entry = InventoryEntry { tunnel: Arc::new(tunnel), bgp_state_changes: 0, site: None };
        lists.entry(entry.tunnel.tunnel_type()).or_default().push(entry);
    }
    let mut account = AccountInventory::default();
    for (tunnel_type, entries) in lists {
        let status = PollStatus { state: PollState::Succeeded, last_success: at, ..PollStatus::default() };
        account.set_list(tunnel_type, TunnelList { status, entries: entries.into(), ..TunnelList::default() });
    }
    Arc::new(Fleet { accounts: [(AccountName::new("acme"), Arc::new(account))].into() })
}
