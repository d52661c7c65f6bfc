//! A token bucket. It reads no clock and takes no lock; callers pass the monotonic time in.
//!
//! The bucket stores one timestamp, the time at which it is full again (the generic cell rate algorithm), so that no
//! rounding errors add up.

use std::time::{Duration, Instant};

/// At most `burst` requests at once, and one more per `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub interval: Duration,
    pub burst: u32,
}

impl RateLimit {
    /// Every request is allowed; only [`TokenBucket::pause`] delays one.
    pub const UNLIMITED: Self = Self { interval: Duration::ZERO, burst: u32::MAX };
}

/// Counts requests against a [`RateLimit`]. A new bucket is full.
#[derive(Debug)]
pub struct TokenBucket {
    limit: RateLimit,
    /// `None` for a bucket that was never used.
    full_at: Option<Instant>,
    paused_until: Option<Instant>,
}

impl TokenBucket {
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, full_at: None, paused_until: None }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The bucket is empty or paused: the time until a token is available.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let paused = time_until(self.paused_until, now);
        if !paused.is_zero() {
            return Err(paused);
        }
        let refill = time_until(self.full_at, now) + self.limit.interval;
        let wait = refill.saturating_sub(self.limit.interval.saturating_mul(self.limit.burst));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = Some(now + refill);
        Ok(())
    }

    /// Gives out no token for `wait` from `now`. A longer pause stays as it is.
    pub fn pause(&mut self, now: Instant, wait: Duration) {
        self.paused_until = self.paused_until.max(Some(now + wait));
    }
}

fn time_until(at: Option<Instant>, now: Instant) -> Duration {
    at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const MINUTE: Duration = Duration::from_mins(1);

    /// A third of the Cloudflare API's limit of 1,200 requests in five minutes.
    const THIRD: RateLimit = RateLimit { interval: Duration::from_millis(750), burst: 50 };

    fn take_all(bucket: &mut TokenBucket, now: Instant) -> u32 {
        (0..10_000).take_while(|_| bucket.take(now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn after_a_burst_one_request_per_interval_is_allowed() {
        let start = clock::now().instant;
        let mut bucket = TokenBucket::new(RateLimit { interval: Duration::from_secs(1), burst: 3 });
        let table = [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(1000)),
            (999, Err(1)),
            (1000, Ok(())),
            (1001, Err(999)),
            (3000, Ok(())),
            (3000, Ok(())),
            (3000, Err(1000)),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Err(1000)),
        ];
        for (step, (at, expected)) in table.into_iter().enumerate() {
            let taken = bucket.take(start + Duration::from_millis(at));
            assert_eq!(taken, expected.map_err(Duration::from_millis), "step {step} at {at} ms");
        }
    }

    #[test]
    fn unused_tokens_are_not_saved_beyond_the_burst() {
        let start = clock::now().instant;
        let mut bucket = TokenBucket::new(THIRD);
        assert_eq!(take_all(&mut bucket, start), 50);
        assert_eq!(bucket.take(start), Err(Duration::from_millis(750)));
        assert_eq!(take_all(&mut bucket, start + Duration::from_millis(7501)), 10);
        assert_eq!(take_all(&mut bucket, start + 10 * MINUTE), 50);
    }

    #[test]
    fn five_minutes_see_the_refill_and_one_burst() {
        let start = clock::now().instant;
        let mut bucket = TokenBucket::new(THIRD);
        let taken: u32 = (0..3000).map(|tick| take_all(&mut bucket, start + Duration::from_millis(tick * 100))).sum();
        assert!((440..=450).contains(&taken), "{taken}");
    }

    #[test]
    fn a_shorter_pause_does_not_shorten_a_longer_one() {
        let start = clock::now().instant;
        for limit in [THIRD, RateLimit::UNLIMITED] {
            let mut bucket = TokenBucket::new(limit);
            bucket.pause(start, 5 * MINUTE);
            bucket.pause(start, MINUTE);
            assert_eq!(bucket.take(start + 2 * MINUTE), Err(3 * MINUTE));
            assert_eq!(bucket.take(start + 5 * MINUTE), Ok(()));
        }
    }

    #[test]
    fn without_a_limit_every_request_is_allowed() {
        let start = clock::now().instant;
        assert_eq!(take_all(&mut TokenBucket::new(RateLimit::UNLIMITED), start), 10_000);
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_its_share(
            interval in 1..200_u64,
            burst in 1..8_u32,
            steps in prop::collection::vec(0..300_u64, 1..80),
        ) {
            let start = clock::now().instant;
            let mut bucket = TokenBucket::new(RateLimit { interval: Duration::from_millis(interval), burst });
            let mut at = 0;
            let mut taken = Vec::new();
            for step in steps {
                at += step;
                if bucket.take(start + Duration::from_millis(at)).is_ok() {
                    taken.push(at);
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (n, last) in (1..).zip(&taken[i..]) {
                    let window = last - first;
                    prop_assert!(n <= u64::from(burst) + window / interval, "{n} requests within {window} ms");
                }
            }
        }

        #[test]
        fn the_reported_wait_is_exact(interval in 1..2000_u64, burst in 1..8_u32) {
            let mut now = clock::now().instant;
            let mut bucket = TokenBucket::new(RateLimit { interval: Duration::from_millis(interval), burst });
            take_all(&mut bucket, now);
            for _ in 0..5 {
                let wait = bucket.take(now).unwrap_err();
                let almost = wait.saturating_sub(Duration::from_nanos(1));
                prop_assert!(bucket.take(now + almost).is_err());
                now += wait;
                prop_assert_eq!(bucket.take(now), Ok(()));
            }
        }
    }
}
