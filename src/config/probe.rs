//! The checked settings of the prober.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32, time::Duration};

use super::{
    check::{ConfigError, duration, member, parse, switch},
    flags::ProbeFlags,
};
use crate::{
    domain::{
        histogram::Buckets,
        probe::{ProbeTarget, Silence, SocketMode, Thresholds, Vantage},
    },
    prober::settings::{Pace, Settings, Sources, Timing, TimingError, TunnelSettings},
};

/// The flags over `defaults`.
pub(super) fn settings(flags: &ProbeFlags, defaults: &Settings) -> Result<Settings, ConfigError> {
    let uplinks = flags.uplinks.iter().map(|text| parse::<IpAddr>("--probe.uplink", text));
    Ok(Settings {
        enabled: switch("--probe", flags.enabled.as_deref(), defaults.enabled)?,
        pace: pace(flags, defaults.pace)?,
        socket: member::<SocketMode>("--probe.socket", flags.socket.as_deref(), defaults.socket)?,
        silence: member::<Silence>("--probe.silence", flags.silence.as_deref(), defaults.silence)?,
        buckets: buckets(flags, &defaults.buckets)?,
        uplinks: uplinks.collect::<Result<_, _>>()?,
        tunnels: tunnels(flags, &defaults.tunnels)?,
        overrides: defaults.overrides.clone(),
    })
}

fn pace(flags: &ProbeFlags, defaults: Pace) -> Result<Pace, ConfigError> {
    let default = |duration| humantime::format_duration(duration).to_string();
    let interval = duration(
        "--probe.interval",
        flags.interval.as_deref(),
        &default(defaults.timing.interval()),
        Timing::LEAST_INTERVAL,
    )?;
    // A shorter interval alone shortens the patience with it.
    let patience = default(defaults.timing.timeout().min(interval));
    let timeout = duration("--probe.timeout", flags.timeout.as_deref(), &patience, Timing::LEAST_TIMEOUT)?;
    let timing = Timing::new(interval, timeout).map_err(|error| {
        let shown = humantime::format_duration(timeout).to_string();
        let rule = match error {
            TimingError::TimeoutAboveInterval => {
                format!("must not be longer than `--probe.interval` ({})", humantime::format_duration(interval))
            }
            TimingError::TooFast | TimingError::TooImpatient => error.to_string(),
        };
        ConfigError::new("--probe.timeout", shown, rule)
    })?;
    let thresholds = Thresholds {
        down_after: count("--probe.down-after", flags.down_after.as_deref(), defaults.thresholds.down_after)?,
        up_after: count("--probe.up-after", flags.up_after.as_deref(), defaults.thresholds.up_after)?,
    };
    Ok(Pace { timing, thresholds })
}

fn count(key: &'static str, text: Option<&str>, default: NonZeroU32) -> Result<NonZeroU32, ConfigError> {
    const MOST: u32 = 1000;
    let Some(text) = text else { return Ok(default) };
    let count = text.trim().parse::<NonZeroU32>().ok().filter(|count| count.get() <= MOST);
    count.ok_or_else(|| ConfigError::new(key, text, format!("must be a whole number from 1 to {MOST}")))
}

fn buckets(flags: &ProbeFlags, default: &Buckets) -> Result<Buckets, ConfigError> {
    if flags.rtt_buckets.is_empty() {
        return Ok(default.clone());
    }
    let bound = |text: &String| duration("--probe.rtt-buckets", Some(text), "", Duration::from_nanos(1));
    let bounds = flags.rtt_buckets.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
    Buckets::new(bounds)
        .map_err(|error| ConfigError::new("--probe.rtt-buckets", flags.rtt_buckets.join(","), error.to_string()))
}

fn tunnels(flags: &ProbeFlags, defaults: &TunnelSettings) -> Result<TunnelSettings, ConfigError> {
    let interface = flags.interface.as_deref().map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = interface.filter(|name| !is_interface_name(name)) {
        let rule = "must be the name of a network interface: at most 15 characters, no blank and no `/`";
        return Err(ConfigError::new("--probe.interface", name, rule));
    }
    Ok(TunnelSettings {
        enabled: defaults.enabled,
        vantage: member::<Vantage>("--probe.vantage", flags.vantage.as_deref(), defaults.vantage)?,
        targets: targets(flags, &defaults.targets)?,
        sources: sources(flags)?,
        interface: interface.map(Into::into).or_else(|| defaults.interface.clone()),
    })
}

/// What the kernel takes for one (`dev_valid_name` of Linux).
fn is_interface_name(name: &str) -> bool {
    name.len() <= 15 && name != "." && name != ".." && !name.bytes().any(|b| b == b'/' || b.is_ascii_whitespace())
}

fn targets(flags: &ProbeFlags, default: &BTreeSet<ProbeTarget>) -> Result<BTreeSet<ProbeTarget>, ConfigError> {
    if flags.targets.is_empty() {
        return Ok(default.clone());
    }
    let member = |text: &String| member("--probe.targets", Some(text), ProbeTarget::CustomerEndpoint);
    flags.targets.iter().map(member).collect()
}

fn sources(flags: &ProbeFlags) -> Result<Sources, ConfigError> {
    let mut sources = Sources::default();
    for text in &flags.sources {
        let taken = match parse::<IpAddr>("--probe.source", text)? {
            IpAddr::V4(v4) => sources.v4.replace(v4).is_some(),
            IpAddr::V6(v6) => sources.v6.replace(v6).is_some(),
        };
        if taken {
            let rule = "must be given once for IPv4 and once for IPv6 at most";
            return Err(ConfigError::new("--probe.source", flags.sources.join(","), rule));
        }
    }
    Ok(sources)
}
