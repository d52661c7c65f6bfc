//! How many requests are answered: a token bucket.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// At most `burst` requests at once, and one more after every `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub interval: Duration,
    pub burst: u32,
}

/// Counts requests against a [`Rate`]. Full at first.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When it is full again; in the past where it is.
    full_at: Mutex<Option<Instant>>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, full_at: Mutex::new(None) }
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.map_or(Duration::ZERO, |full| full.saturating_duration_since(now));
        let afterwards = missing + self.rate.interval;
        let fits = afterwards <= self.rate.interval * self.rate.burst;
        if fits {
            *full_at = Some(now + afterwards);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    fn bucket(interval: u64, burst: u32) -> Bucket {
        Bucket::new(Rate { interval: Duration::from_millis(interval), burst })
    }

    #[test]
    fn a_burst_is_answered_and_then_one_request_for_each_interval() {
        let start = clock::now().instant;
        let bucket = bucket(1000, 3);
        let table = [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (999, false),
            (1000, true),
            (1001, false),
            (3000, true),
            (3000, true),
            (3000, false),
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, false),
        ];
        for (step, (at, allowed)) in table.into_iter().enumerate() {
            assert_eq!(bucket.take(start + Duration::from_millis(at)), allowed, "step {step} at {at} ms");
        }
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_its_share(
            interval in 1..200_u64,
            burst in 1..8_u32,
            steps in prop::collection::vec(0..300_u64, 1..80),
        ) {
            let start = clock::now().instant;
            let bucket = bucket(interval, burst);
            let mut at = 0;
            let mut taken = Vec::new();
            for step in steps {
                at += step;
                if bucket.take(start + Duration::from_millis(at)) {
                    taken.push(at);
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (n, last) in (1..).zip(&taken[i..]) {
                    prop_assert!(n <= u64::from(burst) + (last - first) / interval, "{n} requests within {} ms", last - first);
                }
            }
        }
    }
}
