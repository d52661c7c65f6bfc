//! The frame that all pages share.

use maud::{DOCTYPE, Markup, html};
use web_toolkit::clock::Moment;

use super::format::exact_time_element;
use crate::{
    http::assets::{self, Asset},
    snapshot::rows::Concern,
};

/// Path from the page of a tunnel to the front page.
pub(super) const ROOT_OF_TUNNEL: &str = "../../../";

/// Parents of the deepest path with relative links.
const PARENTS: &str = "../../../../../../../../";

/// Path from the page at `path` to the front page. It is relative, as all links; only very deep paths get an absolute
/// one, so that its length is limited.
pub(super) fn root_of(path: &str) -> &'static str {
    match path.matches('/').count() {
        0 | 1 => "./",
        slashes => PARENTS.get(..(slashes - 1) * "../".len()).unwrap_or("/"),
    }
}

/// Seconds between two refreshes, with and without the script.
const REFRESH: u32 = 10;
const REFRESH_WITHOUT_SCRIPT: u32 = 30;

/// A page without the frame that all pages share.
#[derive(Debug)]
pub(in crate::http) struct Document {
    pub(super) title: String,
    pub(super) concern: Concern,
    /// Path from this page to the front page: `./` or `../../../`. Links are relative, so that a proxy can
    /// serve the pages below a path.
    pub(super) root: &'static str,
    pub(super) body: Markup,
}

impl Document {
    /// A page with one message.
    pub(super) fn with_message(root: &'static str, title: &str, message: &str) -> Self {
        let body = html! {
            section id="headline" class="headline unsure" {
                h1 { (title) }
                p class="detail" { (message) }
                p { a href=(root) { "Show all tunnels" } }
            }
        };
        Self { title: title.to_owned(), concern: Concern::Unsure, root, body }
    }

    /// The page with the frame around it.
    pub(in crate::http) fn render(&self, now: Moment, telemetry_path: &str) -> Markup {
        let root = self.root;
        let file = |asset: &Asset| format!("{root}assets/{}", asset.name);
        html! {
            (DOCTYPE)
            html lang="en" data-refresh=(REFRESH) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " – magic-tunnel-exporter" }
                    link rel="icon" type="image/svg+xml" href=(file(assets::icon(self.concern)));
                    link rel="stylesheet" href=(file(assets::style()));
                    script src=(file(assets::script())) defer {}
                    noscript { meta http-equiv="refresh" content=(REFRESH_WITHOUT_SCRIPT); }
                }
                body {
                    a class="skip" href="#main" { "Skip to the content" }
                    (self.draw_banner(now))
                    p id="contact" class="notice broken" role="alert" hidden {}
                    main id="main" { (self.body) }
                    (self.draw_footer(telemetry_path))
                }
            }
        }
    }

    fn draw_banner(&self, now: Moment) -> Markup {
        html! {
            header class="banner" {
                nav aria-label="Main" {
                    a class="brand" href=(self.root) { span class="mark" aria-hidden="true" {} "Magic tunnels" }
                    a href={ (self.root) "prefixes" } { "Prefixes" }
                    a href={ (self.root) "agents" } { "Agents" }
                    a href={ (self.root) "runbooks" } { "Runbooks" }
                }
                p id="clock" data-live { (exact_time_element(now.wall)) }
            }
        }
    }

    fn draw_footer(&self, telemetry_path: &str) -> Markup {
        let metrics = format!("{}{}", self.root, telemetry_path.trim_start_matches('/'));
        html! {
            footer {
                nav aria-label="More" {
                    a href=(metrics) { "Metrics" }
                    a href={ (self.root) "api/v1/tunnels" } { "Tunnels as JSON" }
                    a href={ (self.root) "api/v1/sites" } { "Sites as JSON" }
                    a href={ (self.root) "api/v1/events" } { "Events as JSON" }
                    a href={ (self.root) "api/v1/targets" } { "Probe targets" }
                    a href={ (self.root) "-/ready" } { "Ready" }
                    a href={ (self.root) "-/healthy" } { "Healthy" }
                }
                p { "magic-tunnel-exporter " (env!("CARGO_PKG_VERSION")) " (" (env!("MTE_REVISION")) ")" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_as_many_parents_away_as_the_path_is_deep() {
        for (path, root) in [
            ("/", "./"),
            ("/nowhere", "./"),
            ("/a/b", "../"),
            ("//evil.example", "../"),
            ("/tunnels/acme/gre/1", ROOT_OF_TUNNEL),
            ("/1/2/3/4/5/6/7/8/9", PARENTS),
        ] {
            assert_eq!(root_of(path), root, "{path}");
        }
        assert_eq!(root_of(&"/x".repeat(1000)), "/", "not a thousand parents in each link");
    }
}
