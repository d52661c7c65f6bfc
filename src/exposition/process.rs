//! `process_*`: what the kernel says of this process, read at the scrape as every Prometheus client does.

use procfs::process::{LimitValue, Process};

use super::{
    family::{Family, Group, counter, gauge},
    text::{Labels, Samples, Value},
};

/// What was read from `/proc/self`. What cannot be read has no series.
#[derive(Debug, Default)]
pub(super) struct ProcessStats {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<usize>,
    max_fds: Option<u64>,
    threads: Option<u64>,
    start_seconds: Option<f64>,
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

pub(super) const FAMILIES: &[Family] = &[
    counter("process_cpu", "User and system CPU time spent.")
        .in_seconds()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.cpu_seconds)),
    gauge("process_resident_memory", "Resident memory size.")
        .in_bytes()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.resident_bytes)),
    gauge("process_virtual_memory", "Virtual memory size.")
        .in_bytes()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.virtual_bytes)),
    gauge("process_open_fds", "Number of open file descriptors.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.open_fds)),
    gauge("process_max_fds", "Maximum number of open file descriptors.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.max_fds)),
    gauge("process_threads", "Number of OS threads.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.threads)),
    gauge("process_start_time", "Start time of the process since the Unix epoch.")
        .in_seconds()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| push(out, capture.process.start_seconds)),
];

fn push(out: &mut Samples<'_>, value: Option<impl Into<Value>>) {
    out.push_known(&Labels::NONE, &[], value);
}
