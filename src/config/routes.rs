//! The sections `routes` and `interconnects`: what is polled in addition to the tunnels.

use web_toolkit::{keys, settings::SettingsReader, yaml::Node};

use super::flags::{InterconnectFlags, RouteFlags};
use crate::poller::routes::RoutePollSettings;

keys! { pub(super) struct RouteKeys { enabled, prefix_metrics } }

keys! { pub(super) struct InterconnectKeys { enabled } }

/// Whether the interconnects are polled.
pub(super) fn read_interconnects(
    flags: &InterconnectFlags,
    reader: &mut SettingsReader,
    node: Node<InterconnectKeys>,
) -> bool {
    let keys = reader.section("interconnects", node);
    let enabled = reader.one(("interconnects.enabled", flags.interconnects_enabled.as_deref(), keys.enabled));
    reader.switch(enabled, true)
}

/// The flags over the section. `None` if the routes are not polled.
pub(super) fn read(
    flags: &RouteFlags,
    reader: &mut SettingsReader,
    node: Node<RouteKeys>,
) -> Option<RoutePollSettings> {
    let keys = reader.section("routes", node);
    let enabled = reader.one(("routes.enabled", flags.routes_enabled.as_deref(), keys.enabled));
    let enabled = reader.switch(enabled, true);
    let flag = flags.routes_prefix_metrics.as_deref();
    let per_prefix = reader.one(("routes.prefix_metrics", flag, keys.prefix_metrics));
    let per_prefix = reader.switch(per_prefix, false);
    enabled.then_some(RoutePollSettings { per_prefix })
}
