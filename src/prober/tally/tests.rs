use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

/// One letter per outcome; `.` is a timeout.
fn outcome(letter: char) -> EchoOutcome {
    match letter {
        'R' => EchoOutcome::Reply { rtt: Duration::from_millis(12) },
        '.' => EchoOutcome::Failed(ProbeFailure::Timeout),
        'u' => EchoOutcome::Failed(ProbeFailure::Unreachable),
        'p' => EchoOutcome::Failed(ProbeFailure::Prohibited),
        't' => EchoOutcome::Failed(ProbeFailure::TtlExceeded),
        'b' => EchoOutcome::Failed(ProbeFailure::TooBig),
        'n' => EchoOutcome::Failed(ProbeFailure::NotSent),
        other => panic!("unknown letter: {other}"),
    }
}

fn thresholds(down_after: u32, up_after: u32) -> Thresholds {
    Thresholds { down_after: NonZeroU32::new(down_after).unwrap(), up_after: NonZeroU32::new(up_after).unwrap() }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn at(second: i64) -> Moment {
    Moment { instant: Instant::now(), wall: Timestamp::from_second(second).unwrap() }
}

/// The debounced state after each result: `U` up, `D` down, `-` unsettled.
fn story(results: &str) -> String {
    let tally = Tally::new(Buckets::rtt());
    results
        .chars()
        .map(|letter| {
            tally.begin();
            tally.finish(outcome(letter), at(0), thresholds(3, 2));
            match tally.state().up {
                Some(true) => 'U',
                Some(false) => 'D',
                None => '-',
            }
        })
        .collect()
}

#[test]
fn states_are_debounced() {
    for (what, results, states) in [
        ("two replies: up", "RR", "-U"),
        ("three failures: down", "...", "--D"),
        ("every reason counts as a failure", "utpb", "--DD"),
        ("two lost echoes: still up", "RR..R..R", "-UUUUUUU"),
        ("the third in a row: down", "RR...", "-UUUD"),
        ("one reply: still down", "...R.R.", "--DDDDD"),
        ("two replies in a row: up", "...RR", "--DDU"),
        ("unsent packets are ignored", "RRnn..n.", "-UUUUUUD"),
        ("only unsent packets: unknown", "RRnnnnRR", "-UUU---U"),
        ("only unsent packets after an outage: unknown", "...nnn...", "--DDD---D"),
    ] {
        assert_eq!(story(results), states, "{what}");
    }
}

#[test]
fn a_change_is_reported_once() {
    let tally = Tally::new(Buckets::rtt());
    let reported: String = "RRRR....RRn"
        .chars()
        .map(|letter| {
            tally.begin();
            if tally.finish(outcome(letter), at(0), thresholds(3, 2)) { '!' } else { ' ' }
        })
        .collect();
    // The first reply, up, down, up.
    assert_eq!(reported, "!!    !  ! ");
}

#[test]
fn the_time_of_the_latest_reply_is_kept() {
    let tally = Tally::new(Buckets::rtt());
    assert_eq!(tally.read().last_reply, None);
    for (second, letter) in [(100, '.'), (101, 'R'), (102, 'R'), (103, '.')] {
        tally.begin();
        tally.finish(outcome(letter), at(second), thresholds(3, 2));
    }
    let reading = tally.read();
    assert_eq!(reading.last_reply.map(Timestamp::as_second), Some(102));
    assert!(reading.state.ever_answered);
    assert_eq!(reading.rtt.count(), 2);
    assert_eq!(reading.rtt.sum(), Duration::from_millis(24));
}

#[test]
fn new_buckets_are_empty_and_the_counters_are_kept() {
    let tally = Tally::new(Buckets::rtt());
    tally.begin();
    tally.finish(outcome('R'), at(0), thresholds(3, 2));
    tally.set_buckets(Buckets::new([Duration::from_secs(1)]).unwrap());
    let reading = tally.read();
    assert_eq!((reading.replies, reading.rtt.count()), (1, 0));
}

#[test]
fn a_concurrent_reader_never_misses_an_echo() {
    let tally = Tally::new(Buckets::rtt());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200_000_u32 {
                tally.begin();
                let letter = ['R', '.', 'u', 'n'][(round % 4) as usize];
                tally.finish(outcome(letter), at(0), thresholds(3, 2));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let seen = tally.read();
            assert_eq!(seen.requests, seen.replies + seen.failures_total() + seen.in_flight);
            assert_eq!(seen.replies, seen.rtt.count());
        }
    });
    assert_eq!(tally.read().requests, 200_000);
}

proptest! {
    /// Whatever the order of events, every echo is counted exactly once.
    #[test]
    fn requests_are_replies_and_failures_and_in_flight(
        steps in proptest::collection::vec(prop_oneof![Just(None), "[R.uptbn]".prop_map(Some)], 0..300),
        down_after in 1..6_u32,
        up_after in 1..6_u32,
    ) {
        let tally = Tally::new(Buckets::rtt());
        let mut open = 0_u64;
        let mut ended = 0_u64;
        for step in steps {
            match step {
                None => { tally.begin(); open += 1; }
                Some(letter) if open > 0 => {
                    let before = tally.state();
                    let changed =
                        tally.finish(outcome(letter.chars().next().unwrap()), at(0), thresholds(down_after, up_after));
                    prop_assert_eq!(changed, tally.state() != before);
                    open -= 1;
                    ended += 1;
                }
                Some(_) => {}
            }
            let seen = tally.read();
            prop_assert_eq!(seen.requests, open + ended);
            prop_assert_eq!(seen.in_flight, open);
            prop_assert_eq!(seen.requests, seen.replies + seen.failures_total() + seen.in_flight);
            prop_assert_eq!(seen.state.ever_answered, seen.replies > 0);
        }
    }

    /// The state follows from the latest run of replies or failures that is long enough.
    #[test]
    fn the_state_follows_from_the_newest_runs(results in "[R.]{0,60}", down_after in 1..5_u32, up_after in 1..5_u32) {
        let tally = Tally::new(Buckets::rtt());
        for letter in results.chars() {
            tally.begin();
            tally.finish(outcome(letter), at(0), thresholds(down_after, up_after));
        }
        let up_run = "R".repeat(up_after as usize);
        let down_run = ".".repeat(down_after as usize);
        let expected = match (results.rfind(&up_run), results.rfind(&down_run)) {
            (None, None) => None,
            (up, down) => Some(up > down),
        };
        prop_assert_eq!(tally.state().up, expected);
    }
}

#[test]
fn the_history_ignores_unsent_echoes_and_survives_a_change_of_buckets() {
    let tally = Tally::new(Buckets::rtt());
    let start = at(0);
    tally.sample(start.instant);
    for letter in "RR.nnR".chars() {
        tally.begin();
        tally.finish(outcome(letter), start, thresholds(3, 2));
    }
    tally.set_buckets(Buckets::lag());
    tally.begin();
    tally.sample(start.instant + History::STEP);
    let span = tally.history().total();
    assert_eq!((span.replies, span.lost, span.rtt()), (3, 1, Some(Duration::from_millis(12))));
}
