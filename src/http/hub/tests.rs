mod simulation;

use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_ENCODING, HeaderName};
use serde_json::Value;
use web_toolkit::clock;

use super::*;
use crate::domain::{
    dataset::{FailureReason, PollState},
    edge::{EdgeHealth, EdgeView, EdgeWindow, HealthState, TunnelHealth},
    fixtures::{addressed, gre, polled},
    grants::{Grant, Identity, Reach},
    inventory::{AccountName, InventoryEntry, TunnelList},
    label::Label as _,
    probe::{ProbeTarget, Vantage},
    rules::Selector,
    steering::Steering,
    tunnel::TunnelType,
};
use crate::prober::settings::ProbeOverride;

fn hub(grants: Option<Grants>) -> Hub {
    steering_hub(grants, ProbeSettings::default())
}

fn steering_hub(grants: Option<Grants>, settings: ProbeSettings) -> Hub {
    let (grants, settings) = (watch::channel(Arc::new(grants)).1, watch::channel(Arc::new(settings)).1);
    Hub::new(Agents::default(), ServedInventories::default(), grants, settings)
}

/// Two tunnels in `fra`, one in `lon`, and one without a site, last polled at `at`.
fn fleet(at: Option<Moment>) -> Arc<Fleet> {
    let tunnels = ["fra-1", "lon-1", "spare"].map(|name| addressed(name, "192.0.2.1", "10.0.0.0/31", "")).into_iter();
    let mut fleet = Fleet::clone(&polled(at, tunnels.chain([gre(addressed("fra-2", "192.0.2.2", "", ""))])));
    for account in fleet.accounts.values_mut() {
        let account = Arc::make_mut(account);
        for &tunnel_type in TunnelType::ALL {
            let list = account.list(tunnel_type);
            let entries = list.entries.iter().map(|entry| InventoryEntry {
                site: entry.tunnel.name.split_once('-').map(|(site, _)| site.into()),
                ..entry.clone()
            });
            let list = TunnelList { entries: entries.collect(), ..TunnelList::clone(list) };
            account.set_list(tunnel_type, list);
        }
    }
    Arc::new(fleet)
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn names(&self) -> Vec<String> {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let tunnels = body["tunnels"].as_array().unwrap().iter();
        tunnels.map(|tunnel| tunnel["name"].as_str().unwrap().to_owned()).collect()
    }

    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask_as(
    hub: &Hub,
    fleet: &Arc<Fleet>,
    query: &str,
    more: &[(&'static str, &str)],
    user: Option<&str>,
) -> Reply {
    let threads = Arc::new(PageThreads::new().unwrap());
    let headers = more.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let requester = Requester { user: user.map(Into::into), certificate_names: Arc::default() };
    let request = InventoryRequest { query, headers: &headers, requester: &requester };
    let response = hub.respond(&threads, Arc::clone(fleet), request, clock::now()).await;
    let (head, body) = response.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
    Reply { status: head.status.as_u16(), headers: head.headers, body }
}

async fn ask(hub: &Hub, fleet: &Arc<Fleet>, query: &str, more: &[(&'static str, &str)]) -> Reply {
    ask_as(hub, fleet, query, more, None).await
}

#[tokio::test]
async fn an_agent_gets_the_tunnels_of_its_sites_and_accounts() {
    let (hub, fleet) = (hub(None), fleet(Some(clock::now())));
    for (query, names) in [
        ("site=fra", &["fra-2", "fra-1"][..]),
        ("site=fra&site=lon", &["fra-2", "fra-1", "lon-1"]),
        ("account=acme&site=lon", &["lon-1"]),
        ("site=nowhere", &[]),
        ("all=true", &["fra-2", "fra-1", "lon-1", "spare"]),
    ] {
        let reply = ask(&hub, &fleet, query, &[]).await;
        assert_eq!((reply.status, reply.names()), (200, names.iter().map(|&name| name.into()).collect()), "{query}");
    }
    for query in ["", "all=false", "all=true&site=fra", "sites=fra", "site="] {
        assert_eq!(ask(&hub, &fleet, query, &[]).await.status, 400, "{query}");
    }
    assert_eq!(ask(&hub, &fleet, "account=globex", &[]).await.status, 404);
}

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again_whichever_hub_answers() {
    let now = clock::now();
    let first = ask(&hub(None), &fleet(Some(now)), "site=fra", &[]).await;
    assert_eq!((first.status, first.header(CACHE_CONTROL), first.header(VARY)), (200, "no-cache", "Accept-Encoding"));
    let (other, polled_later) = (hub(None), fleet(Some(now.after(Duration::from_mins(1)))));
    for tag in [first.header(ETAG).to_owned(), format!("\"x\", {}", first.header(ETAG))] {
        let again = ask(&other, &polled_later, "site=fra", &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, &*again.body, again.header(ETAG)), (304, "", first.header(ETAG)));
        assert_eq!((again.header(hyper::header::AGE), again.header(CACHE_CONTROL)), ("0", "no-cache"));
    }
    let elsewhere = ask(&other, &polled_later, "site=lon", &[("if-none-match", first.header(ETAG))]).await;
    assert_eq!(elsewhere.status, 200);
}

#[tokio::test]
async fn a_long_list_is_compressed_and_a_short_one_is_not() {
    const GZIP: (&str, &str) = ("accept-encoding", "gzip");
    let tunnels = (0..17).map(|number| addressed(&format!("t-{number}"), "192.0.2.1", "", ""));
    let (hub, long, short) = (hub(None), polled(Some(clock::now()), tunnels), fleet(Some(clock::now())));
    let plain = ask(&hub, &long, "all=true", &[]).await;
    let compressed = ask(&hub, &long, "all=true", &[GZIP]).await;
    assert_eq!((compressed.header(CONTENT_ENCODING), plain.header(CONTENT_ENCODING)), ("gzip", ""));
    assert_ne!(compressed.header(ETAG), plain.header(ETAG), "another encoding has another strong tag");
    for query in ["all=true", "account=acme"] {
        let again = ask(&hub, &long, query, &[GZIP, ("if-none-match", compressed.header(ETAG))]).await;
        assert_eq!((again.status, again.header(ETAG)), (304, compressed.header(ETAG)), "{query}");
    }
    let reply = ask(&hub, &short, "all=true", &[GZIP]).await;
    assert_eq!((reply.header(CONTENT_ENCODING), reply.names().len()), ("", 4));
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_list_that_succeeded() {
    let now = clock::now();
    let mut fleet = Fleet::clone(&fleet(Some(now)));
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let mut list = TunnelList::clone(account.list(TunnelType::Gre));
    list.status.last_success = Some(now.earlier(now.wall.checked_sub(Duration::from_secs(700)).unwrap()));
    account.set_list(TunnelType::Gre, list.clone());
    let old = fleet.clone();
    list.status.state = PollState::Failed(FailureReason::Timeout);
    Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap()).set_list(TunnelType::Gre, list);
    let age = |reply: Reply| reply.header(hyper::header::AGE).parse::<u64>().unwrap();
    assert!(age(ask(&hub(None), &old.into(), "all=true", &[]).await) >= 700);
    let reply = ask(&hub(None), &fleet.into(), "all=true", &[]).await;
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert!(age(reply) < 700);
    assert_eq!(body["version"], 1);
    assert_eq!(
        (&body["collections"][0]["state"], &body["collections"][0]["reason"]),
        (&"failed".into(), &"timeout".into())
    );
    assert!(body["collections"][0]["last_success"].is_string());
    assert!(body["collections"][1].get("last_success").is_none(), "it would move at each poll");
}

#[tokio::test]
async fn a_list_that_fails_has_an_age_whatever_the_clock_of_the_hub_shows() {
    let now = clock::now();
    let mut fleet = Fleet::clone(&fleet(Some(now)));
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let mut list = TunnelList::clone(account.list(TunnelType::Gre));
    let old = now.earlier(now.wall.checked_sub(Duration::from_secs(700)).unwrap());
    let ahead = now.wall.checked_add(Duration::from_hours(1)).unwrap();
    list.status.last_success = Some(Moment { wall: ahead, ..old });
    list.status.state = PollState::Failed(FailureReason::Timeout);
    account.set_list(TunnelType::Gre, list);
    let reply = ask(&hub(None), &fleet.into(), "all=true", &[]).await;
    let times = ReplyTimes::read(&reply.headers).unwrap();
    let age = times.age_of(&AccountName::new("acme"), TunnelType::Gre).unwrap();
    assert!((700..760).contains(&age.as_secs()), "{age:?}");
    assert_eq!(times.age_of(&AccountName::new("acme"), TunnelType::Ipsec), None, "it is as old as `Age`");
}

#[tokio::test]
async fn the_inventory_has_the_state_at_the_edge_with_its_time_span_and_the_site_that_cloudflare_assigns() {
    let now = clock::now();
    let mut fleet = Fleet::clone(&fleet(Some(now)));
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let down = Arc::new(TunnelHealth { state: Some(HealthState::Down), ..TunnelHealth::default() });
    let ago = |seconds| now.earlier(now.wall.checked_sub(Duration::from_secs(seconds)).unwrap());
    let health = EdgeHealth {
        window: Some(EdgeWindow { from: ago(420), to: ago(120) }),
        tunnels: Arc::new([("spare".into(), down)].into()),
        sites: Arc::new([("spare".into(), "ber".into())].into()),
        ..EdgeHealth::default()
    };
    account.set_edge(Some(EdgeView { stale_after: Duration::from_mins(15), health, traffic: None }));
    let fleet = Arc::new(fleet);
    let reply = ask(&hub(None), &fleet, "site=ber", &[]).await;
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.names(), &body["tunnels"][0]["edge"]["state"]), (vec!["spare".to_owned()], &"down".into()));
    let [edge] = &ReplyTimes::read(&reply.headers).unwrap().edges[..] else { panic!("{:?}", reply.headers) };
    assert!(edge.from >= Duration::from_mins(7) && edge.to >= Duration::from_mins(2));
    assert_eq!((edge.account.as_str(), edge.stale_after), ("acme", Duration::from_mins(15)));
    let again = ask(&hub(None), &fleet, "site=ber", &[("if-none-match", reply.header(ETAG))]).await;
    assert_eq!((again.status, ReplyTimes::read(&again.headers).unwrap().edges.len()), (304, 1));
}

#[tokio::test]
async fn the_overrides_of_the_hub_are_in_the_inventory() {
    let mut fra = ProbeOverride::new(Selector::name("fra-*"));
    fra.steering = Steering {
        enabled: Some(true),
        vantage: Some(Vantage::Remote),
        targets: Some([ProbeTarget::CustomerEndpoint].into()),
        extra: Some(["10.9.0.1".parse().unwrap(), "fd00::9".parse().unwrap()].into_iter().collect()),
        uplinks: Some(vec!["192.0.2.9".parse().unwrap()]),
    };
    fra.interface = Some("only-here".into());
    let settings = ProbeSettings { overrides: vec![fra.clone()], ..ProbeSettings::default() };
    let fleet = fleet(Some(clock::now()));
    let reply = ask(&steering_hub(None, settings), &fleet, "all=true", &[]).await;
    let inventory = crate::inventory::decode(&reply.body).unwrap();
    let steered: Vec<_> = inventory.lists.values().flat_map(|list| list.steering.values()).collect();
    assert_eq!(steered, [&Arc::new(fra.steering.clone()), &Arc::new(fra.steering)]);
    assert!(!reply.body.contains("only-here"), "{}", reply.body);
    let unsteered = ask(&hub(None), &fleet, "all=true", &[]).await;
    assert_ne!(unsteered.header(ETAG), reply.header(ETAG));
}

#[tokio::test]
async fn before_the_first_poll_an_agent_is_asked_to_retry() {
    let reply = ask(&hub(None), &fleet(None), "all=true", &[("mte-prober", "fra-1")]).await;
    assert_eq!((reply.status, reply.header(RETRY_AFTER)), (503, "5"));
}

#[tokio::test]
async fn a_client_with_some_sites_reads_no_others() {
    let sites = Reach::Sites([Box::from("fra")].into());
    let hub = hub(Some(Grants(vec![Grant { identity: Identity::User("fra".into()), reach: sites }])));
    let fleet = fleet(Some(clock::now()));
    for (user, query, status) in [
        (Some("fra"), "site=fra", 200),
        (Some("fra"), "site=lon", 403),
        (Some("fra"), "site=fra&site=lon", 403),
        (Some("fra"), "all=true", 403),
        (Some("fra"), "account=acme", 403),
        (Some("lon"), "site=fra", 403),
        (None, "site=fra", 403),
    ] {
        let reply = ask_as(&hub, &fleet, query, &[("mte-prober", "x")], user).await;
        assert_eq!(reply.status, status, "{user:?} {query}");
    }
    assert_eq!(hub.agents().list(clock::now()).len(), 1, "a refused client is not listed");
    let requester = |user: &str| Requester { user: Some(user.into()), certificate_names: Arc::default() };
    assert!(hub.restricts(&requester("fra")) && !hub.restricts(&requester("admin")));
}

#[tokio::test]
async fn an_agent_is_known_by_what_it_states() {
    let (hub, fleet) = (hub(None), fleet(Some(clock::now())));
    let headers = [
        ("mte-prober", "fra-prober"),
        ("mte-vantage", "site"),
        ("mte-interval", "10"),
        ("mte-advertise", "https://fra.example:9847"),
        ("user-agent", "magic-tunnel-exporter/0.9.1"),
    ];
    ask_as(&hub, &fleet, "site=fra", &headers, Some("fra")).await;
    let report = hub.agents().list(clock::now())[0].report.clone();
    let expected = AgentReport {
        key: AgentKey { prober: "fra-prober".into(), client: Some("fra".into()) },
        sites: vec!["fra".into()],
        version: Some("0.9.1".into()),
        vantage: Some("site".into()),
        interval: Duration::from_secs(10),
        scrape: ScrapeAddress::parse("https://fra.example:9847"),
        is_newest: Some(false),
    };
    assert_eq!(report, expected);
    ask(&hub, &fleet, "site=fra", &[]).await;
    assert_eq!(hub.agents().list(clock::now()).len(), 1, "a client without a name is not listed");
}
