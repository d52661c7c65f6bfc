//! The last changes of the verdict on one tunnel: a timeline of one day, and a table.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::clock::Moment;

use super::{
    format::{capitalised, count_noun, exact_time, format_duration, time_and_age, time_since},
    graph::draw_bar,
    words,
};
use crate::{
    domain::{
        verdict::{TunnelVerdict, Verdict},
        verdict_history::{VerdictEvent, VerdictHistory},
    },
    snapshot::{Row, Snapshot, rows::Concern},
};

/// The time that the timeline shows.
const SPAN: Duration = Duration::from_hours(24);

const WIDTH: f64 = 1000.0;

/// Number of changes that are always shown.
const UNFOLDED: usize = 5;

/// Draws the changes; nothing if there is no verdict yet.
pub(super) fn draw_history(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let Some(verdict) = row.verdict else { return html! {} };
    let none = VerdictHistory::default();
    let history = snapshot.history(&row.key).unwrap_or(&none);
    html! {
        section id="history" class="sources" aria-labelledby="history-title" {
            h2 id="history-title" { "Changes of the verdict" }
            (draw_timeline(history, verdict, snapshot.now.wall))
            @if history.is_empty() {
                p { "No change is known. The verdict holds since " (time_since(snapshot.now, verdict.changed)) "." }
            } @else {
                (draw_changes(history, snapshot.now))
            }
        }
    }
}

/// The newest changes, and the earlier ones folded.
fn draw_changes(history: &VerdictHistory, now: Moment) -> Markup {
    let events: Vec<_> = history.events().rev().collect();
    let (newest, earlier) = events.split_at(events.len().min(UNFOLDED));
    html! {
        (draw_table(newest, now))
        @if !earlier.is_empty() {
            details id="earlier-changes" {
                summary { (count_noun(earlier.len(), "earlier change", "earlier changes")) }
                (draw_table(earlier, now))
            }
        }
    }
}

fn draw_table(events: &[VerdictEvent<'_>], now: Moment) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Time" } th scope="col" { "Change" } th scope="col" { "Explanation" } } }
            tbody { @for &event in events { (draw_event(event, now)) } }
        }
    }
}

fn draw_event(event: VerdictEvent<'_>, now: Moment) -> Markup {
    html! {
        tr {
            td data-label="Time" { (time_and_age(now, event.at)) }
            td data-label="Change" { (words::verdict_badge(event.from)) " → " (words::verdict_badge(event.to)) }
            td data-label="Explanation" { @match event.why { Some(why) => { (capitalised(why)) "." } None => "–" } }
        }
    }
}

/// A verdict and the time in which it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    from: Timestamp,
    to: Timestamp,
    verdict: Verdict,
}

impl Period {
    /// `Tunnel fault for 2 h, from 2026-11-22 01:00:00 UTC`.
    fn describe(&self) -> String {
        let length = Duration::try_from(self.to.duration_since(self.from)).unwrap_or_default();
        let verdict = words::verdict_name(self.verdict);
        format!("{verdict} for {}, from {}", format_duration(length), exact_time(self.from))
    }
}

/// The periods with a known verdict. While the exporter was not running, the verdict can have changed.
fn periods(history: &VerdictHistory, current: &TunnelVerdict, now: Timestamp) -> Vec<Period> {
    let events: Vec<_> = history.events().collect();
    let first = history.began().zip(events.first());
    let first = first.map(|(from, event)| Period { from, to: event.at, verdict: event.from });
    let between = events.windows(2).filter(|pair| pair[0].to == pair[1].from);
    let between = between.map(|pair| Period { from: pair[0].at, to: pair[1].at, verdict: pair[0].to });
    let last = events.last().filter(|event| event.to == current.verdict);
    let from = last.map_or(current.changed.wall, |event| event.at);
    let last = Period { from, to: now, verdict: current.verdict };
    first.into_iter().chain(between).chain([last]).collect()
}

fn draw_timeline(history: &VerdictHistory, current: &TunnelVerdict, now: Timestamp) -> Markup {
    let periods = periods(history, current, now);
    let label = describe(history, now);
    html! {
        svg class="timeline" viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" role="img" aria-label=(label) {
            @for period in periods {
                @let (x, end) = (x_of(period.from, now), x_of(period.to, now));
                @if end > x {
                    (draw_bar(Concern::of(period.verdict), x, (end - x).max(1.0), Some(&period.describe())))
                }
            }
        }
        p class="scale" aria-hidden="true" {
            @for quarters in (1..=4).rev() { span { (format_duration(SPAN * quarters / 4)) " ago" } }
            span { "now" }
        }
    }
}

