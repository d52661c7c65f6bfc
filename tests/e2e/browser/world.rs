//! A fixed story: tunnels of every verdict, on a loopback where some addresses answer.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};

use crate::{
    prometheus::percent_encoded,
    support::{
        SOON,
        api::{Api, by_collection},
        eventually,
        exporter::{ACCOUNT, Exporter, token_file},
        http,
        tunnels::{gre, gre_list, id_of, ipsec, ipsec_list, with},
    },
};

use self::Host::{Alive, Dead};

/// A name that runs scripts unless it is escaped.
pub(super) const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>";

/// The last byte of an address that answers or is silent.
#[derive(Clone, Copy)]
enum Host {
    Alive(u8),
    Dead(u8),
    None,
}

/// The verdict as shown on the page, name, description, customer endpoint, interface address, state of the session.
type Line = (&'static str, &'static str, &'static str, Host, Host, Option<&'static str>);

/// In the order of the page.
const STORY: [Line; 8] = [
    ("Unreachable", "fra-ipsec-1", "Frankfurt, first circuit", Dead(1), Dead(10), Some("DOWN")),
    ("Tunnel fault", "ams-ipsec-1", "Amsterdam, first circuit", Alive(2), Dead(12), Some("DOWN")),
    ("BGP fault", "mad-gre-1", "Madrid, second circuit", Alive(3), Alive(14), Some("DOWN")),
    ("Path mismatch", "lon-ipsec-1", "London, first circuit", Dead(4), Dead(16), Some("UP")),
    ("Unknown", HOSTILE, "", Host::None, Host::None, None),
    ("Healthy", "par-gre-1", "Paris, first circuit", Alive(5), Alive(18), Some("UP")),
    ("Healthy", "vie-gre-1", "Vienna, static routes", Alive(6), Alive(20), None),
    ("Healthy", "waw-ipsec-1", "Warsaw, standby", Alive(7), Alive(22), Some("UP")),
];

/// The site is the first word of the description.
const SITES: &str = "sites: [{from: description, pattern: '^(?<site>[A-Z][a-z]+),'}]\n";

/// Where the story takes place.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// The network of the addresses that answer.
    pub(super) alive: &'static str,
    /// The flags that the exporter needs to reach it.
    pub(super) flags: &'static [&'static str],
    /// The name of the tunnel without a verdict.
    pub(super) unknown: &'static str,
}

impl Stage {
    fn name_of(&self, &(_, name, ..): &Line) -> &'static str {
        if name == HOSTILE { self.unknown } else { name }
    }
}

/// The loopback: no packet leaves the machine.
const LOOPBACK: Stage = Stage { alive: "127.0.2", flags: &["--probe.interface=lo"], unknown: HOSTILE };

/// An API, and an exporter that probes what it lists.
pub(super) struct World {
    stage: Stage,
    api: Api,
    exporter: Option<Exporter>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl World {
    /// On the loopback, with every verdict reached.
    pub(super) fn settled() -> Self {
        Self::settled_on(&LOOPBACK)
    }

    pub(super) fn settled_on(stage: &Stage) -> Self {
        let (stage, folder) = (*stage, tempfile::tempdir().expect("a temporary folder"));
        let lists = ["ipsec", "gre"].map(|kind| tunnels(&stage, kind));
        let api = Api::start(by_collection(ipsec_list(&lists[0]), gre_list(&lists[1])));
        let sites = folder.path().join("sites.yml");
        fs::write(&sites, SITES).expect("a file of our own");
        let file = format!("--config.file={}", sites.display());
        let flags = [&[&*file, "--probe", "--probe.interval=200ms", "--probe.silence=always"], stage.flags].concat();
        let exporter = Exporter::serve(api.address, &token_file(&folder), &flags);
        let world = Self { stage, api, address: exporter.address, exporter: Some(exporter), _folder: folder };
        eventually("every verdict of the story", SOON, || {
            let answer: Value = serde_json::from_str(&http::text(world.address, "/api/v1/tunnels")).expect("JSON");
            let tunnels = answer["tunnels"].as_array().expect("tunnels");
            let reached = STORY.iter().all(|line| {
                let (label, name) = (line.0.to_lowercase().replace(' ', "_"), stage.name_of(line));
                tunnels.iter().any(|tunnel| tunnel["name"] == name && tunnel["verdict"]["verdict"] == *label)
            });
            if reached { Ok(()) } else { Err(answer.to_string()) }
        });
        world
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the session state that the API reports.
    pub(super) fn report(&self, name: &str, state: &str) {
        let reported = |kind| {
            let tunnels = tunnels(&self.stage, kind).into_iter();
            let changed = tunnels.map(|tunnel| if tunnel["name"] == name { session(tunnel, state) } else { tunnel });
            changed.collect::<Vec<_>>()
        };
        self.api.answer_with(by_collection(ipsec_list(&reported("ipsec")), gre_list(&reported("gre"))));
    }

    pub(super) fn stop(&mut self) {
        self.exporter = None;
    }
}

/// The headline of the front page.
pub(super) fn headline() -> String {
    format!("4 of {}\u{a0}tunnels need attention", STORY.len())
}

/// The verdict and the name of each row of the table.
pub(super) fn rows() -> Vec<(String, String)> {
    STORY.iter().map(|(verdict, name, ..)| ((*verdict).to_owned(), (*name).to_owned())).collect()
}

/// The path of the page of a tunnel.
pub(super) fn path_of(name: &str) -> String {
    format!("/tunnels/{ACCOUNT}/{}/{}", kind_of(name), percent_encoded(&id_of(name)))
}

fn kind_of(name: &str) -> &'static str {
    if name.contains("gre") { "gre" } else { "ipsec" }
}

fn tunnels(stage: &Stage, kind: &str) -> Vec<Value> {
    STORY.iter().filter(|(_, name, ..)| kind_of(name) == kind).map(|line| tunnel(stage, line)).collect()
}

fn tunnel(stage: &Stage, line: &Line) -> Value {
    let (name, &(.., description, endpoint, inside, session_state)) = (stage.name_of(line), line);
    let address = |host| match host {
        Alive(host) => format!("{}.{host}", stage.alive),
        Dead(host) => format!("203.0.113.{host}"),
        Host::None => String::new(),
    };
    let (endpoint, inside) = (address(endpoint), address(inside));
    let inside = if inside.is_empty() { inside } else { format!("{inside}/31") };
    let tunnel = if kind_of(name) == "gre" {
        with(gre(name), "/customer_gre_endpoint", json!(endpoint))
    } else {
        with(with(ipsec(name), "/customer_endpoint", json!(endpoint)), "/interface_address6", json!(""))
    };
    let tunnel = with(with(tunnel, "/interface_address", json!(inside)), "/description", json!(description));
    match session_state {
        Some(reported) => session(tunnel, reported),
        None => with(with(tunnel, "/bgp", Value::Null), "/bgp_status", Value::Null),
    }
}

fn session(tunnel: Value, state: &str) -> Value {
    let up = state == "UP";
    let tunnel =
        with(tunnel, "/bgp", json!({ "customer_asn": 4_200_000_001_u32, "extra_prefixes": [], "md5_key": "set" }));
    with(
        tunnel,
        "/bgp_status",
        json!({
            "state": format!("BGP_{state}"), "tcp_established": up, "bgp_state": if up { "Established" } else { "Active" },
            "updated_at": "2026-10-05T09:00:00Z",
        }),
    )
}
