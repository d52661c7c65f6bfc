//! `sandbox` alone: the API in memory, changed by hand, watched by `serve`.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    SOON, eventually,
    exporter::{Exporter, Process, program, token_file},
    free_address, http,
};

/// A running sandbox with the demo's story.
pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    /// Of its first account.
    pub(crate) account: String,
    _process: Process,
}

impl Sandbox {
    pub(crate) fn start() -> Self {
        Self::start_on(free_address())
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        let process = Process::start(program().args(["sandbox", &format!("--sandbox.listen-address={address}")]));
        let overview = eventually("the sandbox to answer", SOON, || match http::get(address, "/sandbox") {
            Ok(reply) if reply.status == 200 => Ok(reply.text()),
            other => Err(format!("{other:?}; it said:\n{}", process.said())),
        });
        let overview: Value = serde_json::from_str(&overview).expect("JSON from the sandbox");
        let account = overview["accounts"][0]["id"].as_str().expect("an account").to_owned();
        Self { address, account, _process: process }
    }

    /// `serve` on this sandbox.
    pub(crate) fn watched(&self, folder: &tempfile::TempDir, more: &[&str]) -> Exporter {
        Exporter::start(
            program()
                .args(["serve", "--poll.interval=1s", "--poll.timeout=1s", "--cloudflare.api-token-file"])
                .arg(token_file(folder))
                .args(["--cloudflare.account-id", &self.account])
                .arg(format!("--cloudflare.api-url=http://{}/client/v4", self.address))
                .args(more),
        )
    }

    /// Sets what the API reports of a tunnel's session.
    pub(crate) fn report(&self, tunnel: &str, state: &str) {
        let path = format!("/sandbox/accounts/{}/tunnels/{tunnel}/bgp_status", self.account);
        let body = format!("{{\"state\":\"{state}\"}}");
        let reply = http::send(self.address, "PUT", &path, &[("Content-Type", "application/json")], &body);
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn a_session_that_goes_down_in_the_api_is_down_on_the_page_and_counted() {
    // No story touches this one.
    const TUNNEL: &str = "waw-ipsec-1";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let mut exporter = sandbox.watched(&folder, &[]);
    let story = [("BGP_UP", 1.0, 0.0), ("BGP_DOWN", 0.0, 1.0), ("BGP_ESTABLISHING", 0.0, 2.0), ("BGP_UP", 1.0, 3.0)];
    for (state, up, changes) in story {
        sandbox.report(TUNNEL, state);
        let member = state.trim_start_matches("BGP_").to_lowercase();
        exporter.await_page(state, SOON, |page| {
            let of = |name: &str| page.value(name, &[("tunnel_name", TUNNEL)]);
            let shown = page.value("tunnel_bgp_state", &[("tunnel_name", TUNNEL), ("state", &member)]) == Some(1.0);
            shown.then(|| {
                assert_eq!(of("tunnel_bgp_up"), Some(up), "{state}");
                assert_eq!(of("tunnel_bgp_state_changes_total"), Some(changes), "{state}");
            })
        });
    }
}

#[test]
fn a_wrong_path_a_missing_token_and_a_wrong_account_are_refused_as_the_real_api_does() {
    let sandbox = Sandbox::start();
    let list = format!("/client/v4/accounts/{}/magic/ipsec_tunnels", sandbox.account);
    let stranger = "/client/v4/accounts/ffffffffffffffffffffffffffffffff/magic/ipsec_tunnels";
    let anybody = ("Authorization", "Bearer any");
    let nobody = ("Accept", "*/*");
    let table = [
        (list.as_str(), anybody, 200..=200),
        (list.as_str(), nobody, 400..=403),
        (stranger, anybody, 400..=404),
        ("/client/v4/accounts", anybody, 400..=404),
    ];
    for (path, header, statuses) in table {
        let reply = http::request(sandbox.address, "GET", path, &[header]).expect("an answer");
        assert!(statuses.contains(&reply.status), "{path} {header:?}: {} {}", reply.status, reply.text());
        let body: Value = serde_json::from_str(&reply.text()).expect("an envelope");
        assert_eq!(body["success"], reply.status == 200, "{path} {header:?}: {body}");
        let errors = body["errors"].as_array().expect("a list of errors");
        assert_eq!(errors.is_empty(), reply.status == 200, "{path} {header:?}: {body}");
    }
}
