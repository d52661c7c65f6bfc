use std::{io::Read as _, time::Duration};

use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use proptest::prelude::*;
use tokio::sync::watch;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::fixtures::{addressed, polled},
    exposition,
    http::body::MAX_STREAM_TIME,
    snapshot::{Judged, Sources},
};

/// A page of several pieces.
fn scrape() -> Scrape {
    let tunnels = (0..500).map(|n| addressed(&format!("site-{n}"), "203.0.113.1", "10.0.0.0/31", ""));
    let judged = Judged { fleet: polled(Some(clock::now()), tunnels), ..Judged::default() };
    let sources = Sources::fixed(judged, Duration::from_mins(5));
    let (_, poll_interval) = watch::channel(Duration::from_mins(1));
    let exposition = Exposition::new(exposition::registry(), sources, poll_interval);
    Scrape::new(exposition, Groups::ALL, Arc::new(PageThreads::new().unwrap()))
}

async fn open_body(scrape: &Scrape, gzip: bool) -> EncodedBody {
    scrape.encode(Format::OpenMetrics, Groups::ALL, gzip).await.unwrap()
}

async fn read_pieces(scrape: &Scrape, gzip: bool) -> Vec<Bytes> {
    let mut body = open_body(scrape, gzip).await;
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(frame.unwrap().into_data().unwrap());
    }
    frames
}

#[tokio::test]
async fn a_long_page_comes_in_pieces_of_bounded_size_and_is_the_same_compressed() {
    let scrape = scrape();
    // Keeps the capture, so that both bodies share it.
    let _pinned = scrape.captures.newest().await.unwrap();
    let plain = read_pieces(&scrape, false).await;
    assert!(plain.len() > 1, "it is longer than a piece");
    assert!(plain.iter().all(|piece| piece.len() < 2 * PIECE), "{:?}", plain.iter().map(Bytes::len));
    let page = String::from_utf8(plain.concat()).unwrap();
    assert!(page.ends_with("\n# EOF\n"));
    let mut unzipped = String::new();
    MultiGzDecoder::new(&*read_pieces(&scrape, true).await.concat()).read_to_string(&mut unzipped).unwrap();
    assert!(unzipped == page, "{} and {} bytes", unzipped.len(), page.len());
}

#[tokio::test(start_paused = true)]
async fn scrapes_of_one_moment_share_a_capture_and_later_ones_get_a_newer_one() {
    let Scrape { captures, .. } = scrape();
    let first = captures.newest().await.unwrap();
    assert!(Arc::ptr_eq(&first, &captures.newest().await.unwrap()));
    tokio::time::advance(SHARED_FOR + Duration::from_millis(1)).await;
    assert!(!Arc::ptr_eq(&first, &captures.newest().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_capture_is_dropped_with_its_last_reader() {
    let Scrape { captures, .. } = scrape();
    let capture = Arc::downgrade(&captures.newest().await.unwrap().capture);
    assert!(capture.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn slow_readers_pin_a_few_captures_at_most() {
    let Scrape { captures, .. } = scrape();
    let mut pinned = Vec::new();
    for _ in 0..MAX_CAPTURES {
        pinned.push(captures.newest().await.unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let waiting = tokio::time::timeout(Duration::from_mins(1), captures.newest());
    assert!(waiting.await.is_err(), "all slots are taken");
    pinned.pop();
    captures.newest().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_for_too_long_is_disconnected_and_releases_its_capture() {
    let scrape = scrape();
    let mut body = open_body(&scrape, false).await;
    let capture = Arc::downgrade(&scrape.captures.newest().await.unwrap().capture);
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(MAX_STREAM_TIME + Duration::from_millis(1)).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the client reads too slowly");
    assert!(body.frame().await.is_none() && capture.upgrade().is_none());
}

#[tokio::test]
async fn a_page_of_one_piece_is_sent_with_its_length() {
    let scrape = scrape();
    let body = scrape.encode(Format::Classic, Groups::only(&[Group::Exporter]), false).await.unwrap();
    let size = hyper::body::Body::size_hint(&body).exact();
    assert_eq!(size, Some(body.collect().await.unwrap().to_bytes().len() as u64));
}

#[test]
fn a_scrape_gets_the_groups_that_it_names() {
    let table = [
        ("", Groups::ALL),
        ("format=json&name=value", Groups::ALL),
        ("collect[]=bgp", Groups::only(&[Group::Bgp])),
        ("collect[]=bgp&collect[]=verdict&collect[]=bgp", Groups::only(&[Group::Bgp, Group::Verdict])),
        ("collect%5B%5D=health_check&x=1", Groups::only(&[Group::HealthCheck])),
        ("exclude[]=rtt", Groups::without(&[Group::Rtt])),
        ("exclude%5b%5d=rtt&exclude[]=exporter", Groups::without(&[Group::Rtt, Group::Exporter])),
    ];
    for (query, expected) in table {
        assert_eq!(parse_groups(query), Ok(expected), "{query}");
    }
}

#[test]
fn every_group_can_be_selected_alone() {
    for &group in Group::ALL {
        let only = parse_groups(&format!("collect[]={group}")).unwrap();
        let without = parse_groups(&format!("exclude[]={group}")).unwrap();
        for &other in Group::ALL {
            // The buckets come with their sums and counts.
            let is_rtt = |group| [Group::Rtt, Group::RttBuckets].contains(&group);
            let selected = other == group || is_rtt(other) && is_rtt(group);
            assert_eq!((only.contains(other), without.contains(other)), (selected, other != group));
        }
    }
}

#[test]
fn a_mistake_is_refused_with_the_list_of_groups() {
    let known = "tunnels, info, bgp, health_check, probes, rtt, rtt_buckets, verdict, routes, edge, exporter";
    for (query, sentence) in [
        ("collect[]=unknown", format!("unknown group `unknown` in collect[]; expected one of {known}")),
        ("exclude[]=", format!("unknown group `` in exclude[]; expected one of {known}")),
        ("collect[]=BGP%0a", format!("unknown group `BGP` in collect[]; expected one of {known}")),
        ("collect[]=bgp&exclude[]=rtt", "collect[] and exclude[] cannot be combined; use only one of them".to_owned()),
    ] {
        assert_eq!(parse_groups(query), Err(sentence), "{query}");
    }
}

proptest! {
    #[test]
    fn any_query_is_answered_in_one_line(query in "[ -~]{0,60}|(collect\\[\\]=.{0,300})") {
        if let Err(sentence) = parse_groups(&query) {
            prop_assert!(!sentence.contains('\n') && sentence.chars().count() < 400, "{}", sentence);
        }
    }
}
