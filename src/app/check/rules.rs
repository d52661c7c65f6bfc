//! Checks the rules of the configuration file against the tunnels of all accounts: those that match no tunnel, and the sites.

use std::{collections::BTreeSet, sync::Arc};

use super::{CheckResult, CheckSubject};
use crate::{
    app::pollers::rule_usage,
    config::Config,
    domain::{
        inventory::AccountName,
        rules::FileRule,
        tunnel::{Tunnel, TunnelType},
    },
};

/// A list of the API. It contains tunnels that the configuration excludes, too.
#[derive(Debug, Clone)]
pub(super) struct TunnelsOfAccount {
    pub(super) account: AccountName,
    pub(super) tunnel_type: TunnelType,
    pub(super) tunnels: Vec<Arc<Tunnel>>,
}

/// Returns a warning for each rule that matches no tunnel, if all lists that it concerns could be read; and the number of sites.
pub(super) fn check_rules(config: &Config, lists: &[TunnelsOfAccount]) -> Vec<CheckResult> {
    let usage = rule_usage(config);
    let useless = lists.iter().flat_map(|TunnelsOfAccount { account, tunnel_type, tunnels }| {
        usage.record(account, *tunnel_type, tunnels.iter().map(Arc::as_ref))
    });
    let warning = |rule: &FileRule| CheckResult::ok(CheckSubject::Configuration, rule.to_string()).warn(rule.remedy());
    let mut useless: Vec<_> = useless.collect();
    useless.sort_by_key(|rule| rule.line);
    useless.iter().map(warning).chain(count_sites(config, lists)).collect()
}

/// How many sites the configuration makes of the tunnels; `None` if it says nothing about sites.
fn count_sites(config: &Config, lists: &[TunnelsOfAccount]) -> Option<CheckResult> {
    if config.rules.sites.is_empty() && config.rules.site_rules.is_empty() {
        return None;
    }
    let tunnels = lists.iter().flat_map(|list| list.tunnels.iter().map(|tunnel| (&list.account, tunnel)));
    let sites = tunnels.filter(|(_, tunnel)| config.rules.includes(tunnel));
    let sites: Vec<_> = sites.map(|(account, tunnel)| config.rules.site(account, tunnel)).collect();
    let missing = sites.iter().filter(|site| site.is_none()).count();
    let (all, distinct) = (sites.len(), sites.into_iter().flatten().collect::<BTreeSet<_>>().len());
    let plural = if distinct == 1 { "" } else { "s" };
    let message = format!("{distinct} site{plural}; {missing} of {all} monitored tunnels have none");
    Some(CheckResult::ok(CheckSubject::Configuration, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::check::CheckStatus,
        config::{Inputs, flags::Flags},
        domain::fixtures::tunnel,
    };

    /// The configuration with this file, for one account.
    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mte.yml");
        std::fs::write(&path, format!("{text}accounts: [{{id: a}}]\n")).unwrap();
        let mut inputs = Inputs {
            file: crate::config::flags::FileFlags::default(),
            log: crate::config::flags::LogFlags::default(),
            environment: Arc::new(|name| (name == "CLOUDFLARE_API_TOKEN").then(|| "hunter2".to_owned())),
            secrets: Arc::default(),
        };
        inputs.file.path = Some(path.display().to_string());
        Config::for_serve(&Flags::default(), &inputs).unwrap()
    }

    fn list(tunnel_type: TunnelType, names: &[&str]) -> TunnelsOfAccount {
        let tunnels = names.iter().map(|name| Arc::new(tunnel(name))).collect();
        TunnelsOfAccount { account: AccountName::new("a"), tunnel_type, tunnels }
    }

    #[test]
    fn rules_without_a_tunnel_are_warnings_in_the_order_of_the_file() {
        let config = config(
            "\
tunnels:
  include: [fra-*, par-*]
  exclude: ['*-old']
  overrides: [{name: lon-*, site: london}, {id: fra-2, probe: false}]
sites:
  - {from: description, pattern: '(?<site>.+), '}
  - {pattern: '^(?<site>[a-z]+)-'}
",
        );
        let lists = [list(TunnelType::Gre, &["fra-1", "lon-1"]), list(TunnelType::Ipsec, &["fra-2"])];
        let results = check_rules(&config, &lists);
        let messages: Vec<_> = results.iter().map(|result| (result.status, result.message.as_str())).collect();
        assert_eq!(
            messages,
            [
                (CheckStatus::Warn, "line 2: a pattern of `tunnels.include` matches no tunnel"),
                (CheckStatus::Warn, "line 3: a pattern of `tunnels.exclude` matches no tunnel"),
                (CheckStatus::Warn, "line 4: an entry of `tunnels.overrides` matches no monitored tunnel"),
                (CheckStatus::Warn, "line 6: a rule of `sites` matches no monitored tunnel"),
                (CheckStatus::Ok, "1 site; 0 of 2 monitored tunnels have none"),
            ]
        );
        let unread = check_rules(&config, &lists[..1]);
        assert!(unread.iter().all(|result| result.status == CheckStatus::Ok), "a list could not be read: {unread:?}");
    }

    #[test]
    fn without_rules_nothing_is_reported() {
        assert_eq!(check_rules(&config(""), &[list(TunnelType::Gre, &["fra-1"])]), []);
    }
}
