//! Which tunnels a part of the configuration is for.

use super::{inventory::AccountName, tunnel::Tunnel};

/// A pattern over a whole name: `*` stands for any run of characters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub fn matches(&self, name: &str) -> bool {
        glob(self.0.as_bytes(), name.as_bytes())
    }
}

/// Some tunnels, of one account or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub account: Option<AccountName>,
    pub tunnel: Tunnels,
}

/// How tunnels are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnels {
    Id(Box<str>),
    Name(Pattern),
}

impl Selector {
    /// The tunnel with this id, in whichever account.
    pub fn id(id: impl Into<Box<str>>) -> Self {
        Self { account: None, tunnel: Tunnels::Id(id.into()) }
    }

    /// The tunnels whose name fits, in whichever account.
    pub fn name(pattern: impl Into<Box<str>>) -> Self {
        Self { account: None, tunnel: Tunnels::Name(Pattern::new(pattern)) }
    }

    pub fn matches(&self, account: &AccountName, tunnel: &Tunnel) -> bool {
        self.account.as_ref().is_none_or(|own| own == account)
            && match &self.tunnel {
                Tunnels::Id(id) => tunnel.id.as_str() == &**id,
                Tunnels::Name(pattern) => pattern.matches(&tunnel.name),
            }
    }
}

/// Whether the whole of `text` fits `pattern`. Linear in the product of their lengths, whatever the pattern.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
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
            // Let the last star swallow one character more.
            _ => match &mut star {
                Some((at, swallowed)) => {
                    *swallowed += 1;
                    p = *at + 1;
                    t = *swallowed;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures, *};

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
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_size() {
        let pattern = "*a".repeat(200);
        assert!(!glob(pattern.as_bytes(), "b".repeat(5_000).as_bytes()));
    }

    #[test]
    fn a_selector_can_be_for_one_account_only() {
        let tunnel = fixtures::tunnel("fra-1");
        let [acme, globex] = ["acme", "globex"].map(AccountName::new);
        for selector in [Selector::id("fra-1"), Selector::name("fra-*")] {
            assert!(selector.matches(&acme, &tunnel) && selector.matches(&globex, &tunnel), "{selector:?}");
            let selector = Selector { account: Some(acme.clone()), ..selector };
            assert!(selector.matches(&acme, &tunnel) && !selector.matches(&globex, &tunnel), "{selector:?}");
        }
        assert!(!Selector::id("fra").matches(&acme, &tunnel), "an id is no pattern");
    }
}
