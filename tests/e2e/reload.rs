//! Changes without a restart: the configuration file by SIGHUP and `POST /-/reload`, secrets by writing their files.

use std::{fmt::Write as _, fs, path::PathBuf, thread};

use tempfile::TempDir;

use crate::{
    sandbox::Sandbox,
    support::{
        SOON, eventually,
        exporter::{Exporter, program},
        free_address,
        http::{self, Reply},
        samples::{Sample, Samples},
    },
};

/// Two accounts without events, with addresses that answer on this machine.
const STORY: &str = "
accounts:
  - name: lab
    id: 000000000000000000000000000001ab
    tunnels:
      - {type: ipsec, name: lab-1, cloudflare_endpoint: 198.51.100.1, customer_endpoint: 127.0.1.1, interface_address: 127.0.10.0/31,
         bgp: {customer_asn: 65010}, bgp_status: up}
      - {type: gre, name: lab-2, cloudflare_gre_endpoint: 198.51.100.1, customer_gre_endpoint: 127.0.1.2, interface_address: 127.0.10.2/31}
  - name: office
    id: 0000000000000000000000000000ff1c
    tunnels:
      - {type: gre, name: office-1, cloudflare_gre_endpoint: 198.51.100.1, customer_gre_endpoint: 127.0.1.3, interface_address: 127.0.10.4/31}
";

const PROBING: &str = "probe: {enabled: true, interval: 200ms, interface: lo}\n";

/// A sandbox, an exporter that polls it, and the folder with the configuration file.
struct House {
    sandbox: Sandbox,
    exporter: Exporter,
    folder: TempDir,
}

impl House {
    /// Starts with the account `lab` and with probing.
    fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("story.yml"), STORY).expect("a file");
        for token in ["token", "other-token"] {
            fs::write(path(token), "any\n").expect("a file");
        }
        let story = format!("--sandbox.story={}", path("story.yml").display());
        let sandbox = Sandbox::start_with(free_address(), &[&story]);
        write(&path("mte.yml"), &(configuration(&sandbox, &["lab"]) + PROBING));
        let mut command = program();
        command.arg("serve").arg(format!("--config.file={}", path("mte.yml").display())).args(flags);
        let mut house = Self { sandbox, exporter: Exporter::start(&mut command), folder };
        house.await_page("the tunnels of the lab", |page| tunnels(page) == ["lab-1", "lab-2"]);
        house
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mte.yml")
    }

    /// Writes a new configuration file with these accounts and `more` text.
    fn configure(&self, accounts: &[&str], more: &str) {
        write(&self.file(), &(configuration(&self.sandbox, accounts) + more));
    }

    fn post(&self) -> Reply {
        http::request(self.exporter.address, "POST", "/-/reload", &[]).expect("an answer")
    }

    fn hang_up(&self) {
        self.exporter.process.signal("HUP");
    }

    fn await_page(&mut self, what: &str, check: impl Fn(&Samples) -> bool) -> Samples {
        self.exporter.await_page(what, SOON, |page| check(page).then(|| Samples(page.0.clone())))
    }

    fn await_log(&self, line: &str) -> String {
        eventually(line, SOON, || {
            let said = self.exporter.process.said();
            let found = said.lines().find(|said| said.contains(line)).map(str::to_owned);
            found.ok_or(said)
        })
    }
}

/// Replaces a file atomically, as a careful editor does.
fn write(path: &std::path::Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).expect("a file in a temporary folder");
    fs::rename(&next, path).expect("the new file in the place of the old one");
}

fn configuration(sandbox: &Sandbox, accounts: &[&str]) -> String {
    let mut text = format!("cloudflare: {{api_token_file: token, api_url: 'http://{}/client/v4'}}\n", sandbox.address);
    text.push_str("poll: {interval: 1s, timeout: 3s}\naccounts:\n");
    for name in accounts {
        let id = if *name == "lab" { "000000000000000000000000000001ab" } else { "0000000000000000000000000000ff1c" };
        writeln!(text, "  - {{name: {name}, id: {id}}}").expect("writing to a string");
    }
    text
}

