//! The JSON API: every tunnel, a single tunnel, the sites, the prefixes, the events, and the probe targets for
//! Prometheus.
//!
//! docs/API.md describes every field; a test compares it with the answers. A field without a value is omitted.

pub(super) mod agents;
mod events;
pub(super) mod inventory;
mod json;
mod prefixes;
mod tunnel;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    mem,
};

use web_toolkit::text::shown;

pub(super) use self::events::{EventFormat, EventList};
pub(super) use self::prefixes::PrefixList;
use self::{
    events::add_event,
    json::{JsonObject, object_line, separate},
    tunnel::add_tunnel,
};
use super::body::{Producer, WholeText};
use crate::{
    domain::{
        dataset::PollState,
        inventory::{AccountName, TunnelKey, TunnelList},
        label::Label as _,
        probe::{ProbeTarget, SessionKey, Vantage},
        tunnel::{TunnelId, TunnelType},
        verdict::Verdict,
        verdict_history::VerdictHistory,
    },
    prober::plan::ProbePlan,
    snapshot::{Row, RowPosition, Snapshot, rows::Filter, sites::SiteSummary},
};

/// Writes the matching tunnels as `GET /api/v1/tunnels` does.
pub fn write_tunnels(snapshot: &Snapshot, filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    let mut list = JsonList::new(snapshot.clone(), filter.clone(), ListKind::Tunnels);
    let (mut text, mut is_last) = (Vec::new(), false);
    while !is_last {
        text.clear();
        is_last = list.write_piece(&mut text)?;
        out.write_all(&text)?;
    }
    Ok(())
}

/// One tunnel; `None` if the inventory does not contain it.
pub(super) fn tunnel_json(snapshot: &Snapshot, key: &TunnelKey) -> Option<WholeText> {
    let row = snapshot.row(key)?;
    let events = snapshot.history(key).into_iter().flat_map(VerdictHistory::events);
    Some(object_line(|object| {
        add_tunnel(object, &row, snapshot.now.wall);
        object.add_list("history", events, add_event);
    }))
}

/// The sites of the matching tunnels.
pub(super) fn sites_json(snapshot: &Snapshot, filter: &Filter) -> WholeText {
    object_line(|object| {
        object.add("time", snapshot.now.wall.to_string());
        object.add_list("sites", snapshot.sites(filter), |object, site| add_site(object, &site));
    })
}

fn add_site(object: &mut JsonObject<'_>, summary: &SiteSummary<'_>) {
    let verdicts: BTreeMap<_, _> =
        Verdict::ALL.iter().map(|&verdict| (verdict.as_str(), summary.tunnels.with(verdict))).collect();
    object.add("account", shown(summary.account.as_str()));
    object.add("site", summary.site.map(|site| shown(site)));
    object.add("tunnels", summary.tunnels.tunnels);
    object.add("working", summary.working());
    object.add("broken", summary.broken());
    object.add("stale", summary.tunnels.stale);
    object.add("verdicts", verdicts);
}

/// Why a request cannot be answered.
pub(super) fn error_json(sentence: &str) -> WholeText {
    object_line(|object| object.add("error", sentence))
}

/// What a list contains for each tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Everything that is known.
    Tunnels,
    /// The addresses to probe, for the HTTP service discovery of Prometheus:
    /// <https://prometheus.io/docs/prometheus/latest/http_sd/>.
    Targets,
}

impl ListKind {
    /// Tunnels per piece. The plan of the targets is drawn again for each piece, because keeping it takes more memory
    /// per client.
    const fn tunnels_per_piece(self) -> usize {
        match self {
            Self::Tunnels => 250,
            Self::Targets => 2_500,
        }
    }
}

/// A list of many tunnels, which can have tens of megabytes.
#[derive(Debug)]
pub(super) struct JsonList {
    snapshot: Snapshot,
    filter: Filter,
    kind: ListKind,
    position: RowPosition,
    began: bool,
    /// Whether a member has been written, so that the next one needs a comma.
    follows: bool,
}

impl Producer for JsonList {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        if !mem::replace(&mut self.began, true) {
            self.write_head(text);
        }
        let is_last = self.write_members(text);
        if is_last {
            text.extend_from_slice(if self.kind == ListKind::Tunnels { b"]}\n" } else { b"]\n" });
        }
        Ok(is_last)
    }
}

