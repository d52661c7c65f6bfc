use serde_json::{Value, json};

use super::*;

fn row(side: &str, id: &str, name: &str, bits: impl Into<Value>) -> Value {
    let dimensions = json!({ format!("{side}TunnelID"): id, format!("{side}TunnelName"): name });
    json!({ "sum": { "bits": bits.into(), "packets": 600 }, "dimensions": dimensions })
}

fn read(limit: u64, account: &Value) -> Result<TrafficListing, FailureReason> {
    let body = json!({ "data": { "viewer": { "accounts": [account] } } }).to_string();
    TrafficListing::read(limit, Duration::from_mins(5), body.as_bytes()).map_err(|failure| failure.reason)
}

fn names(listing: &TrafficListing) -> Vec<String> {
    listing.rows.iter().map(|row| format!("{} {} {}", row.direction, row.name, row.rate.bytes_per_second)).collect()
}

#[test]
fn sums_become_rates_by_direction() {
    let from_site = [row("ingress", "1", "fra", 2400), row("ingress", "", "device_id", 9), row("ingress", "2", "", 9)];
    let to_site = [row("egress", "1", "fra", "4800"), row("egress", "2", "par", 2.4e15)];
    let listing = read(10, &json!({ "from_site": from_site, "to_site": to_site })).unwrap();
    assert_eq!(names(&listing), ["to_site fra 2", "from_site fra 1", "to_site par 1000000000000"]);
    assert_eq!(listing.rows[0].rate, TrafficRate { bytes_per_second: 2.0, packets_per_second: 2.0 });
    assert_eq!((listing.truncated, listing.unreadable), (false, Unreadable::default()));
}

#[test]
fn rows_that_cannot_be_read_are_counted() {
    let to_site = [
        row("egress", "1", "fra", -1),
        row("egress", "2", "par", json!(null)),
        json!({ "dimensions": { "egressTunnelName": 5 } }),
        row("egress", "3", "ams", 2400),
        row("egress", "3", "ams", 4800),
        row("egress", "4", "vie", 2400),
        row("egress", "4", "vie", 2400),
    ];
    let listing = read(10, &json!({ "from_site": [], "to_site": to_site })).unwrap();
    assert_eq!(names(&listing), ["to_site vie 1"]);
    assert_eq!(listing.unreadable.values, [(KnownField::EdgeRow, 4)].into());
}

#[test]
fn a_full_list_is_cut_before_its_last_name() {
    let to_site = [row("egress", "1", "a", 2400), row("egress", "2", "b", 2400), row("egress", "3", "b", 2400)];
    let listing = read(3, &json!({ "from_site": [row("ingress", "2", "b", 2400)], "to_site": to_site })).unwrap();
    assert_eq!(
        (names(&listing), listing.truncated),
        (vec!["to_site a 1".to_owned(), "from_site b 1".to_owned()], true)
    );
}

#[test]
fn one_direction_is_enough() {
    let listing = read(9, &json!({ "from_site": null, "to_site": [row("egress", "1", "a", 2400)] })).unwrap();
    assert_eq!(names(&listing), ["to_site a 1"]);
    assert_eq!(listing.unreadable.lists, [("from_site", FailureReason::Decode)].into());
    assert_eq!(read(9, &json!({ "from_site": null })).unwrap_err(), FailureReason::Decode);
}
