//! A budget of requests that refills evenly. Reads no clock.

use std::time::Duration;

use web_toolkit::clock::Moment;

/// At most `burst` requests at once, and `refill` in every `period`.
#[derive(Debug)]
pub(super) struct Budget {
    burst: f64,
    per_second: f64,
    left: f64,
    counted: Moment,
    paused_until: Option<Moment>,
}

impl Budget {
    pub(super) fn new(burst: u32, refill: u32, period: Duration, now: Moment) -> Self {
        let burst = f64::from(burst);
        Self {
            burst,
            per_second: f64::from(refill) / period.as_secs_f64(),
            left: burst,
            counted: now,
            paused_until: None,
        }
    }

    /// Spends one request, or says how long to wait before asking again.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Duration> {
        let paused = self.paused_until.map_or(Duration::ZERO, |until| until.since(now));
        if !paused.is_zero() {
            return Err(paused);
        }
        self.left = self.burst.min(self.left + now.since(self.counted).as_secs_f64() * self.per_second);
        self.counted = now;
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / self.per_second).max(Duration::from_millis(1)));
        }
        self.left -= 1.0;
        Ok(())
    }

    /// Spends nothing for `wait` from `now`.
    pub(super) fn pause(&mut self, now: Moment, wait: Duration) {
        let until = now.after(wait);
        if self.paused_until.is_none_or(|earlier| until.since(earlier) > Duration::ZERO) {
            self.paused_until = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn spend_all(budget: &mut Budget, now: Moment) -> u32 {
        (0..10_000).take_while(|_| budget.take(now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn a_burst_is_followed_by_an_even_refill() {
        let start = clock::now();
        let mut budget = Budget::new(50, 400, 5 * MINUTE, start);
        assert_eq!(spend_all(&mut budget, start), 50);
        assert_eq!(budget.take(start), Err(Duration::from_millis(750)));
        assert_eq!(spend_all(&mut budget, start.after(Duration::from_millis(7501))), 10);
        assert_eq!(
            spend_all(&mut budget, start.after(10 * MINUTE)),
            50,
            "what is not spent is not saved beyond the burst"
        );
    }

    #[test]
    fn no_five_minutes_see_more_than_a_third_of_cloudflares_limit_and_a_burst() {
        let start = clock::now();
        let mut budget = Budget::new(50, 400, 5 * MINUTE, start);
        let spent: u32 =
            (0..3000).map(|tick| spend_all(&mut budget, start.after(Duration::from_millis(tick * 100)))).sum();
        assert!((440..=450).contains(&spent), "{spent}");
    }

    #[test]
    fn a_pause_holds_everybody_and_a_shorter_one_does_not_shorten_it() {
        let start = clock::now();
        let mut budget = Budget::new(50, 400, 5 * MINUTE, start);
        budget.pause(start, 5 * MINUTE);
        budget.pause(start, MINUTE);
        assert_eq!(budget.take(start.after(2 * MINUTE)), Err(3 * MINUTE));
        assert_eq!(budget.take(start.after(5 * MINUTE)), Ok(()));
    }
}
