use super::*;
use crate::{
    domain::{
        fixtures::{addressed, fleet, gre, tunnel},
        health_check::{HealthCheck, Target},
        selector::Selector,
    },
    prober::settings::{Addresses, Override},
};

/// `target=address` for every target of one tunnel, in the plan's order.
fn targets(plan: &Plan, id: &str) -> Vec<String> {
    let found = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == id);
    found.map_or_else(Vec::new, |(_, tunnel)| {
        tunnel.targets.iter().map(|(target, key)| format!("{target}={}", key.address)).collect()
    })
}

fn settings(targets: &[ProbeTarget]) -> Settings {
    let tunnels = TunnelSettings { targets: targets.iter().copied().collect(), ..TunnelSettings::default() };
    Settings { enabled: true, tunnels, ..Settings::default() }
}

fn every_target() -> Settings {
    use crate::domain::label::Label;
    settings(ProbeTarget::ALL)
}

#[test]
fn by_default_the_endpoint_and_cloudflares_side_are_probed() {
    let fleet = fleet([addressed("t1", "203.0.113.1", "10.0.0.10/31", "fd00::2/127")]);
    let plan = Plan::draw(&fleet, &Settings::default());
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "interface_address=10.0.0.10", "interface_address6=fd00::2"]
    );
    assert!(plan.refused.is_empty());
}

#[test]
fn nobody_is_probed_while_probing_is_off() {
    let fleet = fleet([addressed("t1", "203.0.113.1", "", "")]);
    assert_eq!(Plan::in_force(&fleet, &Settings::default()), Plan::default());
}

#[test]
fn every_target_can_be_asked_for() {
    let mut t1 = addressed("t1", "203.0.113.1", "10.0.0.10/31", "fd00::2/127");
    let target = Target { saved: None, effective: Some("10.0.0.11".into()) };
    t1.health_check = Some(HealthCheck { target, ..HealthCheck::default() });
    assert_eq!(
        targets(&Plan::draw(&fleet([t1]), &every_target()), "t1"),
        [
            "customer_endpoint=203.0.113.1",
            "interface_address=10.0.0.10",
            "interface_address6=fd00::2",
            "interface_peer=10.0.0.11",
            "interface_peer6=fd00::3",
            "health_check_target=10.0.0.11",
        ]
    );
}

#[test]
fn what_the_api_does_not_state_is_no_refusal() {
    let plan = Plan::draw(&fleet([tunnel("t1")]), &every_target());
    assert_eq!(targets(&plan, "t1"), Vec::<String>::new());
    assert!(plan.refused.is_empty());
    assert_eq!(plan.tunnels.len(), 1, "it is known all the same");
}

#[test]
fn refused_addresses_are_counted_by_reason_and_leave_the_others_alone() {
    let fleet = fleet([
        addressed("t1", "0.0.0.0", "10.0.0.3/30", "fd00::2/127"),
        addressed("t2", "255.255.255.255", "not a prefix", ""),
        addressed("t3", "224.0.0.5", "10.0.0.1/32", ""),
    ]);
    let plan = Plan::draw(&fleet, &every_target());
    assert_eq!(targets(&plan, "t1"), ["interface_address6=fd00::2", "interface_peer6=fd00::3"]);
    assert_eq!(targets(&plan, "t3"), ["interface_address=10.0.0.1"]);
    assert_eq!(
        plan.refused,
        [
            (Refusal::Unspecified, 1),
            // t1's prefix, once as itself; its peer cannot be told either.
            (Refusal::Broadcast, 2),
            (Refusal::NoPeer, 2),
            // Both the address and its peer.
            (Refusal::Unparsable, 2),
            (Refusal::Multicast, 1),
        ]
        .into()
    );
}

#[test]
fn tunnels_that_share_an_address_share_its_session() {
    let fleet = fleet([
        addressed("t1", "203.0.113.1", "10.0.0.0/31", ""),
        addressed("t2", "203.0.113.1", "10.0.0.2/31", ""),
        gre(addressed("t1", "203.0.113.1", "10.0.0.4/31", "")),
    ]);
    let plan = Plan::draw(&fleet, &Settings::default());
    assert_eq!(plan.tunnels.len(), 3, "an id names one tunnel of each type");
    assert_eq!(plan.sessions().len(), 4);
}

#[test]
fn a_remote_prober_asks_the_customers_side_too() {
    let mut settings = Settings::default();
    settings.tunnels.vantage = Vantage::Remote;
    let plan = Plan::draw(&fleet([addressed("t1", "203.0.113.1", "10.0.0.10/31", "")]), &settings);
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "interface_address=10.0.0.10", "interface_peer=10.0.0.11"]
    );
}