fn tunnels(page: &Samples) -> Vec<&str> {
    let mut names: Vec<&str> =
        page.all("tunnel_info", &[]).iter().map(|sample| sample.labels["tunnel_name"].as_str()).collect();
    names.sort_unstable();
    names
}

fn of_lab(page: &Samples, name: &str) -> f64 {
    page.value(name, &[("tunnel_name", "lab-1")]).unwrap_or_else(|| panic!("no {name}"))
}

fn requests(page: &Samples) -> f64 {
    let labels = [("tunnel_name", "lab-1"), ("probe_target", "interface_address")];
    page.value("tunnel_probe_requests_total", &labels).unwrap_or_default()
}

fn successful(page: &Samples) -> f64 {
    page.value("config_last_reload_successful", &[]).expect("always there")
}

/// All reloads, and those that failed.
fn reloads(page: &Samples) -> [f64; 2] {
    ["config_reloads_total", "config_reload_failures_total"].map(|name| page.value(name, &[]).expect("always there"))
}

#[test]
fn an_account_is_added_and_removed_and_the_counters_of_the_other_continue() {
    let mut house = House::new(&["--web.enable-lifecycle"]);
    house.sandbox.report("lab-1", "BGP_DOWN");
    let before = house.await_page("a change and some echoes", |page| {
        requests(page) >= 5.0 && of_lab(page, "tunnel_bgp_state_changes_total") == 1.0
    });
    house.configure(&["lab", "office"], PROBING);
    house.hang_up();
    let both = house.await_page("the office", |page| tunnels(page) == ["lab-1", "lab-2", "office-1"]);
    assert_eq!(of_lab(&both, "tunnel_bgp_state_changes_total"), 1.0);
    assert!(requests(&both) >= requests(&before), "the probes of an unchanged address continue");
    assert!(house.await_log("configuration reloaded").contains("accounts added: office"));
    house.configure(&["lab"], PROBING);
    let reply = house.post();
    assert_eq!((reply.status, reply.text().contains("removed: office")), (200, true), "{}", reply.text());
    let page = house.await_page("the office to be gone", |page| {
        let office = |sample: &Sample| sample.labels.values().any(|value| value.starts_with("office"));
        // The two tunnels of the lab have two addresses each.
        !page.0.iter().any(office) && page.value("probe_targets", &[]) == Some(4.0)
    });
    assert_eq!(of_lab(&page, "tunnel_bgp_state_changes_total"), 1.0);
    assert!(requests(&page) >= requests(&both));
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported_in_the_answer_the_log_and_a_metric() {
    let mut house = House::new(&["--web.enable-lifecycle"]);
    let read = |page: &Samples| page.value("config_last_reload_success_timestamp_seconds", &[]);
    let before = house.exporter.samples();
    assert_eq!((successful(&before), reloads(&before)), (1.0, [0.0, 0.0]));
    house.configure(&["lab", "office"], "poll_interval: 1s\n");
    let sentence = "unknown key `poll_interval`; nest `interval` under `poll`";
    let reply = house.post();
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(reply.text().contains(sentence) && reply.text().contains("mte.yml: line 6: "), "{}", reply.text());
    assert!(house.await_log("configuration not reloaded, the current one stays active").contains(sentence));
    let page = house.await_page("a failed reload", |page| successful(page) == 0.0);
    assert_eq!(read(&page), read(&before), "the time of the last good one stays");
    assert_eq!(tunnels(&page), ["lab-1", "lab-2"]);
    fs::remove_file(house.file()).expect("the file");
    let reply = house.post();
    assert_eq!((reply.status, reply.text().contains("must be a readable file")), (500, true), "{}", reply.text());
    house.configure(&["lab", "office"], PROBING);
    house.hang_up();
    let page =
        house.await_page("the good file to be loaded", |page| successful(page) == 1.0 && tunnels(page).len() == 3);
    assert_eq!(reloads(&page), [3.0, 2.0]);
}

#[test]
fn settings_of_polls_probes_and_tunnels_change_while_it_runs() {
    let mut house = House::new(&["--web.enable-lifecycle"]);
    let before = house.await_page("some echoes", |page| requests(page) >= 3.0);
    assert_eq!(before.value("poll_interval_seconds", &[]), Some(1.0));
    house.configure(&["lab"], "tunnels: {overrides: [{name: 'lab-*', site: basement, extra_address: 127.0.9.1}]}\nprobe: {enabled: true, interface: lo}\n");
    assert_eq!(house.post().status, 200);
    house.await_page("a site and an extra address that answers", |page| {
        let sites: Vec<_> = page.all("tunnel_site_info", &[]).iter().map(|sample| &sample.labels["site"]).collect();
        sites == ["basement", "basement"]
            && page.all("tunnel_probe_up", &[("probe_target", "extra_address")]).len() == 2
    });
    house.configure(&["lab"], "tunnels: {exclude: [lab-2]}\nprobe: {enabled: true, interval: 300ms, interface: lo}\n");
    assert_eq!(house.post().status, 200);
    let page = house.await_page("one tunnel less", |page| tunnels(page) == ["lab-1"]);
    assert!(requests(&page) >= requests(&before), "a new interval does not reset the counters");
    house.configure(&["lab"], "");
    assert_eq!(house.post().status, 200);
    house
        .await_page("probing to end", |page| page.value("probe_targets", &[]) == Some(0.0) && tunnels(page).len() == 2);
    let text = configuration(&house.sandbox, &["lab"]).replace("interval: 1s", "interval: 2s");
    write(&house.file(), &text);
    assert_eq!(house.post().status, 200);
    house.await_page("the new interval", |page| page.value("poll_interval_seconds", &[]) == Some(2.0));
}

#[test]
fn a_new_api_address_keeps_the_data_of_the_account() {
    let mut house = House::new(&["--web.enable-lifecycle"]);
    house.sandbox.report("lab-1", "BGP_DOWN");
    house.await_page("a change", |page| of_lab(page, "tunnel_bgp_state_changes_total") == 1.0);
    let elsewhere = free_address();
    let text =
        configuration(&house.sandbox, &["lab"]).replace(&house.sandbox.address.to_string(), &elsewhere.to_string());
    write(&house.file(), &text.replace("api_token_file: token", "api_token_file: other-token"));
    let reply = house.post();
    assert!(reply.status == 200 && reply.text().contains("changed: lab"), "{}", reply.text());
    let page = house.await_page("the new API to fail", |page| {
        page.all("collection_up", &[]).iter().all(|sample| sample.value == 0.0)
    });
    assert_eq!(tunnels(&page), ["lab-1", "lab-2"]);
    assert_eq!(of_lab(&page, "tunnel_bgp_state_changes_total"), 1.0);
}

#[test]
fn settings_that_need_a_restart_are_named_at_each_reload() {
    let house = House::new(&["--web.enable-lifecycle"]);
    house.configure(&["lab"], "web: {listen_address: '127.0.0.1:1', telemetry_path: /m}\nlog: {level: debug}\n");
    for _ in 0..2 {
        let reply = house.post();
        assert_eq!(reply.status, 200);
        // `web.listen_address` is not in the list, because the flag of the test overrides it.
        assert!(
            reply.text().contains("take effect after a restart: web.telemetry_path, log.level"),
            "{}",
            reply.text()
        );
    }
    assert_eq!(http::get(house.exporter.address, "/metrics").expect("an answer").status, 200);
}

#[test]
fn reloading_by_http_is_off_by_default() {
    let house = House::new(&[]);
    let reply = house.post();
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("--web.enable-lifecycle"), "{}", reply.text());
    let reply = http::get(house.exporter.address, "/-/reload").expect("an answer");
    assert_eq!((reply.status, reply.header("allow").as_str()), (405, "POST, PUT"));
}

