//! Injected faults: which requests they match. [`effect`] holds what they do to the response.
//!
//! A fault delays the response, replaces it (the operation is then not carried out), changes its body, or breaks its
//! delivery.

mod damage;
mod effect;

use hyper::Method;
use rand::{RngExt as _, rngs::StdRng};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use web_toolkit::{
    settings::{ConfigError, Layout, SettingsReader},
    yaml::{Node, YamlError, keys_of},
};

use self::effect::{FaultEffect, deserialize_checked};
pub(crate) use self::effect::{MatchedFaults, parse_duration};
use super::{graphql::DocumentOperation, items::ItemKind, operations::ApiSection, spec::TunnelKind};

/// Maximum number of faults in force at one time.
const MAX_FAULTS: usize = 100;

/// What a request reads or changes, as the exporter's metrics call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultCollection {
    #[serde(alias = "ipsec")]
    IpsecTunnels,
    #[serde(alias = "gre")]
    GreTunnels,
    Routes,
    CfInterconnects,
    /// The verification of tokens.
    Token,
    EdgeHealth,
    EdgeTraffic,
    /// The scores of single data centers.
    EdgeColos,
    /// The limits of the GraphQL datasets.
    Settings,
}

impl FaultCollection {
    const fn name(self) -> &'static str {
        match self {
            Self::IpsecTunnels => "ipsec_tunnels",
            Self::GreTunnels => "gre_tunnels",
            Self::Routes => "routes",
            Self::CfInterconnects => "cf_interconnects",
            Self::Token => "token",
            Self::EdgeHealth => "edge_health",
            Self::EdgeTraffic => "edge_traffic",
            Self::EdgeColos => "edge_colos",
            Self::Settings => "settings",
        }
    }

    const fn is_graphql(self) -> bool {
        matches!(self, Self::EdgeHealth | Self::EdgeTraffic | Self::EdgeColos | Self::Settings)
    }
}

impl From<ApiSection> for FaultCollection {
    fn from(section: ApiSection) -> Self {
        match section {
            ApiSection::Token => Self::Token,
            ApiSection::Items(ItemKind::Route) => Self::Routes,
            ApiSection::Items(ItemKind::Interconnect) => Self::CfInterconnects,
            ApiSection::Tunnels(TunnelKind::Ipsec) => Self::IpsecTunnels,
            ApiSection::Tunnels(TunnelKind::Gre) => Self::GreTunnels,
        }
    }
}

impl From<DocumentOperation> for FaultCollection {
    fn from(operation: DocumentOperation) -> Self {
        match operation {
            DocumentOperation::Settings => Self::Settings,
            DocumentOperation::EdgeHealth => Self::EdgeHealth,
            DocumentOperation::EdgeTraffic => Self::EdgeTraffic,
            DocumentOperation::EdgeColos => Self::EdgeColos,
        }
    }
}

/// One fault and the requests it matches.
///
/// `{"collection": "gre_tunnels", "count": 3, "fault": {"status": {"code": 503}}}`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Absent: all collections. A fault of the GraphQL API never matches a request to another path.
    collection: Option<FaultCollection>,
    /// `GET`, `POST`, `PUT` or `DELETE`. Absent: all.
    #[serde(default, deserialize_with = "parse_method")]
    method: Option<Method>,
    /// Number of requests until the fault is removed. Absent: no limit.
    #[serde(default, deserialize_with = "parse_count")]
    count: Option<u64>,
    /// Share of the requests that are hit, from 0 to 1. Absent: all.
    #[serde(default, deserialize_with = "parse_probability")]
    probability: Option<f64>,
    #[serde(rename = "fault")]
    effect: FaultEffect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultList {
    faults: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FaultKeys {
    faults: Node<Fault>,
}

/// The faults in force, in the given order.
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Parses `{"faults": [...]}`, the body of `PUT /sandbox/faults`. The error is one line.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let list: FaultList = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Self::new(list.faults)
    }

    /// Parses the same from a file in YAML or JSON. `name` is the name of the file in errors.
    ///
    /// # Errors
    /// Every wrong key, or else the first wrong value.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let layout = Layout { sections: vec![("faults", keys_of::<Fault>())], secrets: &[] };
        let (mut reader, file) = SettingsReader::open::<FaultKeys>(name, text, layout)?;
        let faults = reader.sections("faults", file.faults).into_iter().map(|(_, fault)| fault);
        let faults = Self::new(faults.collect()).map_err(|what| YamlError { line: 1, what });
        let faults = reader.check_line(faults);
        reader.finish_with(faults)
    }

    pub(crate) fn new(faults: Vec<Fault>) -> Result<Self, String> {
        if faults.len() > MAX_FAULTS {
            return Err(format!("at most {MAX_FAULTS} faults at one time, not {}", faults.len()));
        }
        Ok(Self(faults))
    }

    /// Number of faults in force.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Finds the faults that match a request and counts the hits. Latencies add up; of the other faults the first one
    /// applies.
    pub(crate) fn match_request(
        &mut self,
        collection: Option<FaultCollection>,
        method: &Method,
        rng: &mut StdRng,
    ) -> MatchedFaults {
        let mut matched = MatchedFaults::default();
        for fault in &mut self.0 {
            let applies = matched.effect.is_none() || matches!(fault.effect, FaultEffect::Latency(_));
            if !(applies && fault.selects(collection, method) && fault.draw_hit(rng)) {
                continue;
            }
            match &fault.effect {
                FaultEffect::Latency(latency) => matched.latency = matched.latency.saturating_add(*latency),
                effect => matched.effect = Some(effect.clone()),
            }
        }
        self.0.retain(|fault| fault.count != Some(0));
        matched
    }

    pub(crate) fn json(&self) -> Value {
        let faults = self.0.iter().map(|fault| {
            json!({
                "fault": fault.effect.name(),
                "collection": fault.collection.map(FaultCollection::name),
                "method": fault.method.as_ref().map(Method::as_str),
                "count": fault.count,
                "probability": fault.probability,
            })
        });
        json!({"faults": faults.collect::<Value>()})
    }
}

impl Fault {
    fn selects(&self, collection: Option<FaultCollection>, method: &Method) -> bool {
        let is_possible = !self.effect.is_graphql() || collection.is_some_and(FaultCollection::is_graphql);
        is_possible
            && self.collection.is_none_or(|selected| Some(selected) == collection)
            && self.method.as_ref().is_none_or(|selected| selected == method)
    }

    fn draw_hit(&mut self, rng: &mut StdRng) -> bool {
        if self.probability.is_some_and(|probability| !rng.random_bool(probability)) {
            return false;
        }
        if let Some(count) = &mut self.count {
            *count = count.saturating_sub(1);
        }
        true
    }
}

fn parse_method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Method>, D::Error> {
    deserialize_checked(deserializer, |text: Option<String>| {
        let Some(text) = text else { return Ok(None) };
        let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
        let method = known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&text));
        method.map(Some).ok_or_else(|| format!("method must be GET, POST, PUT or DELETE, not `{text}`"))
    })
}

fn parse_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserialize_checked(deserializer, |count| match count {
        Some(0) => Err("count must be at least 1".to_owned()),
        count => Ok(count),
    })
}

fn parse_probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    deserialize_checked(deserializer, |share| match share {
        Some(share) if !(0.0..=1.0).contains(&share) => Err(format!("probability must be from 0 to 1, not {share}")),
        share => Ok(share),
    })
}

#[cfg(test)]
mod tests;
