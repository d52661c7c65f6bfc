//! What this machine has to give: files with secrets, sockets, addresses to listen on.

use std::collections::BTreeMap;

use web_toolkit::server::{self, ListenAddress};

use super::finding::{Finding, Subject};
use crate::{
    config::Config,
    prober::{icmp, settings::ProbeSettings},
};

/// Every file with a secret, once.
pub(super) fn secrets(config: &Config) -> Vec<Finding> {
    let files = config.accounts.iter().filter_map(|account| account.account.credentials.secret().file());
    let files: BTreeMap<_, _> = files.collect();
    if files.is_empty() {
        return vec![Finding::ok(Subject::Secret, None, "from the environment")];
    }
    let finding = |(path, world_readable): (&std::path::Path, bool)| {
        let path = path.display();
        if !world_readable {
            return Finding::ok(Subject::Secret, None, format!("`{path}` can be read"));
        }
        Finding::ok(Subject::Secret, None, format!("`{path}` can be read by every user of this machine"))
            .warn(format!("chmod o-r {path}"))
    };
    files.into_iter().map(finding).collect()
}

/// The sockets that the prober would open.
pub(super) fn sockets(settings: &ProbeSettings) -> Vec<Finding> {
    if !settings.enabled {
        return vec![Finding::ok(Subject::Icmp, None, "probing is switched off: no socket is needed")];
    }
    let finding = |(version, binding)| match icmp::try_open(version, &binding) {
        Ok(says) => Finding::ok(Subject::Icmp, None, says),
        Err(refused) if refused.is_unsupported => {
            Finding::ok(Subject::Icmp, None, refused.message).warn(refused.remedy)
        }
        Err(refused) => Finding::ok(Subject::Icmp, None, refused.message).fail(refused.remedy),
    };
    settings.bindings().into_iter().map(finding).collect()
}

/// Each address alone: one that is taken hides no other.
pub(super) fn addresses(addresses: &[ListenAddress]) -> Vec<Finding> {
    let finding = |address: &ListenAddress| {
        match server::bind(std::slice::from_ref(address)) {
        Ok(_) => Finding::ok(Subject::Listen, None, format!("{address} is free")),
        Err(error) => Finding::ok(Subject::Listen, None, error.to_string())
            .fail("choose another with `--web.listen-address`, or stop what listens there; this exporter itself may be running already"),
    }
    };
    addresses.iter().map(finding).collect()
}
