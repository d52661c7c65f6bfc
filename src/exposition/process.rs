//! `process_*`: what the kernel says of this process, read at the scrape as every Prometheus client does.

use std::fmt;

use procfs::process::{LimitValue, Process as Handle};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{Descriptor, RowLabels, Value};

const CPU: Descriptor = Descriptor::seconds_counter("process_cpu", "User and system CPU time spent.");
const RESIDENT: Descriptor = Descriptor::bytes("process_resident_memory", "Resident memory size.");
const VIRTUAL: Descriptor = Descriptor::bytes("process_virtual_memory", "Virtual memory size.");
const OPEN_FDS: Descriptor = Descriptor::gauge("process_open_fds", "Number of open file descriptors.");
const MAX_FDS: Descriptor = Descriptor::gauge("process_max_fds", "Maximum number of open file descriptors.");
const THREADS: Descriptor = Descriptor::gauge("process_threads", "Number of OS threads.");
const START: Descriptor = Descriptor::seconds("process_start_time", "Start time of the process since the Unix epoch.");

/// Reads `/proc/self`. What cannot be read has no series.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(this) = Handle::myself() else { return Ok(()) };
        let Ok(stat) = this.stat() else { return Ok(()) };
        let ticks = procfs::ticks_per_second() as f64;
        let cpu = (stat.utime + stat.stime) as f64 / ticks;
        let started = procfs::boot_time_secs().ok().map(|boot| boot as f64 + stat.starttime as f64 / ticks);
        let max_fds = this.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        });
        let families: [(&Descriptor, Option<Value>); 7] = [
            (&CPU, Some(cpu.into())),
            (&RESIDENT, Some((stat.rss * procfs::page_size()).into())),
            (&VIRTUAL, Some(stat.vsize.into())),
            (&OPEN_FDS, this.fd_count().ok().map(Value::from)),
            (&MAX_FDS, max_fds.map(Value::from)),
            (&THREADS, u64::try_from(stat.num_threads).ok().map(Value::from)),
            (&START, started.map(Value::from)),
        ];
        for (descriptor, value) in families {
            if let Some(value) = value {
                descriptor.open(&mut encoder)?.push(&RowLabels::NONE, &[], value)?;
            }
        }
        Ok(())
    }
}
