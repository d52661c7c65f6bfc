//! Describes the machine and the tools of a run.

use std::{fs, process::Command};

use web_toolkit::clock;

/// Date, hardware, kernel and versions, one per line.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let lines = [
        format!("date: {}", clock::now().wall.strftime("%F %H:%M UTC")),
        format!("magic-tunnel-exporter: {}", env!("CARGO_PKG_VERSION")),
        format!("processor: {}, {cores} cores", processor()),
        format!("memory: {} GB", first_number("/proc/meminfo") / 1_000_000),
        format!("load average at the end: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()),
        format!("kernel: {}", said("uname", &["-sr"])),
        format!("compiler: {}, profile bench (release)", said("rustc", &["--version"])),
        format!("fping: {}", said("fping", &["--version"])),
        format!("smokeping_prober: {}", package("prometheus-smokeping-prober")),
        format!("gzip: {}", said("gzip", &["--version"])),
    ];
    lines.map(|line| format!("- {line}\n")).concat()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

fn first_number(file: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_default()
}

/// First line of a program's output.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("not installed").trim().to_owned()
}

/// Version of a Debian package.
fn package(name: &str) -> String {
    match said("dpkg-query", &["--showformat=${Version}", "--show", name]) {
        version if version.is_empty() => "not installed".to_owned(),
        version => version,
    }
}
