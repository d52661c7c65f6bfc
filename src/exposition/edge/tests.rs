use std::time::Duration;

use web_toolkit::clock;

use super::*;
use crate::{
    domain::{
        edge::TrafficRow,
        fixtures::{edge_view, polled, seen_by_edge, tunnel, with_traffic},
        inventory::Fleet,
    },
    exposition::{family::Groups, page::Page, process, text::Format},
    snapshot::{Judged, Snapshot},
};

fn now() -> Moment {
    Moment { wall: "2026-11-20T10:02:00Z".parse().unwrap(), ..clock::now() }
}

/// The families of the edge, without prefix, `later` after the poll.
fn render(fleet: Arc<Fleet>, now: Moment) -> String {
    let snapshot = Snapshot { judged: Judged { fleet, ..Judged::default() }, stale_after: Duration::ZERO, now };
    let capture = Capture::new(snapshot, process::ProcessStats::default(), String::new(), Duration::ZERO);
    let mut text = String::new();
    Page::with_families(&[FAMILIES], Arc::new(capture), Format::OpenMetrics, Groups::ALL).fill(&mut text, usize::MAX);
    text.replace("cloudflare_magic_", "")
}

fn row(name: &str, direction: TrafficDirection, bytes_per_second: f64) -> TrafficRow {
    let rate = TrafficRate { bytes_per_second, packets_per_second: bytes_per_second / 100.0 };
    TrafficRow { id: name.into(), name: name.into(), direction, rate }
}

fn seen(now: Moment) -> Arc<Fleet> {
    let from = now.earlier("2026-11-20T09:55:00Z".parse().unwrap());
    let to = now.earlier("2026-11-20T10:00:00Z".parse().unwrap());
    let view = edge_view(from, to, [("fra", 970), ("cni-1", 1000)]);
    let rows = [row("fra", TrafficDirection::ToSite, 1500.0), row("fra", TrafficDirection::FromSite, 250.5)];
    seen_by_edge(&polled(Some(now), [tunnel("fra"), tunnel("new")]), &with_traffic(view, rows))
}

#[test]
fn the_page_of_the_edge() {
    let now = now();
    insta::assert_snapshot!("edge", render(seen(now), now));
}

#[test]
fn a_tunnel_has_twelve_series() {
    let now = now();
    let page = render(seen(now), now);
    assert_eq!(page.lines().filter(|line| line.contains("tunnel_id=\"fra\"")).count(), 12);
    assert!(!page.contains("tunnel_id=\"new\""));
}

#[test]
fn each_configured_data_center_has_a_score() {
    let now = now();
    let mut view = EdgeView::clone(seen(now).accounts.values().next().unwrap().edge().unwrap());
    let score = |colo: &str, score| ColoScore { colo: colo.into(), score };
    let fra = Arc::make_mut(&mut view.health.tunnels).get_mut("fra").unwrap();
    Arc::make_mut(fra).colos = [score("ams01", 0.25), score("fra01", 1.0)].into();
    let page = render(seen_by_edge(&polled(Some(now), [tunnel("fra"), tunnel("new")]), &view), now);
    let scores: Vec<&str> = page.lines().filter(|line| line.starts_with("tunnel_edge_colo_score{")).collect();
    assert_eq!(scores.len(), 2, "{page}");
    assert!(scores[0].contains(r#",colo="ams01"} 0.25"#) && scores[1].contains(r#",colo="fra01"} 1"#), "{scores:?}");
}

#[test]
fn stale_data_has_no_series_but_its_time() {
    let now = now();
    let page = render(seen(now), now.after(Duration::from_mins(14)));
    let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let families: Vec<&str> = samples.iter().filter_map(|line| line.split('{').next()).collect();
    let expected = [
        "edge_window_end_timestamp_seconds",
        "edge_window_end_timestamp_seconds",
        "edge_newest_data_timestamp_seconds",
        "edge_truncated",
        "edge_truncated",
    ];
    assert_eq!(families, expected);
}

#[test]
fn nothing_is_written_if_the_edge_is_not_polled() {
    let now = now();
    let page = render(polled(Some(now), [tunnel("fra")]), now);
    assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
}
