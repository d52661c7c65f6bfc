use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::TestApi;

/// One request of a client that knows some ids and invents others.
#[derive(Debug, Clone)]
enum Step {
    Create { gre: bool, name: u8, validate_only: bool },
    Update { gre: bool, tunnel: usize, name: u8, validate_only: bool },
    UpdateMany { gre: bool, tunnels: Vec<(usize, u8)> },
    Delete { gre: bool, tunnel: usize, validate_only: bool },
    Psk { tunnel: usize },
    Wait { seconds: u64 },
}

/// Few names and few positions, so that clashes are common.
fn step() -> impl Strategy<Value = Step> {
    let (name, tunnel) = (0_u8..6, 0_usize..8);
    prop_oneof![
        4 => (any::<bool>(), name.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, name, validate_only)| Step::Create { gre, name, validate_only }),
        3 => (any::<bool>(), tunnel.clone(), name.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, tunnel, name, validate_only)| Step::Update { gre, tunnel, name, validate_only }),
        2 => (any::<bool>(), prop::collection::vec((tunnel.clone(), name), 0..4))
            .prop_map(|(gre, tunnels)| Step::UpdateMany { gre, tunnels }),
        2 => (any::<bool>(), tunnel.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, tunnel, validate_only)| Step::Delete { gre, tunnel, validate_only }),
        1 => tunnel.prop_map(|tunnel| Step::Psk { tunnel }),
        1 => (0_u64..100).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn collection(gre: bool) -> &'static str {
    if gre { "gre_tunnels" } else { "ipsec_tunnels" }
}

fn body(gre: bool, name: u8) -> Value {
    let mut body =
        json!({"name": format!("t{name}"), "interface_address": "10.0.0.0/31", "bgp": {"customer_asn": 65000}});
    if gre {
        body["cloudflare_gre_endpoint"] = json!("203.0.113.1");
        body["customer_gre_endpoint"] = json!("198.51.100.1");
    } else {
        body["cloudflare_endpoint"] = json!("203.0.113.1");
    }
    body
}

/// What a client that wrote everything down would expect: id to kind and name.
#[derive(Default)]
struct Notes {
    tunnels: BTreeMap<String, (bool, u8)>,
    /// Every id ever seen, gone ones too.
    ids: Vec<String>,
}

impl Notes {
    fn id(&self, position: usize) -> String {
        self.ids.get(position).cloned().unwrap_or_else(|| "f".repeat(32))
    }

    fn of_kind(&self, gre: bool, id: &str) -> bool {
        self.tunnels.get(id).is_some_and(|(kind, _)| *kind == gre)
    }

    fn name_is_free(&self, name: u8, except: &BTreeSet<String>) -> bool {
        self.tunnels.iter().all(|(id, (_, taken))| *taken != name || except.contains(id))
    }
}

fn suffix(validate_only: bool) -> &'static str {
    if validate_only { "?validate_only=true" } else { "" }
}

/// Carries one step out and compares the status with the notes.
fn take(step: &Step, api: &mut TestApi, notes: &mut Notes) {
    match step {
        Step::Create { gre, name, validate_only } => {
            let path = format!("{}{}", collection(*gre), suffix(*validate_only));
            let (status, answer) = api.send_magic(&Method::POST, &path, &body(*gre, *name));
            let free = notes.name_is_free(*name, &BTreeSet::new());
            assert_eq!(status, if free { 200 } else { 400 }, "{answer}");
            if free && !validate_only {
                let id = answer["result"]["id"].as_str().unwrap().to_owned();
                notes.ids.push(id.clone());
                assert!(notes.tunnels.insert(id, (*gre, *name)).is_none(), "an id came twice");
            }
        }
        Step::Update { gre, tunnel, name, validate_only } => {
            let id = notes.id(*tunnel);
            let path = format!("{}/{id}{}", collection(*gre), suffix(*validate_only));
            let (status, answer) = api.send_magic(&Method::PUT, &path, &body(*gre, *name));
            let expected = match (notes.of_kind(*gre, &id), notes.name_is_free(*name, &BTreeSet::from([id.clone()]))) {
                (false, _) => 404,
                (true, false) => 400,
                (true, true) => 200,
            };
            assert_eq!(status, expected, "{answer}");
            if status == 200 && !validate_only {
                notes.tunnels.insert(id, (*gre, *name));
            }
        }
        Step::UpdateMany { gre, tunnels } => update_many(*gre, tunnels, api, notes),
        Step::Delete { gre, tunnel, validate_only } => {
            let id = notes.id(*tunnel);
            let path = format!("{}/{id}{}", collection(*gre), suffix(*validate_only));
            let (status, answer) = api.send_magic(&Method::DELETE, &path, &Value::Null);
            assert_eq!(status, if notes.of_kind(*gre, &id) { 200 } else { 404 }, "{answer}");
            if status == 200 && !validate_only {
                notes.tunnels.remove(&id);
            }
        }
        Step::Psk { tunnel } => {
            let id = notes.id(*tunnel);
            let (status, _) = api.send_magic(&Method::POST, &format!("ipsec_tunnels/{id}/psk_generate"), &Value::Null);
            assert_eq!(status, if notes.of_kind(false, &id) { 200 } else { 404 });
        }
        Step::Wait { seconds } => api.advance_clock(std::time::Duration::from_secs(*seconds)),
    }
}

fn update_many(gre: bool, tunnels: &[(usize, u8)], api: &mut TestApi, notes: &mut Notes) {
    let ids: Vec<String> = tunnels.iter().map(|(position, _)| notes.id(*position)).collect();
    let bodies = tunnels.iter().zip(&ids).map(|((_, name), id)| {
        let mut body = body(gre, *name);
        body["id"] = json!(id);
        body
    });
    let request = json!({collection(gre): bodies.collect::<Value>()});
    let (status, answer) = api.send_magic(&Method::PUT, collection(gre), &request);
    let changing: BTreeSet<String> = ids.iter().cloned().collect();
    let names: BTreeSet<u8> = tunnels.iter().map(|(_, name)| *name).collect();
    let known = ids.iter().all(|id| notes.of_kind(gre, id));
    let distinct = changing.len() == ids.len() && names.len() == ids.len();
    let free = names.iter().all(|name| notes.name_is_free(*name, &changing));
    let expected = match (known, distinct && free) {
        (false, _) => 404,
        (true, false) => 400,
        (true, true) => 200,
    };
    assert_eq!(status, expected, "{request} {answer}");
    if status == 200 {
        notes.tunnels.extend(ids.into_iter().zip(tunnels.iter().map(|(_, name)| (gre, *name))));
    }
}

/// The lists say what the notes say, and no id or name is there twice.
fn agree(api: &mut TestApi, notes: &Notes) {
    let mut listed = BTreeMap::new();
    let mut names = BTreeSet::new();
    for gre in [false, true] {
        for tunnel in api.list(collection(gre)) {
            let name = tunnel["name"].as_str().unwrap().to_owned();
            let number: u8 = name[1..].parse().unwrap();
            let twice = listed.insert(tunnel["id"].as_str().unwrap().to_owned(), (gre, number));
            assert!(twice.is_none() && names.insert(name), "twice: {tunnel}");
        }
    }
    assert_eq!(listed, notes.tunnels);
}

proptest! {
    #[test]
    fn any_sequence_of_operations_keeps_the_invariants(steps in prop::collection::vec(step(), 0..40)) {
        let mut api = TestApi::empty();
        let mut notes = Notes::default();
        for step in &steps {
            take(step, &mut api, &mut notes);
            agree(&mut api, &notes);
        }
    }
}
