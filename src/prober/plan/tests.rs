use super::*;
use crate::{
    domain::{
        fixtures::{addressed, fleet, gre, reporting, tunnel},
        rules::Selector,
        steering::{AddressPair, Steering},
        tunnel::{BgpState, CheckDirection, CheckTarget, GreDetails, HealthCheck, InterconnectDetails, TunnelDetails},
    },
    prober::{mtu::MtuSettings, settings::ProbeOverride},
};

/// `target=address` for every target of one tunnel, in the plan's order.
fn targets(plan: &ProbePlan, id: &str) -> Vec<String> {
    let found = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == id);
    found.map_or_else(Vec::new, |(_, tunnel)| {
        tunnel.targets.iter().map(|(target, key)| format!("{target}={}", key.address)).collect()
    })
}

fn settings(targets: &[ProbeTarget]) -> ProbeSettings {
    let tunnels = TunnelSettings { targets: targets.iter().copied().collect(), ..TunnelSettings::default() };
    ProbeSettings { enabled: true, tunnels, ..ProbeSettings::default() }
}

fn every_target() -> ProbeSettings {
    use crate::domain::label::Label;
    settings(ProbeTarget::ALL)
}

#[test]
fn by_default_the_endpoint_and_cloudflares_side_are_probed() {
    let fleet = fleet([addressed("t1", "203.0.113.1", "10.0.0.10/31", "fd00::2/127")]);
    let plan = ProbePlan::build(&fleet, &ProbeSettings::default());
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "interface_address=10.0.0.10", "interface_address6=fd00::2"]
    );
    assert!(plan.refused.is_empty());
}

#[test]
fn nothing_is_probed_while_probing_is_disabled() {
    let fleet = fleet([addressed("t1", "203.0.113.1", "", "")]);
    assert_eq!(ProbePlan::build_if_enabled(&fleet, &ProbeSettings::default()), ProbePlan::default());
}