#[test]
fn many_signals_and_requests_are_combined_into_a_few_reloads() {
    const REQUESTS: usize = 60;
    let mut house = House::new(&["--web.enable-lifecycle"]);
    thread::scope(|scope| {
        let posts: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(|| house.post().status)).collect();
        let kill = format!("for n in $(seq 300); do kill -HUP {}; done", house.exporter.process.id());
        let killed = std::process::Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(killed.success());
        for post in posts {
            assert_eq!(post.join().expect("a reply"), 200);
        }
    });
    let reloads = house.exporter.process.said().matches("configuration reloaded").count();
    assert!((1..REQUESTS / 2).contains(&reloads), "{reloads} reloads");
    house.await_page("the lists after the reloads", |page| {
        tunnels(page) == ["lab-1", "lab-2"] && successful(page) == 1.0
    });
}

#[test]
fn without_a_configuration_file_a_signal_reads_the_secrets_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let exporter = sandbox.watched(&folder, &[]);
    exporter.process.signal("HUP");
    eventually("a line about the missing file", SOON, || {
        let said = exporter.process.said();
        if said.contains("so no configuration file was read") { Ok(()) } else { Err(said) }
    });
}

/// The API refuses the old token as soon as it has a new one. The exporter is not restarted.
#[test]
fn a_token_is_rotated_by_writing_its_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    for (file, token) in [("token", "first"), ("accepted", "first")] {
        fs::write(path(file), format!("{token}-e2e-secret\n")).expect("a file");
    }
    let accepted = format!("--sandbox.token-file={}", path("accepted").display());
    let address = free_address();
    let sandbox = Sandbox::start_with(address, &[&accepted]);
    let account = sandbox.account.clone();
    let mut exporter = Exporter::start(
        program()
            .args(["serve", "--poll.interval=1s", "--log.level=trace", "--cloudflare.account-id", &account])
            .arg(format!("--cloudflare.api-token-file={}", path("token").display()))
            .arg(format!("--cloudflare.api-url=http://{address}/client/v4")),
    );
    let up = |page: &Samples, value: f64| {
        let collections = page.all("collection_up", &[]);
        (collections.len() == 4 && collections.iter().all(|sample| sample.value == value)).then_some(())
    };
    exporter.await_page("all lists", SOON, |page| up(page, 1.0));
    // While a file is being rewritten it may be empty: the old token stays active.
    fs::write(path("token"), "").expect("a file");
    eventually("a line about the empty file", SOON, || {
        let said = exporter.process.said();
        if said.contains("the previous secret stays in use") { Ok(()) } else { Err(said) }
    });
    exporter.await_page("all lists still", SOON, |page| up(page, 1.0));
    drop(sandbox);
    fs::write(path("accepted"), "second-e2e-secret\n").expect("a file");
    let _sandbox = Sandbox::start_with(address, &[&accepted]);
    exporter.await_page("the old token to be refused", SOON, |page| {
        let refused = page.all("api_request_failures_total", &[("reason", "auth")]);
        // The counter moves first, the state of the collection follows with the next verdicts.
        refused.iter().all(|sample| sample.value > 0.0).then_some(()).and(up(page, 0.0))
    });
    fs::write(path("token"), "second-e2e-secret\n").expect("a file");
    exporter.await_page("the new token to be used", SOON, |page| up(page, 1.0));
    let said = exporter.process.said();
    assert!(said.contains("has changed; the new one is in use"), "{said}");
    assert!(!said.contains("e2e-secret"), "no secret is shown:\n{said}");
}

#[test]
fn a_world_readable_secret_is_logged_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = House::new(&["--web.enable-lifecycle"]);
    fs::set_permissions(house.folder.path().join("token"), fs::Permissions::from_mode(0o644)).expect("permissions");
    for _ in 0..3 {
        assert_eq!(house.post().status, 200);
    }
    house.await_log("every user of this machine can read the secret");
    let count = house.exporter.process.said().matches("every user of this machine").count();
    assert_eq!(count, 1);
}
