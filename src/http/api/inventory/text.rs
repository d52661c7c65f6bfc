//! The selected part of the inventory as JSON, piece by piece.

use std::{collections::BTreeSet, io, sync::Arc};

use web_toolkit::text::shown;

use super::{
    index::{IndexedTunnel, InventoryIndex},
    selection::Selection,
};
use crate::{
    domain::{
        dataset::{PollState, PollStatus},
        inventory::AccountName,
        label::Label,
        probe::ProbeTarget,
        steering::Steering,
        tunnel::TunnelType,
    },
    http::{
        api::{
            json::{JsonObject, separate},
            tunnel::{add_bgp_status, add_configuration},
        },
        body::Producer,
    },
};

/// Version of the format. An agent refuses a higher one and ignores unknown fields of this one.
pub(in crate::http) const VERSION: u64 = 1;

/// Tunnels per piece.
const TUNNELS_PER_PIECE: usize = 250;

/// Usual bytes of a tunnel, and of everything before the first one.
const TUNNEL_BYTES: usize = 1_024;

/// The selected part of an index, as JSON.
#[derive(Debug)]
pub(in crate::http) struct InventoryText {
    index: Arc<InventoryIndex>,
    selection: Arc<Selection>,
    /// Numbers of the selected tunnels in the index.
    tunnels: Vec<u32>,
    /// How many of them are written.
    written: usize,
    began: bool,
}

impl InventoryText {
    pub(in crate::http) fn new(index: Arc<InventoryIndex>, selection: Arc<Selection>) -> Self {
        let tunnels = index.select(&selection);
        Self { index, selection, tunnels, written: 0, began: false }
    }

    fn write_head(&self, text: &mut Vec<u8>) {
        text.push(b'{');
        let mut object = JsonObject(text);
        object.add("version", VERSION);
        let lists = self.index.lists().filter(|(account, ..)| self.selection.includes_account(account));
        object.add_list("collections", lists, |object, (account, tunnel_type, status)| {
            add_collection(object, account, tunnel_type, status);
        });
        object.begin_field("tunnels");
        text.push(b'[');
    }
}

impl Producer for InventoryText {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        if !self.began {
            self.write_head(text);
            self.began = true;
        }
        let end = self.tunnels.len().min(self.written + TUNNELS_PER_PIECE);
        for &number in &self.tunnels[self.written..end] {
            separate(text, &mut (self.written > 0));
            if let Some(tunnel) = self.index.tunnel(number) {
                let steering = self.index.steering(&tunnel);
                JsonObject::write(text, |object| add_tunnel(object, &tunnel, &steering));
            }
            self.written += 1;
        }
        let is_last = self.written == self.tunnels.len();
        if is_last {
            text.extend_from_slice(b"]}\n");
        }
        Ok(is_last)
    }

    /// The lists of a thousand sites are small, and memory for a long one each would fragment the heap.
    fn capacity(&self) -> usize {
        TUNNEL_BYTES * (1 + TUNNELS_PER_PIECE.min(self.tunnels.len() - self.written))
    }
}

/// A time only if polls fail, because it moves with each success.
fn add_collection(object: &mut JsonObject<'_>, account: &AccountName, tunnel_type: TunnelType, status: &PollStatus) {
    object.add("account", shown(account.as_str()));
    object.add("collection", tunnel_type.dataset().as_str());
    match status.state {
        PollState::Waiting => object.add("state", "waiting"),
        PollState::Succeeded => object.add("state", "succeeded"),
        PollState::Failed(reason) => {
            object.add("state", "failed");
            object.add("reason", reason.as_str());
            object.add("last_success", status.last_success.map(|then| then.wall.to_string()));
        }
    }
}

/// The fields of `/api/v1/tunnels` that come from the API or from the configuration. A reported status is included even
/// if it is stale, because the agent knows its age.
fn add_tunnel(object: &mut JsonObject<'_>, indexed: &IndexedTunnel<'_>, steering: &Steering) {
    let tunnel = &indexed.entry.tunnel;
    object.add("account", shown(indexed.account.as_str()));
    object.add("id", shown(tunnel.id.as_str()));
    object.add("name", shown(&tunnel.name));
    object.add("description", shown(&tunnel.description));
    object.add("site", indexed.site().map(|site| shown(site)));
    object.add("type", tunnel.tunnel_type().as_str());
    add_configuration(object, tunnel);
    if let Some(target) = tunnel.health_check.as_ref().map(|check| &check.target) {
        object.add_object("health_check_target", |object| {
            object.add("saved", target.saved.as_deref().map(shown));
            object.add("effective", target.effective.as_deref().map(shown));
        });
    }
    if let Some(status) = &tunnel.bgp_status {
        object.add_object("bgp_status", |object| {
            add_bgp_status(object, status);
            object.add("cloudflare_port", status.cloudflare_speaker.port);
            object.add("customer_port", status.customer_speaker.port);
        });
    }
    if let Some(state) = indexed.edge.and_then(|edge| edge.health.as_ref()?.state) {
        object.add_object("edge", |object| object.add("state", state.as_str()));
    }
    if !steering.is_empty() {
        object.add_object("probe", |object| add_steering(object, steering));
    }
}

/// What the overrides of the hub state about the probes of a tunnel.
fn add_steering(object: &mut JsonObject<'_>, steering: &Steering) {
    let targets = |targets: &BTreeSet<ProbeTarget>| targets.iter().map(|target| target.as_str()).collect::<Vec<_>>();
    object.add("enabled", steering.enabled);
    object.add("vantage", steering.vantage.map(Label::as_str));
    object.add("targets", steering.targets.as_ref().map(targets));
    object.add("extra_address", steering.extra.map(|addresses| addresses.iter().collect::<Vec<_>>()));
    object.add("uplink", steering.uplinks.as_ref());
}
