//! Times and durations as people read them.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::clock::Moment;

/// A moment of our own: how long ago, measured on the clock that does not jump.
pub(super) fn since(now: Moment, then: Moment) -> Markup {
    element(then.wall, &format!("{} ago", rough(now.since(then))))
}

/// A time that somebody else wrote down.
pub(super) fn at(now: Moment, then: Timestamp) -> Markup {
    match Duration::try_from(now.wall.duration_since(then)) {
        Ok(age) => element(then, &format!("{} ago", rough(age))),
        Err(_) => element(then, &exact(then)),
    }
}

fn element(then: Timestamp, text: &str) -> Markup {
    html! { time datetime=(then.to_string()) title=(exact(then)) { (text) } }
}

pub(super) fn exact(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The two largest units at most: `3 min`, `2 h 5 min`.
pub(super) fn rough(duration: Duration) -> String {
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

/// A round-trip time in milliseconds with three digits.
pub(super) fn milliseconds(rtt: Duration) -> String {
    let ms = rtt.as_secs_f64() * 1e3;
    let digits = match ms {
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{ms:.digits$}\u{a0}ms")
}

/// A share as per cent. A loss is never rounded to none, nor to all.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        ..=0.0 => "0\u{a0}%".into(),
        ..0.1 => "< 0.1\u{a0}%".into(),
        ..9.95 => format!("{percent:.1}\u{a0}%"),
        ..100.0 => format!("{:.0}\u{a0}%", percent.min(99.0)),
        _ => "100\u{a0}%".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
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
            assert_eq!(rough(Duration::from_secs(seconds)).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn round_trips_and_losses_keep_what_matters() {
        for (micros, text) in [(62, "0.062 ms"), (1_234, "1.23 ms"), (12_345, "12.3 ms"), (123_456, "123 ms")] {
            assert_eq!(milliseconds(Duration::from_micros(micros)).replace('\u{a0}', " "), text);
        }
        for (share, text) in
            [(0.0, "0 %"), (0.0001, "< 0.1 %"), (0.034, "3.4 %"), (0.5, "50 %"), (0.999, "99 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share).replace('\u{a0}', " "), text);
        }
    }
}
