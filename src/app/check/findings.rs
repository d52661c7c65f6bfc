//! Lists the findings on the configuration of the tunnels.

use std::collections::BTreeMap;

use jiff::Timestamp;
use web_toolkit::text::shown;

use super::{
    result::{CheckResult, CheckSubject},
    rules::TunnelsOfAccount,
};
use crate::{
    config::Config,
    domain::{
        findings::{Finding, Findings, Severity, SharedPrefixes},
        inventory::AccountName,
        label::Label as _,
        tunnel::Tunnel,
    },
};

/// Maximum number of tunnels that are named for one finding.
const NAMED: usize = 10;

/// One result for each finding of each account, or one if an account has none. Excluded tunnels are left out.
pub(super) fn check_findings(config: &Config, lists: &[TunnelsOfAccount], now: Timestamp) -> Vec<CheckResult> {
    let mut accounts: BTreeMap<&AccountName, Vec<&Tunnel>> = BTreeMap::new();
    for list in lists {
        let monitored = list.tunnels.iter().map(AsRef::as_ref).filter(|tunnel| config.rules.includes(tunnel));
        accounts.entry(&list.account).or_default().extend(monitored);
    }
    let results = accounts.into_iter().flat_map(|(account, tunnels)| {
        examine(&tunnels, now).into_iter().map(move |result| result.for_account(account.as_str()))
    });
    results.collect()
}

fn examine(tunnels: &[&Tunnel], now: Timestamp) -> Vec<CheckResult> {
    let shared = SharedPrefixes::among(tunnels.iter().copied());
    let examined: Vec<_> = tunnels.iter().map(|tunnel| (tunnel, Findings::of(tunnel, Some(&shared), now))).collect();
    let with = |finding| examined.iter().filter(move |(_, findings)| findings.get(finding) == Some(true));
    let names = |finding| with(finding).map(|(tunnel, _)| &*tunnel.name).collect::<Vec<_>>();
    let found = Finding::ALL.iter().map(|&finding| (finding, names(finding))).filter(|(_, names)| !names.is_empty());
    let results: Vec<_> = found.map(|(finding, names)| describe(finding, &names)).collect();
    if results.is_empty() {
        return vec![CheckResult::ok(CheckSubject::Finding, format!("none in {}", count(tunnels.len())))];
    }
    results
}

fn describe(finding: Finding, names: &[&str]) -> CheckResult {
    let text = finding.text();
    let first: Vec<_> = names.iter().take(NAMED).map(|name| shown(name)).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let message = format!("{finding}: {}; {} ({}{more})", text.sentence, count(names.len()), first.join(", "));
    let result = CheckResult::ok(CheckSubject::Finding, message);
    match text.severity {
        Severity::Warning => result.warn(text.remedy),
        Severity::Info => CheckResult { fix: Some(text.remedy.to_owned()), ..result },
    }
}

fn count(tunnels: usize) -> String {
    format!("{tunnels} tunnel{}", if tunnels == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{super::result::CheckStatus, *};
    use crate::domain::fixtures::addressed;

    #[test]
    fn each_finding_names_its_tunnels_and_the_remedy() {
        let mut tunnels: Vec<_> = (0..11).map(|n| addressed(&format!("fra-{n}"), "", "", "")).collect();
        tunnels.push(addressed("par-1", "192.0.2.1", "10.0.0.0/31", ""));
        tunnels.push(addressed("par-2", "192.0.2.1", "10.0.0.1/31", ""));
        let results = examine(&tunnels.iter().collect::<Vec<_>>(), Timestamp::UNIX_EPOCH);
        let [endpoint, prefix] = &results[..] else { panic!("{results:#?}") };
        assert_eq!((endpoint.status, prefix.status), (CheckStatus::Ok, CheckStatus::Warn));
        assert!(
            endpoint
                .message
                .ends_with("; 11 tunnels (fra-0, fra-1, fra-2, fra-3, fra-4, fra-5, fra-6, fra-7, fra-8, fra-9, …)"),
            "{}",
            endpoint.message
        );
        assert!(prefix.message.starts_with("shared_interface_prefix: another tunnel"), "{}", prefix.message);
        assert!(prefix.message.ends_with("; 2 tunnels (par-1, par-2)"), "{}", prefix.message);
        assert_eq!(prefix.fix.as_deref(), Some("give each tunnel an interface prefix of its own"));
    }

    #[test]
    fn tunnels_without_a_finding_are_counted() {
        let tunnel = addressed("fra", "192.0.2.1", "", "");
        let results = examine(&[&tunnel], Timestamp::UNIX_EPOCH);
        assert_eq!(results, [CheckResult::ok(CheckSubject::Finding, "none in 1 tunnel")]);
    }
}
