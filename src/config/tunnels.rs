//! The section `tunnels`: which are watched, and what differs from tunnel to tunnel.

use std::sync::Arc;

use web_toolkit::{
    check::switch,
    document::Section,
    given::{ConfigError, Given},
    text,
};

use super::{check::member, probe};
use crate::{
    domain::{
        inventory::AccountName,
        probe::Vantage,
        rules::{Pattern, Selector, TunnelMatch, TunnelRules},
    },
    prober::settings::ProbeOverride,
};

/// What the section says, for those who need it.
#[derive(Debug, Default)]
pub(super) struct TunnelConfig {
    pub(super) rules: TunnelRules,
    pub(super) overrides: Vec<ProbeOverride>,
}

/// Reads the section. `accounts` are the names that an override may use, where they are known.
pub(super) fn read(mut file: Section, accounts: Option<&[&AccountName]>) -> Result<TunnelConfig, ConfigError> {
    let mut config = TunnelConfig::default();
    config.rules.include = patterns(&file.many("include", &[])?)?;
    config.rules.exclude = patterns(&file.many("exclude", &[])?)?;
    for mut section in file.sections("overrides")? {
        let selector = selector(&mut section, accounts)?;
        if let Some(site) = section.text("site")? {
            config.rules.sites.push((selector.clone(), site_name(&site)?));
        }
        config.overrides.push(one(selector, &mut section)?);
        section.finish()?;
    }
    file.finish()?;
    Ok(config)
}

fn patterns(given: &[Given]) -> Result<Vec<Pattern>, ConfigError> {
    given.iter().map(|given| not_empty(given).map(Pattern::new)).collect()
}

fn not_empty(given: &Given) -> Result<&str, ConfigError> {
    match given.trimmed() {
        "" => Err(given.wrong("must not be empty: it would fit no tunnel")),
        text => Ok(text),
    }
}

fn selector(section: &mut Section, accounts: Option<&[&AccountName]>) -> Result<Selector, ConfigError> {
    let account = section.text("account")?.map(|given| account(&given, accounts)).transpose()?;
    let tunnel = match (section.text("id")?, section.text("name")?) {
        (Some(id), None) => TunnelMatch::Id(not_empty(&id)?.into()),
        (None, Some(name)) => TunnelMatch::Name(Pattern::new(not_empty(&name)?)),
        (Some(_), Some(_)) | (None, None) => {
            let rule = "needs either the `id` of a tunnel or the `name` of some, where `*` stands for any characters";
            return Err(ConfigError::without_value("tunnels.overrides", rule).at(section.place().cloned()));
        }
    };
    Ok(Selector { account, tunnel })
}

fn account(given: &Given, accounts: Option<&[&AccountName]>) -> Result<AccountName, ConfigError> {
    if let Some(accounts) = accounts
        && !accounts.iter().any(|account| account.as_str() == given.trimmed())
    {
        let names: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
        return Err(given.wrong(format!("must be the name of an account; there are {}", names.join(", "))));
    }
    Ok(AccountName::new(given.trimmed()))
}

fn site_name(given: &Given) -> Result<Arc<str>, ConfigError> {
    match given.trimmed() {
        name if !name.is_empty() && text::shown(name) == name => Ok(name.into()),
        _ => Err(given.wrong(format!("must be 1 to {} printable characters", text::LONGEST))),
    }
}

fn one(selector: Selector, section: &mut Section) -> Result<ProbeOverride, ConfigError> {
    let enabled = section.text("probe")?;
    let vantage = section.text("vantage")?;
    let extra = section.texts("extra_address")?;
    Ok(ProbeOverride {
        selector,
        enabled: enabled.map(|given| switch(Some(&given), true)).transpose()?,
        vantage: vantage.map(|given| member(Some(&given), Vantage::Site)).transpose()?,
        targets: section.texts("targets")?.map(|given| probe::targets(&given)).transpose()?,
        sources: section.texts("source")?.map(|given| probe::addresses(&given)).transpose()?,
        interface: probe::interface(section.text("interface")?)?,
        extra: extra.map(|given| probe::addresses(&given)).transpose()?,
        uplinks: section.texts("uplink")?.map(|given| probe::uplinks(&given)).transpose()?,
    })
}
