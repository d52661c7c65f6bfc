//! The section `tunnels`: which tunnels are watched, and settings of single tunnels.

use std::sync::Arc;

use web_toolkit::{
    keys,
    settings::{Mistake, Setting, SettingsReader, looks_like_secret},
    text,
    yaml::Node,
};

use super::{inputs::label, probe};
use crate::{
    domain::{
        inventory::AccountName,
        rules::{Pattern, Selector, TunnelMatch, TunnelRules},
    },
    prober::settings::ProbeOverride,
};

keys! { pub(super) struct TunnelKeys { include, exclude, overrides: OverrideKeys } }

keys! {
    pub(super) struct OverrideKeys {
        account, id, name, site, probe, vantage, targets, source, interface, extra_address, uplink,
    }
}

/// The section, for the inventory and for the prober.
#[derive(Debug, Default)]
pub(super) struct TunnelConfig {
    pub(super) rules: TunnelRules,
    pub(super) overrides: Vec<ProbeOverride>,
}

/// Reads the section. `accounts` are the names that an override may use, if they are known.
pub(super) fn read(
    reader: &mut SettingsReader,
    node: Node<TunnelKeys>,
    accounts: Option<&[&AccountName]>,
) -> TunnelConfig {
    let keys = reader.section("tunnels", node);
    let mut config = TunnelConfig::default();
    config.rules.include = patterns(reader, "tunnels.include", keys.include);
    config.rules.exclude = patterns(reader, "tunnels.exclude", keys.exclude);
    for (line, keys) in reader.sections("tunnels.overrides", keys.overrides) {
        read_override(reader, line, keys, accounts, &mut config);
    }
    config
}

fn read_override(
    reader: &mut SettingsReader,
    line: u64,
    keys: OverrideKeys,
    accounts: Option<&[&AccountName]>,
    config: &mut TunnelConfig,
) {
    let site = reader.value("tunnels.overrides.site", keys.site);
    let site = site.and_then(|setting| reader.check(name(&setting)));
    let account = reader.value("tunnels.overrides.account", keys.account);
    let account = account.and_then(|setting| reader.check(self::account(&setting, accounts)));
    let id = reader.value("tunnels.overrides.id", keys.id);
    let name = reader.value("tunnels.overrides.name", keys.name);
    let tunnel = match (id, name) {
        (Some(id), None) => reader.check(not_empty(&id)).map(|id| TunnelMatch::Id(id.into())),
        (None, Some(name)) => reader.check(not_empty(&name)).map(|name| TunnelMatch::Name(Pattern::new(name))),
        (Some(_), Some(_)) | (None, None) => {
            let rule =
                "needs either the `id` of a tunnel or the `name` of tunnels, in which `*` matches any characters";
            reader.report_at(line, "tunnels.overrides", rule);
            None
        }
    };
    // Any selector will do if it has a mistake: the configuration is refused.
    let selector = Selector { account, tunnel: tunnel.unwrap_or_else(|| TunnelMatch::Name(Pattern::new(""))) };
    config.rules.sites.extend(site.map(|site| (selector.clone(), site)));
    let enabled = reader.value("tunnels.overrides.probe", keys.probe);
    let enabled = enabled.map(|setting| reader.switch(Some(setting), true));
    let interface = reader.value("tunnels.overrides.interface", keys.interface);
    let targets = reader.values("tunnels.overrides.targets", keys.targets);
    let sources = reader.values("tunnels.overrides.source", keys.source);
    let extra = reader.values("tunnels.overrides.extra_address", keys.extra_address);
    let uplinks = reader.values("tunnels.overrides.uplink", keys.uplink);
    config.overrides.push(ProbeOverride {
        selector,
        enabled,
        vantage: label(reader, ("tunnels.overrides.vantage", None, keys.vantage)),
        targets: targets.map(|settings| probe::targets(reader, &settings)),
        sources: sources.map(|settings| probe::addresses(reader, &settings)),
        interface: probe::interface(reader, interface),
        extra: extra.map(|settings| probe::addresses(reader, &settings)),
        uplinks: uplinks.map(|settings| probe::uplinks(reader, &settings)),
    });
}

fn patterns(reader: &mut SettingsReader, key: &'static str, node: Node) -> Vec<Pattern> {
    let settings = reader.values(key, node).unwrap_or_default();
    settings.iter().filter_map(|setting| reader.check(not_empty(setting)).map(Pattern::new)).collect()
}

fn not_empty(setting: &Setting) -> Result<&str, Mistake> {
    match setting.trimmed() {
        "" => Err(setting.mistake("must not be empty: it would match no tunnel")),
        text => Ok(text),
    }
}

fn account(setting: &Setting, accounts: Option<&[&AccountName]>) -> Result<AccountName, Mistake> {
    if let Some(accounts) = accounts
        && !accounts.iter().any(|account| account.as_str() == setting.trimmed())
    {
        let names = accounts.iter().map(|account| account.as_str()).filter(|name| !looks_like_secret(name));
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(setting.mistake(format!("must be the name of an account; expected one of {names}")));
    }
    Ok(AccountName::new(setting.trimmed()))
}

/// The name of a site or an account.
pub(super) fn name(setting: &Setting) -> Result<Arc<str>, Mistake> {
    match setting.trimmed() {
        name if !name.is_empty() && text::shown(name) == name => Ok(name.into()),
        _ => Err(setting.mistake(format!("must be 1 to {} printable characters", text::LONGEST))),
    }
}
