//! The metrics page: the snapshot it is rendered from, and its text in both formats, plain and compressed.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use magic_tunnel_exporter::exposition::{Capture, Exposition, Format, Groups, Page};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use web_toolkit::clock;

use super::{
    Result, SIZES, fleet,
    measure::{self, per},
    program,
    table::{Row, Table},
};

/// Bytes rendered at once, as for a scrape.
const PIECE: usize = 128 * 1024;

/// Maximum number of series in prometheus-client, which keeps all series in memory; with more, it would swap.
const MOST_OF_PEER: usize = 200_000;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let exposition = fleet::exposition(size);
        let (took, picture) = measure::cpu(|| Arc::new(exposition.capture(clock::now())));
        let (memory, _picture) = measure::peak(|| exposition.capture(clock::now()));
        let text = whole(&picture);
        let lines = samples(&text).count();
        table.add(row("snapshot, per line of its page", size, per(took, lines), "ns", None, None));
        table.add(row(
            "snapshot, memory",
            size,
            memory as f64 / 1e6,
            "MB",
            Some(("its page", text.len() as f64 / 1e6)),
            None,
        ));
        write(table, size, &picture, &text, lines);
        compress(table, size, &picture, &text, lines)?;
    }
    Ok(())
}

/// CPU time of a page in nanoseconds per line.
pub(crate) fn cost_per_line(exposition: &Exposition) -> f64 {
    let capture = Arc::new(exposition.capture(clock::now()));
    let (took, text) = measure::cpu(|| whole(&capture));
    per(took, samples(&text).count())
}

fn row(
    what: &'static str,
    size: usize,
    ours: f64,
    unit: &'static str,
    beside: Option<(&'static str, f64)>,
    goal: Option<f64>,
) -> Row {
    Row { what, size, ours, unit, beside, goal }
}

fn write(table: &mut Table, size: usize, picture: &Arc<Capture>, text: &str, lines: usize) {
    let peer = family_of_the_same_series(text);
    let (copied, ()) = measure::cpu(|| copy_line_by_line(text));
    for (what, format) in
        [("page, OpenMetrics, per line", Format::OpenMetrics), ("page, classic, per line", Format::Classic)]
    {
        let (took, ()) = measure::cpu(|| each_piece(picture, format, |_| {}));
        table.add(row(what, size, per(took, lines), "ns", Some(("`Family` of prometheus-client", peer)), Some(100.0)));
    }
    let (took, ()) = measure::cpu(|| each_piece(picture, Format::OpenMetrics, |_| {}));
    let floor = Some(("copy of the finished lines", per(copied, lines)));
    table.add(row("page, OpenMetrics, per line", size, per(took, lines), "ns", floor, None));
}

fn compress(table: &mut Table, size: usize, picture: &Arc<Capture>, text: &str, lines: usize) -> Result<()> {
    let (plain, ()) = measure::cpu(|| each_piece(picture, Format::OpenMetrics, |_| {}));
    let (both, bytes) = measure::cpu(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut bytes = 0;
        each_piece(picture, Format::OpenMetrics, |piece| {
            encoder.write_all(piece.as_bytes()).expect("writing to a vector cannot fail");
            bytes += encoder.get_ref().len();
            encoder.get_mut().clear();
        });
        bytes
    });
    let on_top = per(both.saturating_sub(plain), lines);
    let beside = gzip_program(text)?.map(|took| ("`gzip -1`", per(took, lines)));
    table.add(row("gzip on top, per line", size, on_top, "ns", beside, Some(200.0)));
    table.add(row("compressed page", size, bytes as f64 / 1e6, "MB", Some(("plain", text.len() as f64 / 1e6)), None));
    Ok(())
}

/// Renders a page like a scrape does, each piece into the same buffer.
fn each_piece(picture: &Arc<Capture>, format: Format, mut take: impl FnMut(&str)) {
    let mut page = Page::new(Arc::clone(picture), format, Groups::ALL);
    let mut text = String::with_capacity(2 * PIECE);
    loop {
        text.clear();
        let is_end = page.fill(&mut text, PIECE);
        take(&text);
        if is_end {
            return;
        }
    }
}

fn whole(picture: &Arc<Capture>) -> String {
    let mut text = String::new();
    each_piece(picture, Format::OpenMetrics, |piece| text.push_str(piece));
    text
}

fn samples(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// Lower bound for any renderer: copies finished lines.
fn copy_line_by_line(text: &str) {
    let mut piece = String::with_capacity(2 * PIECE);
    for line in text.split_inclusive('\n') {
        if piece.len() >= PIECE {
            std::hint::black_box(&piece);
            piece.clear();
        }
        piece.push_str(line);
    }
}

/// Nanoseconds per line of prometheus-client's `Family` for gauges with the same names and labels.
fn family_of_the_same_series(page: &str) -> f64 {
    type Labels = Vec<(String, String)>;
    let mut registry = Registry::default();
    let mut families: BTreeMap<&str, Family<Labels, Gauge>> = BTreeMap::new();
    for line in samples(page).take(MOST_OF_PEER) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a sample has a value");
        let labels = rest.rsplit_once("\"} ").map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
        let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        families.entry(name).or_default().get_or_create(&labels).set(1);
    }
    for (name, family) in families {
        registry.register(name, "The same series", family);
    }
    let (took, text) = measure::cpu(|| {
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text).expect("writing to a string cannot fail")
    });
    per(took, samples(&text).count())
}

fn gzip_program(text: &str) -> Result<Option<Duration>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let mut gzip = Command::new("gzip");
    gzip.args(["-1", "--stdout"]).arg(file.path()).stdout(Stdio::null()).stderr(Stdio::null());
    // The kernel reports the time of a child in units of 10 ms, so short runs are too inaccurate.
    Ok(program::cpu_of_run(&mut gzip)?.filter(|took| *took >= Duration::from_millis(100)))
}
