//! The Debian package on a system that is booted by a real systemd: what an operator does with `systemctl`.

use std::fs;

use crate::{
    machine::{Machine, NEEDS},
    support::{MAKES_ARTIFACTS, artifact, can_run, eventually},
};

const SERVICE: &str = "magic-tunnel-exporter";
const CONFIGURATION: &str = "/etc/magic-tunnel-exporter/config.yml";
const TOKEN: &str = "/etc/magic-tunnel-exporter/api-token";
/// With `DynamicUser=`, the state directory is a link to this one.
const STATE: &str = "/var/lib/private/magic-tunnel-exporter/state.json";

/// A site with a router that answers pings: every address of 127.0.0.0/8 does.
const STORY: &str = "\
accounts:
  - name: lab
    id: 0123456789abcdef0123456789abcdef
    tunnels:
      - type: gre
        name: fra-gre-1
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 127.0.1.1
        interface_address: 127.0.10.0/31
";

const SANDBOX: &str = "\
[Service]
EnvironmentFile=/etc/sandbox.env
ExecStart=/usr/bin/magic-tunnel-exporter sandbox --sandbox.story /etc/sandbox.yml
";

const SETTINGS: &str = "\
CLOUDFLARE_ACCOUNT_ID=0123456789abcdef0123456789abcdef
CLOUDFLARE_API_URL=http://127.0.0.1:9848/client/v4
MTE_CONFIG_FILE=/etc/magic-tunnel-exporter/config.yml
MTE_PROBE=true
";

const GOOD: &str = "poll: {interval: 10s}\nprobe: {vantage: site}\n";

/// The 60 s of the unit, so that a test of the watchdog takes seconds.
const SHORT_WATCHDOG: &str = "[Service]\nWatchdogSec=5s\n";

/// The system with the package installed, configured and not started.
struct Installed(Machine);

impl Installed {
    fn new() -> Self {
        let machine = Self(Machine::boot());
        machine.install();
        machine.0.write("/etc/sandbox.yml", STORY);
        machine.0.write("/etc/systemd/system/sandbox.service", SANDBOX);
        machine.0.write(&format!("/etc/default/{SERVICE}"), SETTINGS);
        machine.0.write(&format!("/etc/systemd/system/{SERVICE}.service.d/watchdog.conf"), SHORT_WATCHDOG);
        machine.0.write(CONFIGURATION, GOOD);
        machine.0.run(&["systemctl", "daemon-reload"]);
        machine.issue_token("the-first-token");

        machine
    }

    fn install(&self) {
        fs::copy(artifact(".deb"), self.0.file("/root/package.deb")).expect("a copy of the package");
        self.0.run(&["dpkg", "--install", "--force-confold", "/root/package.deb"]);
    }

    /// The API accepts this token only, and the operator writes it to the file of the unit.
    fn issue_token(&self, token: &str) {
        self.0.write("/etc/sandbox.env", &format!("MTE_SANDBOX_TOKEN={token}\n"));
        self.0.write(TOKEN, token);
        self.0.run(&["chmod", "600", TOKEN]);
        self.0.run(&["systemctl", "restart", "sandbox"]);
    }

    fn property(&self, name: &str) -> String {
        let printed = self.0.run(&["systemctl", "show", "--value", "--property", name, SERVICE]);
        printed.trim().to_owned()
    }

    fn log(&self) -> String {
        self.0.run(&["journalctl", "--no-pager", "--unit", SERVICE])
    }

    /// The value of a metric without labels, or of one series with them.
    fn sample(&self, series: &str) -> Result<f64, String> {
        let page = self.0.page("http://127.0.0.1:9847/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {series}; log:\n{}", self.log()))
    }

    fn await_sample(&self, series: &str, value: f64) {
        eventually(&format!("{series} {value}"), || match self.sample(series)? {
            seen if seen.to_bits() == value.to_bits() => Ok(()),
            seen => Err(seen.to_string()),
        });
    }

    /// Waits until the API was polled and every address answers.
    fn await_healthy(&self) {
        self.await_sample(&format!("cloudflare_magic_tunnel_verdict{{{},verdict=\"healthy\"}}", self.tunnel()), 1.0);
    }

    /// The labels of the tunnel.
    fn tunnel(&self) -> String {
        let page = eventually("a tunnel", || {
            let page = self.0.page("http://127.0.0.1:9847/metrics");
            let line = page.lines().find(|line| line.starts_with("cloudflare_magic_tunnel_info{"));
            line.map(str::to_owned).ok_or_else(|| self.log())
        });
        let labels = ["account", "tunnel_id", "tunnel_name", "tunnel_type"].map(|name| {
            let value = page.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            format!("{name}=\"{}\"", value.unwrap_or_else(|| panic!("{name} in {page}")))
        });
        labels.join(",")
    }
}

