//! The landing page: what this is, and where to look.

use crate::domain::{
    inventory::{AccountName, Collection, CollectionSnapshot, Fleet, PollState},
    text::shown,
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
    table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0}";

/// The page at `/`.
pub(super) fn landing(fleet: &Fleet, telemetry_path: &str) -> String {
    let mut rows = String::new();
    for (account, snapshot) in &fleet.accounts {
        for (name, collection) in snapshot.collections() {
            rows.push_str(&row(account, name, collection));
        }
    }
    let path = escape(telemetry_path);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>magic-tunnel-exporter</title><style>{STYLE}</style></head>\n<body>\n<h1>magic-tunnel-exporter</h1>\n\
         <p>Watches Cloudflare Magic WAN and Magic Transit tunnels.</p>\n\
         <ul><li><a href=\"{path}\">Metrics</a></li><li><a href=\"/-/healthy\">Healthy</a></li>\
         <li><a href=\"/-/ready\">Ready</a></li></ul>\n\
         <table>\n<tr><th>Account</th><th>Collection</th><th>State</th><th>Tunnels</th></tr>\n{rows}</table>\n</body>\n</html>\n"
    )
}

fn row(account: &AccountName, name: Collection, collection: &CollectionSnapshot) -> String {
    let state = match collection.state {
        PollState::Waiting => "not polled yet".to_owned(),
        PollState::Succeeded => "polled".to_owned(),
        PollState::Failed(reason) => format!("failing: {reason}"),
    };
    let account = escape(&shown(account.as_str()));
    format!("<tr><td>{account}</td><td>{name}</td><td>{state}</td><td>{}</td></tr>\n", collection.entries.len())
}

/// Escapes text for HTML, inside and outside of quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
