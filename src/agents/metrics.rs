//! Metrics of a hub: its agents by state, and the inventories that it served.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
    registry::Registry,
};
use web_toolkit::clock;

use super::{AgentState, Agents};
use crate::{
    domain::label::Label as _,
    series::{Counters, label},
};

/// Counts responses to requests for the inventory. Clones share the counters.
#[derive(Debug, Clone)]
pub struct ServedInventories(Counters<1>);

impl ServedInventories {
    pub fn count(&self, code: u16) {
        self.0.get([label("code", code.to_string())]).inc();
    }
}

impl Default for ServedInventories {
    fn default() -> Self {
        let served = Self(Counters::new(Counter::default));
        for code in ["200", "304"] {
            served.0.get([label("code", code)]);
        }
        served
    }
}

/// Registers the families of a hub.
pub fn register(registry: &mut Registry, agents: &Agents) -> ServedInventories {
    let served = ServedInventories::default();
    registry.register(
        "agents",
        "Agents that have read the inventory of this exporter within a day: current, behind (asks with an old list), \
         or missing (has not asked for three of its intervals)",
        AgentCounts(agents.clone()),
    );
    registry.register(
        "inventory_served",
        "Responses to requests for the inventory by HTTP status code. Requests without the right password are not \
         counted",
        served.0.clone(),
    );
    served
}

/// The number of agents in each state, counted at each scrape.
#[derive(Debug)]
struct AgentCounts(Agents);

impl EncodeMetric for AgentCounts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let now = clock::now();
        for &state in AgentState::ALL {
            let count = self.0.count(state, now) as u64;
            encoder.encode_family(&[("state", state.as_str())])?.encode_gauge(&count)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
