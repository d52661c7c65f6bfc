//! A poll: from the bytes of a list to a snapshot.

use std::time::Duration;

use magic_tunnel_exporter::{
    cloudflare::decode::decode_list, domain::tunnel::TunnelType, poller::tracked_list::TrackedList,
};
use serde_json::Value;
use web_toolkit::clock;

use super::{
    Result, SIZES, fleet, measure,
    table::{Row, Table},
};

#[expect(clippy::unnecessary_wraps, reason = "the parts of the table share one signature")]
pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let body = fleet::body(size);
        let (parsed, _) = measure::cpu(|| serde_json::from_slice::<Value>(&body).map(drop));
        let beside = Some(("`serde_json::Value` of the same bytes", parsed.as_secs_f64() * 1e3));
        let (first, mut list) = measure::cpu(|| fleet::polled(&body));
        let (memory, ()) = measure::peak(|| poll_again(&mut fleet::polled(&body), &body));
        let (again, ()) = measure::cpu(|| poll_again(&mut list, &body));
        // The goal is defined for 10,000 tunnels and scaled to the size of the list.
        let goal = Some(60.0 * size as f64 / 10_000.0);
        for (what, took) in [("poll, first list", first), ("poll, nothing changed", again)] {
            table.add(Row { what, size, ours: took.as_secs_f64() * 1e3, unit: "ms", beside, goal });
        }
        let times = (memory + body.len()) as f64 / body.len() as f64;
        let beside = Some(("the body alone", 1.0));
        table.add(Row {
            what: "poll of a known list, peak memory in body sizes",
            size,
            ours: times,
            unit: "",
            beside,
            goal: Some(3.0),
        });
    }
    Ok(())
}

fn poll_again(list: &mut TrackedList, body: &[u8]) {
    let now = clock::now();
    list.update(decode_list(body, 200, TunnelType::Ipsec), now, now, Duration::ZERO);
}
