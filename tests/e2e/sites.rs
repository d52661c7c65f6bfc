//! Sites: hundreds of them from one line of configuration, on the page, in JSON, metrics and commands; and rules that
//! match no tunnel.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    SOON,
    api::{self, Api, by_collection},
    browser::Browser,
    eventually,
    exporter::{ACCOUNT, Ended, Exporter, Process, program, run, token_file},
    free_address, http,
    tunnels::{all_is_well, gre, gre_list, ipsec, ipsec_list, with},
};

const ONE_LINE: &str = "sites: [{from: name, pattern: '^(?<site>[a-z]{3})-'}]\n";

/// The name of one of 400 sites: `aaa` to `pjj`.
fn site(number: usize) -> String {
    let letters = [number / 100, number / 10 % 10, number % 10];
    letters.iter().map(|&letter| char::from(b'a' + u8::try_from(letter).expect("a digit"))).collect()
}

/// Two tunnels at each of 400 sites. The first site has no working tunnel, the second one lost one.
fn four_hundred_sites() -> Api {
    let tunnel = |number: usize, uplink: usize| {
        let down = number == 0 || (number, uplink) == (1, 2);
        with(
            ipsec(&format!("{}-{uplink}", site(number))),
            "/bgp_status/state",
            json!(if down { "BGP_DOWN" } else { "BGP_UP" }),
        )
    };
    let tunnels: Vec<Value> = (0..400).flat_map(|number| [tunnel(number, 1), tunnel(number, 2)]).collect();
    Api::start(by_collection(ipsec_list(&tunnels), gre_list(&[])))
}

/// A folder with a token and a configuration file: one account at this API, and `more`.
fn folder(api: &Api, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    token_file(&folder);
    configure(&folder, api, more);
    folder
}

fn configure(folder: &TempDir, api: &Api, more: &str) {
    let account = format!("accounts: [{{id: {ACCOUNT}, name: acme, api_token_file: token}}]\n");
    let poll = "poll: {interval: 1s, timeout: 5s}\n";
    let url = format!("cloudflare: {{api_url: 'http://{}/client/v4'}}\n", api.address);
    fs::write(folder.path().join("mte.yml"), [&account, poll, &url, more].concat()).expect("a file");
}

fn file_flag(folder: &Path) -> String {
    format!("--config.file={}", folder.join("mte.yml").display())
}

fn start(folder: &TempDir) -> Exporter {
    Exporter::start(program().args(["serve", &file_flag(folder.path())]))
}

fn serve(folder: &TempDir) -> Exporter {
    let exporter = start(folder);
    exporter.await_ready();
    exporter
}

fn print(command: &str, folder: &TempDir, flags: &[&str]) -> Ended {
    run(program().args([command, &file_flag(folder.path())]).args(flags))
}

fn get(exporter: &Exporter, path: &str) -> Value {
    serde_json::from_str(&http::text(exporter.address, path)).expect("JSON")
}

