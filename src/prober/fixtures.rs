//! Fleets for the tests of the prober.

use std::collections::BTreeMap;

use crate::domain::{
    inventory::{AccountName, AccountSnapshot, Collection, CollectionSnapshot, Entry, Fleet, PollState},
    tunnel::{Gre, Ipsec, Kind, Stated, Tunnel, TunnelId, TunnelType},
};
use std::sync::Arc;

/// A tunnel without any address.
pub(crate) fn tunnel(id: &str) -> Tunnel {
    Tunnel {
        id: TunnelId::new(id),
        name: id.into(),
        description: "".into(),
        cloudflare_endpoint: Stated::Absent,
        customer_endpoint: Stated::Absent,
        interface_address: Stated::Absent,
        interface_address6: Stated::Absent,
        automatic_return_routing: None,
        health_check: None,
        bgp: None,
        bgp_status: None,
        created_on: None,
        modified_on: None,
        kind: Kind::Ipsec(Ipsec::default()),
    }
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

/// One account, called `acme`, with these tunnels.
pub(crate) fn fleet(tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    let mut collections: BTreeMap<Collection, Vec<Entry>> = BTreeMap::new();
    for tunnel in tunnels {
        let collection = match tunnel.tunnel_type() {
            TunnelType::Gre => Collection::GreTunnels,
            TunnelType::Ipsec => Collection::IpsecTunnels,
        };
        collections.entry(collection).or_default().push(Entry { tunnel: Arc::new(tunnel), bgp_state_changes: 0 });
    }
    let mut account = AccountSnapshot::default();
    for (collection, entries) in collections {
        let snapshot = CollectionSnapshot {
            state: PollState::Succeeded,
            entries: entries.into(),
            last_success: Some(crate::clock::now()),
            ..CollectionSnapshot::default()
        };
        account.set_collection(collection, snapshot);
    }
    Arc::new(Fleet { accounts: [(AccountName::new("acme"), Arc::new(account))].into() })
}
