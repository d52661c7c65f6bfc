//! The section `probe.mtu`: the watch of path MTUs.

use web_toolkit::{
    keys,
    settings::{Setting, SettingsReader},
    yaml::Node,
};

use super::flags::ProbeFlags;
use crate::{
    domain::probe::ProbeEngine,
    prober::mtu::{self, MtuSettings},
};

keys! { pub(super) struct MtuKeys { enabled, interval, expected, floor } }

/// The flags over the section, and the expected size if one is set. `engine` is that of the prober.
pub(super) fn read(
    flags: &ProbeFlags,
    reader: &mut SettingsReader,
    node: Node<MtuKeys>,
    engine: ProbeEngine,
    usual: MtuSettings,
) -> (MtuSettings, Option<u16>) {
    let keys = reader.section("probe.mtu", node);
    // Like `--probe`, this flag has the name of its section.
    let written = reader.value("probe.mtu.enabled", keys.enabled);
    let setting = flags.mtu.as_deref().map(|text| Setting::from_flag("--probe.mtu", text)).or(written);
    let enabled = reader.switch(setting.clone(), usual.enabled);
    if enabled && engine == ProbeEngine::Client {
        let setting = setting.unwrap_or_else(|| Setting::from_flag("--probe.mtu", "true"));
        let name = setting.name_like_this("probe.engine");
        reader.report(setting.mistake(format!(
            "needs `{name}` to be auto or batch, because the engine `client` lets the kernel fragment packets"
        )));
    }
    let interval = reader.one(("probe.mtu.interval", flags.mtu_interval.as_deref(), keys.interval));
    let interval = interval.and_then(|setting| {
        let interval = reader.duration(&setting, *MtuSettings::INTERVALS.start())?;
        let rule = if MtuSettings::INTERVALS.contains(&interval) { Ok(interval) } else { Err("must be at most 1h") };
        reader.accept(&setting, rule)
    });
    let expected = reader.one(("probe.mtu.expected", flags.mtu_expected.as_deref(), keys.expected));
    let expected = expected.and_then(|setting| reader.number(&setting, mtu::SIZES));
    let floor = reader.one(("probe.mtu.floor", flags.mtu_floor.as_deref(), keys.floor));
    let floor = floor.and_then(|setting| reader.number(&setting, mtu::SIZES));
    let settings =
        MtuSettings { enabled, interval: interval.unwrap_or(usual.interval), floor: floor.unwrap_or(usual.floor) };
    (settings, expected)
}
