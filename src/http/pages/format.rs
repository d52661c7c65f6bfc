//! Times, durations and numbers as text.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::clock::Moment;

/// How long ago a moment of this process was, by the monotonic clock.
pub(super) fn time_since(now: Moment, then: Moment) -> Markup {
    time_element(then.wall, &format!("{} ago", format_duration(now.since(then))))
}

/// How long ago an external timestamp is; the exact time if it is in the future.
pub(super) fn time_at(now: Moment, then: Timestamp) -> Markup {
    match Duration::try_from(now.wall.duration_since(then)) {
        Ok(age) => time_element(then, &format!("{} ago", format_duration(age))),
        Err(_) => time_element(then, &exact_time(then)),
    }
}

fn time_element(then: Timestamp, text: &str) -> Markup {
    html! { time datetime=(then.to_string()) title=(exact_time(then)) { (text) } }
}

/// How long ago an external timestamp is, with the exact time below.
pub(super) fn time_and_age(now: Moment, then: Timestamp) -> Markup {
    html! { (time_at(now, then)) br; small { (exact_time_element(then)) } }
}

/// The exact time. The script of the pages adds the local time: here to the text, and elsewhere to the title.
pub(super) fn exact_time_element(time: Timestamp) -> Markup {
    html! { time class="exact" datetime=(time.to_string()) { (exact_time(time)) } }
}

pub(super) fn exact_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// At most the two largest units: `3 min`, `2 h 5 min`.
pub(super) fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, name: &str, small: u64, second: &str| match small {
        0 => format!("{large}\u{a0}{name}"),
        _ => format!("{large}\u{a0}{name} {small}\u{a0}{second}"),
    };
    match seconds {
        0..60 => format!("{seconds}\u{a0}s"),
        60..600 => two(seconds / 60, "min", seconds % 60, "s"),
        600..3600 => format!("{}\u{a0}min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        86_400..864_000 => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
        _ => format!("{}\u{a0}d", seconds / 86_400),
    }
}

/// An interval of the configuration, which can be a fraction of a second.
pub(super) fn format_interval(interval: Duration) -> String {
    if interval.subsec_nanos() == 0 { format_duration(interval) } else { format_ms(interval) }
}

/// Milliseconds with three significant digits.
pub(super) fn format_ms(rtt: Duration) -> String {
    format!("{}\u{a0}ms", three_digits(rtt.as_secs_f64() * 1e3))
}

/// A rate with three significant digits and a decimal prefix.
pub(super) fn format_bit_rate(bits_per_second: f64) -> String {
    let (value, unit) = match bits_per_second {
        rate if rate >= 1e9 => (rate / 1e9, "Gbit/s"),
        rate if rate >= 1e6 => (rate / 1e6, "Mbit/s"),
        rate => (rate / 1e3, "kbit/s"),
    };
    format!("{}\u{a0}{unit}", three_digits(value))
}

/// A score of 0 to 1.
pub(super) fn format_score(score: f64) -> String {
    format!("{score:.2}")
}

/// Integers of four digits and more keep them all.
fn three_digits(value: f64) -> String {
    let digits = match value {
        ..=0.0 => 0,
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// The value of a mark on an axis: `50 ms`, `2.5 ms`.
pub(super) fn format_axis(value: Duration) -> String {
    format!("{}\u{a0}ms", value.as_secs_f64() * 1e3)
}

/// A ratio in percent. A partial loss is never rounded to 0 % or 100 %.
pub(super) fn format_percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        ..=0.0 => "0\u{a0}%".into(),
        ..0.1 => "< 0.1\u{a0}%".into(),
        ..9.95 => format!("{percent:.1}\u{a0}%"),
        ..100.0 => format!("{:.0}\u{a0}%", percent.min(99.0)),
        _ => "100\u{a0}%".into(),
    }
}

/// `IPsec · Frankfurt`.
pub(super) fn join_with_dots<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(" · ")
}

/// `1 tunnel`, `7 tunnels`.
pub(super) fn count_noun(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{}\u{a0}{}", format_count(number), if number == 1 { one } else { many })
}

/// `1,476 bytes`.
pub(super) fn format_bytes(number: impl TryInto<u64>) -> String {
    count_noun(number, "byte", "bytes")
}

/// The sentence with a capital letter.
pub(super) fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `10,000`.
pub(super) fn format_count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (599, "9 min 59 s"),
            (601, "10 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (90_000, "1 d 1 h"),
            (8_640_000, "100 d"),
        ] {
            assert_eq!(format_duration(Duration::from_secs(seconds)).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn round_trip_times_and_losses_keep_their_significant_digits() {
        for (micros, text) in [(62, "0.062 ms"), (1_234, "1.23 ms"), (12_345, "12.3 ms"), (123_456, "123 ms")] {
            assert_eq!(format_ms(Duration::from_micros(micros)).replace('\u{a0}', " "), text);
        }
        for (share, text) in
            [(0.0, "0 %"), (0.0001, "< 0.1 %"), (0.034, "3.4 %"), (0.5, "50 %"), (0.999, "99 %"), (1.0, "100 %")]
        {
            assert_eq!(format_percent(share).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn rates_have_three_significant_digits_and_a_decimal_prefix() {
        for (rate, text) in [
            (0.0, "0 kbit/s"),
            (950.0, "0.950 kbit/s"),
            (64_000.0, "64.0 kbit/s"),
            (1.5e6, "1.50 Mbit/s"),
            (9.87e9, "9.87 Gbit/s"),
        ] {
            assert_eq!(format_bit_rate(rate).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn intervals_can_be_fractions_of_a_second() {
        for (ms, text) in [(200, "200 ms"), (1_000, "1 s"), (1_500, "1500 ms"), (90_000, "1 min 30 s")] {
            assert_eq!(format_interval(Duration::from_millis(ms)).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
            assert_eq!(format_count(number), text);
        }
    }
}
