//! What the operator says of tunnels beside the API: which are watched at all, and to which site each belongs.

use std::sync::Arc;

use super::{
    inventory::{AccountName, Entry},
    selector::{Pattern, Selector},
    tunnel::Tunnel,
};

/// The default watches everything and knows no site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelRules {
    /// Names of tunnels that are watched; none given means all.
    pub include: Vec<Pattern>,
    /// Names of tunnels that are not; they win.
    pub exclude: Vec<Pattern>,
    /// Sites by tunnel; the last one that fits wins.
    pub sites: Vec<(Selector, Arc<str>)>,
}

impl TunnelRules {
    /// Whether the tunnel is watched.
    pub fn admit(&self, tunnel: &Tunnel) -> bool {
        let named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&tunnel.name));
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }

    /// The site of the tunnel, if it has one.
    pub fn site(&self, account: &AccountName, tunnel: &Tunnel) -> Option<Arc<str>> {
        let mut fitting = self.sites.iter().rev().filter(|(selector, _)| selector.matches(account, tunnel));
        fitting.next().map(|(_, site)| Arc::clone(site))
    }

    /// What is left of a list of `account` under these rules.
    pub fn applied(&self, account: &AccountName, entries: &[Entry]) -> Arc<[Entry]> {
        let admitted = entries.iter().filter(|entry| self.admit(&entry.tunnel));
        admitted.map(|entry| Entry { site: self.site(account, &entry.tunnel), ..entry.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::tunnel, *};

    #[test]
    fn exclusion_wins_and_no_inclusion_means_all() {
        for (include, exclude, name, watched) in [
            (&[][..], &[][..], "fra-1", true),
            (&["fra-*"], &[], "fra-1", true),
            (&["fra-*"], &[], "lon-1", false),
            (&["fra-*", "lon-?"], &[], "lon-1", true),
            (&[], &["lab-*"], "lab-1", false),
            (&[], &["lab-*"], "fra-1", true),
            (&["fra-*"], &["*-2"], "fra-2", false),
            (&["fra-*"], &["*-2"], "fra-1", true),
        ] {
            let [include, exclude] =
                [include, exclude].map(|patterns: &[&str]| patterns.iter().map(|&p| Pattern::new(p)).collect());
            let rules = TunnelRules { include, exclude, ..TunnelRules::default() };
            assert_eq!(rules.admit(&tunnel(name)), watched, "{rules:?} on {name}");
        }
    }

    #[test]
    fn the_last_site_that_fits_wins() {
        let sites = vec![
            (Selector::name("fra-*"), Arc::from("frankfurt")),
            (Selector::id("fra-9"), Arc::from("frankfurt-south")),
        ];
        let rules = TunnelRules { sites, ..TunnelRules::default() };
        let site = |name: &str| rules.site(&AccountName::new("acme"), &tunnel(name)).map(|site| site.to_string());
        assert_eq!(site("fra-1").as_deref(), Some("frankfurt"));
        assert_eq!(site("fra-9").as_deref(), Some("frankfurt-south"));
        assert_eq!(site("lon-1"), None);
    }
}
