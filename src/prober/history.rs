//! The last ten minutes of a probed address in steps of ten seconds, for graphs. Fixed size, about 500 bytes per
//! address.

use std::{
    iter::Sum,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use web_toolkit::clock;

use super::board::ProbeBoard;

/// Totals of the finished echoes of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EchoTotals {
    pub replies: u64,
    /// Echoes without a reply. Echoes that were not sent do not count.
    pub lost: u64,
    /// Sum of the round-trip times.
    pub rtt_sum: Duration,
}

/// Finished echoes of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub replies: u32,
    pub lost: u32,
    rtt_sum: Duration,
}

impl Span {
    /// Returns the mean round-trip time; `None` without a reply.
    pub fn rtt(self) -> Option<Duration> {
        self.rtt_sum.checked_div(self.replies)
    }

    /// Returns the fraction of lost echoes, 0 to 1; `None` if no echo finished.
    pub fn loss(self) -> Option<f64> {
        let finished = f64::from(self.replies) + f64::from(self.lost);
        (finished > 0.0).then(|| f64::from(self.lost) / finished)
    }
}

impl Sum for Span {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::default(), |sum, span| Self {
            replies: sum.replies.saturating_add(span.replies),
            lost: sum.lost.saturating_add(span.lost),
            rtt_sum: sum.rtt_sum.saturating_add(span.rtt_sum),
        })
    }
}

/// A [`Span`] packed into eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PackedSpan {
    replies: u16,
    lost: u16,
    rtt_sum_micros: u32,
}

impl PackedSpan {
    fn between(before: EchoTotals, after: EchoTotals) -> Self {
        let rtt_sum = after.rtt_sum.saturating_sub(before.rtt_sum);
        Self {
            replies: u16::try_from(after.replies.saturating_sub(before.replies)).unwrap_or(u16::MAX),
            lost: u16::try_from(after.lost.saturating_sub(before.lost)).unwrap_or(u16::MAX),
            rtt_sum_micros: u32::try_from(rtt_sum.as_micros()).unwrap_or(u32::MAX),
        }
    }

    fn unpack(self) -> Span {
        let rtt_sum = Duration::from_micros(self.rtt_sum_micros.into());
        Span { replies: self.replies.into(), lost: self.lost.into(), rtt_sum }
    }
}

/// Ring buffer of the last [`STEPS`](Self::STEPS) steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The slot at `next` is the oldest one.
    slots: [PackedSpan; Self::STEPS],
    next: usize,
    last: Option<(Instant, EchoTotals)>,
}

impl History {
    pub const STEP: Duration = Duration::from_secs(10);
    pub const STEPS: usize = 60;

    pub const fn new() -> Self {
        let none = PackedSpan { replies: 0, lost: 0, rtt_sum_micros: 0 };
        Self { slots: [none; Self::STEPS], next: 0, last: None }
    }

    /// Adds the echoes since the last call, which should be one [`STEP`](Self::STEP) ago. Missed steps stay empty.
    pub fn record(&mut self, totals: EchoTotals, now: Instant) {
        let Some((then, before)) = self.last.replace((now, totals)) else { return };
        let elapsed = now.saturating_duration_since(then);
        let steps = (elapsed + Self::STEP / 2).as_nanos() / Self::STEP.as_nanos();
        for _ in 1..usize::try_from(steps).map_or(Self::STEPS, |steps| steps.min(Self::STEPS)) {
            self.push(PackedSpan::default());
        }
        self.push(PackedSpan::between(before, totals));
    }

    fn push(&mut self, slot: PackedSpan) {
        self.slots[self.next] = slot;
        self.next = (self.next + 1) % Self::STEPS;
    }

    /// Returns every step, the oldest first. Steps without data are empty.
    pub fn steps(&self) -> impl Iterator<Item = Span> {
        let (newer, older) = self.slots.split_at(self.next);
        older.iter().chain(newer).map(|slot| slot.unpack())
    }

