use proptest::prelude::*;
use serde_json::json;

use super::*;

const MINUTE: i64 = 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 / MINUTE * MINUTE + second).unwrap()
}

fn window(from: i64, to: i64) -> AnswerWindow {
    AnswerWindow { from: at(from), to: at(to) }
}

fn state(value: &Value) -> SimulatedEdge {
    SimulatedEdge::parse(value).unwrap()
}

fn checks(rate: &'static str) -> HealthCheckSpec {
    HealthCheckSpec { rate, ..HealthCheckSpec::default() }
}

/// A tunnel in this state since the beginning of time.
fn always(value: &Value) -> EdgeTimeline {
    EdgeTimeline::new(&checks("mid"), Some(state(value)), Timestamp::MIN)
}

fn passed(history: &EdgeTimeline, window: AnswerWindow) -> u64 {
    history.results(window).iter().filter(|group| group.passed).map(|group| group.count).sum()
}

#[test]
fn the_number_of_checks_follows_from_the_rate() {
    for (rate, in_five_minutes) in [("low", 6_875), ("mid", 41_250), ("high", 412_500)] {
        let history = EdgeTimeline::new(&checks(rate), None, Timestamp::MIN);
        assert_eq!(history.count(window(0, 300)), in_five_minutes, "{rate}");
        assert_eq!(history.count(window(300, 300)), 0, "{rate}");
        assert_eq!(history.count(window(300, 0)), 0, "{rate}");
    }
}

#[test]
fn the_share_of_passed_checks_is_the_pass_ratio() {
    for ratio in [0.0, 0.001, 0.4, 0.5, 0.999_9, 1.0] {
        let history = always(&json!({"pass_ratio": ratio}));
        let share = passed(&history, window(0, 300)) as f64 / 41_250.0;
        assert!((share - ratio).abs() < 1e-4, "{ratio}: {share}");
    }
    let perfect = always(&json!({}));
    assert_eq!(perfect.results(window(0, 60)), [CheckCount { site: "", passed: true, count: 8_250 }]);
}

#[test]
fn a_window_in_the_past_shows_the_state_of_that_time() {
    let mut history = always(&json!({"pass_ratio": 1, "site": "old"}));
    history.set(&checks("mid"), Some(state(&json!({"pass_ratio": 0, "site": "new"}))), at(60));
    assert_eq!(history.score(window(0, 60)), Some((8_250, 1.0)));
    assert_eq!(history.score(window(60, 120)), Some((8_250, 0.0)));
    assert_eq!(history.score(window(0, 120)), Some((16_500, 0.5)));
    assert_eq!(history.score(window(0, 240)), Some((33_000, 0.25)));
    let groups = history.results(window(0, 120));
    let expected = [("old", true), ("new", false)].map(|(site, passed)| CheckCount { site, passed, count: 8_250 });
    assert_eq!(groups, expected);
}

#[test]
fn a_change_of_the_rate_counts_from_its_time_on() {
    let mut history = EdgeTimeline::new(&checks("mid"), None, Timestamp::MIN);
    history.set_checks(&checks("high"), at(60));
    assert_eq!(history.count(window(0, 120)), 8_250 + 82_500);
}

#[test]
fn a_tunnel_has_no_checks_before_it_exists() {
    let history = EdgeTimeline::new(&checks("mid"), None, at(60));
    assert_eq!(history.count(window(0, 60)), 0);
    assert_eq!(history.score(window(0, 60)), None);
    assert_eq!(history.count(window(0, 120)), 8_250);
    assert_eq!(history.checked_until(at(60)), None);
    assert_eq!(history.checked_until(at(120)), Some(at(120)));
}

#[test]
fn disabled_checks_have_no_results_unless_the_story_sets_them() {
    let off = HealthCheckSpec { enabled: false, ..HealthCheckSpec::default() };
    let silent = EdgeTimeline::new(&off, None, Timestamp::MIN);
    assert_eq!((silent.count(window(0, 60)), silent.checked_until(at(60))), (0, None));
    let shown = EdgeTimeline::new(&off, Some(state(&json!({"pass_ratio": 0}))), Timestamp::MIN);
    assert_eq!(shown.score(window(0, 60)), Some((8_250, 0.0)));

    let mut switched = EdgeTimeline::new(&checks("mid"), None, Timestamp::MIN);
    switched.set_checks(&off, at(60));
    assert_eq!(switched.count(window(0, 600)), 8_250);
    assert_eq!(switched.checked_until(at(600)), Some(at(60)));
}

#[test]
fn the_score_follows_from_the_data_centers_or_else_from_the_pass_ratio() {
    for (text, score) in [
        (json!({}), 1.0),
        (json!({"pass_ratio": 0.81}), 1.0),
        (json!({"pass_ratio": 0.8}), 0.5),
        (json!({"pass_ratio": 0.4}), 0.5),
        (json!({"pass_ratio": 0.39}), 0.0),
        (json!({"pass_ratio": 0.9, "state_by_colo": {"fra01": "down"}}), 0.0),
        (
            json!({"state_by_colo": {"fra01": "healthy", "ams01": "degraded", "lhr01": "down", "cdg01": "healthy"}}),
            0.625,
        ),
    ] {
        assert_eq!(always(&text).score(window(0, 60)), Some((8_250, score)), "{text}");
    }
}

