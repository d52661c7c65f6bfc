//! The sections `tunnels` and `sites`: which tunnels are watched, settings of single tunnels, and their sites.

use std::sync::Arc;

use web_toolkit::{
    keys,
    settings::{Mistake, Setting, SettingsReader, has_token, looks_like_secret},
    text,
    yaml::Node,
};

use super::{inputs::label, probe};
use crate::{
    domain::{
        inventory::AccountName,
        label::Label as _,
        rules::{Condition, FileRule, Pattern, Selector, TunnelMatch, TunnelRules},
        sites::{SitePattern, SiteRule, SiteSource},
        steering::Steering,
    },
    prober::{mtu, settings::ProbeOverride},
};

keys! { pub(super) struct TunnelKeys { include, exclude, overrides: OverrideKeys } }

keys! {
    pub(super) struct OverrideKeys {
        account, id, name, site, probe, vantage, targets, source, interface, extra_address, uplink, mtu, expected_mtu,
    }
}

keys! { pub(super) struct SiteKeys { from, pattern } }

/// Maximum number of site rules. Each of them searches every new tunnel without a site.
const MAX_SITE_RULES: usize = 100;

/// Both sections, for the inventory and for the prober.
#[derive(Debug, Default)]
pub(super) struct TunnelConfig {
    pub(super) rules: TunnelRules,
    pub(super) overrides: Vec<ProbeOverride>,
    /// Every rule in the order of the file, to report those that match no tunnel.
    pub(super) file_rules: Vec<FileRule>,
}

impl TunnelConfig {
    fn note(&mut self, key: &'static str, line: u64, condition: Condition) {
        self.file_rules.push(FileRule { key, line, condition });
    }
}

/// Reads the sections. `accounts` are the names that an override may use, if they are known.
pub(super) fn read(
    reader: &mut SettingsReader,
    tunnels: Node<TunnelKeys>,
    sites: Node<SiteKeys>,
    accounts: Option<&[&AccountName]>,
) -> TunnelConfig {
    let keys = reader.section("tunnels", tunnels);
    let mut config = TunnelConfig::default();
    config.rules.include = patterns(reader, "tunnels.include", keys.include, &mut config);
    config.rules.exclude = patterns(reader, "tunnels.exclude", keys.exclude, &mut config);
    for (line, keys) in reader.sections("tunnels.overrides", keys.overrides) {
        read_override(reader, line, keys, accounts, &mut config);
    }
    for (line, keys) in reader.sections("sites", sites) {
        read_site_rule(reader, line, keys, &mut config);
    }
    config
}

fn read_site_rule(reader: &mut SettingsReader, line: u64, keys: SiteKeys, config: &mut TunnelConfig) {
    let sources = SiteSource::ALL.iter().map(|&source| (source.as_str(), source));
    let from = reader.value("sites.from", keys.from).map(|setting| reader.choice(&setting, sources));
    let missing = "set a regular expression with a group named `site`, for example `^(?<site>[a-z]+)-`";
    let pattern = reader.required(line, "sites.pattern", keys.pattern, missing);
    let pattern = pattern.and_then(|setting| reader.accept(&setting, SitePattern::new(&setting.text)));
    if config.rules.site_rules.len() == MAX_SITE_RULES {
        let rule =
            format!("must not have more than {MAX_SITE_RULES} rules: one rule can name the sites of all tunnels");
        reader.report_at(line, "sites", rule);
    }
    let (Some(from), Some(pattern)) = (from.unwrap_or(Some(SiteSource::Name)), pattern) else { return };
    let rule = SiteRule { from, pattern };
    config.note("sites", line, Condition::Sited(rule.clone()));
    config.rules.site_rules.push(rule);
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
        (None, Some(name)) => reader.check(glob(&name)).map(TunnelMatch::Name),
        (Some(_), Some(_)) | (None, None) => {
            let rule =
                "needs either the `id` of a tunnel or the `name` of tunnels, in which `*` matches any characters";
            reader.report_at(line, "tunnels.overrides", rule);
            None
        }
    };
    // Any selector will do if it has a mistake: the configuration is refused.
    let selector = Selector { account, tunnel: tunnel.unwrap_or_else(|| TunnelMatch::Name(Pattern::new(""))) };
    config.note("tunnels.overrides", line, Condition::Selected(selector.clone()));
    config.rules.sites.extend(site.map(|site| (selector.clone(), site)));
    let enabled = reader.value("tunnels.overrides.probe", keys.probe);
    let enabled = enabled.map(|setting| reader.switch(Some(setting), true));
    let interface = reader.value("tunnels.overrides.interface", keys.interface);
    let mtu = reader.value("tunnels.overrides.mtu", keys.mtu).map(|setting| reader.switch(Some(setting), true));
    let expected_mtu = reader.value("tunnels.overrides.expected_mtu", keys.expected_mtu);
    let targets = reader.values("tunnels.overrides.targets", keys.targets);
    let sources = reader.values("tunnels.overrides.source", keys.source);
    let extra = reader.values("tunnels.overrides.extra_address", keys.extra_address);
    let uplinks = reader.values("tunnels.overrides.uplink", keys.uplink);
    config.overrides.push(ProbeOverride {
        selector,
        steering: Steering {
            enabled,
            vantage: label(reader, ("tunnels.overrides.vantage", None, keys.vantage)),
            targets: targets.map(|settings| probe::targets(reader, &settings)),
            extra: extra.map(|settings| probe::addresses(reader, &settings)),
            uplinks: uplinks.map(|settings| probe::uplinks(reader, &settings)),
        },
        sources: sources.map(|settings| probe::addresses(reader, &settings)),
        interface: probe::interface(reader, interface),
        mtu,
        expected_mtu: expected_mtu.and_then(|setting| reader.number(&setting, mtu::SIZES)),
    });
}

fn patterns(reader: &mut SettingsReader, key: &'static str, node: Node, config: &mut TunnelConfig) -> Vec<Pattern> {
    let settings = reader.values(key, node).unwrap_or_default();
    let read = |setting: &Setting| {
        let pattern = reader.check(glob(setting))?;
        config.note(key, setting.line(), Condition::Listed(pattern.clone()));
        Some(pattern)
    };
    settings.iter().filter_map(read).collect()
}

fn not_empty(setting: &Setting) -> Result<&str, Mistake> {
    match setting.trimmed() {
        "" => Err(setting.mistake("must not be empty: it would match no tunnel")),
        text => Ok(text),
    }
}

/// A pattern for names. A regular expression would silently match nothing, because its characters stand for themselves.
fn glob(setting: &Setting) -> Result<Pattern, Mistake> {
    const RULE: &str = "must be a name in which `*` matches any characters and `?` one; \
        `^ $ [ ] ( ) |` are for the regular expressions of `sites` (`?` matches them, too)";
    let text = not_empty(setting)?;
    if text.contains(['^', '$', '[', ']', '(', ')', '|']) { Err(setting.mistake(RULE)) } else { Ok(Pattern::new(text)) }
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
        name if has_token(name) => {
            Err(setting.mistake("must be a name: this looks like a secret, and names appear in labels"))
        }
        name if !name.is_empty() && text::shown(name) == name => Ok(name.into()),
        _ => Err(setting.mistake(format!("must be 1 to {} printable characters", text::LONGEST))),
    }
}
