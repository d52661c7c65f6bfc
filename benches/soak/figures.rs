//! Resources of the process: memory, file descriptors, threads.

use procfs::process::Process;

use super::Result;

/// Tolerated growth of memory: the allocator does not return pages at once.
const TOLERANCE: f64 = 1.05;

/// Tolerated growth of file descriptors and threads, which vary with connections and with work on the blocking pool.
const SPARE: u64 = 16;

/// Resources at one point in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) rss_kib: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Figure>);

impl Figures {
    /// Returns the first and the last fifth of the run after the warm-up, which is its first sixth.
    pub(crate) fn windows(&self) -> (&[Figure], &[Figure]) {
        let settled = &self.0[self.0.len() / 6..];
        let window = settled.len().div_ceil(5);
        (&settled[..window.min(settled.len())], &settled[settled.len() - window..])
    }
}

/// Reads the current resources of a process.
pub(crate) fn of(pid: u32) -> Result<Figure> {
    let process = Process::new(i32::try_from(pid)?)?;
    let status = process.status()?;
    let rss_kib = status.vmrss.unwrap_or(0);
    Ok(Figure { rss_kib, fds: u64::try_from(process.fd_count()?)?, threads: status.threads })
}

/// Median, 0 if there are no values.
pub(crate) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Describes each resource that grew between the first and the last window.
pub(crate) fn growth(figures: &Figures) -> Vec<String> {
    let (first, last) = figures.windows();
    let middle = |window: &[Figure], of: fn(&Figure) -> u64| median(window.iter().map(of).collect());
    let pair = |of: fn(&Figure) -> u64| (middle(first, of), middle(last, of));
    let mut grown = Vec::new();
    let (before, after) = pair(|figure| figure.rss_kib);
    if after as f64 > before as f64 * TOLERANCE {
        grown.push(format!("resident memory grew from {before} to {after} KiB"));
    }
    for (what, (before, after)) in
        [("file descriptors", pair(|figure| figure.fds)), ("threads", pair(|figure| figure.threads))]
    {
        if after > before + SPARE {
            grown.push(format!("{what} grew from {before} to {after}"));
        }
    }
    grown
}