#[test]
fn traffic_follows_from_its_rate_and_is_absent_without_one() {
    let history = always(&json!({"traffic": {"to_site": 8_000_000}}));
    let sum = SimulatedTraffic { bits: 2_400_000_000, packets: 300_000 };
    assert_eq!(history.traffic(window(0, 300), FlowDirection::ToSite), Some(sum));
    assert_eq!(history.traffic(window(0, 300), FlowDirection::FromSite), None);
    assert_eq!(history.traffic(window(300, 300), FlowDirection::ToSite), None);
    let most = always(&json!({"traffic": {"from_site": MAX_BITS_PER_SECOND}}));
    assert!(most.traffic(window(0, 300), FlowDirection::FromSite).unwrap().bits > 1 << 53);
    let week = most.traffic(window(0, 7 * 24 * 3600), FlowDirection::FromSite).unwrap();
    assert_eq!(week.bits, u64::MAX, "a sum that is too large for the type is the largest one");
}

#[test]
fn the_history_is_bounded_and_forgets_the_oldest_changes() {
    let mut history = always(&json!({"pass_ratio": 1}));
    for second in 0..10_000 {
        let ratio = f64::from(second % 2);
        history.set(&checks("mid"), Some(state(&json!({"pass_ratio": ratio}))), at(i64::from(second)));
    }
    assert_eq!(history.periods.len(), MAX_PERIODS);
    let oldest = history.periods[0].from;
    assert_eq!(history.count(AnswerWindow { from: at(0), to: oldest }), 0, "what was forgotten is not invented");
    assert_eq!(history.score(window(9_998, 9_999)).map(|(_, score)| score), Some(0.0));
    assert_eq!(history.score(window(9_999, 10_000)).map(|(_, score)| score), Some(1.0));
}

#[test]
fn setting_the_same_state_again_is_no_change() {
    let mut history = always(&json!({"pass_ratio": 0.5}));
    for second in 0..1_000 {
        history.set(&checks("mid"), Some(state(&json!({"pass_ratio": 0.5}))), at(second));
        history.set_checks(&checks("mid"), at(second));
    }
    assert_eq!(history.periods.len(), 1);
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_disorder_the_history() {
    let mut history = always(&json!({"pass_ratio": 1}));
    history.set(&checks("mid"), Some(state(&json!({"pass_ratio": 0}))), at(100));
    history.set(&checks("mid"), Some(state(&json!({"pass_ratio": 0.5}))), at(40));
    assert_eq!(history.score(window(40, 100)), Some((8_250, 1.0)));
    assert_eq!(history.score(window(100, 200)), Some((13_750, 0.5)));
}

#[test]
fn errors_name_the_value_and_the_rule() {
    let many: serde_json::Map<_, _> = (0..401).map(|number| (number.to_string(), json!("down"))).collect();
    for (value, word) in [
        (json!({"pass_ratio": 1.5}), "`pass_ratio` must be from 0 to 1, not 1.5"),
        (json!({"pass_ratio": -0.1}), "`pass_ratio` must be from 0 to 1, not -0.1"),
        (json!({"pass_ratio": "all"}), "invalid type: string \"all\""),
        (json!({"ratio": 1}), "unknown field `ratio`"),
        (json!({"state_by_colo": {"fra01": "sick"}}), "unknown variant `sick`"),
        (json!({"state_by_colo": many}), "`state_by_colo` can have at most 400 data centers"),
        (json!({"traffic": {"to_site": -1}}), "invalid value"),
        (json!({"traffic": {"to_site": 1_000_000_000_000_001_u64}}), "`traffic` can be at most 1000000000000000"),
        (json!({"traffic": {"sideways": 1}}), "unknown field `sideways`"),
        (json!("down"), "invalid type"),
    ] {
        let error = SimulatedEdge::parse(&value).unwrap_err();
        assert!(error.contains(word), "{value}: {error}");
    }
}

proptest! {
    #[test]
    fn the_counts_of_adjoining_windows_add_up(
        ratio in 0.0_f64..=1.0,
        later in 0.0_f64..=1.0,
        change in 0_i64..10_000,
        mut edges in proptest::array::uniform3(0_i64..10_000),
    ) {
        edges.sort_unstable();
        let [from, middle, to] = edges;
        let mut history = always(&json!({"pass_ratio": ratio, "traffic": {"to_site": 123_456_789}}));
        history.set(&checks("high"), Some(state(&json!({"pass_ratio": later, "traffic": {"to_site": 7}}))), at(change));
        let parts = [window(from, middle), window(middle, to)];
        let whole = window(from, to);
        prop_assert_eq!(parts.map(|part| history.count(part)).iter().sum::<u64>(), history.count(whole));
        prop_assert_eq!(parts.map(|part| passed(&history, part)).iter().sum::<u64>(), passed(&history, whole));
        let results: u64 = history.results(whole).iter().map(|group| group.count).sum();
        prop_assert_eq!(results, history.count(whole));
        let bits = |part| history.traffic(part, FlowDirection::ToSite).map_or(0, |sum| sum.bits);
        prop_assert_eq!(parts.map(bits).iter().sum::<u64>(), bits(whole));
    }
}
