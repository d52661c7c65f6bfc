//! CPU time and memory of this process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

const RUNS: usize = 9;

/// Median CPU time of one call of `work`, and the result of the last call.
pub(crate) fn cpu<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::with_capacity(RUNS);
    let mut last = None;
    for _ in 0..RUNS {
        drop(last.take());
        let before = cpu_so_far();
        last = Some(black_box(work()));
        times.push(cpu_so_far().saturating_sub(before));
    }
    times.sort_unstable();
    (times[RUNS / 2], last.expect("at least one run"))
}

/// User and system time of this process so far.
pub(crate) fn cpu_so_far() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Peak of the bytes allocated by `work`, and its result.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = black_box(work());
    (PEAK.load(Relaxed).saturating_sub(before), result)
}

/// Bytes allocated by `work` that are still allocated at its end, and its result.
pub(crate) fn kept<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Relaxed);
    let result = black_box(work());
    (NOW.load(Relaxed).saturating_sub(before), result)
}

pub(crate) fn per(took: Duration, units: usize) -> f64 {
    took.as_nanos() as f64 / units as f64
}

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system allocator with a count of the allocated bytes.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    if now > PEAK.load(Relaxed) {
        PEAK.store(now, Relaxed);
    }
}

#[expect(unsafe_code, reason = "`GlobalAlloc` is an unsafe trait; each call is passed on unchanged")]
// SAFETY: every call is passed to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `memory` was allocated here with this layout, so it comes from the system allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
