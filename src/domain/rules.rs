//! What the configuration adds to tunnels: selectors, the choice of tunnels to watch, and their sites.

use std::sync::Arc;

use super::{
    inventory::{AccountName, InventoryEntry},
    tunnel::Tunnel,
};

/// A pattern for a whole name: `*` matches any number of characters, `?` matches one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub fn matches(&self, name: &str) -> bool {
        matches_glob(self.0.as_bytes(), name.as_bytes())
    }
}

/// Selects tunnels, of one account or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub account: Option<AccountName>,
    pub tunnel: TunnelMatch,
}

/// The property of a tunnel that a [`Selector`] compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelMatch {
    Id(Box<str>),
    Name(Pattern),
}

impl Selector {
    /// Selects the tunnel with this id in any account.
    pub fn id(id: impl Into<Box<str>>) -> Self {
        Self { account: None, tunnel: TunnelMatch::Id(id.into()) }
    }

    /// Selects the tunnels with a matching name in any account.
    pub fn name(pattern: impl Into<Box<str>>) -> Self {
        Self { account: None, tunnel: TunnelMatch::Name(Pattern::new(pattern)) }
    }

    pub fn matches(&self, account: &AccountName, tunnel: &Tunnel) -> bool {
        self.account.as_ref().is_none_or(|own| own == account)
            && match &self.tunnel {
                TunnelMatch::Id(id) => tunnel.id.as_str() == &**id,
                TunnelMatch::Name(pattern) => pattern.matches(&tunnel.name),
            }
    }
}

/// Which tunnels are watched, and the site of each. By default every tunnel is watched and none has a site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelRules {
    /// Names of the tunnels to watch; empty means all.
    pub include: Vec<Pattern>,
    /// Names of the tunnels to ignore. Overrides `include`.
    pub exclude: Vec<Pattern>,
    /// Sites of tunnels; the last match wins.
    pub sites: Vec<(Selector, Arc<str>)>,
}

impl TunnelRules {
    /// Returns whether the tunnel is watched.
    pub fn includes(&self, tunnel: &Tunnel) -> bool {
        let any_matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&tunnel.name));
        (self.include.is_empty() || any_matches(&self.include)) && !any_matches(&self.exclude)
    }

    /// Returns the site of the tunnel, if it has one.
    pub fn site(&self, account: &AccountName, tunnel: &Tunnel) -> Option<Arc<str>> {
        let mut matching = self.sites.iter().rev().filter(|(selector, _)| selector.matches(account, tunnel));
        matching.next().map(|(_, site)| Arc::clone(site))
    }

    /// Filters a list of `account` and sets the sites of its entries.
    pub fn apply(&self, account: &AccountName, entries: &[InventoryEntry]) -> Arc<[InventoryEntry]> {
        let included = entries.iter().filter(|entry| self.includes(&entry.tunnel));
        included.map(|entry| InventoryEntry { site: self.site(account, &entry.tunnel), ..entry.clone() }).collect()
    }
}

/// Matches the whole of `text` against `pattern`, in time proportional to the product of their lengths.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            // The last star matches one more character.
            _ => match &mut star {
                Some((at, matched)) => {
                    *matched += 1;
                    p = *at + 1;
                    t = *matched;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::tunnel, *};

    #[test]
    fn name_patterns_cover_the_whole_name() {
        for (pattern, name, expected) in [
            ("fra-*", "fra-gre", true),
            ("fra-*", "xfra-gre", false),
            ("*-gre", "fra-gre", true),
            ("*-gre", "fra-gre-2", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxa", false),
            ("fra-?", "fra-1", true),
            ("fra-?", "fra-12", false),
            ("fra", "fra", true),
            ("fra", "fra1", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches_glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_matched_in_linear_time_per_character() {
        let pattern = "*a".repeat(200);
        assert!(!matches_glob(pattern.as_bytes(), "b".repeat(5_000).as_bytes()));
    }

    #[test]
    fn a_selector_can_be_limited_to_one_account() {
        let fra = tunnel("fra-1");
        let [acme, globex] = ["acme", "globex"].map(AccountName::new);
        for selector in [Selector::id("fra-1"), Selector::name("fra-*")] {
            assert!(selector.matches(&acme, &fra) && selector.matches(&globex, &fra), "{selector:?}");
            let selector = Selector { account: Some(acme.clone()), ..selector };
            assert!(selector.matches(&acme, &fra) && !selector.matches(&globex, &fra), "{selector:?}");
        }
        assert!(!Selector::id("fra").matches(&acme, &fra), "an id is not a pattern");
    }

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
            assert_eq!(rules.includes(&tunnel(name)), watched, "{rules:?} on {name}");
        }
    }

    #[test]
    fn the_last_matching_site_wins() {
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
