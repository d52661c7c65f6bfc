//! The frame around every page.

use maud::{DOCTYPE, Markup, html};
use web_toolkit::clock::Moment;

use super::time::exact;
use crate::{
    http::assets::{self, Asset},
    snapshot::concern::Concern,
};

/// Seconds from one refresh to the next: by the script, and without it.
const REFRESH: u32 = 10;
const REFRESH_WITHOUT_SCRIPT: u32 = 30;

/// A page without the frame around it.
#[derive(Debug)]
pub(in crate::http) struct Document {
    pub(super) title: String,
    pub(super) concern: Concern,
    /// Path from this page to the front page: `./` or `../../../`. Links are relative, so that a proxy can serve us below a path.
    pub(super) root: &'static str,
    pub(super) body: Markup,
}

impl Document {
    /// The whole page.
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
                    link rel="icon" type="image/svg+xml" href=(file(assets::icon_of(self.concern)));
                    link rel="stylesheet" href=(file(assets::style()));
                    script src=(file(assets::script())) defer {}
                    noscript { meta http-equiv="refresh" content=(REFRESH_WITHOUT_SCRIPT); }
                }
                body {
                    a class="skip" href="#main" { "Skip to the tunnels" }
                    (self.banner(now))
                    p id="contact" class="notice broken" role="alert" hidden {}
                    main id="main" { (self.body) }
                    (self.footer(telemetry_path))
                }
            }
        }
    }

    fn banner(&self, now: Moment) -> Markup {
        html! {
            header class="banner" {
                a class="brand" href=(self.root) { span class="mark" aria-hidden="true" {} "Magic tunnels" }
                p id="clock" data-live { time datetime=(now.wall.to_string()) { (exact(now.wall)) } }
            }
        }
    }

    fn footer(&self, telemetry_path: &str) -> Markup {
        let metrics = format!("{}{}", self.root, telemetry_path.trim_start_matches('/'));
        html! {
            footer {
                nav aria-label="More" {
                    a href={ (self.root) "runbooks" } { "Runbooks" }
                    a href=(metrics) { "Metrics" }
                    a href={ (self.root) "api/v1/tunnels" } { "Tunnels as JSON" }
                    a href={ (self.root) "api/v1/targets" } { "Probe targets" }
                    a href={ (self.root) "-/ready" } { "Ready" }
                    a href={ (self.root) "-/healthy" } { "Healthy" }
                }
                p { "magic-tunnel-exporter " (env!("CARGO_PKG_VERSION")) " (" (env!("MTE_REVISION")) ")" }
            }
        }
    }
}
