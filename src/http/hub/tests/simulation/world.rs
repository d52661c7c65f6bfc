//! The API, the hubs, the agents and the network between them, driven by a queue of events.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use hyper::{
    HeaderMap,
    header::{ETAG, HeaderValue, IF_NONE_MATCH},
};
use jiff::SignedDuration;
use web_toolkit::clock::{self, Moment};

use super::model::Model;
use crate::{
    domain::{
        dataset::{FailureReason, PollState, PollStatus},
        edge::{EdgeHealth, EdgeView, EdgeWindow, HealthState, TunnelHealth},
        fixtures::{addressed, gre},
        inventory::{AccountName, Fleet, InventoryEntry, TunnelList},
        label::Label as _,
        probe::ProbeTarget,
        tunnel::{Tunnel, TunnelType},
    },
    http::{
        api::inventory::{InventoryIndex, InventoryText, Selection, find_tag},
        body::Producer as _,
        hub::{has_tag, label},
    },
    inventory::{ReplyTimes, decode},
    poller::hub_session::{HubSession, Update},
    prober::{
        plan::ProbePlan,
        settings::{ProbeSettings, TunnelSettings},
    },
};

const SITES: [&str; 5] = ["fra", "lon", "ams", "par", "ber"];
const AGENTS: usize = 20;
const HUBS: usize = 2;

/// Milliseconds.
type Time = u64;

const END: Time = 10 * 60_000;
const POLL: Time = 60_000;
const INTERVAL: Time = 30_000;
const TIMEOUT: Time = 10_000;
const STALE_AFTER: Duration = Duration::from_mins(2);
const EDGE_STALE_AFTER: Duration = Duration::from_mins(10);

/// Pseudo-random numbers (`SplitMix64`), which are the same with every version of every library.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a length")
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What happened, for the test of the simulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
    pub(super) restored: u64,
    pub(super) shown_fresh: u64,
    pub(super) watched: u64,
}

impl Tally {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            changed: self.changed + other.changed,
            unchanged: self.unchanged + other.unchanged,
            failed: self.failed + other.failed,
            restored: self.restored + other.restored,
            shown_fresh: self.shown_fresh + other.shown_fresh,
            watched: self.watched + other.watched,
        }
    }
}

/// A tunnel of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Truth {
    id: u64,
    name: String,
    site: &'static str,
    address: Ipv4Addr,
}

impl Truth {
    fn tunnel_type(&self) -> TunnelType {
        if self.id.is_multiple_of(2) { TunnelType::Ipsec } else { TunnelType::Gre }
    }

    fn entry(&self) -> InventoryEntry {
        let tunnel = addressed(&self.id.to_string(), &self.address.to_string(), "", "");
        let tunnel = Tunnel { name: self.name.as_str().into(), ..tunnel };
        let tunnel = if self.tunnel_type() == TunnelType::Gre { gre(tunnel) } else { tunnel };
        InventoryEntry { tunnel: tunnel.into(), bgp_state_changes: 0, site: Some(self.site.into()), steering: None }
    }
}

/// A hub: an exporter with a token.
struct Hub {
    fleet: Arc<Fleet>,
    index: Option<Arc<InventoryIndex>>,
    /// Since when the hub lists each tunnel as it is now.
    since: BTreeMap<Truth, Time>,
    skew: i64,
}

impl Hub {
    fn start(skew: i64) -> Self {
        let fleet = Arc::new(Fleet::unpolled([AccountName::new("acme")]));
        Self { fleet, index: None, since: BTreeMap::new(), skew }
    }
}

/// What an agent has on its disk.
#[derive(Clone)]
struct Stored {
    body: String,
    tag: Option<String>,
    wall: jiff::Timestamp,
}

struct Agent {
    site: &'static str,
    /// Numbers of the hubs in the order of its configuration.
    hubs: [usize; HUBS],
    session: HubSession,
    disk: Option<Stored>,
    model: Model,
    skew: i64,
    /// Events of an earlier run are void.
    run: u64,
    is_running: bool,
    /// The newest disturbance of the agent, of its hubs or of the network between them.
    disturbed: Time,
    /// When Cloudflare confirmed the lists that the agent shows, and the end of the edge's time span.
    truth: BTreeMap<TunnelType, Moment>,
    edge_truth: Option<Moment>,
}

