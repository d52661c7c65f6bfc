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
fn sends_are_one_interval_apart() {
    let start = origin();
    let mut schedule = Schedule::new(start, SendPhase(1 << 31), SECOND, start);
    for count in 0..5 {
        assert_eq!(schedule.due(), start + ms(500) + count * SECOND);
        assert_eq!(schedule.advance(schedule.due()), Some(Duration::ZERO));
    }
}

#[test]
fn nothing_is_sent_before_its_time() {
    let start = origin();
    let mut schedule = Schedule::new(start, SendPhase(1 << 31), SECOND, start);
    assert_eq!(schedule.advance(start + ms(499)), None);
    assert_eq!(schedule.advance(start + ms(510)), Some(ms(10)));
    assert_eq!(schedule.advance(start + ms(510)), None);
}

#[test]
fn a_stalled_session_skips_sends_instead_of_bursting() {
    let start = origin();
    let mut schedule = Schedule::new(start, SendPhase(0), SECOND, start);
    let woken = start + ms(61_300);
    assert_eq!(schedule.advance(woken), Some(ms(60_300)));
    assert_eq!(schedule.advance(woken), None);
    assert_eq!(schedule.due(), start + ms(62_000), "back on schedule");
}

#[test]
fn a_new_interval_applies_immediately() {
    let start = origin();
    let mut schedule = Schedule::new(start, SendPhase(1 << 31), Duration::from_mins(1), start);
    assert_eq!(schedule.due(), start + ms(30_000));
    schedule.set_interval(SECOND, start + ms(3_000));
    assert_eq!(schedule.due(), start + ms(3_500));
}

#[test]
fn sessions_close_to_each_other_share_a_wake_up() {
    let start = origin();
    let mut phases = PhaseSequence::default();
    let sends = (0..10_000).map(|_| Schedule::new(start, phases.next_phase(), SECOND, start).due() - start);
    let mut sessions_per_wake_up = std::collections::BTreeMap::<Duration, u32>::new();
    for send in sends {
        *sessions_per_wake_up.entry(send).or_default() += 1;
    }
    assert_eq!(sessions_per_wake_up.len(), 500);
    assert!(sessions_per_wake_up.values().all(|&sessions| sessions <= 22), "{sessions_per_wake_up:?}");
}

/// Maximum number of sends in any hundredth of the interval, for `sessions` with consecutive phases.
fn densest_hundredth(sessions: u32) -> usize {
    let mut phases = PhaseSequence::default();
    let mut sends: Vec<u64> = (0..sessions).map(|_| u64::from(phases.next_phase().0)).collect();
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
fn any_number_of_sends_is_distributed_evenly() {
    for (sessions, most) in [(1, 1), (10, 1), (100, 3), (1_000, 13), (10_000, 103)] {
        let densest = densest_hundredth(sessions);
        assert!(densest <= most, "{sessions} sessions: {densest} in a hundredth of the interval");
    }
}

proptest! {
    /// The next send is always in the future, at most one interval away.
    #[test]
    fn the_next_send_is_within_one_interval(
        phase: u32,
        interval_ms in 100..120_000_u64,
        elapsed_us in 0..10_000_000_000_u64,
    ) {
        let start = origin();
        let now = start + Duration::from_micros(elapsed_us);
        let schedule = Schedule::new(start, SendPhase(phase), ms(interval_ms), now);
        prop_assert!(schedule.due() > now);
        prop_assert!(schedule.due() <= now + ms(interval_ms));
    }

    /// Whatever the stalls, there is at most one send per interval, plus one.
    #[test]
    fn sends_never_outnumber_intervals(sleeps in proptest::collection::vec(0..5_000_u64, 1..200), phase: u32) {
        let start = origin();
        let mut now = start;
        let mut schedule = Schedule::new(start, SendPhase(phase), SECOND, now);
        let mut sends = 0;
        for sleep in sleeps {
            now += ms(sleep);
            sends += u64::from(schedule.advance(now).is_some());
            prop_assert_eq!(schedule.advance(now), None);
        }
        prop_assert!(sends <= (now - start).as_secs() + 1);
    }
}
