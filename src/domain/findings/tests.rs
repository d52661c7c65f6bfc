use std::{env, fmt::Write as _, fs};

use super::*;
use crate::domain::{
    fixtures::{addressed, gre, tunnel},
    tunnel::{GreDetails, HealthCheck, InterconnectDetails},
};

const NOW: &str = "2026-11-21T12:00:00Z";

fn examined(tunnel: &Tunnel) -> Findings {
    Findings::of(tunnel, Some(&SharedPrefixes::default()), NOW.parse().unwrap())
}

fn with_ipsec(details: IpsecDetails) -> Tunnel {
    Tunnel { details: TunnelDetails::Ipsec(details), ..tunnel("fra") }
}

fn with_check(enabled: Option<bool>, check_type: Option<CheckType>) -> Tunnel {
    Tunnel { health_check: Some(HealthCheck { enabled, check_type, ..HealthCheck::default() }), ..tunnel("fra") }
}

#[test]
fn a_field_that_the_api_omits_is_no_finding() {
    let bare = examined(&tunnel("fra"));
    let present: Vec<_> = bare.present().collect();
    assert_eq!(present, [Finding::NoCustomerEndpoint], "its absence is the finding");
    for &finding in Finding::ALL {
        let expected = (finding == Finding::NoCustomerEndpoint).then_some(true);
        assert_eq!(bare.get(finding), expected, "{finding}");
    }
    assert_eq!(examined(&with_check(None, None)).get(Finding::HealthCheckOff), None);
    assert_eq!(examined(&gre(tunnel("fra"))).get(Finding::MtuUnusual), None);
}

#[test]
fn the_cipher_and_replay_protection_are_findings_of_ipsec() {
    for on in [true, false] {
        let details =
            IpsecDetails { allow_null_cipher: Some(on), replay_protection: Some(!on), ..IpsecDetails::default() };
        let findings = examined(&with_ipsec(details));
        assert_eq!(findings.get(Finding::NullCipherAllowed), Some(on));
        assert_eq!(findings.get(Finding::ReplayProtectionOff), Some(on));
    }
    let findings = examined(&gre(tunnel("fra")));
    assert_eq!([Finding::NullCipherAllowed, Finding::ReplayProtectionOff].map(|f| findings.get(f)), [None; 2]);
}

#[test]
fn a_check_that_is_off_or_sends_replies_is_a_finding() {
    use CheckType::{Reply, Request, Unknown};
    for (enabled, check_type, off, reply) in [
        (Some(true), Some(Request), Some(false), Some(false)),
        (Some(true), Some(Reply), Some(false), Some(true)),
        (Some(false), Some(Request), Some(true), Some(false)),
        (Some(false), Some(Reply), Some(true), Some(false)),
        (None, Some(Reply), None, Some(true)),
        (Some(true), Some(Unknown), Some(false), None),
        (Some(true), None, Some(false), None),
    ] {
        let findings = examined(&with_check(enabled, check_type));
        assert_eq!(findings.get(Finding::HealthCheckOff), off, "{enabled:?} {check_type:?}");
        assert_eq!(findings.get(Finding::ReplyCheck), reply, "{enabled:?} {check_type:?}");
    }
}

#[test]
fn a_pre_shared_key_is_old_after_a_year() {
    for (generated, old) in [
        ("2026-11-20T12:00:00Z", false),
        ("2025-11-21T12:00:00Z", false),
        ("2025-11-21T11:59:59Z", true),
        ("2027-01-01T00:00:00Z", false),
    ] {
        let details = IpsecDetails { psk_generated_on: generated.parse().ok(), ..IpsecDetails::default() };
        assert_eq!(examined(&with_ipsec(details)).get(Finding::PskOld), Some(old), "{generated}");
    }
}

#[test]
fn an_mtu_outside_the_usual_range_is_a_finding() {
    for (mtu, unusual) in [(576, true), (1399, true), (1400, false), (1476, false), (1477, true), (9000, true)] {
        let details = TunnelDetails::Gre(GreDetails { mtu: Some(mtu), ttl: None });
        assert_eq!(examined(&Tunnel { details, ..tunnel("fra") }).get(Finding::MtuUnusual), Some(unusual), "{mtu}");
    }
}

fn interconnect(mtu: Option<u32>) -> Tunnel {
    let details = InterconnectDetails { mtu, ..InterconnectDetails::default() };
    Tunnel { details: TunnelDetails::Interconnect(details), ..tunnel("cni") }
}

#[test]
fn an_interconnect_carries_packets_of_1500_bytes() {
    for (mtu, unusual) in [(1399, true), (1400, false), (1476, false), (1500, false), (1501, true), (9000, true)] {
        assert_eq!(examined(&interconnect(Some(mtu))).get(Finding::MtuUnusual), Some(unusual), "{mtu}");
    }
    assert_eq!(examined(&interconnect(None)).get(Finding::MtuUnusual), None);
}

#[test]
fn an_interconnect_has_neither_a_customer_endpoint_nor_a_key() {
    let bare = examined(&interconnect(None));
    assert_eq!(bare.present().collect::<Vec<_>>(), []);
    for finding in
        [Finding::NoCustomerEndpoint, Finding::NullCipherAllowed, Finding::ReplayProtectionOff, Finding::PskOld]
    {
        assert_eq!(bare.get(finding), None, "{finding}");
    }
}

#[test]
fn a_tunnel_needs_a_customer_endpoint() {
    for (endpoint, missing) in [("", true), ("192.0.2.1", false), ("router.example", false)] {
        let findings = examined(&addressed("fra", endpoint, "", ""));
        assert_eq!(findings.get(Finding::NoCustomerEndpoint), Some(missing), "{endpoint:?}");
    }
}

#[test]
fn tunnels_of_one_account_share_a_prefix_whatever_its_host_part() {
    let tunnels = [
        addressed("a", "", "10.0.0.0/31", "2001:db8::/127"),
        gre(addressed("b", "", "10.0.0.1/31", "2001:db8::2/127")),
        addressed("c", "", "10.0.0.0/30", "2001:db8::3/127"),
        addressed("d", "", "10.0.0.8/31", ""),
        addressed("e", "", "", ""),
        addressed("f", "", "fra", ""),
    ];
    let shared = SharedPrefixes::among(&tunnels);
    let now = NOW.parse().unwrap();
    let found = tunnels.each_ref().map(|one| Findings::of(one, Some(&shared), now).get(Finding::SharedInterfacePrefix));
    assert_eq!(found, [Some(true), Some(true), Some(true), Some(false), None, None]);
    let alone = Findings::of(&tunnels[0], None, now).get(Finding::SharedInterfacePrefix);
    assert_eq!(alone, None, "the other tunnels are not known");
}

/// docs/FINDINGS.md, which `UPDATE_DOCS=1` writes.
#[test]
fn the_document_lists_every_finding() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FINDINGS.md");
    let mut table = String::from("| finding | severity | meaning | remedy |\n|---|---|---|---|\n");
    for &finding in Finding::ALL {
        let FindingText { severity, sentence, remedy } = finding.text();
        writeln!(table, "| `{finding}` | {severity} | {sentence} | {remedy} |").unwrap();
    }
    let document = fs::read_to_string(PATH).unwrap();
    let start = document.find("| finding |").unwrap();
    let length = document[start..].find("\n\n").unwrap() + 1;
    let expected = [&document[..start], &table, &document[start + length..]].concat();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PATH, expected).unwrap();
    } else {
        assert_eq!(document, expected, "run this test with UPDATE_DOCS=1");
    }
}
