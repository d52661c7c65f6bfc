//! README.md and docs/: every block of shell commands is executed as it is, or says why not; flags and links exist.

mod blocks;
mod commands;
mod links;
mod shell;
mod stories;
mod story;

use std::collections::BTreeSet;

use blocks::{REASONS, blocks, documents};

use crate::{
    alerts::{repository, text},
    support::{SOON, exporter::Exporter},
};

#[test]
fn every_block_of_shell_commands_is_executed_or_says_why_not() {
    let mut executed = BTreeSet::new();
    for document in documents() {
        for block in blocks(&document) {
            assert!(block.has_known_words(), "{document}:{}: a language, or `sh` and one of {REASONS:?}", block.line);
            if block.is_executed() {
                executed.insert(document.clone());
            }
        }
    }
    // Each of them fails if a block of its document is left over.
    let stories: BTreeSet<String> = stories::DOCUMENTS.iter().map(|&document| document.to_owned()).collect();
    assert_eq!(executed, stories, "each of these documents needs a story, and each story a document");
}

#[test]
fn the_index_explains_every_reason() {
    let index = text(&repository("docs/README.md"));
    for reason in REASONS {
        assert!(index.contains(&format!("| `{reason}` |")), "docs/README.md lacks the reason `{reason}`");
    }
}

/// The figures of "Sizing" in docs/OPERATIONS.md.
#[test]
fn a_tunnel_has_as_many_lines_as_documented() {
    let mut demo = Exporter::demo();
    let lines = demo.await_page("a tunnel with probes and the edge view", SOON, |page| {
        let of_tunnel =
            page.0.iter().filter(|sample| sample.labels.get("tunnel_name").is_some_and(|n| n == "mad-gre-1"));
        let (probes, others): (Vec<_>, Vec<_>) =
            of_tunnel.partition(|sample| sample.labels.contains_key("probe_target"));
        let edge = others.iter().filter(|sample| sample.name.contains("_edge_")).count();
        let buckets = probes.iter().filter(|sample| sample.name.ends_with("_bucket")).count();
        let settled = |metric| probes.iter().filter(|sample| sample.name.ends_with(metric)).count() == 2;
        let complete = edge > 0 && settled("_last_reply_timestamp_seconds") && settled("_probe_up");
        // Two addresses are probed.
        complete.then(|| (others.len() - edge, edge, probes.len().div_ceil(2), buckets / 2))
    });
    let (tunnel, edge, address, buckets) = lines;
    assert!((35..45).contains(&tunnel) && (5..15).contains(&edge), "{lines:?}");
    let document = text(&repository("docs/OPERATIONS.md")).split_whitespace().collect::<Vec<_>>().join(" ");
    let figures = format!("about 40 lines per tunnel, 10 more with the edge view, and {address} per probed address.");
    assert!(document.contains(&figures), "not documented: {figures}");
    assert!(document.contains(&format!("saves {buckets} lines per address")), "{buckets}");
}

#[test]
fn the_readme_fits_on_a_few_screens() {
    let lines = text(&repository("README.md")).lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, more than 150: move details to docs/");
}

#[test]
fn the_index_lists_every_document() {
    let index = text(&repository("docs/README.md"));
    for document in documents() {
        let name = document.strip_prefix("docs/").filter(|name| *name != "README.md");
        assert!(name.is_none_or(|name| index.contains(&format!("]({name}"))), "docs/README.md lacks {document}");
    }
}
