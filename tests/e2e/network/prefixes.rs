//! The prefixes of static routes while tunnels break one by one: real packets, a real Prometheus with the shipped rules
//! and a real Alertmanager with the shipped routes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    lab::Lab,
    namespace,
    paging::{Member, PAGED, World, assert_pages, await_verdicts},
};
use crate::{
    alerting::{Delivering, Delivery},
    support::{
        api::{self, Answer, Api},
        eventually, http, tunnels,
    },
};

const ACCOUNT: &str = "main";

/// A route to the customer's side of a tunnel.
fn route(prefix: &str, next_hop: &str) -> Value {
    let id = tunnels::id_of(&format!("{prefix} {next_hop}"));
    json!({ "id": id, "prefix": prefix, "nexthop": next_hop, "priority": 100 })
}

/// Six prefixes with both tunnels of one site, and one prefix with the three tunnels of another.
fn routes(of_two: &[&Member], of_three: &[&Member]) -> Vec<Value> {
    let six = (0..6).map(|net| format!("10.{net}.0.0/16"));
    let six = six.flat_map(|prefix| of_two.iter().map(move |member| route(&prefix, &member.peer())));
    let one = of_three.iter().map(|member| route("10.50.0.0/16", &member.peer()));
    six.chain(one).collect()
}

fn with_routes(answer: Answer, routes: &[Value]) -> Answer {
    let routes = api::json("200 OK", tunnels::envelope("routes", routes));
    Arc::new(move |request, wire| match request.collection() {
        "routes" => routes(request, wire),
        _ => answer(request, wire),
    })
}

/// Waits until Prometheus has these numbers of prefixes.
fn await_prefixes(chain: &Delivering, at_risk: f64, lost: f64) {
    for (name, wanted) in [("at_risk", at_risk), ("lost", lost)] {
        let query = format!("cloudflare_magic_prefixes_{name}{{account='{ACCOUNT}'}}");
        chain.prometheus.await_query(&query, PAGED, |found| matches!(found, [(_, n)] if (*n - wanted).abs() < 0.5));
    }
}

/// Waits until an alert of the account is delivered with a description that begins with `words`.
fn await_words(chain: &Delivering, alert: &str, words: &str) -> Delivery {
    eventually(&format!("{alert}: {words}"), PAGED, || {
        let all = chain.receiver.deliveries();
        let begins =
            |one: &Delivery| one.annotations["description"].as_str().is_some_and(|text| text.starts_with(words));
        let found = all.iter().find(|one| one.firing && one.is(alert, "") && begins(one)).cloned();
        found.ok_or_else(|| format!("{all:#?}"))
    })
}

/// Waits until an alert neither fires nor is pending.
fn await_end(chain: &Delivering, alert: &str) {
    chain.prometheus.await_query(&format!("ALERTS{{alertname='{alert}'}}"), PAGED, <[_]>::is_empty);
}

stories! {
    fn a_site_that_loses_its_tunnels_one_by_one_pages_once_for_its_prefixes(lab) {
        let mut world = World::default();
        world.add(ACCOUNT, "fra", 2, false);
        world.add(ACCOUNT, "lon", 3, false);
        let [fra, lon] = ["fra", "lon"].map(|site| world.of(ACCOUNT, site).collect::<Vec<_>>());
        let good = routes(&fra, &lon);
        let typing_error = [&good[..], &[route("10.60.0.0/16", "10.98.0.1/32")]].concat();
        let api = Api::start(with_routes(world.answer(|_| false), &typing_error));
        World::set(lab, world.0.iter(), "reply");
        let exporter = world.exporter(lab, &api);
        let Some(chain) = Delivering::start(&[exporter.address], lab.folder()) else { return };
        await_verdicts(&chain, "healthy", world.0.len());
        await_prefixes(&chain, 0.0, 0.0);

        // A route to a next hop that no tunnel has is reported until it is corrected.
        assert_eq!(await_words(&chain, "MagicTunnelRoutesUnmatched", "1 static route(s)").to, "record");
        api.answer_with(with_routes(world.answer(|_| false), &good));
        await_end(&chain, "MagicTunnelRoutesUnmatched");

        // The first tunnel pages by itself, and its prefixes are at risk.
        World::set(lab, fra[..1].iter().copied(), "silent");
        await_prefixes(&chain, 6.0, 0.0);
        assert_eq!(await_words(&chain, "MagicTunnelPrefixAtRisk", "6 prefix(es)").to, "chat");
        let first = format!("{ACCOUNT} fra {}: MagicTunnelDown", fra[0].name);
        assert_pages(&chain, &[&first]);

        // The second one is the end of the site and of its prefixes: one page.
        World::set(lab, fra[1..].iter().copied(), "silent");
        await_prefixes(&chain, 0.0, 6.0);
        chain.await_inhibited("MagicTunnelPrefixLost", "");
        assert_pages(&chain, &["main fra -: MagicTunnelSiteDown", &first]);
        let lost = http::text(exporter.address, "/prefixes?state=lost");
        assert!(lost.contains("6 of 7\u{a0}prefixes lost") && lost.contains(&fra[1].name), "{lost}");

        // The site recovers.
        World::set(lab, fra.iter().copied(), "reply");
        await_prefixes(&chain, 0.0, 0.0);
        chain.receiver.await_delivery("MagicTunnelPrefixAtRisk", "", false);

        // One of three tunnels that share the traffic is left.
        World::set(lab, lon[..1].iter().copied(), "silent");
        await_verdicts(&chain, "unreachable", 1);
        await_prefixes(&chain, 0.0, 0.0);
        World::set(lab, lon[1..2].iter().copied(), "silent");
        await_prefixes(&chain, 1.0, 0.0);
        await_words(&chain, "MagicTunnelPrefixAtRisk", "1 prefix(es)");
        let lost = chain.receiver.deliveries().into_iter().find(|one| one.is("MagicTunnelPrefixLost", ""));
        assert!(lost.is_none(), "the alert of the site explains them: {lost:#?}");
    }
}
