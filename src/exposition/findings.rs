//! The findings on the configuration of each tunnel. A stale value has no series.

use super::family::{Family, Group, gauge};
use crate::domain::{findings::Finding, label::Label};

pub(super) const FAMILIES: &[Family] = &[gauge(
    "tunnel_finding",
    "Whether the configuration of the tunnel has this property, which deserves a look, at the last poll. \
     No series if the finding does not apply or the API omits the value. docs/FINDINGS.md describes each finding.",
)
.per_tunnel(Group::Tunnels, |tunnel, out| {
    let Some(findings) = tunnel.findings else { return };
    for &finding in Finding::ALL {
        out.push_known(&tunnel.labels, &[("finding", finding.as_str())], findings.get(finding));
    }
})];
