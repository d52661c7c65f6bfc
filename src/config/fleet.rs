//! The section `fleet`: which clients may read the inventory of which sites.

use std::collections::BTreeSet;

use web_toolkit::{keys, settings::SettingsReader, web_file::WebFile, yaml::Node};

use super::tunnels;
use crate::domain::grants::{Grant, Grants, Identity, Reach};

keys! { pub(super) struct FleetKeys { users: FleetUserKeys } }

keys! { pub(super) struct FleetUserKeys { user, certificate, sites, all } }

/// Reads the section. `None` without `users`. `access` is the web configuration file, which proves identities.
pub(super) fn grants(reader: &mut SettingsReader, node: Node<FleetKeys>, access: Option<&WebFile>) -> Option<Grants> {
    let before = reader.mistakes();
    let FleetKeys { users } = reader.section("fleet", node);
    let line = users.line();
    if line == 0 {
        return None;
    }
    let sections = reader.sections("fleet.users", users);
    if sections.is_empty() && reader.mistakes() == before {
        reader.report_at(line, "fleet.users", "must have a member: without the key, every client may read everything");
    }
    let grants = sections.into_iter().filter_map(|(line, keys)| grant(reader, line, keys)).collect();
    let proves = |file: &WebFile| {
        file.rules.users().is_some() || file.tls.as_ref().is_some_and(|tls| tls.clients().are_verified())
    };
    if reader.mistakes() == before && !access.is_some_and(proves) {
        let rule = "needs users or verified client certificates in the file of `web.config_file`";
        reader.report_at(line, "fleet.users", rule);
    }
    Some(Grants(grants))
}

fn grant(reader: &mut SettingsReader, line: u64, keys: FleetUserKeys) -> Option<Grant> {
    let user = reader.value("fleet.users.user", keys.user);
    let certificate = reader.value("fleet.users.certificate", keys.certificate);
    let identity = match (user, certificate) {
        (Some(user), None) => Some(Identity::User(user.trimmed().into())),
        (None, Some(name)) => Some(Identity::Certificate(name.trimmed().into())),
        _ => {
            let rule = "needs either the `user` or the name in the `certificate` of a client";
            reader.report_at(line, "fleet.users", rule);
            None
        }
    };
    let sites = reader.values("fleet.users.sites", keys.sites).unwrap_or_default();
    let sites: BTreeSet<Box<str>> =
        sites.iter().filter_map(|site| reader.check(tunnels::name(site))).map(|site| (*site).into()).collect();
    let all = reader.value("fleet.users.all", keys.all);
    let reach = match (reader.switch(all, false), sites.is_empty()) {
        (true, true) => Some(Reach::All),
        (false, false) => Some(Reach::Sites(sites)),
        _ => {
            reader.report_at(line, "fleet.users", "needs either a list of `sites` or `all: true`");
            None
        }
    };
    Some(Grant { identity: identity?, reach: reach? })
}