#[test]
fn the_service_of_the_package_is_managed_with_systemctl_from_install_to_purge() {
    if !can_run(&[NEEDS, MAKES_ARTIFACTS].concat()) {
        return;
    }
    let system = Installed::new();
    assert_eq!(system.property("ActiveState"), "inactive", "the package does not start the service");
    assert!(!system.0.file("/bin/kill").exists(), "a minimal system has no procps");

    // `Type=notify`: the command returns once pages are served.
    system.0.run(&["systemctl", "enable", "--now", SERVICE]);
    assert_eq!(system.property("ActiveState"), "active");
    assert!(system.0.run(&[SERVICE, "healthcheck"]).is_empty());
    system.await_healthy();

    reloads(&system);
    rotates_the_token(&system);
    restarts_after_a_hang(&system);
    keeps_its_state(&system);
    upgrades(&system);

    system.0.run(&["systemctl", "stop", SERVICE]);
    assert_eq!((system.property("ActiveState"), system.property("Result")), ("inactive".into(), "success".into()));
    assert!(!system.log().contains("ERROR"), "{}", system.log());
    system.0.run(&["dpkg", "--purge", SERVICE]);
    for left in [format!("/etc/default/{SERVICE}"), TOKEN.into(), format!("/usr/bin/{SERVICE}"), STATE.into()] {
        assert!(!system.0.file(&left).exists(), "{left} is left after the purge");
    }
}

/// A reload applies a good file, and a bad one changes nothing.
fn reloads(system: &Installed) {
    let process = system.property("MainPID");
    system.0.write(CONFIGURATION, &GOOD.replace("10s", "20s"));
    system.0.run(&["systemctl", "reload", SERVICE]);
    system.await_sample("cloudflare_magic_poll_interval_seconds", 20.0);
    system.0.write(CONFIGURATION, "poll: {intervall: 30s}\n");
    system.0.run(&["systemctl", "reload", SERVICE]);
    system.await_sample("cloudflare_magic_config_last_reload_successful", 0.0);
    system.await_sample("cloudflare_magic_poll_interval_seconds", 20.0);
    assert!(system.log().contains("intervall"), "{}", system.log());
    system.0.write(CONFIGURATION, GOOD);
    system.0.run(&["systemctl", "reload", SERVICE]);
    system.await_sample("cloudflare_magic_config_last_reload_successful", 1.0);
    assert_eq!(system.property("MainPID"), process, "a reload keeps the process");
}

/// systemd reads the token when the service starts, so that a new one needs a restart.
fn rotates_the_token(system: &Installed) {
    let before = system.property("MainPID");
    system.issue_token("the-second-token");
    system.0.run(&["systemctl", "restart", SERVICE]);
    assert_ne!(system.property("MainPID"), before);
    system.await_healthy();
    assert!(!system.log().contains("-token\""), "no token in the log: {}", system.log());
}

fn restarts_after_a_hang(system: &Installed) {
    system.0.run(&["systemctl", "kill", "--kill-whom=main", "--signal=STOP", SERVICE]);
    eventually("a restart by the watchdog", || match system.property("NRestarts").as_str() {
        "1" if system.property("ActiveState") == "active" => Ok(()),
        seen => Err(format!("{seen} restarts; {}", system.log())),
    });
    assert!(system.log().contains("Watchdog timeout"), "{}", system.log());
    system.await_healthy();
}

/// The verdict keeps its time over a restart, in a file that only the dynamic user can read.
fn keeps_its_state(system: &Installed) {
    let changed = format!("cloudflare_magic_tunnel_verdict_changed_timestamp_seconds{{{}}}", system.tunnel());
    let since = system.sample(&changed).expect("a verdict");
    system.0.run(&["systemctl", "restart", SERVICE]);
    system.await_healthy();
    system.await_sample(&changed, since);
    assert_eq!(system.0.run(&["stat", "--format=%a", STATE]).trim(), "600");
    assert_ne!(system.0.run(&["stat", "--format=%U", STATE]).trim(), "root");
    system.await_sample("cloudflare_magic_state_write_failures_total", 0.0);
}

/// The settings are kept, and the service runs the new program after a restart by the operator or by the package.
fn upgrades(system: &Installed) {
    system.install();
    assert_eq!(system.property("ActiveState"), "active", "{}", system.log());
    assert_eq!(fs::read_to_string(system.0.file(&format!("/etc/default/{SERVICE}"))).ok().as_deref(), Some(SETTINGS));
    system.await_healthy();
}
