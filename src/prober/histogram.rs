//! Histograms of durations with an exact sum.

use std::{fmt, sync::Arc, time::Duration};

/// Upper bounds of the buckets of a histogram: ascending, above zero, at most [`Buckets::MAX_COUNT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets(Arc<[Duration]>);

/// Why a list of bucket bounds is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BucketsError {
    #[error("at least one bucket is required")]
    Empty,
    #[error("at most {} buckets are allowed", Buckets::MAX_COUNT)]
    TooMany,
    #[error("buckets must be above zero and ascending")]
    NotAscending,
}

impl Buckets {
    /// Maximum number of bounds. Each bound is one series per target.
    pub const MAX_COUNT: usize = 64;

    /// Round-trip times: within a city, a country, a continent, and around the world. Larger values are congestion.
    /// Each bound is one series per address, and the mean needs none of them.
    const RTT_MICROS: [u64; 4] = [5_000, 20_000, 100_000, 500_000];

    /// Delays of sends. The timer has a resolution of 1 ms.
    const LAG_MICROS: [u64; 10] = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000];

    /// # Errors
    /// [`BucketsError`] if the bounds are not ascending, not above zero, or too many.
    pub fn new(bounds: impl Into<Arc<[Duration]>>) -> Result<Self, BucketsError> {
        let bounds = bounds.into();
        if bounds.len() > Self::MAX_COUNT {
            return Err(BucketsError::TooMany);
        }
        if *bounds.first().ok_or(BucketsError::Empty)? == Duration::ZERO || !bounds.is_sorted_by(|a, b| a < b) {
            return Err(BucketsError::NotAscending);
        }
        Ok(Self(bounds))
    }

    /// Returns the default buckets for round-trip times.
    pub fn rtt() -> Self {
        Self(Self::RTT_MICROS.map(Duration::from_micros).into())
    }

    /// Returns the buckets for the delays of sends.
    pub fn lag() -> Self {
        Self(Self::LAG_MICROS.map(Duration::from_micros).into())
    }

    pub fn bounds(&self) -> &[Duration] {
        &self.0
    }
}

/// Histogram of durations.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: Buckets,
    /// One count per bound and one for larger values; not cumulative.
    counts: Box<[u64]>,
    sum: Duration,
}

impl Histogram {
    pub fn new(buckets: Buckets) -> Self {
        let counts = vec![0; buckets.bounds().len() + 1].into();
        Self { buckets, counts, sum: Duration::ZERO }
    }

    /// Adds a duration. A duration equal to a bound belongs to the bucket of that bound (`le`).
    pub fn observe(&mut self, value: Duration) {
        let index = self.buckets.bounds().partition_point(|bound| *bound < value);
        self.counts[index] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Returns one count per bound and one for larger values; not cumulative.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("count", &self.count()).field("sum", &self.sum).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_that_bound() {
        let mut histogram = Histogram::new(Buckets::new([ms(1), ms(10)]).unwrap());
        for value in [Duration::from_nanos(1), ms(1), Duration::from_nanos(1_000_001), ms(10), ms(11), ms(5000)] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [2, 2, 2]);
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn the_sum_is_exact() {
        let mut histogram = Histogram::new(Buckets::rtt());
        for _ in 0..1_000_000 {
            histogram.observe(Duration::from_nanos(333_333_333));
        }
        assert_eq!(histogram.sum(), Duration::new(333_333, 333_000_000));
    }

    #[test]
    fn bounds_must_ascend_from_above_zero() {
        assert_eq!(Buckets::new([]), Err(BucketsError::Empty));
        assert_eq!(Buckets::new([Duration::ZERO]), Err(BucketsError::NotAscending));
        assert_eq!(Buckets::new([ms(2), ms(2)]), Err(BucketsError::NotAscending));
        assert_eq!(Buckets::new([ms(2), ms(1)]), Err(BucketsError::NotAscending));
        let many: Vec<_> = (1..=65).map(ms).collect();
        assert_eq!(Buckets::new(many), Err(BucketsError::TooMany));
    }

    #[test]
    fn the_defaults_are_valid() {
        for buckets in [Buckets::rtt(), Buckets::lag()] {
            assert_eq!(Buckets::new(buckets.bounds().to_vec()), Ok(buckets));
        }
        assert_eq!(Buckets::rtt().bounds(), [ms(5), ms(20), ms(100), ms(500)]);
    }
}
