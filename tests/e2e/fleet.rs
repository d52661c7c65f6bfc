//! A hub with the token and agents without one, over real sockets.

mod clocks;
mod faults;
mod hubs;
mod quorum;

use std::{fs, net::SocketAddr, process::Command};

use serde_json::{Value, json};

use crate::{
    support::{
        SOON,
        api::{Api, by_collection},
        eventually,
        exporter::{Exporter, Process, TOKEN, program, run, token_file},
        free_address, http, tools,
        tunnels::{gre, gre_list, ipsec, ipsec_list, with},
    },
    web_config::authority::Authority,
};

/// Derives the site from the name: `fra-1` belongs to `fra`.
const SITES: &str = "sites: [{pattern: '^(?<site>[a-z]+)-'}]\n";

/// An API with two tunnels in `fra` and one in `lon`, and a folder for the files of a test.
struct World {
    api: Api,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("hub.yml"), SITES).expect("a file of our own");
        Self { api: Api::start(usual()), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.path(name), content).expect("a file of our own");
        self.path(name)
    }

    /// A hub that has read its lists.
    fn hub(&self, more: &[&str]) -> Exporter {
        let config = format!("--config.file={}", self.path("hub.yml"));
        let flags: Vec<&str> = [&*config].into_iter().chain(more.iter().copied()).collect();
        let hub = Exporter::serve(self.api.address, &token_file(&self.folder), &flags);
        hub.await_ready();
        hub
    }
}

fn usual() -> crate::support::api::Answer {
    let named = |tunnel: Value, endpoint: &str| with(tunnel, "/customer_endpoint", json!(endpoint));
    let ipsec = [named(ipsec("fra-1"), "127.0.0.1"), named(ipsec("lon-1"), "127.0.0.2")];
    by_collection(ipsec_list(&ipsec), gre_list(&[named(gre("fra-2"), "127.0.0.3")]))
}

