//! The state of every prefix, after a poll or a change of a verdict.

use std::sync::Arc;

use crate::{
    domain::{
        inventory::{AccountInventory, AccountName, TunnelKey},
        label::Label as _,
        routes::prefixes::{HopState, HopStates, PrefixReport, state_at},
        tunnel::TunnelType,
        verdict::Verdicts,
    },
    snapshot::{Judged, Prefixes},
};

/// Returns the state of the prefixes of every account. If the routes and the tunnels of an account are those of the
/// previous report, it is kept unless a verdict `moved`.
pub fn assess(judged: &Judged, moved: bool) -> Prefixes {
    let accounts = judged.fleet.accounts.iter().filter(|(_, known)| known.routes().is_some());
    let reports = accounts.map(|(account, known)| {
        let kept =
            judged.prefixes.get(account).filter(|kept| !moved && Arc::ptr_eq(&kept.matches, known.route_matches()));
        let report = kept.cloned().unwrap_or_else(|| Arc::new(assess_account(account, known, &judged.verdicts)));
        (account.clone(), report)
    });
    reports.collect()
}

fn assess_account(account: &AccountName, known: &AccountInventory, verdicts: &Verdicts) -> PrefixReport {
    let states: HopStates = std::array::from_fn(|index| {
        let list = known.list(TunnelType::ALL[index]);
        let states = list.entries.iter().map(|entry| {
            let verdict = verdicts.tunnels.get(&TunnelKey::new(account, &entry.tunnel));
            verdict.map_or(HopState::Unknown, |verdict| verdict.verdict.into())
        });
        states.collect()
    });
    PrefixReport::assess(Arc::clone(known.route_matches()), |tunnel| state_at(&states, tunnel))
}
