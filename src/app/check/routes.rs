//! Checks that the static routes can be read and lead to tunnels.

use std::sync::Arc;

use super::{
    result::{CheckResult, CheckSubject},
    rules::TunnelsOfAccount,
};
use crate::{
    cloudflare::{ApiFailure, Client, RouteListing},
    domain::{
        dataset::Dataset,
        label::Label as _,
        routes::matching::RouteMatches,
        tunnel::{Tunnel, TunnelLists, TunnelType},
    },
    poller::ApiAccount,
};

/// Sends one request. `lists` are the tunnels of the account that could be read.
pub(super) async fn check(client: &Client, account: &ApiAccount, lists: &[TunnelsOfAccount]) -> CheckResult {
    let (credentials, _) = account.credentials.credentials();
    let listing = client.list_routes(&credentials, account.in_requests(), false).await;
    describe(listing, lists).for_account(account.name.as_str())
}

fn describe(listing: Result<RouteListing, ApiFailure>, lists: &[TunnelsOfAccount]) -> CheckResult {
    let ok = |message: String| CheckResult::ok(CheckSubject::Permission, message);
    let listing = match listing {
        Ok(listing) => listing,
        Err(failure) => {
            let fix = Dataset::Routes.remedy(failure.reason);
            return ok(format!("{} cannot be read ({failure})", Dataset::Routes)).warn(fix);
        }
    };
    let plural = if listing.routes.len() == 1 { "" } else { "s" };
    let message = format!("{} can be read: {} route{plural}", Dataset::Routes, listing.routes.len());
    // Without all lists, a route may lead to a tunnel that is not known.
    if lists.len() < TunnelType::ALL.len() {
        return ok(message);
    }
    match count_unmatched(listing, lists) {
        0 => ok(message),
        1 => ok(format!("{message}, 1 of which leads to no tunnel")).warn(UNMATCHED),
        unmatched => ok(format!("{message}, {unmatched} of which lead to no tunnel")).warn(UNMATCHED),
    }
}

const UNMATCHED: &str = "compare the next hops with the interface addresses of the tunnels";

fn count_unmatched(listing: RouteListing, lists: &[TunnelsOfAccount]) -> usize {
    let of_type = |tunnel_type| lists.iter().filter(move |list| list.tunnel_type == tunnel_type);
    let tunnels: TunnelLists<'_> = std::array::from_fn(|index| {
        of_type(TunnelType::ALL[index]).flat_map(|list| &list.tunnels).map(Arc::as_ref).collect::<Vec<&Tunnel>>()
    });
    RouteMatches::join(listing.routes.into(), &tunnels).unmatched()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        dataset::FailureReason,
        fixtures::{addressed, route},
        inventory::AccountName,
    };

    fn lists() -> Vec<TunnelsOfAccount> {
        let list = |tunnel_type, tunnels| TunnelsOfAccount { account: AccountName::new("acme"), tunnel_type, tunnels };
        TunnelType::ALL
            .iter()
            .map(|&tunnel_type| {
                let tunnel = (tunnel_type == TunnelType::Ipsec).then(|| addressed("a", "", "10.0.0.0/31", "").into());
                list(tunnel_type, tunnel.into_iter().collect())
            })
            .collect()
    }

    fn line(next_hops: &[&str], lists: &[TunnelsOfAccount]) -> String {
        let routes = next_hops.iter().map(|next_hop| route("192.0.2.0/24", next_hop, 100)).collect();
        shown(&describe(Ok(RouteListing { routes, ..RouteListing::default() }), lists))
    }

    fn shown(result: &CheckResult) -> String {
        format!("{}: {}; {}", result.status, result.message, result.fix.as_deref().unwrap_or("-"))
    }

    #[test]
    fn routes_without_a_tunnel_are_a_warning() {
        let found = [
            line(&["10.0.0.1"], &lists()),
            line(&["10.0.0.1", "10.0.0.9"], &lists()),
            line(&["10.0.0.9", "10.0.0.8"], &lists()),
            line(&["10.0.0.9"], &lists()[1..]),
            shown(&describe(Err(ApiFailure::new(FailureReason::Auth)), &lists())),
        ];
        let expected = [
            "ok: routes can be read: 1 route; -".to_owned(),
            format!("warn: routes can be read: 2 routes, 1 of which leads to no tunnel; {UNMATCHED}"),
            format!("warn: routes can be read: 2 routes, 2 of which lead to no tunnel; {UNMATCHED}"),
            "ok: routes can be read: 1 route; -".to_owned(),
            format!("warn: routes cannot be read (auth); {}", Dataset::Routes.remedy(FailureReason::Auth)),
        ];
        assert_eq!(found, expected);
    }
}