/// The command of an agent at `fra`.
fn agent(hubs: &[String]) -> Command {
    let mut command = program();
    command.args(["serve", "--inventory.interval=1s", "--inventory.timeout=2s", "--inventory.site=fra"]);
    command.args(["--inventory.prober=fra-prober"]).arg(format!("--inventory.url={}", hubs.join(",")));
    command
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn get(address: SocketAddr, path: &str) -> Value {
    serde_json::from_str(&http::text(address, path)).expect("JSON")
}

/// The names of the tunnels that an exporter shows.
fn names(address: SocketAddr) -> Vec<String> {
    let answer = get(address, "/api/v1/tunnels");
    let tunnels = answer["tunnels"].as_array().expect("tunnels").iter();
    let mut names: Vec<_> = tunnels.map(|tunnel| tunnel["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

fn await_names(agent: &Exporter, expected: &[&str]) {
    eventually("the tunnels of the hub", SOON, || {
        let names = names(agent.address);
        if names == expected { Ok(()) } else { Err(format!("{names:?}\n{}", agent.process.said())) }
    });
}

#[test]
fn an_agent_shows_the_tunnels_of_its_site_as_the_hub_does_and_has_no_token() {
    let world = World::new();
    let hub = world.hub(&[]);
    let mut agent = Exporter::start(
        agent(&[url(hub.address)]).args(["--probe", "--inventory.advertise=http://fra.example:9847/metrics"]),
    );
    await_names(&agent, &["fra-1", "fra-2"]);
    agent.await_ready();
    let of = |address, name: &str| {
        let answer = get(address, "/api/v1/tunnels");
        let mut tunnel = answer["tunnels"].as_array().expect("tunnels").iter().find(|t| t["name"] == name).cloned();
        let fields = tunnel.as_mut().and_then(Value::as_object_mut).expect("the tunnel");
        // Of the moment, of the prober, or of the API, which only the hub reads.
        for field in ["confirmed", "verdict", "probes", "routes"] {
            fields.remove(field);
        }
        // The agent does not know the tunnels of other sites.
        let findings = fields.get_mut("findings").and_then(Value::as_array_mut).expect("a list");
        findings.retain(|finding| finding["finding"] != "shared_interface_prefix");
        tunnel
    };
    for name in ["fra-1", "fra-2"] {
        assert_eq!(of(agent.address, name), of(hub.address, name));
    }
    agent.await_page("replies to the agent", SOON, |page| {
        let replies = page.all("tunnel_probe_replies_total", &[("tunnel_name", "fra-1")]);
        replies.iter().any(|sample| sample.value > 0.0).then_some(())
    });
    assert_eq!(agent.samples().value("inventory_tunnels", &[]), Some(2.0));
    let text = http::text(agent.address, "/metrics");
    assert!(text.contains(r#"prober_info{prober="fra-prober",site="fra",vantage="site"} 1"#), "{text}");
    let agents = get(hub.address, "/api/v1/agents");
    let known = &agents["agents"][0];
    assert_eq!(
        (&known["prober"], &known["sites"], &known["state"]),
        (&json!("fra-prober"), &json!(["fra"]), &json!("current"))
    );
    assert!(http::text(hub.address, "/agents").contains("fra-prober"));
    let target = &get(hub.address, "/api/v1/agents/targets")[0];
    assert_eq!(
        (&target["targets"], &target["labels"]["__metrics_path__"]),
        (&json!(["fra.example:9847"]), &json!("/metrics"))
    );
    let page = http::text(hub.address, "/metrics");
    assert!(page.contains(r#"cloudflare_magic_agents{state="current"} 1"#), "{page}");
    assert!(page.contains(r#"cloudflare_magic_inventory_served_total{code="200"} 1"#), "{page}");
}

#[test]
fn a_client_reads_the_sites_that_it_was_granted_and_no_other_page() {
    let world = World::new();
    let (server, ours) = (Authority::new(), Authority::new());
    let (own, lon) = (server.signs(&["hub.example"]), ours.signs(&["lon.example"]));
    let ca = world.write("ca.pem", &server.certificate());
    let files = [("own.pem", &own.certificate), ("own.key", &own.key), ("clients.pem", &ours.certificate())];
    for (name, content) in files {
        world.write(name, content);
    }
    let hash = bcrypt::hash("of fra", 4).expect("a hash");
    let web = format!(
        "tls_server_config: {{cert_file: own.pem, key_file: own.key, client_ca_file: clients.pem, \
         client_auth_type: VerifyClientCertIfGiven}}\nbasic_auth_users: {{fra: '{hash}'}}\n"
    );
    let web = world.write("web.yml", &web);
    world.write("hub.yml", &format!("{SITES}fleet:\n  users:\n    - {{user: fra, sites: [fra]}}\n    - {{certificate: lon.example, sites: [lon]}}\n"));
    let address = free_address();
    let mut command = program();
    command
        .args(["serve", "--cloudflare.account-id", crate::support::exporter::ACCOUNT, "--poll.interval=1s"])
        .arg(format!("--cloudflare.api-token-file={}", token_file(&world.folder).display()))
        .arg(format!("--cloudflare.api-url=http://{}/client/v4", world.api.address))
        .arg(format!("--config.file={}", world.path("hub.yml")))
        .args([format!("--web.config.file={web}"), format!("--web.listen-address={address}")]);
    let hub = Process::start(&mut command);
    let password = world.write("password", "of fra\n");
    let hub_url = format!("https://{address}");
    let with_login = |command: &mut Command| {
        command.arg(format!("--inventory.tls.ca-file={ca}")).arg("--inventory.tls.server-name=hub.example");
        command.arg("--inventory.basic-auth.username=fra");
        command.arg(format!("--inventory.basic-auth.password-file={password}"));
    };
    let mut command = agent(std::slice::from_ref(&hub_url));
    with_login(&mut command);
    let agent = Exporter::start(&mut command);
    await_names(&agent, &["fra-1", "fra-2"]);
    let of_lon = |flags: &[String]| {
        let mut command = program();
        command.args(["tunnels", "--inventory.site=lon", &format!("--inventory.url={hub_url}")]).args(flags);
        with_login(&mut command);
        run(&mut command)
    };
    let refused = of_lon(&[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stdout.contains("cannot be read from a hub (auth)"), "{refused:?}");
    let certificate = format!("--inventory.tls.cert-file={}", world.write("lon.pem", &lon.certificate));
    let shown = of_lon(&[certificate, format!("--inventory.tls.key-file={}", world.write("lon.key", &lon.key))]);
    assert!(shown.stdout.contains("lon-1") && !shown.stdout.contains("fra-1"), "{shown:?}");
    if tools::tool("curl").is_some() {
        for (page, status) in
            [("/metrics", "403"), ("/api/v1/tunnels", "403"), ("/-/reload", "403"), ("/-/ready", "200")]
        {
            let mut curl = Command::new("curl");
            curl.args(["-sk", "-u", "fra:of fra", "-o", "/dev/null", "-w", "%{http_code}"]);
            let output = curl.arg(format!("https://{address}{page}")).output().expect("curl");
            assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{page}");
        }
    }
    let said = format!("{}{}{}{}", refused.stdout, shown.stdout, agent.process.said(), hub.said());
    assert!(!said.contains("of fra"), "{said}");
}

#[test]
fn an_agent_with_an_account_or_an_edge_of_its_own_is_refused_with_one_sentence() {
    for more in
        [&["--cloudflare.account-id=0123"][..], &["--cloudflare.api-url=https://api.example"], &["--edge.enabled"]]
    {
        let ended = run(agent(&["https://hub.example:9847".to_owned()]).args(more));
        assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(64), 1), "{}", ended.stderr);
        assert!(ended.stderr.contains("cannot be combined with `--inventory.url`"), "{}", ended.stderr);
    }
    let ended = run(program().args(["serve", "--inventory.url=http://192.0.2.1:9847"]));
    assert!(ended.status.code() == Some(64) && ended.stderr.contains("must use https"), "{}", ended.stderr);
}

#[test]
fn check_and_tunnels_ask_the_hub() {
    let world = World::new();
    let hub = world.hub(&[]);
    let flags = ["--inventory.site=fra".to_owned(), format!("--inventory.url={}", url(hub.address))];
    let listen = format!("--web.listen-address={}", free_address());
    let ended = run(program().arg("check").args(&flags).arg(&listen));
    assert!(ended.status.success() && ended.stdout.contains("lists 2 tunnels for this agent"), "{ended:?}");
    let ended = run(program().arg("tunnels").args(&flags));
    assert!(ended.stdout.contains("fra-1") && ended.stdout.contains("fra-2"), "{ended:?}");
    assert!(!ended.stdout.contains("lon-1"), "{}", ended.stdout);
    drop(hub);
    let ended = run(program().arg("check").args(&flags).arg(&listen));
    assert!(ended.status.code() == Some(1) && ended.stdout.contains("sends no inventory (connect"), "{ended:?}");
    let ended = run(program().arg("tunnels").args(&flags));
    assert!(ended.status.code() == Some(2) && ended.stdout.contains("cannot be read from a hub"), "{ended:?}");
}

#[test]
fn the_inventory_contains_no_secret_and_is_the_same_on_two_hubs() {
    let world = World::new();
    let hubs = [world.hub(&[]), world.hub(&[])];
    let replies = hubs.each_ref().map(|hub| http::get(hub.address, "/api/v1/inventory?all=true").expect("an answer"));
    assert_eq!(replies[0].text(), replies[1].text());
    assert_eq!(replies[0].header("etag"), replies[1].header("etag"));
    assert!(!replies[0].text().contains(TOKEN) && !replies[0].text().contains("verdict"), "{}", replies[0].text());
    let tag = replies[0].header("etag");
    let again = http::request(hubs[1].address, "GET", "/api/v1/inventory?all=true", &[("If-None-Match", &tag)]);
    assert_eq!(again.expect("an answer").status, 304);
}
