//! What the configuration adds to tunnels: selectors, the choice of tunnels to watch, and their sites.

use std::{fmt, sync::Arc};

use super::{
    inventory::{AccountName, InventoryEntry},
    sites::SiteRule,
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
    /// Sites from overrides; the last match wins.
    pub sites: Vec<(Selector, Arc<str>)>,
    /// Derive the sites of tunnels without such an override; the first match wins.
    pub site_rules: Vec<SiteRule>,
}

impl TunnelRules {
    /// Returns whether the tunnel is watched.
    pub fn includes(&self, tunnel: &Tunnel) -> bool {
        let any_matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&tunnel.name));
        (self.include.is_empty() || any_matches(&self.include)) && !any_matches(&self.exclude)
    }

    /// Returns the site that the configuration gives the tunnel: from an override, otherwise from a site rule.
    pub fn site(&self, account: &AccountName, tunnel: &Tunnel) -> Option<Arc<str>> {
        let mut overrides = self.sites.iter().rev().filter(|(selector, _)| selector.matches(account, tunnel));
        let overridden = overrides.next().map(|(_, site)| Arc::clone(site));
        overridden.or_else(|| self.site_rules.iter().find_map(|rule| rule.site(tunnel)))
    }

    /// Filters a list of `account` and sets the sites of its entries.
    pub fn apply(&self, account: &AccountName, entries: &[InventoryEntry]) -> Arc<[InventoryEntry]> {
        let included = entries.iter().filter(|entry| self.includes(&entry.tunnel));
        included.map(|entry| InventoryEntry { site: self.site(account, &entry.tunnel), ..entry.clone() }).collect()
    }
}

/// A rule of the configuration file that is useless if it matches no tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// The key, for example `tunnels.exclude`.
    pub key: &'static str,
    pub line: u64,
    pub condition: Condition,
}

/// The tunnels that a [`FileRule`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Tunnels of the API with such a name, watched or not.
    Listed(Pattern),
    /// Watched tunnels.
    Selected(Selector),
    /// Watched tunnels that have a site by this rule.
    Sited(SiteRule),
}

impl FileRule {
    /// Whether a tunnel of this account can match.
    pub fn concerns(&self, account: &AccountName) -> bool {
        match &self.condition {
            Condition::Selected(Selector { account: Some(own), .. }) => own == account,
            _ => true,
        }
    }

    pub fn matches(&self, rules: &TunnelRules, account: &AccountName, tunnel: &Tunnel) -> bool {
        match &self.condition {
            Condition::Listed(pattern) => pattern.matches(&tunnel.name),
            Condition::Selected(selector) => selector.matches(account, tunnel) && rules.includes(tunnel),
            Condition::Sited(rule) => rule.site(tunnel).is_some() && rules.includes(tunnel),
        }
    }

    /// How to fix a rule that matches no tunnel.
    pub const fn remedy(&self) -> &'static str {
        match &self.condition {
            Condition::Listed(_) | Condition::Selected(Selector { tunnel: TunnelMatch::Name(_), .. }) => {
                "correct the pattern, which has to match the whole name (`*` matches any characters), or remove it"
            }
            Condition::Selected(_) => "correct the id, or remove the override: a tunnel that is replaced gets a new id",
            Condition::Sited(_) => "correct the pattern, which distinguishes upper and lower case, or remove the rule",
        }
    }
}

/// Without the pattern or id, which can be a misplaced secret.
impl fmt::Display for FileRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, line, condition } = self;
        match condition {
            Condition::Listed(_) => write!(f, "line {line}: a pattern of `{key}` matches no tunnel"),
            Condition::Selected(_) => write!(f, "line {line}: an entry of `{key}` matches no monitored tunnel"),
            Condition::Sited(_) => write!(f, "line {line}: a rule of `{key}` matches no monitored tunnel"),
        }
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
    use super::{
        super::{
            fixtures::tunnel,
            sites::{SitePattern, SiteSource},
        },
        *,
    };

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
    fn a_rule_of_the_file_matches_listed_or_watched_tunnels() {
        let rules = TunnelRules { exclude: vec![Pattern::new("lab-*")], ..TunnelRules::default() };
        let [acme, globex] = ["acme", "globex"].map(AccountName::new);
        let rule = |condition| FileRule { key: "key", line: 3, condition };
        let name_rule = |pattern| SiteRule { from: SiteSource::Name, pattern: SitePattern::new(pattern).unwrap() };
        let of_acme = Selector { account: Some(acme.clone()), ..Selector::name("fra-*") };
        for (condition, [fra, lab]) in [
            (Condition::Listed(Pattern::new("*-1")), [true, true]),
            (Condition::Selected(Selector::name("*-1")), [true, false]),
            (Condition::Selected(Selector::id("lab-1")), [false, false]),
            (Condition::Sited(name_rule("^(?<site>[a-z]+)-")), [true, false]),
            (Condition::Sited(name_rule("^(?<site>[A-Z]+)-")), [false, false]),
            (Condition::Selected(of_acme.clone()), [true, false]),
        ] {
            let rule = rule(condition);
            let matches = ["fra-1", "lab-1"].map(|name| rule.matches(&rules, &acme, &tunnel(name)));
            assert_eq!(matches, [fra, lab], "{rule:?}");
        }
        let rule = rule(Condition::Selected(of_acme));
        assert!(rule.concerns(&acme) && !rule.concerns(&globex));
        assert!(!rule.matches(&rules, &globex, &tunnel("fra-1")));
    }

    #[test]
    fn the_first_matching_site_rule_applies_to_tunnels_without_an_override() {
        let rule = |from, pattern| SiteRule { from, pattern: SitePattern::new(pattern).unwrap() };
        let rules = TunnelRules {
            sites: vec![(Selector::name("fra-9"), Arc::from("frankfurt-south"))],
            site_rules: vec![
                rule(SiteSource::Description, "^site (?<site>[0-9]+)$"),
                rule(SiteSource::Name, "^(?<site>[a-z]+)-"),
            ],
            ..TunnelRules::default()
        };
        let described = |name| Tunnel { description: "site 12".into(), ..tunnel(name) };
        for (tunnel, expected) in [
            (described("fra-9"), Some("frankfurt-south")),
            (described("fra-1"), Some("12")),
            (tunnel("fra-1"), Some("fra")),
            (tunnel("12"), None),
        ] {
            assert_eq!(rules.site(&AccountName::new("acme"), &tunnel).as_deref(), expected, "{tunnel:?}");
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
