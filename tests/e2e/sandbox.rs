//! `sandbox` as a process of its own: the API in memory, changed by the test and polled by `serve`.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    SOON, eventually,
    exporter::{Exporter, Process, program, run, token_file},
    free_address, http,
};

/// A running sandbox with the demo's story.
pub(crate) struct Sandbox {
    pub(crate) address: SocketAddr,
    /// The id of the first account.
    pub(crate) account: String,
    _process: Process,
}

impl Sandbox {
    pub(crate) fn start() -> Self {
        Self::start_on(free_address())
    }

    pub(crate) fn start_on(address: SocketAddr) -> Self {
        Self::start_with(address, &[])
    }

    pub(crate) fn start_with(address: SocketAddr, flags: &[&str]) -> Self {
        let listen = format!("--sandbox.listen-address={address}");
        let process = Process::start(program().args(["sandbox", &listen]).args(flags));
        let overview = eventually("the sandbox to answer", SOON, || match http::get(address, "/sandbox") {
            Ok(reply) if reply.status == 200 => Ok(reply.text()),
            other => Err(format!("{other:?}; its output:\n{}", process.said())),
        });
        let overview: Value = serde_json::from_str(&overview).expect("JSON from the sandbox");
        let account = overview["accounts"][0]["id"].as_str().expect("an account").to_owned();
        Self { address, account, _process: process }
    }

    /// Starts `serve` on this sandbox.
    pub(crate) fn watched(&self, folder: &tempfile::TempDir, more: &[&str]) -> Exporter {
        Exporter::start(
            program()
                .args(["serve", "--poll.interval=1s", "--poll.timeout=3s", "--cloudflare.api-token-file"])
                .arg(token_file(folder))
                .args(["--cloudflare.account-id", &self.account])
                .arg(format!("--cloudflare.api-url=http://{}/client/v4", self.address))
                .args(more),
        )
    }

    /// Sets the state that the API reports for the session of a tunnel.
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
    // The story does not change this tunnel.
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
fn a_wrong_path_a_missing_token_and_a_wrong_account_are_refused_as_by_the_real_api() {
    let sandbox = Sandbox::start();
    let list = format!("/client/v4/accounts/{}/magic/ipsec_tunnels", sandbox.account);
    let stranger = "/client/v4/accounts/ffffffffffffffffffffffffffffffff/magic/ipsec_tunnels";
    let token = ("Authorization", "Bearer any");
    let no_token = ("Accept", "*/*");
    let table = [
        (list.as_str(), token, 200..=200),
        (list.as_str(), no_token, 400..=403),
        (stranger, token, 400..=404),
        ("/client/v4/accounts", token, 400..=404),
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

/// Writes `text` to a file and returns the flag that names it.
fn flag_with_file(folder: &tempfile::TempDir, flag: &str, text: &str) -> String {
    let file = folder.path().join(flag);
    std::fs::write(&file, text).expect("a file in a temporary folder");
    format!("--sandbox.{flag}={}", file.display())
}

const TWO_ACCOUNTS: &str = "
accounts:
  - name: lab
    tunnels:
      - type: gre
        name: lab-gre-1
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 127.0.1.1
        interface_address: 127.0.10.0/31
  - name: office
";

#[test]
fn story_faults_token_and_size_are_set_by_flags() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let story = flag_with_file(&folder, "story", TWO_ACCOUNTS);
    let faults = flag_with_file(&folder, "faults", "faults: [{collection: gre_tunnels, fault: {status: {code: 503}}}]");
    let token = flag_with_file(&folder, "token-file", "the-right-one\n");
    let sandbox =
        Sandbox::start_with(free_address(), &[&story, &faults, &token, "--sandbox.strict", "--sandbox.tunnels=10"]);
    let ask = |method: &str, collection: &str, secret: &str, body: &str| {
        let path = format!("/client/v4/accounts/{}/magic/{collection}", sandbox.account);
        let bearer = format!("Bearer {secret}");
        http::send(sandbox.address, method, &path, &[("Authorization", &bearer)], body).expect("an answer")
    };
    assert_eq!(ask("GET", "ipsec_tunnels", "another", "").status, 401);
    assert_eq!(ask("GET", "gre_tunnels", "the-right-one", "").status, 503);
    let list: Value =
        serde_json::from_str(&ask("GET", "ipsec_tunnels", "the-right-one", "").text()).expect("a list as JSON");
    assert_eq!(list["result"]["ipsec_tunnels"].as_array().map(Vec::len), Some(5), "of ten, half are IPsec");
    let public = r#"{"name": "x", "cloudflare_endpoint": "198.51.100.1", "interface_address": "203.0.113.0/31"}"#;
    let refused = ask("POST", "ipsec_tunnels", "the-right-one", public);
    assert!(refused.status == 400 && refused.text().contains("10.0.0.0/8"), "{}", refused.text());
}

/// Before, a sandbox on all addresses started and accepted any token of any machine.
#[test]
fn neither_sandbox_nor_demo_starts_on_all_addresses_without_a_token() {
    for command in ["sandbox", "demo"] {
        let ended = run(program().args([command, "--sandbox.listen-address=0.0.0.0:0"]));
        assert_eq!(ended.status.code(), Some(64), "{command}: {}", ended.stderr);
        assert!(ended.stderr.contains("set `--sandbox.token-file` or MTE_SANDBOX_TOKEN"), "{}", ended.stderr);
    }
}

#[test]
fn the_demo_plays_any_story_with_all_its_accounts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let story = flag_with_file(&folder, "story", TWO_ACCOUNTS);
    let token = flag_with_file(&folder, "token-file", "the-demo-uses-it-too\n");
    let mut demo = Exporter::start(program().args(["demo", &story, &token, "--sandbox.tunnels=10"]));
    demo.await_page("the tunnels of both accounts", SOON, |page| {
        let count = |account: &str, kind: &str| page.value("tunnels", &[("account", account), ("tunnel_type", kind)]);
        let counts = [count("lab", "ipsec"), count("lab", "gre"), count("office", "ipsec"), count("office", "gre")];
        (counts == [Some(5.0), Some(6.0), Some(0.0), Some(0.0)]).then_some(())
    });
}