    /// Returns the sum of all steps.
    pub fn total(&self) -> Span {
        self.steps().sum()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

/// Samples the counters of every probed address once per [`History::STEP`] until `stop` is cancelled.
///
/// Runs outside the prober's thread. Each sample locks a tally for some nanoseconds.
pub async fn sample_targets(board: watch::Receiver<Arc<ProbeBoard>>, stop: CancellationToken) {
    let mut ticks = interval(History::STEP);
    // A late sample leaves a gap; two samples in quick succession would distort the steps.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel safety: dropping a tick loses nothing.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let board = Arc::clone(&board.borrow());
        let now = clock::now().instant;
        for (_, tally) in board.sessions.iter() {
            tally.sample(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use tokio::{task::JoinSet, time::sleep};

    use super::*;
    use crate::{
        domain::probe::{Binding, EchoOutcome, SessionKey, SocketMode, Thresholds},
        prober::{histogram::Buckets, tally::Tally},
    };

    const fn totals(replies: u64, lost: u64, rtt_sum_ms: u64) -> EchoTotals {
        EchoTotals { replies, lost, rtt_sum: Duration::from_millis(rtt_sum_ms) }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    /// The newest steps, as replies, losses and mean in milliseconds.
    fn newest(history: &History, count: usize) -> Vec<(u32, u32, Option<u128>)> {
        let steps = history.steps().skip(History::STEPS - count);
        steps.map(|span| (span.replies, span.lost, span.rtt().map(|rtt| rtt.as_millis()))).collect()
    }

    #[test]
    fn a_step_contains_the_echoes_that_finished_in_it() {
        let mut history = History::new();
        let start = start();
        // Echoes before the first sample belong to no step.
        history.record(totals(500, 3, 9_000), start);
        history.record(totals(509, 4, 9_108), start + History::STEP);
        history.record(totals(509, 14, 9_108), start + 2 * History::STEP);
        assert_eq!(newest(&history, 3), [(0, 0, None), (9, 1, Some(12)), (0, 10, None)]);
        assert_eq!((history.total().replies, history.total().loss()), (9, Some(0.55)));
        assert_eq!(History::new().total().loss(), None, "no finished echo is not the same as no loss");
    }

    #[test]
    fn a_late_sample_leaves_a_gap_and_an_early_one_does_not() {
        let mut history = History::new();
        let start = start();
        history.record(totals(0, 0, 0), start);
        history.record(totals(10, 0, 100), start + History::STEP);
        history.record(totals(40, 0, 400), start + 4 * History::STEP);
        history.record(totals(45, 0, 450), start + 4 * History::STEP + Duration::from_secs(4));
        let replies: Vec<u32> = newest(&history, 5).into_iter().map(|(replies, ..)| replies).collect();
        assert_eq!(replies, [10, 0, 0, 30, 5]);
        // The machine slept for a day.
        history.record(totals(60, 0, 600), start + Duration::from_hours(24));
        assert_eq!(history.total().replies, 15, "all older steps are dropped");
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<History>() <= 600, "{} bytes", size_of::<History>());
    }

    proptest! {
        #[test]
        fn the_last_sixty_steps_are_kept_in_order(replies in prop::collection::vec(0_u16..100, 1..200)) {
            let mut history = History::new();
            let (mut at, mut sum) = (start(), totals(0, 0, 0));
            history.record(sum, at);
            for &count in &replies {
                at += History::STEP;
                sum.replies += u64::from(count);
                history.record(sum, at);
            }
            let expected: Vec<u32> = replies.iter().rev().take(History::STEPS).rev().map(|&n| n.into()).collect();
            let kept: Vec<u32> = history.steps().map(|span| span.replies).collect();
            prop_assert_eq!(&kept[History::STEPS - expected.len()..], &expected[..]);
        }

        #[test]
        fn any_totals_are_accepted(replies in any::<u64>(), lost in any::<u64>(), rtt in any::<u64>(), pause in 0_u64..1_000_000) {
            let mut history = History::new();
            let start = start();
            history.record(totals(1, 1, 1), start);
            history.record(totals(replies, lost, rtt), start + Duration::from_millis(pause));
            prop_assert!(history.total().loss().is_none_or(|loss| (0.0..=1.0).contains(&loss)));
        }
    }

    fn board(tally: &Arc<Tally>) -> Arc<ProbeBoard> {
        let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None });
        let key = SessionKey { address: [127, 0, 0, 1].into(), binding };
        Arc::new(ProbeBoard { sessions: [(key, Arc::clone(tally))].into(), ..ProbeBoard::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn each_probed_address_is_sampled_once_per_step() {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        let (_open, boards) = watch::channel(board(&tally));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(sample_targets(boards, stop.clone()));
        for _ in 0..35 {
            sleep(Duration::from_secs(1)).await;
            tally.begin();
            let reply = EchoOutcome::Reply { rtt: Duration::from_millis(3) };
            tally.finish(reply, clock::now(), Thresholds { down_after: ONE, up_after: ONE });
        }
        let replies: Vec<u32> =
            tally.history().steps().map(|span| span.replies).skip_while(|&replies| replies == 0).collect();
        // The echo at the end of a step may be counted before or after the sample.
        assert_eq!(replies.len(), 3, "{replies:?}");
        assert!((29..=30).contains(&replies.iter().sum::<u32>()), "{replies:?}");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