/// Waits until the broken tunnels are judged.
fn await_verdicts(exporter: &Exporter) {
    eventually("three broken tunnels", SOON, || {
        let answer = get(exporter, "/api/v1/tunnels?verdict=reported_down");
        if answer["tunnels"].as_array().is_some_and(|tunnels| tunnels.len() == 3) {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    });
}

#[test]
fn one_line_of_configuration_makes_400_sites() {
    let api = four_hundred_sites();
    let folder = folder(&api, ONE_LINE);
    let exporter = serve(&folder);
    await_verdicts(&exporter);

    let page = exporter.samples();
    let series = page.all("tunnel_site_info", &[]);
    assert_eq!(series.len(), 800);
    assert_eq!(page.value("tunnel_site_info", &[("tunnel_name", "dhc-2"), ("site", "dhc")]), Some(1.0));

    let sites = get(&exporter, "/api/v1/sites")["sites"].as_array().expect("a list").clone();
    assert_eq!(sites.len(), 400);
    let worst: Vec<_> = sites.iter().take(3).map(|site| (&site["site"], &site["working"], &site["broken"])).collect();
    let counts = [("aaa", 0, 2), ("aab", 1, 1), ("aac", 2, 0)].map(|(site, w, b)| (json!(site), json!(w), json!(b)));
    assert_eq!(worst, counts.each_ref().map(|(site, working, broken)| (site, working, broken)));

    let names = |path: &str| -> Vec<Value> {
        get(&exporter, path)["tunnels"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|tunnel| tunnel["name"].clone())
            .collect()
    };
    assert_eq!(names("/api/v1/tunnels?site=dhc"), ["dhc-1", "dhc-2"]);
    assert_eq!(names("/api/v1/tunnels?site=aab&verdict=attention"), ["aab-2"]);
    assert_eq!(names("/api/v1/tunnels?site=dh"), [""; 0]);
    assert_eq!(get(&exporter, "/api/v1/tunnels?site=dhc")["tunnels"][0]["site"], "dhc");
    assert_eq!(get(&exporter, "/api/v1/sites?site=dhc")["sites"].as_array().map(Vec::len), Some(1));
    let wrong = http::get(exporter.address, "/api/v1/sites?sort=name").expect("an answer");
    assert_eq!(wrong.status, 400);
}

#[test]
fn the_page_with_400_sites_shows_the_worst_first_and_stays_short() {
    let api = four_hundred_sites();
    let folder = folder(&api, ONE_LINE);
    let exporter = serve(&folder);
    await_verdicts(&exporter);
    let page = http::text(exporter.address, "/");
    let shown = |page: &str| page.matches("href=\"?site=").count();
    assert_eq!(shown(&page), 12, "{page}");
    assert!(page.contains("1 down, 1 impaired") && page.contains("388 more"), "{page}");
    assert!(page.find("?site=aaa\"") < page.find("?site=aab\""), "{page}");
    let all = http::text(exporter.address, "/?sites=all");
    assert_eq!(shown(&all), 400);
    let one = http::text(exporter.address, "/?site=dhc");
    assert_eq!(one.matches("<td class=\"verdict\"").count(), 2, "{one}");
    let path = one.split("href=\"tunnels/").nth(1).and_then(|rest| rest.split('"').next()).expect("a link to a tunnel");
    let tunnel = http::text(exporter.address, &format!("/tunnels/{path}"));
    assert!(tunnel.contains("<a href=\"../../../?site=dhc\">dhc</a>"), "{tunnel}");
    assert!(page.contains("href=\"?sort=site#tunnels\""), "{page}");
    let grouped = http::text(exporter.address, "/?sort=site");
    assert_eq!(grouped.matches("scope=\"rowgroup\"").count(), 50, "two tunnels of 50 sites are on the first page");
    let heads = [("aaa", "broken", "Down", "0 of 2 work"), ("aab", "suspect", "Impaired", "1 of 2 works")];
    for (site, concern, word, counts) in heads {
        let head = format!("{site}</a> <span class=\"badge {concern}\">{word}</span> <small>{counts}</small>");
        assert!(grouped.contains(&head), "{head}: {grouped}");
    }
    let none = http::text(exporter.address, "/?site=nowhere");
    assert!(none.contains("No tunnel matches this filter"), "{none}");
}

#[test]
fn a_site_is_one_click_away_in_the_browser() {
    let Some(browser) = Browser::start() else { return };
    let api = four_hundred_sites();
    let folder = folder(&api, ONE_LINE);
    let exporter = serve(&folder);
    await_verdicts(&exporter);
    browser.open(exporter.address, "/");
    let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.run(overflow), json!(false), "the list of sites fits the window");
    browser.click(".sites .more a");
    browser.until("all sites", "return document.querySelectorAll('.sites .tile').length === 400");
    browser.click(".sites .tile.broken");
    browser.until("the tunnels of one site", "return document.querySelectorAll('.tunnels tbody tr').length === 2");
    assert_eq!(browser.run("return location.search"), json!("?site=aaa"));
    assert_eq!(browser.run("return document.querySelector('.filter input[name=site]').value"), json!("aaa"));
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
fn without_sites_the_page_does_not_mention_them() {
    let api = Api::start(all_is_well());
    let folder = folder(&api, "");
    let exporter = serve(&folder);
    let page = http::text(exporter.address, "/");
    for part in ["No site", "name=\"site\"", "Any site"] {
        assert!(!page.contains(part), "{part}: {page}");
    }
    let sites = get(&exporter, "/api/v1/sites")["sites"].as_array().expect("a list").clone();
    assert!(matches!(&sites[..], [rest] if rest.get("site").is_none() && rest["tunnels"] == 2), "{sites:?}");
}

#[test]
fn the_command_tunnels_shows_and_filters_by_site() {
    let api = four_hundred_sites();
    let folder = folder(&api, ONE_LINE);
    let all = print("tunnels", &folder, &[]);
    assert!(all.stdout.lines().next().is_some_and(|head| head.contains("SITE")), "{}", all.stdout);
    assert!(all.stdout.contains("800 tunnels, 3 need attention"), "{}", all.stdout);
    for (site, tunnels, code) in [("dhc", 2, 0), ("aab", 2, 1), ("nowhere", 0, 1)] {
        let flag = format!("--site={site}");
        let table = print("tunnels", &folder, &[&flag]);
        assert!(table.stdout.contains(&format!("{tunnels} tunnels, ")), "{}", table.stdout);
        assert_eq!(table.status.code(), Some(code), "{}{}", table.stdout, table.stderr);
        let json = print("tunnels", &folder, &[&flag, "--output=json"]);
        let answer: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(answer["tunnels"].as_array().map(Vec::len), Some(tunnels));
    }
}

/// One rule of each kind matches a tunnel, and one does not.
const RULES: &str = "\
tunnels:
  include: ['*-1', fra-*]
  exclude: [gre-*, lab]
  overrides:
    - {name: ipsec-*, site: frankfurt}
    - {id: 00112233445566778899aabbccddeeff, probe: false}
sites:
  - {pattern: '^(?<site>ipsec)'}
  - {pattern: '^(?<site>gre)'}
";

/// The lines of the rules without a tunnel; `RULES` is on line 4.
const USELESS: [&str; 4] = [
    "line 5: a pattern of `tunnels.include` matches no tunnel; correct the pattern, which has to match the whole name",
    "line 6: a pattern of `tunnels.exclude` matches no tunnel; correct the pattern, which has to match the whole name",
    "line 9: an entry of `tunnels.overrides` matches no monitored tunnel; correct the id, or remove the override",
    "line 12: a rule of `sites` matches no monitored tunnel; correct the pattern",
];

#[test]
fn check_reports_the_number_of_sites_and_rules_that_match_no_tunnel() {
    let api = Api::start(all_is_well());
    let folder = folder(&api, RULES);
    let listen = format!("--web.listen-address={}", free_address());
    let ended = print("check", &folder, &[&listen]);
    let warnings: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("warn  configuration")).collect();
    assert_eq!(warnings.len(), USELESS.len(), "{}", ended.stdout);
    for (warning, useless) in warnings.iter().zip(USELESS) {
        assert!(warning.contains(useless), "{useless}:\n{}", ended.stdout);
    }
    assert!(ended.stdout.contains("1 site; 0 of 1 monitored tunnels have none"), "{}", ended.stdout);
}

