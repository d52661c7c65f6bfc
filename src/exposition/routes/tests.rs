use std::{sync::Arc, time::Duration};

use web_toolkit::clock::{self, Moment};

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, gre, polled, route, routed, scoped},
        inventory::Fleet,
        routes::prefixes::PrefixReport,
    },
    exposition::{family::Groups, page::Page, process, text::Format},
    snapshot::{Judged, Snapshot},
};

fn routes(now: Moment) -> Arc<Fleet> {
    let tunnels = [addressed("fra", "", "10.0.0.0/31", ""), gre(addressed("ams", "", "10.0.0.2/31", ""))];
    let routes = [
        route("10.1.0.0/16", "10.0.0.1", 100),
        route("10.1.0.0/16", "10.0.0.3", 100),
        scoped(route("10.1.0.0/16", "10.0.0.99", 100), "EEUR"),
        route("2001:db8::/32", "10.0.0.3", 100),
    ];
    routed(&polled(Some(now), tunnels), now, routes)
}

/// The families of the routes, without prefix; the GRE tunnel is broken.
fn render(fleet: Arc<Fleet>, now: Moment) -> String {
    let reports = fleet.accounts.iter().map(|(account, known)| {
        let state = |tunnel: crate::domain::routes::matching::ListPosition| {
            if tunnel.tunnel_type.as_str() == "gre" { HopState::Broken } else { HopState::Working }
        };
        (account.clone(), Arc::new(PrefixReport::assess(Arc::clone(known.route_matches()), state)))
    });
    let prefixes = Arc::new(reports.collect());
    let judged = Judged { fleet, prefixes, ..Judged::default() };
    let snapshot = Snapshot { judged, stale_after: Duration::from_mins(5), now };
    let capture = Capture::new(snapshot, process::ProcessStats::default(), String::new(), Duration::ZERO);
    let mut text = String::new();
    Page::with_families(&[FAMILIES], Arc::new(capture), Format::OpenMetrics, Groups::ALL).fill(&mut text, usize::MAX);
    text.replace("cloudflare_magic_", "")
}

#[tokio::test]
async fn the_page_of_the_routes() {
    let now = clock::now();
    insta::assert_snapshot!("routes", render(routes(now), now));
}

#[tokio::test]
async fn stale_routes_have_no_series() {
    let now = clock::now();
    let page = render(routes(now), now.after(Duration::from_mins(6)));
    assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
}
