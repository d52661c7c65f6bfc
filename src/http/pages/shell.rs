//! The frame around every page.

use maud::{DOCTYPE, Markup, html};
use web_toolkit::clock::Moment;

use super::time::exact;
use crate::{
    http::assets::{self, Asset},
    overview::concern::Concern,
};

/// Seconds from one refresh to the next: by the script, and without it.
const REFRESH: u32 = 10;
const REFRESH_WITHOUT_SCRIPT: u32 = 30;

/// What the frame needs to know of its page.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) concern: Concern,
    /// From this page to the front page: `./` or `../../../`. Links are relative, so that a proxy may serve us below a path.
    pub(super) root: &'a str,
    pub(super) telemetry_path: &'a str,
    pub(super) now: Moment,
}

impl Frame<'_> {
    /// A whole page with `body` in its middle.
    pub(super) fn around(&self, body: &Markup) -> Markup {
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
                    (self.banner())
                    p id="contact" class="notice broken" role="alert" hidden {}
                    main id="main" { (body) }
                    (self.footer())
                }
            }
        }
    }

    fn banner(&self) -> Markup {
        html! {
            header class="banner" {
                a class="brand" href=(self.root) { span class="mark" aria-hidden="true" {} "Magic tunnels" }
                p id="clock" data-live { time datetime=(self.now.wall.to_string()) { (exact(self.now.wall)) } }
            }
        }
    }

    fn footer(&self) -> Markup {
        let metrics = format!("{}{}", self.root, self.telemetry_path.trim_start_matches('/'));
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