fn x_of(time: Timestamp, now: Timestamp) -> f64 {
    let age = now.duration_since(time).as_secs_f64().clamp(0.0, SPAN.as_secs_f64());
    WIDTH * (1.0 - age / SPAN.as_secs_f64())
}

/// The timeline in words.
fn describe(history: &VerdictHistory, now: Timestamp) -> String {
    let recent = history.events().filter(|event| x_of(event.at, now) > 0.0).count();
    let plural = if recent == 1 { "" } else { "s" };
    format!("last {}: {recent} change{plural} of the verdict", format_duration(SPAN))
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;
    use crate::domain::verdict::{Evidence, Reported, Side};

    use Verdict::{Healthy, TunnelFault, Unreachable};

    fn current(verdict: Verdict, changed: Moment) -> TunnelVerdict {
        let evidence =
            Evidence { reported: Reported::None, edge: Reported::None, inside: Side::Answers, outside: Side::Answers };
        TunnelVerdict { verdict, evidence, changed, changes: 0, why: "it answers".into() }
    }

    /// Changes so many hours before `now`; the verdict before the first held since 40 hours.
    fn history(now: Moment, changes: &[(u64, Verdict, Verdict)]) -> VerdictHistory {
        let events = changes.iter().map(|&(hours, from, to)| VerdictEvent {
            at: now.wall - Duration::from_hours(hours),
            from,
            to,
            why: None,
        });
        VerdictHistory::new(now.wall - Duration::from_hours(40), &events.collect::<Vec<_>>())
    }

    /// The hours before `now` at which each period begins and ends.
    fn hours(history: &VerdictHistory, current: &TunnelVerdict, now: Moment) -> Vec<(i64, i64, Verdict)> {
        let before = |time| (now.wall.duration_since(time).as_secs() + 1) / 3600;
        let periods = periods(history, current, now.wall).into_iter();
        periods.map(|period| (before(period.from), before(period.to), period.verdict)).collect()
    }

    #[test]
    fn each_verdict_holds_until_the_next_change() {
        let now = clock::now();
        let known = history(now, &[(10, Healthy, TunnelFault), (4, TunnelFault, Healthy)]);
        let expected = [(40, 10, Healthy), (10, 4, TunnelFault), (4, 0, Healthy)];
        assert_eq!(hours(&known, &current(Healthy, now), now), expected);
        assert_eq!(hours(&VerdictHistory::default(), &current(Healthy, now), now), [(0, 0, Healthy)]);
    }

    #[test]
    fn nothing_is_shown_for_the_time_in_which_the_exporter_did_not_run() {
        let now = clock::now();
        let known = history(now, &[(30, Healthy, TunnelFault), (4, Healthy, Unreachable)]);
        let expected = [(40, 30, Healthy), (0, 0, Healthy)];
        assert_eq!(hours(&known, &current(Healthy, now), now), expected);
    }

    #[test]
    fn the_newest_changes_come_first_and_the_others_are_folded() {
        let now = clock::now();
        let changes: Vec<_> = (1..=7).rev().map(|hours| (hours, Healthy, TunnelFault)).collect();
        let page = draw_changes(&history(now, &changes), now).into_string().replace('\u{a0}', " ");
        let (newest, earlier) = page.split_once("<details").unwrap();
        let order = |part: &str, times: [&str; 2]| part.find(times[0]).unwrap() < part.find(times[1]).unwrap();
        assert!(order(newest, ["1 h", "5 h"]) && order(earlier, ["6 h", "7 h"]), "{page}");
        assert!(earlier.contains("2 earlier changes</summary>"), "{page}");
        assert!(!draw_changes(&history(now, &changes[..5]), now).into_string().contains("<details"));
    }

    #[test]
    fn the_timeline_shows_one_day() {
        let now = clock::now();
        let known = history(now, &[(36, Healthy, Unreachable), (12, Unreachable, Healthy), (6, Healthy, TunnelFault)]);
        let drawn = draw_timeline(&known, &current(TunnelFault, now), now.wall).into_string();
        let rects: Vec<_> = drawn.split("<rect ").skip(1).map(|rect| rect.split(" y=").next().unwrap()).collect();
        assert_eq!(
            rects,
            ["class=\"broken\" x=\"0.0\"", "class=\"fine\" x=\"500.0\"", "class=\"broken\" x=\"750.0\""],
            "the first period is too old"
        );
        assert!(drawn.contains("2 changes of the verdict"), "{drawn}");
        let drawn = drawn.replace('\u{a0}', " ");
        assert!(drawn.contains("<title>Healthy for 6 h, from 20"), "the bar has a title: {drawn}");
        assert!(drawn.contains("<span>1 d ago</span><span>18 h ago</span><span>12 h ago</span>"), "{drawn}");
    }
}
