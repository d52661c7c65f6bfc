//! The last ten minutes of one probed address, in steps of ten seconds: enough for a graph on the page.
//!
//! Takes about half a kilobyte per address and never grows.

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

/// Echoes of an address that have ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub replies: u64,
    /// Those that left and were not answered. One that never left says nothing about the path.
    pub lost: u64,
    /// All round-trip times of the replies together.
    pub rtt_sum: Duration,
}

/// Echoes that ended within some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub replies: u32,
    pub lost: u32,
    rtt_sum: Duration,
}

impl Span {
    /// The mean round-trip time; `None` without a reply.
    pub fn rtt(self) -> Option<Duration> {
        self.rtt_sum.checked_div(self.replies)
    }

    /// The share of echoes that were not answered, 0 to 1; `None` where none ended.
    pub fn loss(self) -> Option<f64> {
        let ended = f64::from(self.replies) + f64::from(self.lost);
        (ended > 0.0).then(|| f64::from(self.lost) / ended)
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

/// A [`Span`] in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slot {
    replies: u16,
    lost: u16,
    rtt_sum_micros: u32,
}

impl Slot {
    fn between(before: Progress, after: Progress) -> Self {
        let rtt_sum = after.rtt_sum.saturating_sub(before.rtt_sum);
        Self {
            replies: u16::try_from(after.replies.saturating_sub(before.replies)).unwrap_or(u16::MAX),
            lost: u16::try_from(after.lost.saturating_sub(before.lost)).unwrap_or(u16::MAX),
            rtt_sum_micros: u32::try_from(rtt_sum.as_micros()).unwrap_or(u32::MAX),
        }
    }

    fn span(self) -> Span {
        let rtt_sum = Duration::from_micros(self.rtt_sum_micros.into());
        Span { replies: self.replies.into(), lost: self.lost.into(), rtt_sum }
    }
}

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// A ring; `next` is the oldest once it is full.
    slots: [Slot; Self::STEPS],
    next: usize,
    last: Option<(Instant, Progress)>,
}

impl History {
    pub const STEP: Duration = Duration::from_secs(10);
    pub const STEPS: usize = 60;

    pub const fn new() -> Self {
        let none = Slot { replies: 0, lost: 0, rtt_sum_micros: 0 };
        Self { slots: [none; Self::STEPS], next: 0, last: None }
    }

    /// Takes what has ended by `now`, about one [`STEP`](Self::STEP) after it was called last; steps that were left out stay empty.
    pub fn record(&mut self, progress: Progress, now: Instant) {
        let Some((then, before)) = self.last.replace((now, progress)) else { return };
        let elapsed = now.saturating_duration_since(then);
        let steps = (elapsed + Self::STEP / 2).as_nanos() / Self::STEP.as_nanos();
        for _ in 1..usize::try_from(steps).map_or(Self::STEPS, |steps| steps.min(Self::STEPS)) {
            self.push(Slot::default());
        }
        self.push(Slot::between(before, progress));
    }

    fn push(&mut self, slot: Slot) {
        self.slots[self.next] = slot;
        self.next = (self.next + 1) % Self::STEPS;
    }

    /// Every step, the oldest first; one of which nothing is known is empty.
    pub fn steps(&self) -> impl Iterator<Item = Span> {
        let (newer, older) = self.slots.split_at(self.next);
        older.iter().chain(newer).map(|slot| slot.span())
    }

    /// All steps together.
    pub fn total(&self) -> Span {
        self.steps().sum()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

/// Records the counters of every probed address once per [`History::STEP`], until `stop`.
///
/// Runs beside the prober and never on its thread. Each sample holds the lock of a tally for some nanoseconds.
pub async fn sample(board: watch::Receiver<Arc<ProbeBoard>>, stop: CancellationToken) {
    let mut steps = interval(History::STEP);
    // A late sample leaves a gap; two in quick succession would distort the steps.
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel safety: a tick that was dropped comes again.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = steps.tick() => {}
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
        domain::probe::{Binding, Outcome, SessionKey, SocketMode, Thresholds},
        prober::{histogram::Buckets, tally::Tally},
    };

    const fn progress(replies: u64, lost: u64, rtt_sum_ms: u64) -> Progress {
        Progress { replies, lost, rtt_sum: Duration::from_millis(rtt_sum_ms) }
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
    fn a_step_holds_what_ended_in_it() {
        let mut history = History::new();
        let start = start();
        // What was counted before the first look belongs to no step.
        history.record(progress(500, 3, 9_000), start);
        history.record(progress(509, 4, 9_108), start + History::STEP);
        history.record(progress(509, 14, 9_108), start + 2 * History::STEP);
        assert_eq!(newest(&history, 3), [(0, 0, None), (9, 1, Some(12)), (0, 10, None)]);
        assert_eq!((history.total().replies, history.total().loss()), (9, Some(0.55)));
        assert_eq!(History::new().total().loss(), None, "nothing ended is not no loss");
    }

    #[test]
    fn a_late_look_leaves_a_gap_and_a_hasty_one_does_not() {
        let mut history = History::new();
        let start = start();
        history.record(progress(0, 0, 0), start);
        history.record(progress(10, 0, 100), start + History::STEP);
        history.record(progress(40, 0, 400), start + 4 * History::STEP);
        history.record(progress(45, 0, 450), start + 4 * History::STEP + Duration::from_secs(4));
        let replies: Vec<u32> = newest(&history, 5).into_iter().map(|(replies, ..)| replies).collect();
        assert_eq!(replies, [10, 0, 0, 30, 5]);
        // The machine slept for a day.
        history.record(progress(60, 0, 600), start + Duration::from_hours(24));
        assert_eq!(history.total().replies, 15, "all that was before is forgotten");
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<History>() <= 600, "{} bytes", size_of::<History>());
    }

    proptest! {
        #[test]
        fn the_last_sixty_steps_are_kept_in_order(replies in prop::collection::vec(0_u16..100, 1..200)) {
            let mut history = History::new();
            let (mut at, mut sum) = (start(), progress(0, 0, 0));
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
        fn any_progress_is_taken(replies in any::<u64>(), lost in any::<u64>(), rtt in any::<u64>(), pause in 0_u64..1_000_000) {
            let mut history = History::new();
            let start = start();
            history.record(progress(1, 1, 1), start);
            history.record(progress(replies, lost, rtt), start + Duration::from_millis(pause));
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
        tasks.spawn(sample(boards, stop.clone()));
        for _ in 0..35 {
            sleep(Duration::from_secs(1)).await;
            tally.begin();
            let reply = Outcome::Reply { rtt: Duration::from_millis(3) };
            tally.finish(reply, clock::now(), Thresholds { down_after: ONE, up_after: ONE });
        }
        let replies: Vec<u32> =
            tally.history().steps().map(|span| span.replies).skip_while(|&replies| replies == 0).collect();
        // Whether the echo of a full step is counted before or after the look is a matter of chance.
        assert_eq!(replies.len(), 3, "{replies:?}");
        assert!((29..=30).contains(&replies.iter().sum::<u32>()), "{replies:?}");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
