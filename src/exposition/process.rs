//! `process_*`: resource usage of this process, read from `/proc` at each scrape, as in other Prometheus clients.

use std::{fs, str::FromStr};

use rustix::param;

/// Values from `/proc/self`. If a value cannot be read, its series is omitted.
#[derive(Debug, Default)]
pub(super) struct ProcessStats {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) start_seconds: Option<f64>,
}

impl ProcessStats {
    pub(super) fn read() -> Self {
        Self::try_read().unwrap_or_default()
    }

    fn try_read() -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let ticks = param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: Some((stat.user_ticks + stat.system_ticks) as f64 / ticks),
            resident_bytes: Some(stat.resident_pages * u64::try_from(param::page_size()).ok()?),
            virtual_bytes: Some(stat.virtual_bytes),
            open_fds: open_fds(),
            max_fds: fs::read_to_string("/proc/self/limits").ok().and_then(|limits| max_fds(&limits)),
            threads: Some(stat.threads),
            start_seconds: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|system| boot_seconds(&system))
                .map(|boot| boot as f64 + stat.start_ticks as f64 / ticks),
        })
    }
}

/// Fields of `/proc/self/stat`, see `proc_pid_stat(5)`. Ticks are those of `sysconf(_SC_CLK_TCK)`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    /// Since the system booted.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // Field 2 is the name of the executable in parentheses; it can contain spaces and parentheses itself.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|field| u64::from_str(field).ok());
        Some(Self {
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The size of `/proc/self/fd` since Linux 6.2, the number of its entries before.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok(),
        count => Some(count),
    }
}

/// The soft limit in `/proc/self/limits`; `None` if it is `unlimited`.
fn max_fds(limits: &str) -> Option<u64> {
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limit.split_ascii_whitespace().next()?.parse().ok()
}

/// The time of the boot in `/proc/stat`, in seconds since the Unix epoch.
fn boot_seconds(system: &str) -> Option<u64> {
    system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_executable_can_contain_anything() {
        for name in ["magic-tunnel-ex", "a b", ") R 1 1", "((", ""] {
            let text = format!(
                "4711 ({name}) S 1 2 3 4 5 6 7 8 9 10 1401 1502 16 17 18 19 20 21 2203 23000 24 18446744073709551615 1\n"
            );
            let expected = Stat {
                user_ticks: 1401,
                system_ticks: 1502,
                threads: 20,
                start_ticks: 2203,
                virtual_bytes: 23000,
                resident_pages: 24,
            };
            assert_eq!(Stat::parse(&text), Some(expected), "{name}");
        }
        for text in ["", "4711 (a) S 1 2", "4711 (a) S 1 2 3 4 5 6 7 8 9 10 x 1502 16 17 18 19 20 21 2203 23000 24"] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn limits_and_the_time_of_the_boot_are_found_among_others() {
        let limits = |files: &str| format!("Limit  Soft Limit  Hard Limit  Units\nMax open files  {files}  files\n");
        assert_eq!(max_fds(&limits("1024  524288")), Some(1024));
        assert_eq!(max_fds(&limits("unlimited  unlimited")), None);
        assert_eq!(max_fds(""), None);
        assert_eq!(boot_seconds("cpu 1 2\nctxt 5\nbtime 1795278618\nprocesses 9\n"), Some(1_795_278_618));
        assert_eq!(boot_seconds("cpu 1 2\n"), None);
    }

    #[test]
    fn this_process_has_every_value() {
        let ProcessStats { cpu_seconds, resident_bytes, virtual_bytes, open_fds, max_fds: _, threads, start_seconds } =
            ProcessStats::read();
        assert!(cpu_seconds.is_some_and(|seconds| seconds < 3600.0), "{cpu_seconds:?}");
        assert!(resident_bytes.is_some_and(|bytes| (1 << 20..1 << 32).contains(&bytes)), "{resident_bytes:?}");
        assert!(virtual_bytes >= resident_bytes, "{virtual_bytes:?}");
        assert!(open_fds.is_some_and(|count| (3..100_000).contains(&count)), "{open_fds:?}");
        assert!(threads.is_some_and(|count| (2..10_000).contains(&count)), "{threads:?}");
        let now = web_toolkit::clock::now().wall.as_second() as f64;
        assert!(start_seconds.is_some_and(|start| (now - 86_400.0..now + 10.0).contains(&start)), "{start_seconds:?}");
    }
}
