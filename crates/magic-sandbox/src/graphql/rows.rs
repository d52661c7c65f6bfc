//! The lists of an answer and their rows, serialized as the API names their fields.

use std::borrow::Cow;

use serde::Serialize;

use crate::edge::SimulatedTraffic;

#[derive(Serialize)]
pub(super) struct HealthLists<'a> {
    pub results: Vec<ShownResult<'a>>,
    pub states: Vec<ShownState<'a>>,
    pub minutes: Vec<ShownMinute>,
}

#[derive(Clone, Serialize)]
pub(super) struct ShownResult<'a> {
    pub count: u64,
    pub avg: ShownSampling,
    pub dimensions: ResultKey<'a>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownSampling {
    pub sample_interval: u8,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultKey<'a> {
    pub tunnel_name: Cow<'a, str>,
    pub site_name: &'a str,
    pub result_status: &'static str,
}

#[derive(Clone, Serialize)]
pub(super) struct ShownState<'a> {
    pub count: u64,
    pub avg: ShownScore,
    pub dimensions: StateKey<'a>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownScore {
    pub tunnel_state: f64,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateKey<'a> {
    pub tunnel_name: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct ColoLists<'a> {
    pub colos: Vec<ShownColo<'a>>,
}

#[derive(Clone, Serialize)]
pub(super) struct ShownColo<'a> {
    pub count: u64,
    pub avg: ShownScore,
    pub dimensions: ColoKey<'a>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ColoKey<'a> {
    pub tunnel_name: Cow<'a, str>,
    pub edge_colo_name: &'a str,
}

#[derive(Serialize)]
pub(super) struct ShownMinute {
    pub count: u64,
    pub dimensions: MinuteKey,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MinuteKey {
    pub datetime_minute: String,
}

#[derive(Serialize)]
pub(super) struct TrafficLists<'a> {
    pub from_site: Vec<ShownTraffic<IngressKey<'a>>>,
    pub to_site: Vec<ShownTraffic<EgressKey<'a>>>,
}

#[derive(Clone, Serialize)]
pub(super) struct ShownTraffic<K> {
    pub sum: SimulatedTraffic,
    pub dimensions: K,
}

#[derive(Clone, Serialize)]
pub(super) struct IngressKey<'a> {
    #[serde(rename = "ingressTunnelID")]
    pub id: &'a str,
    #[serde(rename = "ingressTunnelName")]
    pub name: Cow<'a, str>,
}

#[derive(Clone, Serialize)]
pub(super) struct EgressKey<'a> {
    #[serde(rename = "egressTunnelID")]
    pub id: &'a str,
    #[serde(rename = "egressTunnelName")]
    pub name: Cow<'a, str>,
}
