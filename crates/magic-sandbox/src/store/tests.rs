use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::TestApi;

/// One request, with ids that exist and ids that do not.
#[derive(Debug, Clone)]
enum Request {
    Create { gre: bool, name: u8, validate_only: bool },
    Update { gre: bool, tunnel: usize, name: u8, validate_only: bool },
    UpdateMany { gre: bool, tunnels: Vec<(usize, u8)> },
    Delete { gre: bool, tunnel: usize, validate_only: bool },
    Psk { tunnel: usize },
    Wait { seconds: u64 },
}

/// Few names and few positions, so that conflicts are common.
fn any_request() -> impl Strategy<Value = Request> {
    let (name, tunnel) = (0_u8..6, 0_usize..8);
    prop_oneof![
        4 => (any::<bool>(), name.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, name, validate_only)| Request::Create { gre, name, validate_only }),
        3 => (any::<bool>(), tunnel.clone(), name.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, tunnel, name, validate_only)| Request::Update { gre, tunnel, name, validate_only }),
        2 => (any::<bool>(), prop::collection::vec((tunnel.clone(), name), 0..4))
            .prop_map(|(gre, tunnels)| Request::UpdateMany { gre, tunnels }),
        2 => (any::<bool>(), tunnel.clone(), prop::bool::weighted(0.2))
            .prop_map(|(gre, tunnel, validate_only)| Request::Delete { gre, tunnel, validate_only }),
        1 => tunnel.prop_map(|tunnel| Request::Psk { tunnel }),
        1 => (0_u64..100).prop_map(|seconds| Request::Wait { seconds }),
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

/// The expected state: id to kind and name.
#[derive(Default)]
struct ExpectedState {
    tunnels: BTreeMap<String, (bool, u8)>,
    /// Every id so far, including deleted ones.
    ids: Vec<String>,
}

impl ExpectedState {
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

/// Sends one request and compares the status with the expected state.
fn send_and_check(request: &Request, api: &mut TestApi, model: &mut ExpectedState) {
    match request {
        Request::Create { gre, name, validate_only } => {
            let path = format!("{}{}", collection(*gre), suffix(*validate_only));
            let (status, response) = api.send_magic(&Method::POST, &path, &body(*gre, *name));
            let free = model.name_is_free(*name, &BTreeSet::new());
            assert_eq!(status, if free { 200 } else { 400 }, "{response}");
            if free && !validate_only {
                let id = response["result"]["id"].as_str().unwrap().to_owned();
                model.ids.push(id.clone());
                assert!(model.tunnels.insert(id, (*gre, *name)).is_none(), "an id was used twice");
            }
        }
        Request::Update { gre, tunnel, name, validate_only } => {
            let id = model.id(*tunnel);
            let path = format!("{}/{id}{}", collection(*gre), suffix(*validate_only));
            let (status, response) = api.send_magic(&Method::PUT, &path, &body(*gre, *name));
            let expected = match (model.of_kind(*gre, &id), model.name_is_free(*name, &BTreeSet::from([id.clone()]))) {
                (false, _) => 404,
                (true, false) => 400,
                (true, true) => 200,
            };
            assert_eq!(status, expected, "{response}");
            if status == 200 && !validate_only {
                model.tunnels.insert(id, (*gre, *name));
            }
        }
        Request::UpdateMany { gre, tunnels } => update_many(*gre, tunnels, api, model),
        Request::Delete { gre, tunnel, validate_only } => {
            let id = model.id(*tunnel);
            let path = format!("{}/{id}{}", collection(*gre), suffix(*validate_only));
            let (status, response) = api.send_magic(&Method::DELETE, &path, &Value::Null);
            assert_eq!(status, if model.of_kind(*gre, &id) { 200 } else { 404 }, "{response}");
            if status == 200 && !validate_only {
                model.tunnels.remove(&id);
            }
        }
        Request::Psk { tunnel } => {
            let id = model.id(*tunnel);
            let (status, _) = api.send_magic(&Method::POST, &format!("ipsec_tunnels/{id}/psk_generate"), &Value::Null);
            assert_eq!(status, if model.of_kind(false, &id) { 200 } else { 404 });
        }
        Request::Wait { seconds } => api.advance_clock(std::time::Duration::from_secs(*seconds)),
    }
}

fn update_many(gre: bool, tunnels: &[(usize, u8)], api: &mut TestApi, model: &mut ExpectedState) {
    let ids: Vec<String> = tunnels.iter().map(|(position, _)| model.id(*position)).collect();
    let bodies = tunnels.iter().zip(&ids).map(|((_, name), id)| {
        let mut body = body(gre, *name);
        body["id"] = json!(id);
        body
    });
    let request = json!({collection(gre): bodies.collect::<Value>()});
    let (status, response) = api.send_magic(&Method::PUT, collection(gre), &request);
    let changing: BTreeSet<String> = ids.iter().cloned().collect();
    let names: BTreeSet<u8> = tunnels.iter().map(|(_, name)| *name).collect();
    let known = ids.iter().all(|id| model.of_kind(gre, id));
    let distinct = changing.len() == ids.len() && names.len() == ids.len();
    let free = names.iter().all(|name| model.name_is_free(*name, &changing));
    let expected = match (known, distinct && free) {
        (false, _) => 404,
        (true, false) => 400,
        (true, true) => 200,
    };
    assert_eq!(status, expected, "{request} {response}");
    if status == 200 {
        model.tunnels.extend(ids.into_iter().zip(tunnels.iter().map(|(_, name)| (gre, *name))));
    }
}

/// Compares the lists with the expected state. No id and no name may occur twice.
fn check_lists(api: &mut TestApi, model: &ExpectedState) {
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
    assert_eq!(listed, model.tunnels);
}

proptest! {
    #[test]
    fn any_sequence_of_requests_keeps_ids_and_names_unique(requests in prop::collection::vec(any_request(), 0..40)) {
        let mut api = TestApi::empty();
        let mut model = ExpectedState::default();
        for request in &requests {
            send_and_check(request, &mut api, &mut model);
            check_lists(&mut api, &model);
        }
    }
}
