//! Families of the static routes and of the prefixes that they lead to. No series if the routes are not polled or the
//! last successful poll is too old.

use super::{
    capture::Capture,
    family::{Family, Group, gauge},
    text::{Labels, SampleValue, Samples},
};
use crate::domain::{
    inventory::AccountName,
    label::Label as _,
    routes::prefixes::{HopState, PrefixState},
};

/// Maximum number of prefixes of one account with metrics of their own: three megabytes of text.
const MOST_PREFIXES: usize = 10_000;

pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "tunnel_routes",
        "Static routes with the customer's side of the tunnel as next hop, at the last poll. \
         Routes that are learned over BGP are not in the list of the API.",
    )
    .value(Group::Routes, |tunnel| tunnel.routes.map(Into::into)),
    gauge(
        "routes",
        "Static routes that the API listed at the last poll. Routes that are learned over BGP are not in this list.",
    )
    .whole(Group::Routes, |capture, out| {
        each_account(capture, out, |account| Some(capture.snapshot.routes(account)?.0.routes.len()));
    }),
    gauge(
        "routes_unmatched",
        "Static routes with a next hop that is not the customer's side of a known tunnel. \
         Tunnels that the configuration excludes are not known. No series until all lists of tunnels have been read.",
    )
    .whole(Group::Routes, |capture, out| {
        each_account(capture, out, |account| capture.snapshot.unmatched_routes(account));
    }),
    gauge(
        "prefixes_at_risk",
        "Prefixes with static routes to several tunnels, all of which but one are broken. \
         Routes for certain data centers count apart. Routes that are learned over BGP are not known.",
    )
    .whole(Group::Routes, |capture, out| prefixes(capture, out, PrefixState::AtRisk)),
    gauge(
        "prefixes_lost",
        "Prefixes with static routes to tunnels all of which are broken. \
         Routes for certain data centers count apart. Routes that are learned over BGP are not known.",
    )
    .whole(Group::Routes, |capture, out| prefixes(capture, out, PrefixState::Lost)),
    gauge(
        "prefix_tunnels",
        "Tunnels that the static routes to the prefix lead to, by state; a next hop without a tunnel counts as unknown. \
         Only with routes.prefix-metrics, for at most 10,000 prefixes of an account. \
         The scope is empty for routes of all data centers.",
    )
    .whole(Group::Routes, per_prefix),
];

fn each_account<T: Into<SampleValue>>(
    capture: &Capture,
    out: &mut Samples<'_>,
    value: impl Fn(&AccountName) -> Option<T>,
) {
    for account in capture.snapshot.fleet().accounts.keys() {
        out.push_known(&Labels::NONE.and("account", account.as_str()), &[], value(account));
    }
}

fn prefixes(capture: &Capture, out: &mut Samples<'_>, state: PrefixState) {
    each_account(capture, out, |account| Some(capture.snapshot.prefix_report(account)?.count(state)));
}

fn per_prefix(capture: &Capture, out: &mut Samples<'_>) {
    let snapshot = &capture.snapshot;
    for account in snapshot.fleet().accounts.keys() {
        if !snapshot.routes(account).is_some_and(|(table, _)| table.per_prefix) {
            continue;
        }
        for row in snapshot.prefixes_of(account).take(MOST_PREFIXES) {
            let scope = row.scope.map(ToString::to_string).unwrap_or_default();
            let labels = Labels::NONE.and("account", account.as_str()).and("prefix", &row.prefix.to_string());
            let labels = labels.and("scope", &scope);
            for &state in HopState::ALL {
                out.push(&labels, &[("state", state.as_str())], row.hops.count(state));
            }
        }
    }
}

#[cfg(test)]
mod tests;
