//! The settings of the prober.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use web_toolkit::{
    keys,
    settings::{Input, Setting, SettingsReader},
    yaml::Node,
};

use super::{
    flags::ProbeFlags,
    inputs::label,
    mtu::{self, MtuKeys},
};
use crate::{
    domain::{
        label::Label as _,
        probe::{ProbeTarget, Thresholds},
        steering::{AddressPair, Steering},
    },
    prober::{
        histogram::Buckets,
        settings::{ProbeOverride, ProbeSettings, SessionSettings, Timing, TimingError, TunnelSettings},
    },
};

keys! {
    pub(super) struct ProbeKeys {
        enabled, engine, interval, timeout, down_after, up_after, targets, source, interface, socket, dscp, vantage,
        uplink, silence, rtt_buckets, mtu: MtuKeys,
    }
}

/// The flags over the section `probe` over `defaults`.
pub(super) fn settings(
    flags: &ProbeFlags,
    reader: &mut SettingsReader,
    node: Node<ProbeKeys>,
    overrides: Vec<ProbeOverride>,
    defaults: &ProbeSettings,
) -> ProbeSettings {
    let keys = reader.section("probe", node);
    // The only flag that has the name of its section.
    let written = reader.value("probe.enabled", keys.enabled);
    let enabled = flags.enabled.as_deref().map(|text| Setting::from_flag("--probe", text)).or(written);
    let targets = reader.many("probe.targets", &flags.targets, keys.targets);
    let source = reader.many("probe.source", &flags.sources, keys.source);
    let uplink = reader.many("probe.uplink", &flags.uplinks, keys.uplink);
    let rtt_buckets = reader.many("probe.rtt_buckets", &flags.rtt_buckets, keys.rtt_buckets);
    let interface = reader.one(("probe.interface", flags.interface.as_deref(), keys.interface));
    let vantage = label(reader, ("probe.vantage", flags.vantage.as_deref(), keys.vantage));
    let engine = label(reader, ("probe.engine", flags.engine.as_deref(), keys.engine));
    let socket = label(reader, ("probe.socket", flags.socket.as_deref(), keys.socket));
    let silence = label(reader, ("probe.silence", flags.silence.as_deref(), keys.silence));
    let down_after = count(reader, ("probe.down_after", flags.down_after.as_deref(), keys.down_after));
    let up_after = count(reader, ("probe.up_after", flags.up_after.as_deref(), keys.up_after));
    let dscp = reader.one(("probe.dscp", flags.dscp.as_deref(), keys.dscp));
    let dscp = dscp.and_then(|setting| reader.number(&setting, 0..=63));
    let engine = engine.unwrap_or(defaults.engine);
    let (mtu, expected_mtu) = mtu::read(flags, reader, keys.mtu, engine, defaults.mtu);
    let usual = defaults.session.thresholds;
    let thresholds =
        Thresholds { down_after: down_after.unwrap_or(usual.down_after), up_after: up_after.unwrap_or(usual.up_after) };
    let timing = timing(flags, reader, keys.interval, keys.timeout, defaults.session.timing);
    let usual = &defaults.tunnels;
    let targets = (!targets.is_empty()).then(|| self::targets(reader, &targets));
    ProbeSettings {
        enabled: reader.switch(enabled, defaults.enabled),
        engine,
        session: SessionSettings { timing, thresholds },
        socket: socket.unwrap_or(defaults.socket),
        dscp: dscp.unwrap_or(defaults.dscp),
        mtu,
        silence: silence.unwrap_or(defaults.silence),
        buckets: buckets(reader, &rtt_buckets).unwrap_or_else(|| defaults.buckets.clone()),
        uplinks: uplinks(reader, &uplink),
        tunnels: TunnelSettings {
            vantage: vantage.unwrap_or(usual.vantage),
            targets: targets.clone().unwrap_or_else(|| usual.targets.clone()),
            sources: addresses(reader, &source),
            interface: self::interface(reader, interface).or_else(|| usual.interface.clone()),
            expected_mtu: expected_mtu.or(usual.expected_mtu),
            ..usual.clone()
        },
        stated: Steering { vantage, targets, ..Steering::default() },
        overrides,
    }
}

