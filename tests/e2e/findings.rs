//! Findings on the configuration: a tunnel is corrected in the account, and its findings disappear everywhere.

use magic_tunnel_exporter::domain::{findings::Finding, label::Label as _};
use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{Api, by_collection},
    eventually,
    exporter::{ACCOUNT, Exporter, program, run, token_file},
    http,
    tunnels::{gre, gre_list, id_of, ipsec, ipsec_list, with},
};

/// `ipsec-1` with every finding of its type but the age of the key, which depends on the date.
fn careless() -> Value {
    let tunnel = with(ipsec("ipsec-1"), "/allow_null_cipher", json!(true));
    let tunnel = with(tunnel, "/replay_protection", json!(false));
    let tunnel = with(tunnel, "/customer_endpoint", json!(""));
    let tunnel = with(tunnel, "/psk_metadata", json!({}));
    with(tunnel, "/interface_address", gre("gre-1")["interface_address"].clone())
}

/// `ipsec-1` without a finding.
fn careful() -> Value {
    let tunnel = with(ipsec("ipsec-1"), "/health_check/type", json!("request"));
    with(tunnel, "/psk_metadata", json!({}))
}

const CARELESS: [&str; 5] =
    ["null_cipher_allowed", "replay_protection_off", "reply_check", "no_customer_endpoint", "shared_interface_prefix"];

/// Waits until the metric of `ipsec-1` is 1 for exactly these findings.
fn await_findings(exporter: &mut Exporter, expected: &[&str]) {
    exporter.await_page("the findings", SOON, |page| {
        let samples = page.all("tunnel_finding", &[("tunnel_name", "ipsec-1")]);
        let present = samples.iter().filter(|sample| sample.value == 1.0);
        let present: Vec<&str> = present.map(|sample| sample.labels["finding"].as_str()).collect();
        (samples.len() == 6 && present == expected).then_some(())
    });
}

#[test]
fn a_tunnel_loses_its_findings_when_it_is_corrected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(by_collection(ipsec_list(&[careless()]), gre_list(&[gre("gre-1")])));
    let mut exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    await_findings(&mut exporter, &CARELESS);
    let path = format!("{ACCOUNT}/ipsec/{}", id_of("ipsec-1"));
    let json: Value =
        serde_json::from_str(&http::text(exporter.address, &format!("/api/v1/tunnels/{path}"))).expect("JSON");
    let listed = json["findings"].as_array().expect("a list").iter();
    assert_eq!(listed.map(|finding| finding["finding"].clone()).collect::<Vec<_>>(), CARELESS);
    let page = http::text(exporter.address, &format!("/tunnels/{path}"));
    assert!(page.contains("which does not encrypt."), "{page}");

    api.answer_with(by_collection(ipsec_list(&[careful()]), gre_list(&[gre("gre-1")])));
    await_findings(&mut exporter, &[]);
    eventually("a page without findings", SOON, || {
        let page = http::text(exporter.address, &format!("/tunnels/{path}"));
        if page.contains("Findings") { Err(page) } else { Ok(()) }
    });
}

/// The lists with this finding only on `ipsec-1`, or on `gre-1` if it concerns GRE tunnels.
fn lists_with(finding: Option<Finding>) -> [Value; 2] {
    let today = json!({ "last_generated_on": web_toolkit::clock::now().wall.to_string() });
    let ipsec = with(careful(), "/psk_metadata", today);
    let gre = with(gre("gre-1"), "/health_check/enabled", json!(true));
    let Some(finding) = finding else { return [ipsec, gre] };
    let (field, value) = match finding {
        Finding::NullCipherAllowed => ("/allow_null_cipher", json!(true)),
        Finding::ReplayProtectionOff => ("/replay_protection", json!(false)),
        Finding::HealthCheckOff => ("/health_check/enabled", json!(false)),
        Finding::ReplyCheck => ("/health_check/type", json!("reply")),
        Finding::PskOld => ("/psk_metadata", json!({ "last_generated_on": "2020-01-01T00:00:00Z" })),
        Finding::NoCustomerEndpoint => ("/customer_endpoint", json!("")),
        Finding::SharedInterfacePrefix => ("/interface_address", gre["interface_address"].clone()),
        Finding::MtuUnusual => return [ipsec, with(gre, "/mtu", json!(1300))],
    };
    [with(ipsec, field, value), gre]
}

#[test]
fn each_finding_comes_and_goes_with_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answer = |finding| {
        let [ipsec, gre] = lists_with(finding);
        by_collection(ipsec_list(&[ipsec]), gre_list(&[gre]))
    };
    let api = Api::start(answer(None));
    let mut exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    for &finding in Finding::ALL {
        for present in [false, true, false] {
            api.answer_with(answer(present.then_some(finding)));
            let mut tunnels = vec![if finding == Finding::MtuUnusual { "gre-1" } else { "ipsec-1" }];
            if finding == Finding::SharedInterfacePrefix {
                tunnels.insert(0, "gre-1");
            }
            tunnels.retain(|_| present);
            exporter.await_page(&format!("{finding}: {present}"), SOON, |page| {
                let samples = page.all("tunnel_finding", &[]);
                let found = samples.iter().filter(|sample| sample.value > 0.5);
                let mut found: Vec<(&str, &str)> =
                    found.map(|one| (&*one.labels["tunnel_name"], &*one.labels["finding"])).collect();
                found.sort_unstable();
                let expected = tunnels.iter().map(|tunnel| (*tunnel, finding.as_str()));
                (!samples.is_empty() && found == expected.collect::<Vec<_>>()).then_some(())
            });
        }
    }
}

#[test]
fn the_check_lists_the_findings_on_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(by_collection(ipsec_list(&[careless()]), gre_list(&[gre("gre-1")])));
    let check = |flags: &[&str]| {
        let mut command = program();
        command.args(["check", "--cloudflare.account-id", ACCOUNT, "--web.listen-address=127.0.0.1:0"]).args(flags);
        command.arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address));
        run(command.arg("--cloudflare.api-token-file").arg(token_file(&folder))).stdout
    };
    let said = check(&["--findings"]);
    for line in [
        "warn  finding of 0123456789abcdef0123456789abcdef     null_cipher_allowed: ",
        "1 tunnel (ipsec-1); set `allow_null_cipher` to false",
        "health_check_off: Cloudflare's health checks are off",
        "2 tunnels (gre-1, ipsec-1); give each tunnel",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert!(!check(&[]).contains("finding of"));
}
