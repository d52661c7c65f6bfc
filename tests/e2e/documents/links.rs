//! The links between the documents.

use std::path::Path;

use super::blocks::documents;
use crate::alerts::{repository, text};

/// The target of each link and each image of a document that is a file of this repository.
fn links(document: &str) -> Vec<String> {
    let text = text(&repository(document));
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect()
}

/// The identifiers that GitHub gives to the headings of a document.
fn anchors(document: &Path) -> Vec<String> {
    let text = text(document);
    let outside = text.split("```").step_by(2).flat_map(str::lines);
    let headings = outside.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_of_it() {
    for document in documents() {
        let path = repository(&document);
        for link in links(&document) {
            let (file, heading) = link.split_once('#').map_or((&*link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            assert!(target.exists(), "{document} links to {link}: there is no such file");
            if let Some(heading) = heading {
                let found = anchors(&target).iter().any(|anchor| anchor == heading);
                assert!(found, "{document} links to {link}: there is no such heading");
            }
        }
    }
}