impl JsonList {
    pub(super) fn new(snapshot: Snapshot, filter: Filter, kind: ListKind) -> Self {
        Self { snapshot, filter, kind, position: RowPosition::default(), began: false, follows: false }
    }

    fn write_head(&self, text: &mut Vec<u8>) {
        if self.kind == ListKind::Tunnels {
            text.push(b'{');
            let mut object = JsonObject(text);
            object.add("time", self.snapshot.now.wall.to_string());
            object.add_list("collections", self.snapshot.lists(), |object, (account, tunnel_type, list)| {
                add_collection(object, &self.snapshot, account, tunnel_type, list);
            });
            object.begin_field("tunnels");
        }
        text.push(b'[');
    }

    /// Writes the members of one piece. Returns whether they were the last.
    fn write_members(&mut self, text: &mut Vec<u8>) -> bool {
        let Self { snapshot, filter, kind, position, follows, .. } = self;
        let targets = *kind == ListKind::Targets;
        let plan = targets.then(|| ProbePlan::build(snapshot.fleet(), &snapshot.board().settings));
        let mut seen = 0;
        for (next, row) in snapshot.rows_from(*position).take(kind.tunnels_per_piece()) {
            (seen, *position) = (seen + 1, next);
            match &plan {
                _ if !filter.matches(&row) => {}
                None => {
                    separate(text, follows);
                    JsonObject::write(text, |object| add_tunnel(object, &row, snapshot.now.wall));
                }
                Some(plan) => write_targets(text, follows, plan, &row),
            }
        }
        seen < kind.tunnels_per_piece()
    }
}

/// The state of one list of one account.
fn add_collection(
    object: &mut JsonObject<'_>,
    snapshot: &Snapshot,
    account: &AccountName,
    tunnel_type: TunnelType,
    list: &TunnelList,
) {
    let (state, reason) = match list.status.state {
        PollState::Waiting => ("waiting", None),
        PollState::Succeeded => ("succeeded", None),
        PollState::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    // The number of tunnels is unknown before the first success.
    let polled = list.status.last_success.is_some();
    object.add("account", shown(account.as_str()));
    object.add("collection", tunnel_type.dataset().as_str());
    object.add("state", state);
    object.add("reason", reason);
    object.add("stale", !snapshot.is_fresh(&list.status));
    object.add("last_success", list.status.last_success.map(|then| then.wall.to_string()));
    object.add("tunnels", polled.then_some(list.entries.len()));
    object.add("rejected", polled.then(|| list.rejected.total()));
    if polled {
        object.add_list("rejected_first", list.rejected.first(), |object, member| {
            object.add("index", member.index);
            object.add("reason", member.reason.as_str());
            object.add("id", member.id.as_ref().map(TunnelId::as_str));
        });
    }
}

fn write_targets(text: &mut Vec<u8>, follows: &mut bool, plan: &ProbePlan, row: &Row<'_>) {
    let Some(planned) = plan.tunnels.get(&row.key) else { return };
    for (target, session) in &planned.targets {
        separate(text, follows);
        JsonObject::write(text, |object| add_target_group(object, row, planned.vantage, *target, session));
    }
}

/// One address. The labels have the values of the metric labels of the same names.
fn add_target_group(
    object: &mut JsonObject<'_>,
    row: &Row<'_>,
    vantage: Vantage,
    target: ProbeTarget,
    session: &SessionKey,
) {
    object.add("targets", [session.address]);
    object.add_object("labels", |labels| {
        labels.add("__meta_cloudflare_magic_account", row.account.as_str());
        labels.add("__meta_cloudflare_magic_tunnel_id", shown(row.tunnel().id.as_str()));
        labels.add("__meta_cloudflare_magic_tunnel_name", shown(&row.tunnel().name));
        labels.add("__meta_cloudflare_magic_tunnel_type", row.tunnel().tunnel_type().as_str());
        labels.add("__meta_cloudflare_magic_probe_target", target.as_str());
        labels.add("__meta_cloudflare_magic_vantage", vantage.as_str());
        labels.add("__meta_cloudflare_magic_site", row.site().map(|site| shown(site)));
    });
}

#[cfg(test)]
mod tests;
