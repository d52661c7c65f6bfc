use super::*;
use crate::domain::{
    bgp::BgpState,
    fixtures::{reporting, tunnel},
    health_check::{HealthCheck, Target},
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn only_what_one_host_can_have_is_probed() {
    for (address, expected) in [
        ("192.0.2.1", None),
        ("127.0.0.1", None),
        ("169.254.250.0", None),
        ("10.0.0.255", None),
        ("239.255.255.255", Some(Refusal::Multicast)),
        ("224.0.0.1", Some(Refusal::Multicast)),
        ("0.0.0.0", Some(Refusal::Unspecified)),
        ("0.1.2.3", Some(Refusal::Reserved)),
        ("240.0.0.1", Some(Refusal::Reserved)),
        ("255.255.255.255", Some(Refusal::Broadcast)),
        ("::", Some(Refusal::Unspecified)),
        ("::1", None),
        ("2001:db8::1", None),
        ("fd00::1", None),
        ("ff02::1", Some(Refusal::Multicast)),
        ("fe80::1", Some(Refusal::LinkLocal)),
        ("::ffff:192.0.2.1", Some(Refusal::Reserved)),
    ] {
        assert_eq!(check(ip(address), false).err(), expected, "{address}");
    }
    assert!(check(ip("fe80::1"), true).is_ok(), "an interface says which link is meant");
}

#[test]
fn the_ends_of_a_wide_prefix_are_no_hosts() {
    for (prefix, expected) in [
        ("10.0.0.0/31", None),
        ("10.0.0.1/31", None),
        ("10.0.0.0/32", None),
        ("10.0.0.0/30", Some(Refusal::NetworkAddress)),
        ("10.0.0.1/30", None),
        ("10.0.0.2/30", None),
        ("10.0.0.3/30", Some(Refusal::Broadcast)),
        ("10.0.0.255/24", Some(Refusal::Broadcast)),
        ("fd00::/127", None),
        ("fd00::/64", None),
    ] {
        assert_eq!(host(&net(prefix), false).err(), expected, "{prefix}");
    }
}

#[test]
fn the_other_host_of_a_narrow_prefix_is_the_customer() {
    for (prefix, expected) in [
        ("10.0.0.10/31", Ok("10.0.0.11")),
        ("10.49.0.11/31", Ok("10.49.0.10")),
        ("10.100.0.9/30", Ok("10.100.0.10")),
        ("10.100.0.10/30", Ok("10.100.0.9")),
        ("10.100.0.8/30", Err(Refusal::NoPeer)),
        ("10.100.0.11/30", Err(Refusal::NoPeer)),
        ("10.0.0.1/32", Err(Refusal::NoPeer)),
        ("10.0.0.1/29", Err(Refusal::NoPeer)),
        ("0.0.0.1/31", Err(Refusal::Unspecified)),
        ("fd00::2/127", Ok("fd00::3")),
        ("fd00::3/127", Ok("fd00::2")),
        ("fd00::1/128", Err(Refusal::NoPeer)),
        ("fd00::1/126", Err(Refusal::NoPeer)),
    ] {
        assert_eq!(peer(&tunnel("t1"), &net(prefix), false), expected.map(ip), "{prefix}");
    }
}

/// A tunnel whose session and health check name these customer-side addresses.
fn told(speaker: Option<&str>, direction: Direction, effective: &str) -> Tunnel {
    let mut tunnel = reporting(tunnel("t1"), BgpState::Up);
    if let Some(status) = &mut tunnel.bgp_status {
        status.customer_speaker.ip = speaker.map(ip);
    }
    tunnel.health_check = Some(HealthCheck {
        direction: Some(direction),
        target: Target { saved: None, effective: Some(effective.into()) },
        ..HealthCheck::default()
    });
    tunnel
}

#[test]
fn what_cloudflare_itself_uses_comes_before_the_rule() {
    use Direction::{Bidirectional, Unidirectional};
    let prefix = net("10.0.0.1/29");
    for (what, tunnel, expected) in [
        ("the speaker first", told(Some("10.0.0.2"), Bidirectional, "10.0.0.3"), Ok("10.0.0.2")),
        ("then the check", told(None, Bidirectional, "10.0.0.3"), Ok("10.0.0.3")),
        ("written as a prefix", told(None, Bidirectional, "10.0.0.3/32"), Ok("10.0.0.3")),
        ("a speaker elsewhere is none", told(Some("192.0.2.7"), Bidirectional, "10.0.0.3"), Ok("10.0.0.3")),
        ("nor is Cloudflare's own side", told(Some("10.0.0.1"), Bidirectional, "10.0.0.3"), Ok("10.0.0.3")),
        ("a one-way check says nothing", told(None, Unidirectional, "10.0.0.3"), Err(Refusal::NoPeer)),
        ("a custom target outside neither", told(None, Bidirectional, "203.0.113.1"), Err(Refusal::NoPeer)),
        ("nor garbage", told(None, Bidirectional, "router.example"), Err(Refusal::NoPeer)),
    ] {
        assert_eq!(peer(&tunnel, &prefix, false), expected.map(ip), "{what}");
    }
}