#[test]
fn uplinks_are_probed_once_however_many_tunnels_there_are() {
    let settings = Settings {
        uplinks: ["192.0.2.1", "192.0.2.1", "2001:db8::1", "0.0.0.0"].map(|text| text.parse().unwrap()).to_vec(),
        ..Settings::default()
    };
    let plan = Plan::draw(&fleet([tunnel("t1"), tunnel("t2")]), &settings);
    assert_eq!(plan.uplinks.len(), 2);
    assert_eq!(plan.refused, [(Refusal::Unspecified, 1)].into());
}

#[test]
fn a_tunnel_can_be_told_apart_by_id_or_name() {
    let mut off = Override::new(Selector::name("lab-*"));
    off.enabled = Some(false);
    let mut bound = Override::new(Selector::id("t2"));
    bound.interface = Some("gre2".into());
    bound.sources = Some(Addresses::from("192.0.2.9".parse::<IpAddr>().unwrap()));
    let mut again = Override::new(Selector::name("lab-kept"));
    again.enabled = Some(true);
    let settings = Settings { overrides: vec![off, bound, again], ..Settings::default() };
    let plan = Plan::draw(
        &fleet([
            addressed("lab-1", "203.0.113.1", "", ""),
            addressed("lab-kept", "203.0.113.2", "", ""),
            addressed("t1", "203.0.113.3", "", ""),
            addressed("t2", "203.0.113.3", "", "fd00::2/127"),
        ]),
        &settings,
    );
    assert_eq!(targets(&plan, "lab-1"), Vec::<String>::new());
    assert_eq!(targets(&plan, "lab-kept"), ["customer_endpoint=203.0.113.2"], "the last word wins");
    assert_eq!(plan.sessions().len(), 4, "the same address through another interface is another session");
    let (_, t2) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == "t2").unwrap();
    let sources: Vec<_> = t2.targets.iter().map(|(_, key)| key.binding.source.map(|ip| ip.to_string())).collect();
    assert_eq!(sources, [Some("192.0.2.9".to_owned()), None], "a source serves its own version only");
    assert!(t2.targets.iter().all(|(_, key)| key.binding.interface.as_deref() == Some("gre2")));
}

#[test]
fn an_extra_address_is_probed_for_its_own_tunnel_whatever_the_targets_say() {
    let mut named = Override::new(Selector::id("t1"));
    named.extra = Some(Addresses { v4: "10.20.0.1".parse().ok(), v6: "fd00:20::1".parse().ok() });
    named.interface = Some("gre1".into());
    let mut wrong = Override::new(Selector::id("t3"));
    wrong.extra = Some(Addresses { v4: "224.0.0.5".parse().ok(), v6: None });
    let settings = Settings { overrides: vec![named, wrong], ..settings(&[ProbeTarget::CustomerEndpoint]) };
    let plan = Plan::draw(&fleet(["t1", "t2", "t3"].map(|id| addressed(id, "203.0.113.1", "", ""))), &settings);
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "extra_address=10.20.0.1", "extra_address6=fd00:20::1"]
    );
    assert_eq!(targets(&plan, "t2"), ["customer_endpoint=203.0.113.1"]);
    assert_eq!(plan.refused, [(Refusal::Multicast, 1)].into());
    let (_, t1) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == "t1").unwrap();
    assert!(t1.targets.iter().all(|(_, session)| session.binding.interface.as_deref() == Some("gre1")));
}

/// Who proves the outside of a tunnel: its own uplinks, or else those of the site, or else its customer endpoint.
#[test]
fn a_tunnel_has_its_own_uplinks_or_those_of_all() {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let own = |id: &str, uplinks: &[&str], vantage: Vantage| Override {
        uplinks: Some(addresses(uplinks)),
        vantage: Some(vantage),
        interface: Some("gre1".into()),
        ..Override::new(Selector::id(id))
    };
    let mut remote = Override::new(Selector::id("remote"));
    remote.vantage = Some(Vantage::Remote);
    let settings = Settings {
        uplinks: addresses(&["192.0.2.1"]),
        overrides: vec![
            own("own", &["192.0.2.9", "192.0.2.1", "192.0.2.9"], Vantage::Site),
            own("none", &[], Vantage::Site),
            own("far", &["192.0.2.7"], Vantage::Remote),
            remote,
        ],
        ..Settings::default()
    };
    let plan = Plan::draw(&fleet(["site", "own", "none", "far", "remote"].map(tunnel)), &settings);
    let uplinks = |id: &str| {
        let (_, plan) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == id).unwrap();
        plan.uplinks.iter().map(|session| session.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(uplinks("site"), ["192.0.2.1"]);
    assert_eq!(uplinks("own"), ["192.0.2.1", "192.0.2.9"]);
    assert_eq!(uplinks("none"), [""; 0]);
    assert_eq!(uplinks("far"), ["192.0.2.7"]);
    assert_eq!(uplinks("remote"), [""; 0], "what proves the circuit of this site proves nothing of another");
    assert_eq!(plan.uplinks.len(), 3, "each is probed once");
    assert!(
        plan.uplinks.iter().all(|session| session.binding.interface.is_none()),
        "an uplink is not sent into the tunnel that the override binds its other echoes to"
    );
}