/// A response on its way.
#[derive(Clone)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
    /// The truth behind the response.
    lists: BTreeMap<TunnelType, Moment>,
    edge: Option<Moment>,
}

enum Event {
    /// An agent sends a request.
    Ask {
        agent: usize,
        run: u64,
    },
    /// The request reaches the hub.
    Arrive {
        agent: usize,
        run: u64,
        hub: usize,
        started: Time,
        tag: Option<String>,
        back: Time,
    },
    /// The response, or the timeout, reaches the agent.
    Answer {
        agent: usize,
        run: u64,
        started: Time,
        reply: Option<Reply>,
    },
    Poll {
        hub: usize,
    },
    Change,
    Disturb,
    Look,
}

pub(super) struct World {
    dice: Dice,
    trace: bool,
    start: Moment,
    now: Time,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
    truth: Vec<Truth>,
    ids: u64,
    hubs: Vec<Hub>,
    agents: Vec<Agent>,
    /// Connections that are cut.
    cut: BTreeSet<(usize, usize)>,
    settings: ProbeSettings,
    tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> Self {
        let tunnels = TunnelSettings { targets: [ProbeTarget::CustomerEndpoint].into(), ..TunnelSettings::default() };
        let mut world = Self {
            dice: Dice(seed),
            trace,
            // Far from the boot of the machine, so that ages can be subtracted.
            start: clock::now().after(Duration::from_hours(24 * 365)),
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
            truth: Vec::new(),
            ids: 0,
            hubs: (0..HUBS).map(|_| Hub::start(0)).collect(),
            agents: Vec::new(),
            cut: BTreeSet::new(),
            settings: ProbeSettings { enabled: true, tunnels, ..ProbeSettings::default() },
            tally: Tally::default(),
        };
        (0..12).for_each(|_| world.add_tunnel());
        for number in 0..AGENTS {
            let hubs = if world.dice.once_in(2) { [0, 1] } else { [1, 0] };
            let agent = Agent {
                site: SITES[number % SITES.len()],
                hubs,
                session: session(),
                disk: None,
                model: Model::default(),
                skew: 0,
                run: 0,
                is_running: true,
                disturbed: 0,
                truth: BTreeMap::new(),
                edge_truth: None,
            };
            world.agents.push(agent);
            let at = world.dice.below(5_000);
            world.plan(at, Event::Ask { agent: number, run: 0 });
        }
        for hub in 0..HUBS {
            let at = world.dice.below(POLL);
            world.plan(at, Event::Poll { hub });
        }
        world.plan(1, Event::Change);
        world.plan(2, Event::Disturb);
        world.plan(3, Event::Look);
        world
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Tally {
        while let Some(Reverse((time, number))) = self.queue.pop() {
            if time > END {
                break;
            }
            self.now = time;
            if let Some(event) = self.events.remove(&number) {
                self.happen(event);
            }
        }
        self.tally
    }

    fn plan(&mut self, after: Time, event: Event) {
        self.next += 1;
        self.queue.push(Reverse((self.now + after, self.next)));
        self.events.insert(self.next, event);
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3} s  {}", self.now as f64 / 1e3, text());
        }
    }

    /// The clocks of a machine with a wall clock that is wrong by `skew` seconds.
    fn clock(&self, skew: i64) -> Moment {
        let now = self.start.after(Duration::from_millis(self.now));
        Moment { wall: now.wall.checked_add(SignedDuration::from_secs(skew)).expect("a time"), ..now }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask { agent, run } => self.ask(agent, run),
            Event::Arrive { agent, run, hub, started, tag, back } => {
                let reply = self.answer(agent, hub, tag.as_deref());
                let reply = Some(reply).filter(|_| !self.cut.contains(&(agent, hub)));
                // Without a response, the timeout ends the request.
                let after = if reply.is_some() { back } else { TIMEOUT.saturating_sub(self.now - started) };
                self.plan(after, Event::Answer { agent, run, started, reply });
            }
            Event::Answer { agent, run, started, reply } => self.receive(agent, run, started, reply),
            Event::Poll { hub } => self.poll(hub),
            Event::Change => {
                self.change();
                let after = 1_000 + self.dice.below(60_000);
                self.plan(after, Event::Change);
            }
            Event::Disturb => {
                self.disturb();
                // Long calm periods, in which everything must recover.
                let after = if self.dice.once_in(3) { 150_000 } else { self.dice.below(20_000) };
                self.plan(after, Event::Disturb);
            }
            Event::Look => {
                (0..AGENTS).for_each(|agent| self.check(agent));
                self.plan(17_000, Event::Look);
            }
        }
    }

    fn add_tunnel(&mut self) {
        self.ids += 1;
        let address = self.address();
        let site = SITES[self.dice.index(SITES.len())];
        self.truth.push(Truth { id: self.ids, name: format!("t-{}", self.ids), site, address });
    }

    fn address(&mut self) -> Ipv4Addr {
        let number = u32::try_from(self.dice.below(60_000)).expect("a small number");
        Ipv4Addr::from(0x0a00_0001 + number)
    }

    /// Changes the tunnels of the API.
    fn change(&mut self) {
        let kind = self.dice.below(6);
        let (number, address, site) = (self.dice.index(self.truth.len().max(1)), self.address(), self.dice.index(5));
        match (kind, self.truth.get_mut(number)) {
            (0, _) | (_, None) => self.add_tunnel(),
            (1, Some(_)) => drop(self.truth.remove(number)),
            (2, Some(tunnel)) => tunnel.name.push('x'),
            (3, Some(tunnel)) => tunnel.site = SITES[site],
            (4, Some(tunnel)) => tunnel.address = address,
            // All tunnels of a site are moved at once.
            (_, Some(_)) => {
                let (from, to) = (SITES[site], SITES[self.dice.index(5)]);
                self.truth.iter_mut().filter(|tunnel| tunnel.site == from).for_each(|tunnel| tunnel.site = to);
            }
        }
        self.say(|| format!("the API lists {} tunnels", self.truth.len()));
    }

    /// Cuts, restores, restarts, or sets a clock.
    fn disturb(&mut self) {
        let (agent, hub) = (self.dice.index(AGENTS), self.dice.index(HUBS));
        let skew = [-3_600, -30, 0, 30, 3_600][self.dice.index(5)];
        match self.dice.below(7) {
            0 | 1 => {
                self.say(|| format!("agent {agent} and hub {hub} are cut off from each other"));
                self.cut.insert((agent, hub));
                self.agents[agent].disturbed = self.now;
            }
            2 => {
                self.say(|| "all connections work again".to_owned());
                for (agent, _) in std::mem::take(&mut self.cut) {
                    self.agents[agent].disturbed = self.now;
                }
            }
            3 => {
                self.say(|| format!("hub {hub} restarts, its clock is wrong by {skew} s"));
                self.hubs[hub] = Hub::start(skew);
                self.disturb_all();
            }
            4 => self.restart(agent, skew),
            5 => {
                self.say(|| format!("the clock of agent {agent} jumps to {skew} s"));
                self.agents[agent].skew = skew;
            }
            _ => {
                self.say(|| format!("the clock of hub {hub} jumps to {skew} s"));
                self.hubs[hub].skew = skew;
            }
        }
    }

    fn disturb_all(&mut self) {
        self.agents.iter_mut().for_each(|agent| agent.disturbed = self.now);
    }

    /// Stops an agent, or starts it again with what is on its disk.
    fn restart(&mut self, number: usize, skew: i64) {
        let agent = &mut self.agents[number];
        (agent.is_running, agent.disturbed, agent.skew) = (!agent.is_running, self.now, skew);
        agent.run += 1;
        (agent.session, agent.model) = (session(), Model::default());
        (agent.truth, agent.edge_truth) = (BTreeMap::new(), None);
        let (is_running, run) = (agent.is_running, agent.run);
        self.say(|| format!("agent {number} {}", if is_running { "starts" } else { "stops" }));
        if !is_running {
            let after = self.dice.below(90_000);
            self.plan(after, Event::Ask { agent: number, run });
            return;
        }
        let now = self.clock(skew);
        let agent = &mut self.agents[number];
        if let Some(stored) = agent.disk.clone() {
            let inventory = decode(&stored.body).expect("it was decoded before");
            agent.model.receive(&stored.body);
            agent.session.restore(inventory, stored.tag, Moment { wall: stored.wall, ..now }, now);
            self.tally.restored += 1;
        }
        self.plan(0, Event::Ask { agent: number, run });
        self.check(number);
    }

    /// A hub polls the API. Each list fails now and then.
    fn poll(&mut self, number: usize) {
        self.plan(POLL, Event::Poll { hub: number });
        let now = self.clock(self.hubs[number].skew);
        let mut fleet = Fleet::clone(&self.hubs[number].fleet);
        let (_, account) = fleet.accounts.iter_mut().next().expect("an account");
        let account = Arc::make_mut(account);
        for &tunnel_type in TunnelType::ALL {
            let mut list = TunnelList::clone(account.list(tunnel_type));
            if self.dice.once_in(8) {
                list.status.state = PollState::Failed(FailureReason::Timeout);
            } else {
                let mut entries: Vec<_> = self.truth.iter().filter(|of| of.tunnel_type() == tunnel_type).collect();
                entries.sort();
                list.entries = entries.into_iter().map(Truth::entry).collect();
                list.status = PollStatus { state: PollState::Succeeded, last_success: Some(now), duration: None };
                let hub = &mut self.hubs[number];
                hub.since.retain(|known, _| known.tunnel_type() != tunnel_type || self.truth.contains(known));
                for tunnel in self.truth.iter().filter(|of| of.tunnel_type() == tunnel_type) {
                    hub.since.entry(tunnel.clone()).or_insert(self.now);
                }
            }
            account.set_list(tunnel_type, list);
        }
        if !self.dice.once_in(4) {
            account.set_edge(Some(self.edge(now)));
        }
        let was_waiting = self.hubs[number]
            .fleet
            .accounts
            .values()
            .all(|known| known.lists().all(|(_, list)| list.status.last_success.is_none()));
        (self.hubs[number].fleet, self.hubs[number].index) = (Arc::new(fleet), None);
        if was_waiting {
            // The agents may use it from now on.
            self.disturb_all();
        }
    }

    fn edge(&mut self, now: Moment) -> EdgeView {
        let state = *[HealthState::Healthy, HealthState::Degraded, HealthState::Down].get(self.dice.index(3)).unwrap();
        let health = Arc::new(TunnelHealth { state: Some(state), ..TunnelHealth::default() });
        let tunnels = self.truth.iter().map(|tunnel| (tunnel.name.as_str().into(), Arc::clone(&health))).collect();
        let before = |seconds| {
            let age = Duration::from_secs(seconds);
            Moment { instant: now.instant.checked_sub(age).expect("a time"), wall: now.wall - age }
        };
        let window = Some(EdgeWindow { from: before(420), to: before(120) });
        let health = EdgeHealth { window, tunnels: Arc::new(tunnels), ..EdgeHealth::default() };
        EdgeView { stale_after: EDGE_STALE_AFTER, health, traffic: None }
    }

    /// An agent sends a request to the hub of its session.
    fn ask(&mut self, number: usize, run: u64) {
        let agent = &self.agents[number];
        if agent.run != run {
            return;
        }
        if !agent.is_running {
            let skew = agent.skew;
            return self.restart(number, skew);
        }
        let (hub, tag) = (agent.hubs[agent.session.target()], agent.session.tag().map(str::to_owned));
        let slow = self.dice.once_in(12);
        let [there, back] = [(); 2].map(|()| if slow { self.dice.below(9_000) } else { self.dice.below(200) });
        if slow {
            self.agents[number].disturbed = self.now;
        }
        self.plan(there, Event::Arrive { agent: number, run, hub, started: self.now, tag, back });
    }

    /// The response of a hub, as `Hub::respond` makes it.
    fn answer(&mut self, agent: usize, number: usize, tag: Option<&str>) -> Reply {
        let now = self.clock(self.hubs[number].skew);
        let hub = &mut self.hubs[number];
        let fleet = Arc::clone(&hub.fleet);
        let build = || Arc::new(InventoryIndex::build(&fleet, &Arc::default()));
        let index = Arc::clone(hub.index.get_or_insert_with(build));
        let query = format!("site={}", self.agents[agent].site);
        let selection = Arc::new(Selection::parse(&query).expect("a query"));
        let mut reply =
            Reply { status: 503, headers: HeaderMap::new(), body: String::new(), lists: BTreeMap::new(), edge: None };
        let Some(times) = index.times(&selection, now) else { return reply };
        let newest = find_tag(&index, &selection).expect("a tag");
        label(&mut reply.headers, &newest, false, &times);
        let mut sent = HeaderMap::new();
        sent.extend(tag.map(|tag| (IF_NONE_MATCH, HeaderValue::from_str(tag).expect("a tag"))));
        reply.status = if has_tag(&sent, &newest) { 304 } else { 200 };
        if reply.status == 200 {
            reply.body = text(&index, &selection);
        }
        let account = fleet.accounts.values().next().expect("an account");
        reply.lists = account.lists().filter_map(|(of, list)| Some((of, list.status.last_success?))).collect();
        reply.edge = account.edge().and_then(|edge| Some(edge.health.window?.to));
        self.spoil(agent, &mut reply);
        reply
    }

    /// Something between hub and agent changes a response now and then.
    fn spoil(&mut self, agent: usize, reply: &mut Reply) {
        if reply.status != 200 || !self.dice.once_in(10) {
            return;
        }
        self.agents[agent].disturbed = self.now;
        match self.dice.below(3) {
            0 => reply.body = "<html>please log in</html>".to_owned(),
            1 => reply.body.truncate(reply.body.len() / 2),
            _ => reply.status = 502,
        }
    }

    fn receive(&mut self, number: usize, run: u64, started: Time, reply: Option<Reply>) {
        if self.agents[number].run != run {
            return;
        }
        let late = self.now - started >= TIMEOUT;
        let update = reply.as_ref().filter(|_| !late).and_then(read);
        let after = if let (Some(update), Some(reply)) = (update, reply) {
            self.adopt(number, started, update, &reply);
            INTERVAL * 9 / 10 + self.dice.below(INTERVAL / 5)
        } else {
            self.tally.failed += 1;
            let agent = &mut self.agents[number];
            agent.disturbed = self.now;
            if agent.session.fail(FailureReason::Timeout) { 0 } else { 5_000 + self.dice.below(INTERVAL) }
        };
        self.plan(after, Event::Ask { agent: number, run });
        self.check(number);
    }

    fn adopt(&mut self, number: usize, started: Time, update: Update, reply: &Reply) {
        let skew = self.agents[number].skew;
        let (now, began) = (self.clock(skew), self.start.after(Duration::from_millis(started)));
        let agent = &mut self.agents[number];
        let is_change = reply.status == 200;
        (self.tally.changed, self.tally.unchanged) =
            (self.tally.changed + u64::from(is_change), self.tally.unchanged + u64::from(!is_change));
        if !is_change || agent.model.receive(&reply.body) {
            // A hub that never read a list says nothing about it, so that what another hub said stays.
            agent.truth.extend(&reply.lists);
        }
        // The wall clock may have jumped during the request.
        let adopted = agent.session.succeed(update, Moment { instant: began.instant, ..now });
        agent.edge_truth = reply.edge.or(agent.edge_truth);
        if let Some(body) = adopted.body.filter(|_| !self.dice.once_in(5)) {
            let wall = agent.session.confirmed().expect("it was confirmed").wall;
            agent.disk = Some(Stored { body, tag: agent.session.tag().map(str::to_owned), wall });
        }
        let tunnels = agent.session.tunnels();
        self.say(|| format!("agent {number} gets {} and has {tunnels} tunnels", reply.status));
    }

    /// Checks the invariants for one agent.
    fn check(&mut self, number: usize) {
        let agent = &self.agents[number];
        if !agent.is_running {
            return;
        }
        let fleet = agent.session.fleet();
        let plan = ProbePlan::build_if_enabled(&fleet, &self.settings);
        let probed: BTreeSet<IpAddr> = plan.sessions().into_iter().map(|session| session.address).collect();
        let received: BTreeSet<IpAddr> = agent.model.addresses().collect();
        assert_eq!(probed, received, "agent {number} probes other addresses than it received at {} ms", self.now);
        let watched = self.check_watched(agent, number, &probed);
        let fresh = self.check_freshness(agent, number, &fleet);
        (self.tally.watched, self.tally.shown_fresh) = (self.tally.watched + watched, self.tally.shown_fresh + fresh);
    }

    /// Two intervals after the newest disturbance, an agent probes every tunnel that its hub has listed for as long.
    fn check_watched(&self, agent: &Agent, number: usize, probed: &BTreeSet<IpAddr>) -> u64 {
        let hub = &self.hubs[agent.hubs[agent.session.target()]];
        let is_cut = agent.hubs.iter().any(|&hub| self.cut.contains(&(number, hub)));
        let was_read =
            hub.fleet.accounts.values().any(|known| known.lists().any(|(_, list)| list.status.last_success.is_some()));
        if is_cut || !was_read || self.now < agent.disturbed + 2 * INTERVAL {
            return 0;
        }
        let old =
            hub.since.iter().filter(|(tunnel, since)| tunnel.site == agent.site && self.now >= **since + 2 * INTERVAL);
        old.map(|(tunnel, _)| {
            let is_probed = probed.contains(&IpAddr::V4(tunnel.address));
            assert!(is_probed, "agent {number} does not probe {tunnel:?} at {} ms", self.now);
            1
        })
        .sum()
    }

    /// No list and no data of the edge is newer than the truth, and none is fresh for too long.
    fn check_freshness(&self, agent: &Agent, number: usize, fleet: &Fleet) -> u64 {
        let (now, mut fresh) = (self.clock(agent.skew), 0);
        for known in fleet.accounts.values() {
            for (tunnel_type, list) in known.lists() {
                if list.status.is_fresh(now, STALE_AFTER) {
                    let truth = agent.truth.get(&tunnel_type).map(|truth| now.since(*truth));
                    let is_right = truth.is_some_and(|age| age <= STALE_AFTER);
                    let shown = list.status.last_success.map(|shown| now.since(shown));
                    assert!(is_right, "agent {number} shows {tunnel_type} as {shown:?} old, which is {truth:?} old");
                    fresh += 1;
                }
            }
            if known.edge().and_then(|edge| edge.health_window(now)).is_some() {
                let truth = agent.edge_truth.map(|truth| now.since(truth));
                let is_right = truth.is_some_and(|age| age <= EDGE_STALE_AFTER);
                assert!(is_right, "agent {number} shows the edge as fresh, which is {truth:?} old");
            }
        }
        fresh
    }
}

fn session() -> HubSession {
    HubSession::resume(Arc::default(), &Fleet::awaiting_hub(), HUBS)
}

fn text(index: &Arc<InventoryIndex>, selection: &Arc<Selection>) -> String {
    let mut text = InventoryText::new(Arc::clone(index), Arc::clone(selection));
    let (mut body, mut is_last) = (Vec::new(), false);
    while !is_last {
        is_last = text.write_piece(&mut body).expect("a piece");
    }
    String::from_utf8(body).expect("text")
}

/// What the client of an agent makes of a response.
fn read(reply: &Reply) -> Option<Update> {
    let times = ReplyTimes::read(&reply.headers)?;
    match reply.status {
        304 => Some(Update::Unchanged(times)),
        200 => {
            let tag = reply.headers.get(ETAG)?.to_str().ok().map(str::to_owned);
            let inventory = decode(&reply.body).ok()?;
            Some(Update::Changed { inventory, times, body: reply.body.clone(), tag })
        }
        _ => None,
    }
}
