//! What an agent must know after each response, from the JSON of the response alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde_json::Value;

/// Account and collection.
type List = (String, String);

/// The addresses of the newest received inventory of one agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    lists: BTreeMap<List, BTreeSet<IpAddr>>,
}

impl Model {
    /// Adopts the body of a response. A list that the hub never read, and an empty inventory of a hub that fails, say
    /// nothing. Returns whether it was adopted.
    pub(super) fn receive(&mut self, body: &str) -> bool {
        let body: Value = serde_json::from_str(body).expect("an inventory");
        let members = |name: &str| body[name].as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (collections, tunnels) = (members("collections"), members("tunnels"));
        let is_complete =
            !collections.is_empty() && collections.iter().all(|collection| collection["state"] == "succeeded");
        let is_known = |collection: &Value| match &*text(&collection["state"]) {
            "succeeded" => true,
            "failed" => collection["last_success"].is_string(),
            _ => false,
        };
        if !is_complete && tunnels.is_empty() && self.addresses().next().is_some() {
            return false;
        }
        if is_complete {
            self.lists.clear();
        }
        for collection in collections.iter().filter(|collection| is_known(collection)) {
            let of = |tunnel: &&Value| {
                let tunnel_type = format!("{}_tunnels", text(&tunnel["type"]));
                tunnel["account"] == collection["account"] && tunnel_type == text(&collection["collection"])
            };
            let addresses = tunnels.iter().filter(of).map(|tunnel| text(&tunnel["customer_endpoint"]));
            let addresses = addresses.map(|address| address.parse().expect("an address")).collect();
            self.lists.insert((text(&collection["account"]), text(&collection["collection"])), addresses);
        }
        true
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lists.values().flatten().copied()
    }
}