#[test]
fn every_target_can_be_configured() {
    let mut t1 = addressed("t1", "203.0.113.1", "10.0.0.10/31", "fd00::2/127");
    let target = CheckTarget { saved: None, effective: Some("10.0.0.11".into()) };
    t1.health_check = Some(HealthCheck { target, ..HealthCheck::default() });
    assert_eq!(
        targets(&ProbePlan::build(&fleet([t1]), &every_target()), "t1"),
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
fn an_absent_field_is_not_counted_as_refused() {
    let plan = ProbePlan::build(&fleet([tunnel("t1")]), &every_target());
    assert_eq!(targets(&plan, "t1"), Vec::<String>::new());
    assert!(plan.refused.is_empty());
    assert_eq!(plan.tunnels.len(), 1, "the tunnel is still in the plan");
}

#[test]
fn refused_addresses_are_counted_by_reason_and_do_not_affect_others() {
    let fleet = fleet([
        addressed("t1", "0.0.0.0", "10.0.0.3/30", "fd00::2/127"),
        addressed("t2", "255.255.255.255", "not a prefix", ""),
        addressed("t3", "224.0.0.5", "10.0.0.1/32", ""),
    ]);
    let plan = ProbePlan::build(&fleet, &every_target());
    assert_eq!(targets(&plan, "t1"), ["interface_address6=fd00::2", "interface_peer6=fd00::3"]);
    assert_eq!(targets(&plan, "t3"), ["interface_address=10.0.0.1"]);
    assert_eq!(
        plan.refused,
        [
            (RefusalReason::Unspecified, 1),
            // The prefix of t1; its peer is unknown, too.
            (RefusalReason::Broadcast, 2),
            (RefusalReason::NoPeer, 2),
            // Both the address and its peer.
            (RefusalReason::Unparsable, 2),
            (RefusalReason::Multicast, 1),
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
    let plan = ProbePlan::build(&fleet, &ProbeSettings::default());
    assert_eq!(plan.tunnels.len(), 3, "an id names one tunnel of each type");
    assert_eq!(plan.sessions().len(), 4);
}

#[test]
fn a_remote_prober_also_probes_the_customers_side() {
    let mut settings = ProbeSettings::default();
    settings.tunnels.vantage = Vantage::Remote;
    let plan = ProbePlan::build(&fleet([addressed("t1", "203.0.113.1", "10.0.0.10/31", "")]), &settings);
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "interface_address=10.0.0.10", "interface_peer=10.0.0.11"]
    );
}

#[test]
fn uplinks_are_probed_once_for_all_tunnels() {
    let settings = ProbeSettings {
        uplinks: ["192.0.2.1", "192.0.2.1", "2001:db8::1", "0.0.0.0"].map(|text| text.parse().unwrap()).to_vec(),
        ..ProbeSettings::default()
    };
    let plan = ProbePlan::build(&fleet([tunnel("t1"), tunnel("t2")]), &settings);
    assert_eq!(plan.uplinks.len(), 2);
    assert_eq!(plan.refused, [(RefusalReason::Unspecified, 1)].into());
}

#[test]
fn overrides_select_tunnels_by_id_or_name() {
    let mut off = ProbeOverride::new(Selector::name("lab-*"));
    off.steering.enabled = Some(false);
    let mut bound = ProbeOverride::new(Selector::id("t2"));
    bound.interface = Some("gre2".into());
    bound.sources = Some(AddressPair::from("192.0.2.9".parse::<IpAddr>().unwrap()));
    let mut again = ProbeOverride::new(Selector::name("lab-kept"));
    again.steering.enabled = Some(true);
    let settings = ProbeSettings { overrides: vec![off, bound, again], ..ProbeSettings::default() };
    let plan = ProbePlan::build(
        &fleet([
            addressed("lab-1", "203.0.113.1", "", ""),
            addressed("lab-kept", "203.0.113.2", "", ""),
            addressed("t1", "203.0.113.3", "", ""),
            addressed("t2", "203.0.113.3", "", "fd00::2/127"),
        ]),
        &settings,
    );
    assert_eq!(targets(&plan, "lab-1"), Vec::<String>::new());
    assert_eq!(targets(&plan, "lab-kept"), ["customer_endpoint=203.0.113.2"], "the last override wins");
    assert_eq!(plan.sessions().len(), 4, "the same address through another interface is another session");
    let (_, t2) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == "t2").unwrap();
    let sources: Vec<_> = t2.targets.iter().map(|(_, key)| key.binding.source.map(|ip| ip.to_string())).collect();
    assert_eq!(sources, [Some("192.0.2.9".to_owned()), None], "a source applies to its own IP version only");
    assert!(t2.targets.iter().all(|(_, key)| key.binding.interface.as_deref() == Some("gre2")));
}

#[test]
fn an_extra_address_is_probed_for_its_own_tunnel_regardless_of_targets() {
    let mut named = ProbeOverride::new(Selector::id("t1"));
    named.steering.extra = Some(AddressPair { v4: "10.20.0.1".parse().ok(), v6: "fd00:20::1".parse().ok() });
    named.interface = Some("gre1".into());
    let mut wrong = ProbeOverride::new(Selector::id("t3"));
    wrong.steering.extra = Some(AddressPair { v4: "224.0.0.5".parse().ok(), v6: None });
    let settings = ProbeSettings { overrides: vec![named, wrong], ..settings(&[ProbeTarget::CustomerEndpoint]) };
    let plan = ProbePlan::build(&fleet(["t1", "t2", "t3"].map(|id| addressed(id, "203.0.113.1", "", ""))), &settings);
    assert_eq!(
        targets(&plan, "t1"),
        ["customer_endpoint=203.0.113.1", "extra_address=10.20.0.1", "extra_address6=fd00:20::1"]
    );
    assert_eq!(targets(&plan, "t2"), ["customer_endpoint=203.0.113.1"]);
    assert_eq!(plan.refused, [(RefusalReason::Multicast, 1)].into());
    let (_, t1) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == "t1").unwrap();
    assert!(t1.targets.iter().all(|(_, session)| session.binding.interface.as_deref() == Some("gre1")));
}

