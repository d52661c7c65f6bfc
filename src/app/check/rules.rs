//! Compares the rules of the configuration file with the tunnels of all accounts: rules that match no tunnel, and
//! sites.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    app::pollers::rule_usage,
    config::Config,
    domain::{
        inventory::AccountName,
        label::Label as _,
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

/// Returns each rule that matches no tunnel, in the order of the file, if all lists that it concerns could be read.
pub(super) fn find_useless_rules(config: &Config, lists: &[TunnelsOfAccount]) -> Vec<FileRule> {
    let usage = rule_usage(config);
    let record = |list: &TunnelsOfAccount| usage.record(&list.account, list.tunnel_type, &list.tunnels);
    let mut useless: Vec<_> = lists.iter().flat_map(record).collect();
    useless.sort_by_key(|rule| rule.line);
    useless
}

/// A sentence if the rules leave out every tunnel. `None` if a list could not be read, because its tunnels are unknown.
pub(super) fn leave_out_every_tunnel(config: &Config, lists: &[TunnelsOfAccount]) -> Option<String> {
    let tunnels: usize = lists.iter().map(|list| list.tunnels.len()).sum();
    // Interconnects may not be polled.
    let is_needed = |tunnel_type: TunnelType| !tunnel_type.dataset().is_addition();
    let needed = TunnelType::ALL.iter().filter(|&&tunnel_type| is_needed(tunnel_type)).count();
    let read = lists.iter().filter(|list| is_needed(list.tunnel_type)).count();
    let is_complete = read == needed * config.accounts.len();
    let is_monitored = |list: &TunnelsOfAccount| list.tunnels.iter().any(|tunnel| config.rules.includes(tunnel));
    (is_complete && tunnels > 0 && !lists.iter().any(is_monitored))
        .then(|| format!("every tunnel is left out: `tunnels.include` and `tunnels.exclude` select 0 of {tunnels}"))
}

/// How many sites the configuration makes of the tunnels; `None` if it says nothing about sites.
pub(super) fn describe_sites(config: &Config, lists: &[TunnelsOfAccount]) -> Option<String> {
    if config.rules.sites.is_empty() && config.rules.site_rules.is_empty() {
        return None;
    }
    let tunnels = lists.iter().flat_map(|list| list.tunnels.iter().map(|tunnel| (&list.account, tunnel)));
    let monitored = tunnels.filter(|(_, tunnel)| config.rules.includes(tunnel));
    let sites: Vec<_> = monitored.map(|(account, tunnel)| config.rules.site(account, tunnel)).collect();
    let missing = sites.iter().filter(|site| site.is_none()).count();
    let (all, distinct) = (sites.len(), sites.into_iter().flatten().collect::<BTreeSet<_>>().len());
    let plural = if distinct == 1 { "" } else { "s" };
    Some(format!("{distinct} site{plural}; {missing} of {all} monitored tunnels have none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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
    fn rules_without_a_tunnel_are_found_in_the_order_of_the_file() {
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
        let lists = [
            list(TunnelType::Gre, &["fra-1", "lon-1"]),
            list(TunnelType::Ipsec, &["fra-2"]),
            list(TunnelType::Interconnect, &[]),
        ];
        let useless = |lists| find_useless_rules(&config, lists).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            useless(&lists),
            [
                "line 2: a pattern of `tunnels.include` matches no tunnel",
                "line 3: a pattern of `tunnels.exclude` matches no tunnel",
                "line 4: an entry of `tunnels.overrides` matches no monitored tunnel",
                "line 6: a rule of `sites` matches no monitored tunnel",
            ]
        );
        assert_eq!(useless(&lists[..1]), [""; 0], "a list could not be read");
        let sites = describe_sites(&config, &lists);
        assert_eq!(sites.as_deref(), Some("1 site; 0 of 2 monitored tunnels have none"));
    }

    #[test]
    fn it_is_noticed_that_every_tunnel_is_left_out() {
        let sentence = "every tunnel is left out: `tunnels.include` and `tunnels.exclude` select 0 of 2";
        let (gre, ipsec) = (list(TunnelType::Gre, &["fra-1"]), list(TunnelType::Ipsec, &["lon-1"]));
        let all: Vec<_> = TunnelType::ALL.iter().map(|&tunnel_type| list(tunnel_type, &[])).collect();
        let none_known = all.clone();
        let mut all = all;
        all.splice(..2, [gre, ipsec]);
        for (text, lists, expected) in [
            ("tunnels: {include: [par-*]}\n", &all[..], Some(sentence)),
            ("tunnels: {include: [fra-*], exclude: ['*-1']}\n", &all, Some(sentence)),
            ("tunnels: {exclude: [fra-*]}\n", &all, None),
            ("tunnels: {include: [par-*]}\n", &all[1..], None),
            ("tunnels: {include: [par-*]}\n", &none_known, None),
            ("", &all, None),
        ] {
            assert_eq!(leave_out_every_tunnel(&config(text), lists).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn without_rules_nothing_is_reported() {
        let (config, lists) = (config(""), [list(TunnelType::Gre, &["fra-1"])]);
        assert_eq!((find_useless_rules(&config, &lists), describe_sites(&config, &lists)), (Vec::new(), None));
    }
}