fn count(process: &Process, text: &str) -> usize {
    process.said().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_rule_that_matches_no_tunnel_is_logged_once_when_all_lists_are_known() {
    let refused = || api::json("502 Bad Gateway", "{}");
    let api = Api::start(by_collection(ipsec_list(&[ipsec("ipsec-1")]), refused()));
    let folder = folder(&api, RULES);
    let mut exporter = start(&folder);
    let polls = |exporter: &mut Exporter, more: f64| {
        let polled = |page: &crate::support::samples::Samples| -> f64 {
            page.all("api_requests_total", &[("collection", "ipsec_tunnels")]).iter().map(|sample| sample.value).sum()
        };
        let before = polled(&exporter.samples());
        exporter.await_page("more polls", SOON, |page| (polled(page) >= before + more).then_some(()));
    };
    polls(&mut exporter, 2.0);
    assert_eq!(count(&exporter.process, "matches no"), 0, "one list is not known yet");

    api.answer_with(by_collection(ipsec_list(&[ipsec("ipsec-1")]), gre_list(&[gre("gre-1")])));
    let logged = |exporter: &Exporter, times: usize| {
        eventually("one line for each rule", SOON, || {
            let said = exporter.process.said();
            let counts = USELESS.map(|line| count(&exporter.process, line));
            if counts == [times; 4] { Ok(()) } else { Err(format!("{counts:?}: {said}")) }
        });
    };
    logged(&exporter, 1);
    polls(&mut exporter, 2.0);
    logged(&exporter, 1);
    assert_eq!(count(&exporter.process, "matches no"), 4, "{}", exporter.process.said());

    exporter.process.signal("HUP");
    logged(&exporter, 2);
    configure(&folder, &api, "");
    exporter.process.signal("HUP");
    eventually("the reload", SOON, || {
        let reloads = count(&exporter.process, "configuration reloaded");
        if reloads == 2 { Ok(()) } else { Err(exporter.process.said()) }
    });
    polls(&mut exporter, 2.0);
    logged(&exporter, 2);
}
