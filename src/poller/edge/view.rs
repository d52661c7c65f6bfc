//! The published view of the edge.

use std::{collections::HashMap, sync::Arc};

use super::settings::EdgePollSettings;
use crate::{
    domain::{
        dataset::PollState,
        edge::EdgeView,
        inventory::{AccountInventory, AccountName},
    },
    poller::{FleetSender, update_account},
};

/// Publishes an empty view, or the known data with the new settings; `None` if the edge is not polled.
pub fn prepare_view(fleet: &FleetSender, account: &AccountName, settings: Option<&EdgePollSettings>) {
    let view = |known: &AccountInventory| settings.map(|settings| settings.resume(known.edge().map(Arc::as_ref)));
    update_account(fleet, account, |known| known.set_edge(view(known)));
}

/// The state of both datasets, as far as they are polled.
pub(super) fn states(view: &EdgeView) -> [PollState; 2] {
    let traffic = view.traffic.as_ref().map(|traffic| traffic.status.state);
    [view.health.status.state, traffic.unwrap_or_default()]
}

/// Adds the known sites of tunnels that have no data now, so that their labels do not come and go.
pub(super) fn keep_sites(
    fleet: &FleetSender,
    account: &AccountName,
    known: &EdgeView,
    sites: &mut HashMap<Arc<str>, Arc<str>>,
) {
    let fleet = fleet.borrow();
    let Some(account) = fleet.accounts.get(account) else { return };
    for entry in account.entries() {
        let name = &*entry.tunnel.name;
        if let Some((name, site)) = known.health.sites.get_key_value(name)
            && !sites.contains_key(name)
        {
            sites.insert(Arc::clone(name), Arc::clone(site));
        }
    }
}
