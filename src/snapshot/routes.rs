//! The routes to one tunnel, and the state of all prefixes as the correlation publishes it.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    inventory::AccountName,
    routes::{Route, matching::RouteMatches, prefixes::PrefixReport},
    tunnel::TunnelType,
};

/// The prefixes of every account with routes that are polled.
pub type Prefixes = BTreeMap<AccountName, Arc<PrefixReport>>;

/// The routes to one tunnel.
#[derive(Debug, Clone, Copy)]
pub struct RowRoutes<'a> {
    pub(super) matches: &'a RouteMatches,
    pub(super) tunnel_type: TunnelType,
    pub(super) index: usize,
}

impl<'a> RowRoutes<'a> {
    pub fn count(&self) -> u32 {
        self.matches.count(self.tunnel_type, self.index).unwrap_or_default()
    }

    /// The routes, sorted. Looks at every route of the account.
    pub fn iter(self) -> impl Iterator<Item = &'a Route> {
        self.matches.routes_of(self.tunnel_type, self.index)
    }
}
