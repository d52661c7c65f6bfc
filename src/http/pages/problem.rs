//! Pages that cannot be shown, and what to do instead.

use maud::html;

use super::shell::Document;
use crate::snapshot::concern::Concern;

/// The query is invalid.
pub(in crate::http) fn refused(sentence: &str) -> Document {
    problem("./", "This filter cannot be read", sentence)
}

/// The tunnel does not exist (any more).
pub(in crate::http) fn missing(root: &'static str) -> Document {
    let sentence =
        "The API lists no tunnel at this address. It may have been removed, or replaced by one with another id.";
    problem(root, "There is no such tunnel", sentence)
}

fn problem(root: &'static str, title: &str, sentence: &str) -> Document {
    let body = html! {
        section id="headline" class="headline unsure" {
            h1 { (title) }
            p class="detail" { (sentence) }
            p { a href=(root) { "Show all tunnels" } }
        }
    };
    Document { title: title.to_owned(), concern: Concern::Unsure, root, body }
}
