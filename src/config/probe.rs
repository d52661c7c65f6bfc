//! The checked settings of the prober.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use web_toolkit::{
    check::{duration, parse, switch},
    document::Section,
    given::{ConfigError, Given},
};

use super::{
    check::{member, member_of},
    flags::ProbeFlags,
};
use crate::{
    domain::{
        label::Label as _,
        probe::{ProbeTarget, Thresholds},
    },
    prober::{
        histogram::Buckets,
        settings::{AddressPair, ProbeOverride, ProbeSettings, SessionSettings, Timing, TimingError, TunnelSettings},
    },
};

/// The flags over the section `probe` over `defaults`.
pub(super) fn settings(
    flags: &ProbeFlags,
    mut file: Section,
    overrides: Vec<ProbeOverride>,
    defaults: &ProbeSettings,
) -> Result<ProbeSettings, ConfigError> {
    // The one flag whose name is that of its section.
    let enabled = file.text("enabled")?;
    let enabled = flags.enabled.as_deref().map(|text| Given::by_flag("--probe", text)).or(enabled);
    let settings = ProbeSettings {
        enabled: switch(enabled.as_ref(), defaults.enabled)?,
        session: pace(flags, &mut file, defaults.session)?,
        socket: member(file.one("socket", flags.socket.as_deref())?.as_ref(), defaults.socket)?,
        silence: member(file.one("silence", flags.silence.as_deref())?.as_ref(), defaults.silence)?,
        buckets: buckets(&file.many("rtt_buckets", &flags.rtt_buckets)?, &defaults.buckets)?,
        uplinks: uplinks(&file.many("uplink", &flags.uplinks)?)?,
        tunnels: tunnels(flags, &mut file, &defaults.tunnels)?,
        overrides,
    };
    file.finish()?;
    Ok(settings)
}

fn pace(flags: &ProbeFlags, file: &mut Section, defaults: SessionSettings) -> Result<SessionSettings, ConfigError> {
    let interval = file.one("interval", flags.interval.as_deref())?;
    let interval = duration(interval.as_ref(), defaults.timing.interval(), Timing::MIN_INTERVAL)?;
    let given = file.one("timeout", flags.timeout.as_deref())?;
    // A shorter interval alone shortens the patience with it.
    let patience = defaults.timing.timeout().min(interval);
    let timeout = duration(given.as_ref(), patience, Timing::MIN_TIMEOUT)?;
    let timing = Timing::new(interval, timeout).map_err(|error| {
        let given = given.unwrap_or_else(|| Given::by_flag("--probe.timeout", &shown(timeout)));
        given.wrong(match error {
            TimingError::TimeoutAboveInterval => {
                format!("must not be longer than `{}` ({})", given.spelled("probe.interval"), shown(interval))
            }
            TimingError::IntervalTooShort | TimingError::TimeoutTooShort => error.to_string(),
        })
    })?;
    let thresholds = Thresholds {
        down_after: count(file.one("down_after", flags.down_after.as_deref())?, defaults.thresholds.down_after)?,
        up_after: count(file.one("up_after", flags.up_after.as_deref())?, defaults.thresholds.up_after)?,
    };
    Ok(SessionSettings { timing, thresholds })
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn count(given: Option<Given>, default: NonZeroU32) -> Result<NonZeroU32, ConfigError> {
    const MOST: u32 = 1000;
    let Some(given) = given else { return Ok(default) };
    let count = given.trimmed().parse::<NonZeroU32>().ok().filter(|count| count.get() <= MOST);
    count.ok_or_else(|| given.wrong(format!("must be a whole number from 1 to {MOST}")))
}

fn buckets(given: &[Given], default: &Buckets) -> Result<Buckets, ConfigError> {
    let [first, ..] = given else { return Ok(default.clone()) };
    let bound = |given: &Given| duration(Some(given), Duration::ZERO, Duration::from_nanos(1));
    let bounds = given.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
    Buckets::new(bounds).map_err(|error| together(first, given).wrong(error.to_string()))
}

/// All members of a list as one text, to be shown.
fn together(first: &Given, all: &[Given]) -> Given {
    let texts: Vec<&str> = all.iter().map(|given| given.text.as_str()).collect();
    Given { text: texts.join(","), ..first.clone() }
}

fn tunnels(flags: &ProbeFlags, file: &mut Section, defaults: &TunnelSettings) -> Result<TunnelSettings, ConfigError> {
    let interface = interface(file.one("interface", flags.interface.as_deref())?)?;
    let targets = file.many("targets", &flags.targets)?;
    Ok(TunnelSettings {
        vantage: member(file.one("vantage", flags.vantage.as_deref())?.as_ref(), defaults.vantage)?,
        targets: if targets.is_empty() { defaults.targets.clone() } else { self::targets(&targets)? },
        sources: addresses(&file.many("source", &flags.sources)?)?,
        interface: interface.or_else(|| defaults.interface.clone()),
        ..defaults.clone()
    })
}

/// An empty name is none.
pub(super) fn interface(given: Option<Given>) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(given) = given.filter(|given| !given.trimmed().is_empty()) else { return Ok(None) };
    if !is_interface_name(given.trimmed()) {
        let rule = "must be the name of a network interface: at most 15 characters, no blank and no `/`";
        return Err(given.wrong(rule));
    }
    Ok(Some(given.trimmed().into()))
}

/// What the kernel takes for one (`dev_valid_name` of Linux).
fn is_interface_name(name: &str) -> bool {
    name.len() <= 15 && name != "." && name != ".." && !name.bytes().any(|b| b == b'/' || b.is_ascii_whitespace())
}

pub(super) fn targets(given: &[Given]) -> Result<BTreeSet<ProbeTarget>, ConfigError> {
    let stated = ProbeTarget::ALL.iter().copied().filter(|target| !target.is_extra());
    given.iter().map(|given| member_of(given, stated.clone())).collect()
}

pub(super) fn uplinks(given: &[Given]) -> Result<Vec<IpAddr>, ConfigError> {
    given.iter().map(parse).collect()
}

/// At most one for each version of the protocol.
pub(super) fn addresses(given: &[Given]) -> Result<AddressPair, ConfigError> {
    let mut addresses = AddressPair::default();
    for one in given {
        let taken = match parse::<IpAddr>(one)? {
            IpAddr::V4(v4) => addresses.v4.replace(v4).is_some(),
            IpAddr::V6(v6) => addresses.v6.replace(v6).is_some(),
        };
        if taken {
            return Err(together(one, given).wrong("must be given once for IPv4 and once for IPv6 at most"));
        }
    }
    Ok(addresses)
}
