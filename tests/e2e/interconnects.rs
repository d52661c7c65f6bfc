//! Interconnects: tunnels of a third type, with a list that fails alone.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::support::{SOON, http};

const NAME: &str = "fra-cni-1";

#[test]
fn an_interconnect_is_a_tunnel_with_a_list_that_fails_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let mut exporter = sandbox.watched(&folder, &[]);
    let of_cni = [("tunnel_name", NAME), ("tunnel_type", "interconnect")];
    exporter.await_page("an interconnect with a route", SOON, |page| {
        page.value("tunnel_routes", &of_cni).filter(|routes| *routes == 1.0)
    });
    let page = exporter.samples();
    assert_eq!(page.value("tunnel_mtu_bytes", &of_cni), Some(1500.0));
    assert!(page.value("tunnel_bgp_up", &of_cni).is_none(), "the API reports no BGP status");
    let text = http::text(exporter.address, "/api/v1/tunnels?type=interconnect");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["tunnels"][0]["interconnect"]["version"], "2", "{answer}");

    let refused = r#"{"faults": [{"collection": "cf_interconnects", "fault": "forbidden"}]}"#;
    assert_eq!(http::send(sandbox.address, "PUT", "/sandbox/faults", &[], refused).expect("an answer").status, 200);
    exporter.await_page("a refusal", SOON, |page| {
        page.value("collection_up", &[("collection", "cf_interconnects")]).filter(|up| *up == 0.0)
    });
    let page = exporter.samples();
    assert_eq!(page.value("collection_up", &[("collection", "gre_tunnels")]), Some(1.0));
    assert_eq!(page.value("tunnel_routes", &of_cni), Some(1.0), "the last good list stays");
    assert_eq!(http::get(exporter.address, "/-/ready").expect("an answer").status, 200);
    let front = http::text(exporter.address, "/");
    assert!(front.contains("cf_interconnects cannot be polled (auth)"), "{front}");
}

#[test]
fn a_missing_permission_for_interconnects_delays_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let broken = r#"{"faults": [{"collection": "cf_interconnects", "fault": {"status": {"code": 503}}}]}"#;
    assert_eq!(http::send(sandbox.address, "PUT", "/sandbox/faults", &[], broken).expect("an answer").status, 200);
    let exporter = sandbox.watched(&folder, &[]);
    exporter.await_ready();
}

#[test]
fn interconnects_that_are_switched_off_are_not_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let mut exporter = sandbox.watched(&folder, &["--interconnects.enabled=false"]);
    // The route to the interconnect, and the one with a typing error.
    exporter.await_page("routes without a tunnel", SOON, |page| {
        page.value("routes_unmatched", &[]).filter(|routes| *routes == 2.0)
    });
    let page = exporter.samples();
    assert!(page.all("collection_up", &[("collection", "cf_interconnects")]).is_empty());
    assert!(page.all("tunnels", &[("tunnel_type", "interconnect")]).is_empty());
}
