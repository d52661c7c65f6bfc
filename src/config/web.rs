//! The section `web`: where the exporter listens, and what it serves.

use web_toolkit::{
    keys,
    server::{HostName, Hosts, ListenAddress},
    settings::{Mistake, Setting, SettingsReader},
    web_file::WebFile,
    yaml::Node,
};

use super::flags::WebFlags;
use crate::{
    domain::label::Label as _,
    exposition::{Groups, View},
    http::{self, AlertmanagerUrl},
};

keys! {
    pub(super) struct WebKeys {
        listen_address, systemd_socket, telemetry_path, hosts, enable_lifecycle, open_health, alertmanager_url, expose,
        config_file,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    pub listen: Vec<ListenAddress>,
    /// Whether systemd passes listening sockets, so that `listen` is not used.
    pub systemd_socket: bool,
    /// Path of the metrics; starts with `/`.
    pub telemetry_path: String,
    /// Host names that requests may be addressed to.
    pub hosts: Hosts,
    /// Whether `POST /-/reload` is enabled.
    pub enable_lifecycle: bool,
    /// Whether `/-/healthy` and `/-/ready` need no password.
    pub open_health: bool,
    /// Where the pages link to for silences, if it is known.
    pub alertmanager: Option<AlertmanagerUrl>,
    /// The groups that the page of metrics may have.
    pub expose: Groups,
    /// TLS and passwords; `None` without a web configuration file.
    pub access: Option<WebFile>,
}

impl Web {
    /// The scheme of the pages' URLs.
    pub fn scheme(&self) -> &'static str {
        if self.access.as_ref().is_some_and(|file| file.tls.is_some()) { "https" } else { "http" }
    }
}

/// The flags over the section `web`. An agent exposes only what its hub does not expose.
pub(super) fn read(reader: &mut SettingsReader, flags: &WebFlags, node: Node<WebKeys>, is_agent: bool) -> Web {
    let keys = reader.section("web", node);
    let listen = read_listen(reader, &flags.listen_addresses, keys.listen_address);
    let systemd = reader.one(("web.systemd_socket", flags.systemd_socket.as_deref(), keys.systemd_socket));
    let path = reader.one(("web.telemetry_path", flags.telemetry_path.as_deref(), keys.telemetry_path));
    let path = path.and_then(|setting| reader.check(telemetry_path(&setting)));
    let hosts = reader.many("web.hosts", &flags.hosts, keys.hosts);
    let hosts: Vec<HostName> = hosts.iter().filter_map(|setting| reader.parse(setting)).collect();
    let lifecycle = reader.one(("web.enable_lifecycle", flags.enable_lifecycle.as_deref(), keys.enable_lifecycle));
    let expose = reader.many("web.expose", &flags.expose, keys.expose);
    let open_health = reader.one(("web.open_health", flags.open_health.as_deref(), keys.open_health));
    let alertmanager = reader.one(("web.alertmanager_url", flags.alertmanager_url.as_deref(), keys.alertmanager_url));
    let written = reader.value("web.config_file", keys.config_file);
    let file = flags.config_file.as_ref().map(|path| Setting::from_flag("--web.config.file", path)).or(written);
    let file = file.filter(|setting| !setting.trimmed().is_empty());
    Web {
        listen,
        systemd_socket: reader.switch(systemd, false),
        telemetry_path: path.unwrap_or_else(|| "/metrics".to_owned()),
        hosts: Hosts::new(&hosts),
        enable_lifecycle: reader.switch(lifecycle, false),
        open_health: reader.switch(open_health, false),
        alertmanager: alertmanager.and_then(|setting| reader.parse(&setting)),
        expose: Groups::of_views(&views(reader, &expose, is_agent)),
        access: file.and_then(|setting| reader.check(WebFile::load(setting))),
    }
}

fn views(reader: &mut SettingsReader, settings: &[Setting], is_agent: bool) -> Vec<View> {
    if settings.is_empty() {
        return if is_agent { vec![View::Observed, View::Exporter] } else { View::ALL.to_vec() };
    }
    let names = View::ALL.iter().map(|view| (view.as_str(), *view));
    settings.iter().filter_map(|setting| reader.choice(setting, names.clone())).collect()
}

/// Reads the addresses to listen on, and no other key of the section.
pub(super) fn read_addresses(reader: &mut SettingsReader, flags: &[String], node: Node<WebKeys>) -> Vec<ListenAddress> {
    let keys = reader.section("web", node);
    read_listen(reader, flags, keys.listen_address)
}

fn read_listen(reader: &mut SettingsReader, flags: &[String], node: Node) -> Vec<ListenAddress> {
    let mut settings = reader.many("web.listen_address", flags, node);
    if settings.is_empty() {
        settings.push(Setting::from_flag("--web.listen-address", ":9847"));
    }
    settings.iter().filter_map(|setting| reader.parse(setting)).collect()
}

/// Clients normalize paths and encode characters in different ways, so the path must be the same in all of them.
fn telemetry_path(setting: &Setting) -> Result<String, Mistake> {
    let path = setting.text.as_str();
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
    let mut segments = path.split('/').skip(1);
    let is_normal =
        is_plain && path.starts_with('/') && !path.contains("//") && segments.all(|part| part != "." && part != "..");
    if !is_normal || http::is_taken(path) {
        return Err(setting.mistake(
            "must be a path such as /metrics: it starts with `/`, has only letters, digits and `/-._~`, \
             no `//`, `.` or `..` segment, and is not another page",
        ));
    }
    Ok(path.to_owned())
}