fn timing(flags: &ProbeFlags, reader: &mut SettingsReader, interval: Node, timeout: Node, usual: Timing) -> Timing {
    let before = reader.mistakes();
    let interval = reader.one(("probe.interval", flags.interval.as_deref(), interval));
    let interval = interval.and_then(|setting| reader.duration(&setting, Timing::MIN_INTERVAL));
    let interval = interval.unwrap_or(usual.interval());
    let setting = reader.one(("probe.timeout", flags.timeout.as_deref(), timeout));
    let timeout = setting.as_ref().and_then(|setting| reader.duration(setting, Timing::MIN_TIMEOUT));
    // If only the interval is set and shorter than the default timeout, it is the timeout as well.
    let timeout = timeout.unwrap_or(usual.timeout().min(interval));
    let timing = Timing::new(interval, timeout).map_err(|error| {
        let setting = setting.unwrap_or_else(|| Setting::from_flag("--probe.timeout", &shown(timeout)));
        setting.mistake(match error {
            TimingError::TimeoutAboveInterval => {
                format!("must not be longer than `{}` ({})", setting.name_like_this("probe.interval"), shown(interval))
            }
            TimingError::IntervalTooShort | TimingError::TimeoutTooShort => error.to_string(),
        })
    });
    // A mistake of either duration was reported.
    let timing = if reader.mistakes() == before { reader.check(timing) } else { timing.ok() };
    timing.unwrap_or(usual)
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn count(reader: &mut SettingsReader, input: Input<'_>) -> Option<NonZeroU32> {
    let setting = reader.one(input)?;
    reader.number(&setting, 1..=1000).and_then(NonZeroU32::new)
}

fn buckets(reader: &mut SettingsReader, settings: &[Setting]) -> Option<Buckets> {
    let (first, before) = (settings.first()?, reader.mistakes());
    let bounds: Vec<_> =
        settings.iter().filter_map(|setting| reader.duration(setting, Duration::from_nanos(1))).collect();
    let buckets = Buckets::new(bounds).map_err(|error| together(first, settings).mistake(error));
    if reader.mistakes() == before { reader.check(buckets) } else { None }
}

/// All members of a list as one text.
fn together(first: &Setting, all: &[Setting]) -> Setting {
    let texts: Vec<&str> = all.iter().map(|setting| setting.text.as_str()).collect();
    first.with_text(texts.join(","))
}

/// The name of an interface that the kernel can have (`dev_valid_name` of Linux). An empty name means no interface.
pub(super) fn interface(reader: &mut SettingsReader, setting: Option<Setting>) -> Option<Arc<str>> {
    let setting = setting.filter(|setting| !setting.trimmed().is_empty())?;
    let name = setting.trimmed();
    if name.len() > 15 || [".", ".."].contains(&name) || name.contains(|c: char| c == '/' || c.is_ascii_whitespace()) {
        let rule = "must be the name of a network interface: at most 15 characters, without blanks and `/`";
        reader.report(setting.mistake(rule));
    }
    Some(name.into())
}

pub(super) fn targets(reader: &mut SettingsReader, settings: &[Setting]) -> BTreeSet<ProbeTarget> {
    let stated = ProbeTarget::ALL.iter().filter(|target| !target.is_extra()).map(|target| (target.as_str(), *target));
    settings.iter().filter_map(|setting| reader.choice(setting, stated.clone())).collect()
}

pub(super) fn uplinks(reader: &mut SettingsReader, settings: &[Setting]) -> Vec<IpAddr> {
    settings.iter().filter_map(|setting| reader.parse(setting)).collect()
}

/// At most one address of each IP version.
pub(super) fn addresses(reader: &mut SettingsReader, settings: &[Setting]) -> AddressPair {
    let mut addresses = AddressPair::default();
    for setting in settings {
        let replaced = match reader.parse(setting) {
            Some(IpAddr::V4(v4)) => addresses.v4.replace(v4).is_some(),
            Some(IpAddr::V6(v6)) => addresses.v6.replace(v6).is_some(),
            None => false,
        };
        if replaced {
            let rule = "must be given once for IPv4 and once for IPv6 at most";
            reader.report(together(setting, settings).mistake(rule));
        }
    }
    addresses
}
