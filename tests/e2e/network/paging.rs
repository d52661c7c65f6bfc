//! How many notifications an outage causes: real packets, a real Prometheus with the shipped rules and a real
//! Alertmanager with the shipped routes.

use std::{collections::BTreeMap, fmt::Write as _, fs, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    lab::{Lab, tunnel},
    namespace,
};
use crate::{
    alerting::Delivering,
    support::{
        SOON,
        api::{self, Answer, Api},
        eventually,
        exporter::{Exporter, program, token_file},
        tunnels,
    },
};

/// Deadline of a page.
pub(super) const PAGED: Duration = Duration::from_mins(4);

/// Time during which more notifications would arrive: longer than the `for` of a page and the waits of Alertmanager.
const SETTLED: Duration = Duration::from_secs(30);

/// A tunnel of an account, with two addresses that are probed.
pub(super) struct Member {
    account: &'static str,
    site: String,
    pub(super) name: String,
    number: usize,
    bgp: bool,
}

impl Member {
    fn addresses(&self) -> [String; 2] {
        let [high, low] = u16::try_from(self.number).expect("few tunnels").to_be_bytes();
        [format!("198.51.{high}.{low}"), format!("10.77.{}.{}", 2 * high + (low >> 7), (low & 127) * 2)]
    }

    /// The customer's side of the inside.
    pub(super) fn peer(&self) -> String {
        let [_, inside] = self.addresses();
        let (net, host) = inside.rsplit_once('.').expect("an IPv4 address");
        format!("{net}.{}", host.parse::<u8>().expect("a byte") + 1)
    }

    /// The member of the list. `state` is what the API reports if the tunnel has a session.
    fn listed(&self, state: &str) -> Value {
        let [endpoint, inside] = self.addresses();
        tunnel(&self.name, &endpoint, &format!("{inside}/31"), "", self.bgp.then_some(state))
    }
}

/// The tunnels of all accounts.
#[derive(Default)]
pub(super) struct World(pub(super) Vec<Member>);

impl World {
    /// Adds tunnels. Without a site they belong to the account only.
    pub(super) fn add(&mut self, account: &'static str, site: &str, count: usize, bgp: bool) {
        for _ in 0..count {
            let number = self.0.len();
            let name = format!("{account}-{site}-{number}");
            self.0.push(Member { account, site: site.to_owned(), name, number, bgp });
        }
    }

    pub(super) fn of<'a>(&'a self, account: &'a str, site: &'a str) -> impl Iterator<Item = &'a Member> {
        self.0.iter().filter(move |member| member.account == account && (site == "*" || member.site == site))
    }

    fn accounts(&self) -> Vec<&'static str> {
        let mut accounts: Vec<_> = self.0.iter().map(|member| member.account).collect();
        accounts.dedup();
        accounts
    }

    /// The API, with the state of the sessions of the dead tunnels.
    pub(super) fn answer(&self, is_dead: impl Fn(&Member) -> bool) -> Answer {
        let list = |account| {
            let listed = self.of(account, "*").map(|member| member.listed(if is_dead(member) { "DOWN" } else { "UP" }));
            (id(account), tunnels::ipsec_list(&listed.collect::<Vec<_>>()))
        };
        let lists: BTreeMap<String, Answer> = self.accounts().into_iter().map(list).collect();
        let ipsec: Answer = Arc::new(move |request, wire| {
            let account = lists.iter().find(|(id, _)| request.line.contains(*id)).expect("an account of this world");
            account.1(request, wire)
        });
        api::by_collection(ipsec, tunnels::gre_list(&[]))
    }

    /// Lets these tunnels answer or not.
    pub(super) fn set<'a>(lab: &mut Lab, members: impl Iterator<Item = &'a Member>, answer: &str) {
        let addresses: Vec<String> = members.flat_map(Member::addresses).collect();
        lab.all(&addresses.iter().map(String::as_str).collect::<Vec<_>>(), answer);
    }

    /// Starts an exporter of all accounts.
    pub(super) fn exporter(&self, lab: &Lab, api: &Api) -> Exporter {
        let mut config = String::from("accounts:\n");
        for account in self.accounts() {
            writeln!(config, "  - {{name: {account}, id: '{}'}}", id(account)).expect("a string");
        }
        config.push_str("tunnels:\n  overrides:\n");
        let mut sites: Vec<_> = self.0.iter().filter(|member| !member.site.is_empty()).collect();
        sites.dedup_by_key(|member| (member.account, &member.site));
        for Member { account, site, .. } in sites {
            writeln!(config, "    - {{account: {account}, name: '{account}-{site}-*', site: {site}}}")
                .expect("a string");
        }
        let file = lab.folder().path().join("config.yml");
        fs::write(&file, config).expect("a file");
        let mut serve = program();
        // The default timeout of one second: a busy machine delays the responder.
        serve.args(["serve", "--probe", "--poll.interval=1s", "--poll.timeout=3s", "--config.file"]).arg(file);
        serve.arg("--cloudflare.api-token-file").arg(token_file(lab.folder()));
        serve.args(["--poll.stale-after=10s"]);
        serve.arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address));
        Exporter::start(&mut serve)
    }
}

/// The id of an account: 32 hex digits.
fn id(account: &str) -> String {
    tunnels::id_of(account)
}

/// Waits until Prometheus has this many tunnels with a verdict.
pub(super) fn await_verdicts(chain: &Delivering, verdict: &str, count: usize) {
    let query = format!("count(tunnel:cloudflare_magic_tunnel_verdict:held5m{{verdict='{verdict}'}})");
    let wanted = u32::try_from(count).map(f64::from).expect("few tunnels");
    chain.prometheus.await_query(&query, PAGED, |found| matches!(found, [(_, n)] if *n >= wanted));
}