/// The underlay of a tunnel is shown by its own uplinks, otherwise by the global ones, otherwise by its customer
/// endpoint.
#[test]
fn a_tunnel_has_its_own_uplinks_or_the_global_ones() {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let own = |id: &str, uplinks: &[&str], vantage: Vantage| ProbeOverride {
        steering: Steering { uplinks: Some(addresses(uplinks)), vantage: Some(vantage), ..Steering::default() },
        interface: Some("gre1".into()),
        ..ProbeOverride::new(Selector::id(id))
    };
    let mut remote = ProbeOverride::new(Selector::id("remote"));
    remote.steering.vantage = Some(Vantage::Remote);
    let settings = ProbeSettings {
        uplinks: addresses(&["192.0.2.1"]),
        overrides: vec![
            own("own", &["192.0.2.9", "192.0.2.1", "192.0.2.9"], Vantage::Site),
            own("none", &[], Vantage::Site),
            own("far", &["192.0.2.7"], Vantage::Remote),
            remote,
        ],
        ..ProbeSettings::default()
    };
    let plan = ProbePlan::build(&fleet(["site", "own", "none", "far", "remote"].map(tunnel)), &settings);
    let uplinks = |id: &str| {
        let (_, plan) = plan.tunnels.iter().find(|(key, _)| key.id.as_str() == id).unwrap();
        plan.uplinks.iter().map(|session| session.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(uplinks("site"), ["192.0.2.1"]);
    assert_eq!(uplinks("own"), ["192.0.2.1", "192.0.2.9"]);
    assert_eq!(uplinks("none"), [""; 0]);
    assert_eq!(uplinks("far"), ["192.0.2.7"]);
    assert_eq!(uplinks("remote"), [""; 0], "the global uplinks say nothing about another site");
    assert_eq!(plan.uplinks.len(), 3, "each is probed once");
    assert!(
        plan.uplinks.iter().all(|session| session.binding.interface.is_none()),
        "an uplink is not sent into the tunnel that the override binds its other echoes to"
    );
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn only_addresses_of_single_hosts_are_probed() {
    for (address, expected) in [
        ("192.0.2.1", None),
        ("127.0.0.1", None),
        ("169.254.250.0", None),
        ("10.0.0.255", None),
        ("239.255.255.255", Some(RefusalReason::Multicast)),
        ("224.0.0.1", Some(RefusalReason::Multicast)),
        ("0.0.0.0", Some(RefusalReason::Unspecified)),
        ("0.1.2.3", Some(RefusalReason::Reserved)),
        ("240.0.0.1", Some(RefusalReason::Reserved)),
        ("255.255.255.255", Some(RefusalReason::Broadcast)),
        ("::", Some(RefusalReason::Unspecified)),
        ("::1", None),
        ("2001:db8::1", None),
        ("fd00::1", None),
        ("ff02::1", Some(RefusalReason::Multicast)),
        ("fe80::1", Some(RefusalReason::LinkLocal)),
        ("::ffff:192.0.2.1", Some(RefusalReason::Reserved)),
    ] {
        assert_eq!(check_address(ip(address), false).err(), expected, "{address}");
    }
    assert!(check_address(ip("fe80::1"), true).is_ok(), "the interface identifies the link");
}

#[test]
fn the_first_and_last_address_of_a_wide_prefix_are_refused() {
    for (prefix, expected) in [
        ("10.0.0.0/31", None),
        ("10.0.0.1/31", None),
        ("10.0.0.0/32", None),
        ("10.0.0.0/30", Some(RefusalReason::NetworkAddress)),
        ("10.0.0.1/30", None),
        ("10.0.0.2/30", None),
        ("10.0.0.3/30", Some(RefusalReason::Broadcast)),
        ("10.0.0.255/24", Some(RefusalReason::Broadcast)),
        ("fd00::/127", None),
        ("fd00::/64", None),
    ] {
        assert_eq!(cloudflare_side(&net(prefix), false).err(), expected, "{prefix}");
    }
}

#[test]
fn the_other_host_of_a_narrow_prefix_is_the_customer() {
    for (prefix, expected) in [
        ("10.0.0.10/31", Ok("10.0.0.11")),
        ("10.49.0.11/31", Ok("10.49.0.10")),
        ("10.100.0.9/30", Ok("10.100.0.10")),
        ("10.100.0.10/30", Ok("10.100.0.9")),
        ("10.100.0.8/30", Err(RefusalReason::NoPeer)),
        ("10.100.0.11/30", Err(RefusalReason::NoPeer)),
        ("10.0.0.1/32", Err(RefusalReason::NoPeer)),
        ("10.0.0.1/29", Err(RefusalReason::NoPeer)),
        ("0.0.0.1/31", Err(RefusalReason::Unspecified)),
        ("fd00::2/127", Ok("fd00::3")),
        ("fd00::3/127", Ok("fd00::2")),
        ("fd00::1/128", Err(RefusalReason::NoPeer)),
        ("fd00::1/126", Err(RefusalReason::NoPeer)),
    ] {
        assert_eq!(customer_side(&tunnel("t1"), &net(prefix), false), expected.map(ip), "{prefix}");
    }
}

/// A tunnel with these customer addresses in its BGP session and its health check.
fn using(speaker: Option<&str>, direction: CheckDirection, effective: &str) -> Tunnel {
    let mut tunnel = reporting(tunnel("t1"), BgpState::Up);
    if let Some(status) = &mut tunnel.bgp_status {
        status.customer_speaker.ip = speaker.map(ip);
    }
    tunnel.health_check = Some(HealthCheck {
        direction: Some(direction),
        target: CheckTarget { saved: None, effective: Some(effective.into()) },
        ..HealthCheck::default()
    });
    tunnel
}

#[test]
fn only_the_customers_side_of_an_interconnect_is_probed_unless_other_targets_are_set() {
    let mut cni = addressed("cni", "", "10.0.0.0/31", "fd00::2/127");
    cni.details = TunnelDetails::Interconnect(InterconnectDetails::default());
    let planned = |settings: &ProbeSettings| targets(&ProbePlan::build(&fleet([cni.clone()]), settings), "cni");
    assert_eq!(planned(&ProbeSettings::default()), ["interface_peer=10.0.0.1"]);
    assert_eq!(planned(&settings(&[ProbeTarget::InterfaceAddress])), ["interface_address=10.0.0.0"]);
}

#[test]
fn addresses_that_cloudflare_uses_come_first() {
    use CheckDirection::{Bidirectional, Unidirectional};
    let prefix = net("10.0.0.1/29");
    for (what, tunnel, expected) in [
        ("the speaker has priority", using(Some("10.0.0.2"), Bidirectional, "10.0.0.3"), Ok("10.0.0.2")),
        ("then the health check", using(None, Bidirectional, "10.0.0.3"), Ok("10.0.0.3")),
        ("written as a prefix", using(None, Bidirectional, "10.0.0.3/32"), Ok("10.0.0.3")),
        (
            "a speaker outside the prefix is ignored",
            using(Some("192.0.2.7"), Bidirectional, "10.0.0.3"),
            Ok("10.0.0.3"),
        ),
        ("so is Cloudflare's side", using(Some("10.0.0.1"), Bidirectional, "10.0.0.3"), Ok("10.0.0.3")),
        ("so is a unidirectional check", using(None, Unidirectional, "10.0.0.3"), Err(RefusalReason::NoPeer)),
        ("so is a target outside the prefix", using(None, Bidirectional, "203.0.113.1"), Err(RefusalReason::NoPeer)),
        ("so is invalid text", using(None, Bidirectional, "router.example"), Err(RefusalReason::NoPeer)),
    ] {
        assert_eq!(customer_side(&tunnel, &prefix, false), expected.map(ip), "{what}");
    }
}

/// Address, expected size and floor of every watched path MTU.
fn watched(plan: &ProbePlan) -> Vec<(String, u16, u16)> {
    plan.mtu.iter().map(|(key, limits)| (key.address.to_string(), limits.expected(), limits.floor())).collect()
}

fn watching() -> ProbeSettings {
    let mtu = MtuSettings { enabled: true, ..MtuSettings::default() };
    ProbeSettings { enabled: true, mtu, uplinks: vec!["192.0.2.1".parse().unwrap()], ..every_target() }
}

#[test]
fn only_the_path_mtu_of_cloudflares_addresses_inside_is_watched() {
    let tunnels = || {
        let ipsec = addressed("ipsec", "203.0.113.1", "10.0.0.10/31", "fd00::2/127");
        let mut stated = gre(addressed("stated", "203.0.113.3", "10.0.0.30/31", ""));
        stated.details = TunnelDetails::Gre(GreDetails { mtu: Some(1_436), ttl: None });
        [ipsec, gre(addressed("gre", "203.0.113.2", "10.0.0.20/31", "")), stated]
    };
    assert_eq!(watched(&ProbePlan::build(&fleet(tunnels()), &every_target())), [], "off by default");
    let mut settings = watching();
    let of = |address: &str, expected, floor| (address.to_owned(), expected, floor);
    let by_type = [
        of("10.0.0.10", 1_400, 576),
        of("10.0.0.20", 1_476, 576),
        of("10.0.0.30", 1_436, 576),
        of("fd00::2", 1_400, 1_280),
    ];
    assert_eq!(watched(&ProbePlan::build(&fleet(tunnels()), &settings)), by_type);
    settings.tunnels.expected_mtu = Some(1_300);
    let [mut off, mut smaller] = ["gre", "stated"].map(|id| ProbeOverride::new(Selector::id(id)));
    (off.mtu, smaller.expected_mtu) = (Some(false), Some(500));
    settings.overrides = vec![off, smaller];
    let configured = [of("10.0.0.10", 1_300, 576), of("10.0.0.30", 500, 500), of("fd00::2", 1_300, 1_280)];
    assert_eq!(watched(&ProbePlan::build(&fleet(tunnels()), &settings)), configured);
    settings.tunnels.vantage = Vantage::Remote;
    assert_eq!(watched(&ProbePlan::build(&fleet(tunnels()), &settings)), [], "the path leads through two tunnels");
}

#[test]
fn tunnels_that_share_an_address_share_the_smaller_size() {
    let tunnels = || [addressed("a", "", "10.0.0.10/31", ""), gre(addressed("b", "", "10.0.0.10/31", ""))];
    for tunnels in [tunnels(), {
        let [a, b] = tunnels();
        [b, a]
    }] {
        let plan = ProbePlan::build(&fleet(tunnels), &watching());
        assert_eq!(watched(&plan), [("10.0.0.10".to_owned(), 1_400, 576)]);
    }
}

#[test]
fn the_class_of_service_is_that_of_every_session() {
    let fleet = fleet([addressed("t1", "203.0.113.1", "10.0.0.10/31", "")]);
    let plan = ProbePlan::build(&fleet, &ProbeSettings { dscp: 46, ..watching() });
    assert!(plan.sessions().iter().all(|key| key.binding.dscp == 46));
    assert_eq!(plan.sessions().len(), 4);
}
