use std::{io::Read as _, time::Duration};

use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::fixtures::{addressed, polled},
    exposition::{self, Format, Groups},
    http::pieces::LONGEST_READ,
    snapshot::{Judged, Sources},
};

/// More tunnels than fit into one piece of the page.
fn scrape() -> Scrape {
    let tunnels = (0..500).map(|n| addressed(&format!("site-{n}"), "203.0.113.1", "10.0.0.0/31", ""));
    let judged = Judged { fleet: polled(Some(clock::now()), tunnels), ..Judged::default() };
    let sources = Sources::fixed(judged, Duration::from_mins(5));
    let (_, poll_interval) = watch::channel(Duration::from_mins(1));
    let exposition = Exposition::new(exposition::registry(), sources, poll_interval);
    Scrape::new(exposition, Arc::new(Threads::new().unwrap()))
}

async fn pieces(scrape: &Scrape, gzip: bool) -> Pieces {
    let writer = Writer::new(scrape.pictures.newest().await.unwrap(), Format::OpenMetrics, Groups::ALL, gzip);
    Pieces::begin(writer, Arc::clone(&scrape.threads)).await.unwrap()
}

async fn read(scrape: &Scrape, gzip: bool) -> Vec<Bytes> {
    let mut body = pieces(scrape, gzip).await;
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(frame.unwrap().into_data().unwrap());
    }
    frames
}

#[tokio::test]
async fn a_long_page_comes_in_pieces_of_bounded_size_and_is_the_same_compressed() {
    let scrape = scrape();
    // A picture is shared while somebody has it, so that the two are of the same moment.
    let _held = scrape.pictures.newest().await.unwrap();
    let plain = read(&scrape, false).await;
    assert!(plain.len() > 1, "it is longer than a piece");
    assert!(plain.iter().all(|piece| piece.len() < 2 * writer::PIECE), "{:?}", plain.iter().map(Bytes::len));
    let page = String::from_utf8(plain.concat()).unwrap();
    assert!(page.ends_with("\n# EOF\n"));
    let mut unzipped = String::new();
    MultiGzDecoder::new(&*read(&scrape, true).await.concat()).read_to_string(&mut unzipped).unwrap();
    assert!(unzipped == page, "{} and {} bytes", unzipped.len(), page.len());
}

#[tokio::test(start_paused = true)]
async fn scrapes_of_one_moment_share_a_picture_and_later_ones_get_a_newer_one() {
    let Scrape { pictures, .. } = scrape();
    let first = pictures.newest().await.unwrap();
    assert!(Arc::ptr_eq(&first, &pictures.newest().await.unwrap()));
    tokio::time::advance(pictures::SAME_MOMENT + Duration::from_millis(1)).await;
    assert!(!Arc::ptr_eq(&first, &pictures.newest().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_picture_goes_with_its_last_reader() {
    let Scrape { pictures, .. } = scrape();
    let picture = Arc::downgrade(pictures.newest().await.unwrap().picture());
    assert!(picture.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn slow_readers_hold_a_few_pictures_at_most() {
    let Scrape { pictures, .. } = scrape();
    let mut held = Vec::new();
    for _ in 0..pictures::PLACES {
        held.push(pictures.newest().await.unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let waiting = tokio::time::timeout(Duration::from_mins(1), pictures.newest());
    assert!(waiting.await.is_err(), "there is no place left");
    held.pop();
    // One has been given back.
    pictures.newest().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_for_too_long_is_cut_off_and_gives_its_picture_back() {
    let scrape = scrape();
    let mut body = pieces(&scrape, false).await;
    let picture = Arc::downgrade(scrape.pictures.newest().await.unwrap().picture());
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(LONGEST_READ + Duration::from_millis(1)).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the client reads too slowly");
    assert!(body.frame().await.is_none() && picture.upgrade().is_none());
}

#[tokio::test]
async fn a_page_of_one_piece_is_sent_with_its_length() {
    let scrape = scrape();
    let groups = Groups::only(&[exposition::Group::Exporter]);
    let writer = Writer::new(scrape.pictures.newest().await.unwrap(), Format::Classic, groups, false);
    let body = Pieces::begin(writer, Arc::clone(&scrape.threads)).await.unwrap();
    let size = hyper::body::Body::size_hint(&body).exact();
    assert_eq!(size, Some(body.collect().await.unwrap().to_bytes().len() as u64));
}