/// The notifications to the pager, each as its firing alerts: `account site tunnel_name: alertname`.
fn pages(chain: &Delivering) -> Vec<Vec<String>> {
    let mut pages: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for one in chain.receiver.deliveries().into_iter().filter(|one| one.to == "pager" && one.firing) {
        let label = |name: &str| one.labels[name].as_str().unwrap_or("-").to_owned();
        let text = format!("{} {} {}: {}", label("account"), label("site"), label("tunnel_name"), label("alertname"));
        pages.entry(one.notification).or_default().push(text);
    }
    pages.into_values().collect()
}

fn resolved(chain: &Delivering) -> Vec<Value> {
    let all = chain.receiver.deliveries().into_iter();
    all.filter(|one| one.to == "pager" && !one.firing).map(|one| one.labels).collect()
}

/// Waits for this many pages, then for more than these, which must not come. Each page has one alert.
pub(super) fn assert_pages(chain: &Delivering, expected: &[&str]) {
    eventually(&format!("{} pages", expected.len()), PAGED, || {
        let pages = pages(chain);
        if pages.len() >= expected.len() { Ok(()) } else { Err(format!("{pages:#?}")) }
    });
    std::thread::sleep(SETTLED);
    let mut found: Vec<String> = pages(chain).into_iter().map(|alerts| alerts.join(" + ")).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "one fault is one notification");
}

stories! {
    fn each_outage_of_an_account_or_a_site_pages_once(lab) {
        let mut world = World::default();
        world.add("pair", "", 2, true);
        world.add("whole", "", 10, false);
        for (site, count) in [("two", 2), ("four", 4), ("forty", 40)] {
            world.add("large", site, count, site != "four");
        }
        world.add("large", "well", 14, true);
        for site in ["a", "b", "c", "d", "e", "f"] {
            world.add("six", site, 2, site < "c");
        }
        world.add("six", "well", 8, false);
        let api = Api::start(world.answer(|_| false));
        World::set(lab, world.0.iter(), "reply");
        let exporter = world.exporter(lab, &api);
        let Some(chain) = Delivering::start(&[exporter.address], lab.folder()) else { return };
        await_verdicts(&chain, "healthy", world.0.len());

        let is_dead = |member: &Member| member.site != "well";
        World::set(lab, world.0.iter().filter(|member| is_dead(member)), "silent");
        // Cloudflare reports the sessions as up until the hold timers expire.
        await_verdicts(&chain, "path_mismatch", 1);
        api.answer_with(world.answer(is_dead));

        assert_pages(&chain, &[
            "large forty -: MagicTunnelSiteDown",
            "large four -: MagicTunnelSiteDown",
            "large two -: MagicTunnelSiteDown",
            "pair - -: MagicTunnelAllDown",
            "six a -: MagicTunnelSiteDown",
            "six b -: MagicTunnelSiteDown",
            "six c -: MagicTunnelSiteDown",
            "six d -: MagicTunnelSiteDown",
            "six e -: MagicTunnelSiteDown",
            "six f -: MagicTunnelSiteDown",
            "whole - -: MagicTunnelAllDown",
        ]);
        assert_eq!(resolved(&chain), [] as [Value; 0], "nothing has recovered");
    }

    fn a_tunnel_with_two_exporters_and_an_alternating_verdict_pages_once(lab) {
        let mut world = World::default();
        world.add("shared", "", 6, false);
        let api = Api::start(world.answer(|_| false));
        World::set(lab, world.0.iter(), "reply");
        let exporters = [world.exporter(lab, &api), world.exporter(lab, &api)];
        let Some(chain) = Delivering::start(&exporters.each_ref().map(|one| one.address), lab.folder()) else { return };
        await_verdicts(&chain, "healthy", 12);

        // Both addresses are silent, and the customer endpoint answers from time to time.
        let [endpoint, inside] = world.0[0].addresses();
        lab.all(&[&inside, &endpoint], "silent");
        await_verdicts(&chain, "unreachable", 2);
        for _ in 0..6 {
            lab.all(&[&endpoint], "reply");
            await_verdicts(&chain, "tunnel_fault", 2);
            lab.all(&[&endpoint], "silent");
            await_verdicts(&chain, "unreachable", 2);
        }
        eventually("a page", PAGED, || if pages(&chain).is_empty() { Err("no page".to_owned()) } else { Ok(()) });
        std::thread::sleep(SETTLED);
        let pages = pages(&chain);
        assert!(pages.len() == 1 && pages[0].iter().all(|alert| alert.ends_with(": MagicTunnelDown")), "{pages:#?}");
        assert_eq!(resolved(&chain), [] as [Value; 0]);
    }

    fn an_outage_of_the_api_during_an_outage_of_a_session_resolves_nothing(lab) {
        let mut world = World::default();
        world.add("main", "", 4, true);
        let api = Api::start(world.answer(|_| false));
        World::set(lab, world.0.iter(), "reply");
        let exporter = world.exporter(lab, &api);
        let Some(chain) = Delivering::start(&[exporter.address], lab.folder()) else { return };
        await_verdicts(&chain, "healthy", 4);
        api.answer_with(world.answer(|member| member.number == 0));
        let expected = ["main - main--0: MagicTunnelBgpDown"];
        assert_pages(&chain, &expected);

        api.answer_with(api::json("503 Service Unavailable", "{}"));
        chain.prometheus.await_query("cloudflare_magic_collection_up == 0", SOON, |found| found.len() == 4);
        assert_pages(&chain, &expected);
        // The values of the exporter itself have become stale.
        chain.prometheus.await_query("cloudflare_magic_tunnel_bgp_state", PAGED, <[_]>::is_empty);
        assert_pages(&chain, &expected);
        assert_eq!(resolved(&chain), [] as [Value; 0]);
    }
}
