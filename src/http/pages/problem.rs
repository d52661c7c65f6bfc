//! Pages that cannot be shown, and what to do instead.

use maud::{Markup, html};

use super::{scene::Scene, shell::Frame};
use crate::overview::concern::Concern;

/// The query is wrong.
pub(in crate::http) fn refused(scene: &Scene, sentence: &str) -> Markup {
    problem(scene, "./", "This filter cannot be read", sentence)
}

/// There is no such tunnel (any more).
pub(in crate::http) fn missing(scene: &Scene, root: &str) -> Markup {
    let sentence =
        "The API lists no tunnel at this address. It may have been removed, or replaced by one with another id.";
    problem(scene, root, "There is no such tunnel", sentence)
}

fn problem(scene: &Scene, root: &str, title: &str, sentence: &str) -> Markup {
    let frame =
        Frame { title, concern: Concern::Unsure, root, telemetry_path: &scene.telemetry_path, now: scene.picture.now };
    frame.around(&html! {
        section id="headline" class="headline unsure" {
            h1 { (title) }
            p class="detail" { (sentence) }
            p { a href=(root) { "Show all tunnels" } }
        }
    })
}
