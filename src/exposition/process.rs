//! `process_*`: what the kernel says of this process, read at the scrape as every Prometheus client does.

use procfs::process::{LimitValue, Process};

/// What was read from `/proc/self`. What cannot be read has no series.
#[derive(Debug, Default)]
pub(super) struct ProcessStats {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<usize>,
    pub(super) max_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) start_seconds: Option<f64>,
}

impl ProcessStats {
    pub(super) fn read() -> Self {
        Self::try_read().unwrap_or_default()
    }

    fn try_read() -> Option<Self> {
        let this = Process::myself().ok()?;
        let stat = this.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let boot = procfs::boot_time_secs().ok();
        Some(Self {
            cpu_seconds: Some((stat.utime + stat.stime) as f64 / ticks),
            resident_bytes: Some(stat.rss * procfs::page_size()),
            virtual_bytes: Some(stat.vsize),
            open_fds: this.fd_count().ok(),
            max_fds: this.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            }),
            threads: u64::try_from(stat.num_threads).ok(),
            start_seconds: boot.map(|boot| boot as f64 + stat.starttime as f64 / ticks),
        })
    }
}
