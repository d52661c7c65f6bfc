//! Finds rules of the configuration file that match no tunnel, from the first successful poll of each list.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::domain::{
    inventory::AccountName,
    label::Label as _,
    rules::{FileRule, TunnelRules},
    tunnel::{Tunnel, TunnelType},
};

/// The rules of a configuration, and which of them have matched no tunnel so far. Shared by all pollers, as are clones.
#[derive(Debug, Clone)]
pub struct RuleUsage(Arc<Mutex<Unmatched>>);

#[derive(Debug, Default)]
struct Unmatched {
    rules: Arc<TunnelRules>,
    /// Rules that have matched no tunnel so far and have not been reported, by their place in the file.
    open: BTreeMap<usize, FileRule>,
    /// Lists that were not read yet.
    unread: BTreeSet<(AccountName, TunnelType)>,
}

impl RuleUsage {
    /// `interconnects`: whether they are polled.
    pub fn new<'a>(
        rules: Arc<TunnelRules>,
        file_rules: &[FileRule],
        accounts: impl IntoIterator<Item = &'a AccountName>,
        interconnects: bool,
    ) -> Self {
        let is_polled = move |of: &&TunnelType| interconnects || **of != TunnelType::Interconnect;
        let types = || TunnelType::ALL.iter().filter(is_polled);
        let lists = |account: &'a AccountName| types().map(|&tunnel_type| (account.clone(), tunnel_type));
        let unread = accounts.into_iter().flat_map(lists).collect();
        let open = file_rules.iter().cloned().enumerate().collect();
        Self(Arc::new(Mutex::new(Unmatched { rules, open, unread })))
    }

    /// Starts over with the rules of a new configuration. Clones of `self` continue with them, too.
    pub fn replace(&self, Self(new): Self) {
        *self.0.lock() = mem::take(&mut new.lock());
    }

    /// Compares the rules with all tunnels of a list, which the API returned. Returns each rule that matches no tunnel
    /// once, as soon as every list that it concerns is known.
    pub fn record(&self, account: &AccountName, tunnel_type: TunnelType, tunnels: &[Arc<Tunnel>]) -> Vec<FileRule> {
        let mut state = self.0.lock();
        let Unmatched { rules, open, unread } = &mut *state;
        if !unread.remove(&(account.clone(), tunnel_type)) {
            return Vec::new();
        }
        open.retain(|_, rule| !tunnels.iter().any(|tunnel| rule.matches(rules, account, tunnel)));
        let is_known = |rule: &FileRule| unread.iter().all(|(account, _)| !rule.concerns(account));
        open.extract_if(.., |_, rule| is_known(rule)).map(|(_, rule)| rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        fixtures::tunnel,
        rules::{Condition, Pattern, Selector},
        tunnel::TunnelType::{Gre, Ipsec},
    };

    fn rule(line: u64, condition: Condition) -> FileRule {
        FileRule { key: "tunnels.overrides", line, condition }
    }

    /// The lines of the rules that are reported when this list is read.
    fn report(usage: &RuleUsage, account: &str, tunnel_type: TunnelType, names: &[&str]) -> Vec<u64> {
        let tunnels: Vec<_> = names.iter().map(|name| Arc::new(tunnel(name))).collect();
        let found = usage.record(&AccountName::new(account), tunnel_type, &tunnels);
        found.iter().map(|rule| rule.line).collect()
    }

    #[test]
    fn a_rule_that_matches_nothing_is_reported_once_when_all_its_lists_are_known() {
        let accounts = ["acme", "globex"].map(AccountName::new);
        let of_acme = Selector { account: Some(accounts[0].clone()), ..Selector::name("lab-*") };
        let rules = [
            rule(1, Condition::Listed(Pattern::new("fra-*"))),
            rule(2, Condition::Listed(Pattern::new("old-*"))),
            rule(3, Condition::Selected(of_acme)),
            rule(4, Condition::Listed(Pattern::new("waw-*"))),
        ];
        let usage = RuleUsage::new(Arc::default(), &rules, &accounts, false);
        assert_eq!(report(&usage, "acme", Gre, &["fra-1"]), [0; 0], "three lists are not known");
        assert_eq!(report(&usage, "acme", Gre, &["lab-1"]), [0; 0], "each list counts once");
        assert_eq!(report(&usage, "acme", Ipsec, &[]), [3], "both lists of the only account of this rule are known");
        assert_eq!(report(&usage, "globex", Gre, &["waw-1"]), [0; 0]);
        assert_eq!(report(&usage, "globex", Ipsec, &["lab-1"]), [2]);
        assert_eq!(report(&usage, "globex", Ipsec, &[]), [0; 0], "reported once");
        usage.clone().replace(RuleUsage::new(Arc::default(), &rules[1..2], &accounts[..1], false));
        assert_eq!(report(&usage, "acme", Gre, &[]), [0; 0]);
        assert_eq!(report(&usage, "acme", Ipsec, &[]), [2], "reported again for a new configuration");
    }
}
