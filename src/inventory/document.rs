//! The inventory of a hub as JSON: bytes to domain values. The wire types mirror `http/api/inventory`.

mod wire;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use self::wire::{WireCollection, WireTunnel};
use super::failure::HubFailure;
use crate::domain::{
    dataset::{Dataset, FailureReason, PollState},
    edge::HealthState,
    inventory::{AccountName, RejectReason, RejectedMember, RejectedMembers},
    label::Label as _,
    steering::Steering,
    tunnel::{Tunnel, TunnelId, TunnelType},
};

/// The newest version that this program understands.
const VERSION: u64 = 1;

/// Everything that a hub knows about the selected sites.
#[derive(Debug, Default)]
pub struct Inventory {
    pub lists: BTreeMap<(AccountName, TunnelType), HubList>,
    /// The states of tunnels in the edge's health checks, by account and name.
    pub edges: BTreeMap<AccountName, HashMap<Box<str>, HealthState>>,
}

/// One list of one account.
#[derive(Debug, Default)]
pub struct HubList {
    /// Result of the last poll of the hub.
    pub state: PollState,
    /// Whether the list was read, if polls fail now.
    pub was_read: bool,
    /// Sorted by name, then id. Ids are unique.
    pub tunnels: Vec<Arc<Tunnel>>,
    pub sites: HashMap<TunnelId, Arc<str>>,
    /// What the hub states about the probes.
    pub steering: HashMap<TunnelId, Arc<Steering>>,
    pub rejected: RejectedMembers,
}

impl HubList {
    /// Whether the tunnels are what Cloudflare listed, now or earlier. A hub that was started while the API fails has
    /// no list.
    pub fn is_known(&self) -> bool {
        match self.state {
            PollState::Succeeded => true,
            PollState::Failed(_) => self.was_read,
            PollState::Waiting => false,
        }
    }
}

impl Inventory {
    /// The number of tunnels.
    pub fn tunnels(&self) -> usize {
        self.lists.values().map(|list| list.tunnels.len()).sum()
    }

    /// Whether the hub's last poll of every list succeeded.
    pub fn is_complete(&self) -> bool {
        !self.lists.is_empty() && self.lists.values().all(|list| list.state == PollState::Succeeded)
    }
}

#[derive(Deserialize)]
struct InventoryHead {
    version: u64,
}

#[derive(Deserialize)]
struct InventoryDocument<'a> {
    collections: Vec<WireCollection>,
    #[serde(borrow)]
    tunnels: Vec<&'a RawValue>,
}

/// Decodes the body of a response. Unknown fields, types and collections are ignored.
///
/// # Errors
/// The text is not JSON, is truncated, has another shape, or a newer version.
pub fn decode(text: &str) -> Result<Inventory, HubFailure> {
    let head: InventoryHead = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
    if head.version > VERSION {
        let detail = format!("the hub sends version {}; update this agent", head.version);
        return Err(HubFailure::with_detail(FailureReason::Decode, detail));
    }
    let document: InventoryDocument<'_> = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
    let mut inventory = Inventory::default();
    for collection in &document.collections {
        let Some(tunnel_type) = type_of(&collection.collection) else { continue };
        let key = (AccountName::new(collection.account.as_str()), tunnel_type);
        let was_read = collection.last_success.is_some();
        inventory.lists.insert(key, HubList { state: collection.state(), was_read, ..HubList::default() });
    }
    for (index, member) in document.tunnels.iter().enumerate() {
        add_member(&mut inventory, index, member);
    }
    inventory.lists.values_mut().for_each(sort);
    Ok(inventory)
}

fn unreadable(text: &str, error: &serde_json::Error) -> HubFailure {
    let is_json = error.classify() != Category::Syntax && text.trim_start().starts_with('{');
    HubFailure::new(if is_json { FailureReason::Decode } else { FailureReason::NotJson })
}

fn type_of(collection: &str) -> Option<TunnelType> {
    let of = |dataset: Dataset| TunnelType::ALL.iter().copied().find(|tunnel_type| tunnel_type.dataset() == dataset);
    Dataset::ALL.iter().copied().find(|dataset| dataset.as_str() == collection).and_then(of)
}

/// Adds a tunnel to its list. One that cannot be decoded is rejected without affecting the others.
fn add_member(inventory: &mut Inventory, index: usize, member: &RawValue) {
    let Ok(wire) = serde_json::from_str::<WireTunnel>(member.get()) else {
        if let Some(list) = inventory.lists.values_mut().next() {
            list.rejected.add(RejectedMember { reason: RejectReason::Malformed, index, id: None });
        }
        return;
    };
    let Some(tunnel_type) = wire.tunnel_type() else { return };
    let key = (AccountName::new(wire.account.as_str()), tunnel_type);
    let Some(list) = inventory.lists.get_mut(&key) else { return };
    let (site, steering, state) = (wire.site.as_deref().map(Arc::from), wire.steering(), wire.edge_state());
    let (account, tunnel) = (key.0, wire.into_tunnel(tunnel_type));
    list.sites.extend(site.map(|site| (tunnel.id.clone(), site)));
    list.steering.extend(steering.map(|steering| (tunnel.id.clone(), Arc::new(steering))));
    if let Some(state) = state {
        inventory.edges.entry(account).or_default().insert(tunnel.name.clone(), state);
    }
    list.tunnels.push(Arc::new(tunnel));
}

fn sort(list: &mut HubList) {
    let mut seen = HashSet::new();
    list.tunnels.retain(|tunnel| seen.insert(tunnel.id.clone()));
    list.tunnels.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
}

#[cfg(test)]
mod tests;
