use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn origin() -> Instant {
    Instant::now()
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn turns_are_one_interval_apart() {
    let start = origin();
    let mut schedule = Schedule::new(start, Phase(1 << 31), SECOND, start);
    for turn in 0..5 {
        assert_eq!(schedule.due(), start + ms(500) + turn * SECOND);
        assert_eq!(schedule.take_turn(schedule.due()), Some(Duration::ZERO));
    }
}

#[test]
fn before_its_time_no_turn_is_taken() {
    let start = origin();
    let mut schedule = Schedule::new(start, Phase(1 << 31), SECOND, start);
    assert_eq!(schedule.take_turn(start + ms(499)), None);
    assert_eq!(schedule.take_turn(start + ms(510)), Some(ms(10)));
    assert_eq!(schedule.take_turn(start + ms(510)), None);
}

#[test]
fn a_late_scheduler_skips_turns_and_never_bursts() {
    let start = origin();
    let mut schedule = Schedule::new(start, Phase(0), SECOND, start);
    let woken = start + ms(61_300);
    assert_eq!(schedule.take_turn(woken), Some(ms(60_300)));
    assert_eq!(schedule.take_turn(woken), None);
    assert_eq!(schedule.due(), start + ms(62_000), "back in step");
}

#[test]
fn another_interval_counts_at_once() {
    let start = origin();
    let mut schedule = Schedule::new(start, Phase(1 << 31), Duration::from_mins(1), start);
    assert_eq!(schedule.due(), start + ms(30_000));
    schedule.set_interval(SECOND, start + ms(3_000));
    assert_eq!(schedule.due(), start + ms(3_500));
}

#[test]
fn sessions_whose_turns_are_close_wake_the_prober_once() {
    let start = origin();
    let mut phases = Phases::default();
    let turns = (0..10_000).map(|_| Schedule::new(start, phases.take(), SECOND, start).due() - start);
    let mut sessions_of_a_wake_up = std::collections::BTreeMap::<Duration, u32>::new();
    for turn in turns {
        *sessions_of_a_wake_up.entry(turn).or_default() += 1;
    }
    assert_eq!(sessions_of_a_wake_up.len(), 500);
    assert!(sessions_of_a_wake_up.values().all(|&sessions| sessions <= 22), "{sessions_of_a_wake_up:?}");
}

/// The most sends that fall into any window of a hundredth of the interval, of `sessions` with phases handed out in turn.
fn densest_hundredth(sessions: u32) -> usize {
    let mut phases = Phases::default();
    let mut sends: Vec<u64> = (0..sessions).map(|_| u64::from(phases.take().0)).collect();
    sends.sort_unstable();
    let again: Vec<u64> = sends.iter().map(|at| at + (1 << 32)).collect();
    sends.extend(again);
    let window = (1_u64 << 32) / 100;
    let mut first = 0;
    let mut most = 0;
    for last in 0..sends.len() {
        while sends[last] - sends[first] >= window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

#[test]
fn sends_are_spread_evenly_whatever_their_number() {
    for (sessions, most) in [(1, 1), (10, 1), (100, 3), (1_000, 13), (10_000, 103)] {
        let densest = densest_hundredth(sessions);
        assert!(densest <= most, "{sessions} sessions: {densest} in a hundredth of the interval");
    }
}

proptest! {
    /// The next turn is always ahead, never more than an interval away, and in step with the phase.
    #[test]
    fn the_next_turn_is_within_one_interval(
        phase: u32,
        interval_ms in 100..120_000_u64,
        elapsed_us in 0..10_000_000_000_u64,
    ) {
        let start = origin();
        let now = start + Duration::from_micros(elapsed_us);
        let schedule = Schedule::new(start, Phase(phase), ms(interval_ms), now);
        prop_assert!(schedule.due() > now);
        prop_assert!(schedule.due() <= now + ms(interval_ms));
    }

    /// However the driver stumbles, there are never more turns than intervals have passed, plus one.
    #[test]
    fn turns_never_outnumber_intervals(sleeps in proptest::collection::vec(0..5_000_u64, 1..200), phase: u32) {
        let start = origin();
        let mut now = start;
        let mut schedule = Schedule::new(start, Phase(phase), SECOND, now);
        let mut turns = 0;
        for sleep in sleeps {
            now += ms(sleep);
            turns += u64::from(schedule.take_turn(now).is_some());
            prop_assert_eq!(schedule.take_turn(now), None);
        }
        prop_assert!(turns <= (now - start).as_secs() + 1);
    }
}
