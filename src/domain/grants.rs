//! Which clients may read the inventory of which sites.

use std::collections::BTreeSet;

/// The proven identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A user of the web configuration file.
    User(Box<str>),
    /// A subject alternative name of a verified client certificate.
    Certificate(Box<str>),
}

/// The sites that a client may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every tunnel, also those without a site.
    All,
    Sites(BTreeSet<Box<str>>),
}

/// One client and what it may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub identity: Identity,
    pub reach: Reach,
}

/// The grants of all clients, for example the section `fleet.users`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(pub Vec<Grant>);

impl Grants {
    /// The grants of a client with these identities.
    fn of<'a>(&'a self, user: Option<&'a str>, names: &'a [String]) -> impl Iterator<Item = &'a Reach> {
        let fits = move |identity: &Identity| match identity {
            Identity::User(granted) => user == Some(&**granted),
            Identity::Certificate(granted) => names.iter().any(|name| **name == **granted),
        };
        self.0.iter().filter(move |grant| fits(&grant.identity)).map(|grant| &grant.reach)
    }

    /// Whether a client may read the tunnels of all `sites`; without sites, every tunnel.
    pub fn permit(&self, user: Option<&str>, names: &[String], sites: &BTreeSet<String>) -> bool {
        let is_granted = |site: &str| {
            self.of(user, names).any(|reach| match reach {
                Reach::All => true,
                Reach::Sites(granted) => granted.contains(site),
            })
        };
        let reaches_all = self.of(user, names).any(|reach| *reach == Reach::All);
        reaches_all || (!sites.is_empty() && sites.iter().all(|site| is_granted(site)))
    }

    /// Whether a client is limited to some sites, so that it must not see pages about all tunnels.
    pub fn restrict(&self, user: Option<&str>, names: &[String]) -> bool {
        let mut grants = self.of(user, names).peekable();
        grants.peek().is_some() && grants.all(|reach| *reach != Reach::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Grants {
        let sites = |sites: &[&str]| Reach::Sites(sites.iter().map(|site| (*site).into()).collect());
        let user = |name: &str| Identity::User(name.into());
        Grants(vec![
            Grant { identity: user("fra"), reach: sites(&["frankfurt"]) },
            Grant { identity: user("fra"), reach: sites(&["berlin"]) },
            Grant { identity: Identity::Certificate("lon.example".into()), reach: sites(&["london"]) },
            Grant { identity: user("noc"), reach: Reach::All },
        ])
    }

    #[test]
    fn a_client_reads_its_sites_and_nothing_else() {
        let lon = ["lon.example".to_owned()];
        for (user, names, sites, permitted) in [
            (Some("fra"), &[][..], &["frankfurt"][..], true),
            (Some("fra"), &[], &["frankfurt", "berlin"], true),
            (Some("fra"), &[], &["frankfurt", "london"], false),
            (Some("fra"), &[], &[], false),
            (Some("fra"), &lon, &["frankfurt", "london"], true),
            (None, &lon, &["london"], true),
            (None, &[], &["london"], false),
            // The name of a certificate is not the name of a user.
            (Some("lon.example"), &[], &["london"], false),
            (Some("noc"), &[], &[], true),
            (Some("noc"), &[], &["anywhere"], true),
            (Some("stranger"), &[], &["frankfurt"], false),
        ] {
            let sites = sites.iter().map(|site| (*site).to_owned()).collect();
            assert_eq!(grants().permit(user, names, &sites), permitted, "{user:?}, {names:?}, {sites:?}");
        }
    }

    #[test]
    fn only_a_client_with_some_sites_is_restricted() {
        for (user, restricted) in [(Some("fra"), true), (Some("noc"), false), (Some("admin"), false), (None, false)] {
            assert_eq!(grants().restrict(user, &[]), restricted, "{user:?}");
        }
    }
}
