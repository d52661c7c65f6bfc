//! The token that the exporter verifies: its expiry and its state, on `/metrics` and on the page.

use crate::alerting::Delivering;
use crate::sandbox::Sandbox;
use crate::support::{SOON, eventually, free_address, http};

fn notices(exporter: std::net::SocketAddr, text: &str) -> Result<(), String> {
    let page = http::text(exporter, "/");
    if page.contains(text) { Ok(()) } else { Err(page) }
}

#[test]
fn a_token_that_expires_in_ten_days_and_is_then_disabled_is_on_the_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start_with(free_address(), &["--sandbox.token-expires=10d"]);
    let mut exporter = sandbox.watched(&folder, &[]);
    let expiry = exporter.await_page("the expiry", SOON, |page| {
        let active = page.value("api_token_active", &[])?;
        let expiry = page.value("api_token_expires_timestamp_seconds", &[])?;
        (active > 0.5).then_some(expiry)
    });
    let now = web_toolkit::clock::now().wall.as_duration().as_secs_f64();
    let days = (expiry - now) / 86_400.0;
    assert!((9.9..=10.0).contains(&days), "{days}");
    eventually("a notice", SOON, || notices(exporter.address, "the API token expires in"));

    let reply = http::send(sandbox.address, "PUT", "/sandbox/token", &[], r#"{"status": "disabled"}"#);
    assert_eq!(reply.expect("an answer").status, 200);
    exporter.process.signal("HUP");
    exporter.await_page("a token that is not active", SOON, |page| {
        page.value("api_token_active", &[]).filter(|active| *active < 0.5)
    });
    eventually("a notice", SOON, || notices(exporter.address, "the API token is not active"));
}

#[test]
fn a_token_that_expires_in_ten_days_warns_until_it_is_extended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start_with(free_address(), &["--sandbox.token-expires=10d"]);
    let exporter = sandbox.watched(&folder, &[]);
    let Some(chain) = Delivering::start(&[exporter.address], &folder) else { return };
    let warned = chain.receiver.await_delivery("MagicTunnelApiTokenExpiring", "", true);
    let text = format!("The token of account {} expires in 9d 23h ", sandbox.account);
    let description = warned.annotations["description"].as_str().expect("a description");
    assert!(warned.to == "chat" && description.starts_with(&text), "{warned:#?}");

    let reply = http::send(sandbox.address, "PUT", "/sandbox/token", &[], r#"{"expires": "90d"}"#);
    assert_eq!(reply.expect("an answer").status, 200);
    exporter.process.signal("HUP");
    chain.receiver.await_delivery("MagicTunnelApiTokenExpiring", "", false);
    let about_tokens = |name: &str| name.starts_with("MagicTunnelApiToken");
    let paged =
        chain.receiver.paged().into_iter().find(|one| one.labels["alertname"].as_str().is_some_and(about_tokens));
    assert!(paged.is_none(), "{paged:#?}");
}
