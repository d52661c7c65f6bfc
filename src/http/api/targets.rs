//! Probe targets as Prometheus discovers them: <https://prometheus.io/docs/prometheus/latest/http_sd/>.

use std::borrow::Cow;

use serde::Serialize;
use web_toolkit::text::shown;

use crate::{
    domain::{
        label::Label as _,
        probe::{ProbeTarget, SessionKey, Vantage},
    },
    snapshot::Row,
};

/// One address with its labels.
#[derive(Debug, Serialize)]
pub(super) struct Group<'a> {
    targets: [String; 1],
    labels: Labels<'a>,
}

/// The values are those of the labels of the same names on the page of metrics.
#[derive(Debug, Serialize)]
struct Labels<'a> {
    #[serde(rename = "__meta_cloudflare_magic_account")]
    account: &'a str,
    #[serde(rename = "__meta_cloudflare_magic_tunnel_id")]
    tunnel_id: Cow<'a, str>,
    #[serde(rename = "__meta_cloudflare_magic_tunnel_name")]
    tunnel_name: Cow<'a, str>,
    #[serde(rename = "__meta_cloudflare_magic_tunnel_type")]
    tunnel_type: &'static str,
    #[serde(rename = "__meta_cloudflare_magic_probe_target")]
    probe_target: &'static str,
    #[serde(rename = "__meta_cloudflare_magic_vantage")]
    vantage: &'static str,
}

pub(super) fn group<'a>(row: &Row<'a>, vantage: Vantage, target: ProbeTarget, session: &SessionKey) -> Group<'a> {
    let tunnel = row.tunnel();
    Group {
        targets: [session.address.to_string()],
        labels: Labels {
            account: row.account.as_str(),
            tunnel_id: shown(tunnel.id.as_str()),
            tunnel_name: shown(&tunnel.name),
            tunnel_type: tunnel.tunnel_type().as_str(),
            probe_target: target.as_str(),
            vantage: vantage.as_str(),
        },
    }
}
