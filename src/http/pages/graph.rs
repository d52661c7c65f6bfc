//! A small graph of the last ten minutes of one address: a line for the round-trip times, bars for the losses.

use std::{fmt::Write as _, time::Duration};

use maud::{Markup, html};

use super::format::{format_axis, format_duration, format_ms, format_percent};
use crate::{
    prober::history::{History, Span},
    snapshot::rows::Concern,
};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
/// Space above and below the line.
const MARGIN: f64 = 2.0;
const VIEW_BOX: &str = "0 0 120 28";

/// Draws a bar from `left` with a height of ten or less. The worse the concern, the higher the bar, so that the bars can
/// be told apart without colour.
pub(super) fn draw_bar(concern: Concern, left: f64, width: f64, title: Option<&str>) -> Markup {
    let height = match concern {
        Concern::Broken => 10.0,
        Concern::Suspect => 7.0,
        Concern::Unsure => 4.0,
        Concern::Fine => 1.5,
    };
    html! {
        rect class=(concern) x=(format!("{left:.1}")) y=(10.0 - height) width=(format!("{width:.1}")) height=(height) {
            @if let Some(title) = title { title { (title) } }
        }
    }
}

/// Draws the small graph of a row, with the ends of its axis.
pub(super) fn draw_spark(history: &History) -> Markup {
    let steps: Vec<Span> = history.steps().collect();
    let (label, extremes) = (describe(history), Extremes::of(&steps));
    html! {
        svg class="spark" viewBox=(VIEW_BOX) preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            (draw_curves(&steps))
        }
        @if extremes.is_some() { small class="ends" { "0 to " (format_axis(axis_end(&steps))) } }
    }
}

/// Draws the graph of an address with its axes. The value of each step is shown when the pointer rests on it.
pub(super) fn draw_wide_graph(history: &History) -> Markup {
    let steps: Vec<Span> = history.steps().collect();
    let (label, end) = (describe(history), axis_end(&steps));
    html! {
        div class="plot" {
            p class="axis" aria-hidden="true" {
                @for value in [end, end / 2, Duration::ZERO] { span { (format_axis(value)) } }
            }
            svg class="wide-graph" viewBox=(VIEW_BOX) preserveAspectRatio="none" role="img" aria-label=(label) {
                path class="grid" d=(format!("M0 {MARGIN}h{WIDTH}M0 {}h{WIDTH}", HEIGHT / 2.0)) {}
                (draw_curves(&steps))
                @for (step, span) in steps.iter().enumerate() { (draw_value(step, *span)) }
            }
            p class="scale" aria-hidden="true" {
                @for minutes in [10, 5] { span { (format_duration(Duration::from_mins(minutes))) " ago" } }
                span { "now" }
            }
        }
        p class="note" {
            "Line: round-trip time, mean of " (format_duration(History::STEP))
            @if let Some(Extremes { lowest, highest }) = Extremes::of(&steps) {
                ", at least " (format_ms(lowest)) " and at most " (format_ms(highest))
            }
            ". Bars from the top: loss."
        }
    }
}

fn draw_curves(steps: &[Span]) -> Markup {
    html! {
        path class="lost" d=(bar_path(steps)) {}
        path class="rtt" d=(line_path(steps)) {}
    }
}

/// An invisible bar with the values of one step as its title; nothing for a step without results.
fn draw_value(step: usize, span: Span) -> Markup {
    let Some(loss) = span.loss() else { return html! {} };
    let age = History::STEP * u32::try_from(History::STEPS - step).unwrap_or(0);
    let rtt = span.rtt().map_or_else(|| "no reply".to_owned(), format_ms);
    let width = WIDTH / History::STEPS as f64;
    html! {
        rect class="step" x=(x_of_step(step) - width / 2.0) y="0" width=(width) height=(HEIGHT) {
            title { (format_duration(age)) " ago: " (rtt) ", " (format_percent(loss)) " lost" }
        }
    }
}

/// The lowest and the highest mean of a step.
struct Extremes {
    lowest: Duration,
    highest: Duration,
}

impl Extremes {
    fn of(steps: &[Span]) -> Option<Self> {
        let means = || steps.iter().filter_map(|span| span.rtt());
        Some(Self { lowest: means().min()?, highest: means().max()? })
    }
}

/// The upper end of the axis: at least 5 ms, so that the noise of a short path does not look like a problem.
fn axis_end(steps: &[Span]) -> Duration {
    let highest = Extremes::of(steps).map_or(Duration::ZERO, |extremes| extremes.highest);
    let ends = (0..5).flat_map(|power| [5, 10, 20].map(|end| Duration::from_millis(end * 10_u64.pow(power))));
    ends.into_iter().find(|end| *end >= highest).unwrap_or(highest)
}

/// The graph in words.
fn describe(history: &History) -> String {
    let (total, steps) = (history.total(), history.steps().collect::<Vec<_>>());
    match (total.rtt().zip(Extremes::of(&steps)), total.loss()) {
        (Some((rtt, Extremes { lowest, highest })), Some(loss)) => format!(
            "last 10 minutes: {} on average, {} to {}, {} lost",
            format_ms(rtt),
            format_ms(lowest),
            format_ms(highest),
            format_percent(loss)
        ),
        (None, Some(_)) => "last 10 minutes: no reply".to_owned(),
        (_, None) => "last 10 minutes: no results yet".to_owned(),
    }
}

fn x_of_step(step: usize) -> f64 {
    (step as f64 + 0.5) * WIDTH / History::STEPS as f64
}

/// A step without a reply interrupts the line; a single step is a dot.
fn line_path(steps: &[Span]) -> String {
    let end = axis_end(steps).as_secs_f64();
    let mut path = String::new();
    let mut drawing = false;
    for (step, span) in steps.iter().enumerate() {
        let Some(rtt) = span.rtt() else {
            drawing = false;
            continue;
        };
        let y = HEIGHT - MARGIN - rtt.as_secs_f64() / end * (HEIGHT - 2.0 * MARGIN);
        let command = if drawing { 'L' } else { 'M' };
        // Writing to a string does not fail. A line of length zero has round ends.
        let _ = write!(path, "{command}{:.1} {y:.1}{}", x_of_step(step), if drawing { "" } else { "h0" });
        drawing = true;
    }
    path
}

/// One bar from the top for each step with losses; its length is the loss ratio.
fn bar_path(steps: &[Span]) -> String {
    let width = WIDTH / History::STEPS as f64;
    let mut path = String::new();
    for (step, span) in steps.iter().enumerate() {
        if let Some(loss) = span.loss().filter(|loss| *loss > 0.0) {
            let length = (loss * HEIGHT).max(MARGIN);
            let _ = write!(path, "M{:.1} 0h{width:.1}v{length:.1}h-{width:.1}z", x_of_step(step) - width / 2.0);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::prober::history::EchoTotals;

    /// A history with these steps: replies, losses, milliseconds per reply.
    fn history(steps: &[(u64, u64, u64)]) -> History {
        #[expect(clippy::disallowed_methods, reason = "any instant works")]
        let mut at = Instant::now();
        let (mut history, mut sum) = (History::new(), EchoTotals::default());
        history.record(sum, at);
        for &(replies, lost, ms) in steps {
            at += History::STEP;
            sum.replies += replies;
            sum.lost += lost;
            sum.rtt_sum += Duration::from_millis(ms) * u32::try_from(replies).unwrap();
            history.record(sum, at);
        }
        history
    }

    #[test]
    fn the_line_is_interrupted_without_replies_and_losses_are_bars() {
        let steps: Vec<Span> = history(&[(10, 0, 10), (10, 0, 20), (0, 10, 0), (5, 5, 20)]).steps().collect();
        assert_eq!(line_path(&steps), "M113.0 14.0h0L115.0 2.0M119.0 2.0h0");
        assert_eq!(bar_path(&steps), "M116.0 0h2.0v28.0h-2.0zM118.0 0h2.0v14.0h-2.0z");
    }

    #[test]
    fn the_graph_is_described_in_words() {
        for (steps, text) in [
            (&[][..], "last 10 minutes: no results yet"),
            (&[(0, 4, 0)], "last 10 minutes: no reply"),
            (&[(8, 2, 10), (10, 0, 19)], "last 10 minutes: 15.0 ms on average, 10.0 ms to 19.0 ms, 10 % lost"),
        ] {
            assert_eq!(describe(&history(steps)).replace('\u{a0}', " "), text);
        }
        assert!(draw_spark(&history(&[])).into_string().contains("d=\"\""), "an empty graph");
    }

    #[test]
    fn the_axis_ends_at_5_ms_or_at_a_round_number_above_the_highest_mean() {
        for (ms, end) in [(0, 5), (4, 5), (5, 5), (6, 10), (38, 50), (101, 200), (70_000, 100_000)] {
            let steps: Vec<Span> = history(&[(1, 0, ms)]).steps().collect();
            assert_eq!(axis_end(&steps), Duration::from_millis(end), "{ms} ms");
        }
        assert_eq!(axis_end(&[]), Duration::from_millis(5), "without a reply");
        let steps: Vec<Span> = history(&[(1, 0, 1)]).steps().collect();
        assert_eq!(line_path(&steps), "M119.0 21.2h0", "1 ms is a fifth of the axis");
    }

    #[test]
    fn the_wide_graph_has_marks_on_both_axes_and_the_extremes() {
        let page = draw_wide_graph(&history(&[(9, 1, 12), (9, 1, 31)])).into_string().replace('\u{a0}', " ");
        for part in ["<span>50 ms</span><span>25 ms</span><span>0 ms</span>", "10 min ago</span>", "5 min ago</span>"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.contains("at least 12.0 ms and at most 31.0 ms"), "{page}");
        let small = draw_spark(&history(&[(9, 1, 12)])).into_string().replace('\u{a0}', " ");
        assert!(small.contains("0 to 20 ms"), "{small}");
    }

    #[test]
    fn each_step_has_its_values_as_a_title() {
        let page = draw_wide_graph(&history(&[(9, 1, 12), (0, 3, 0)])).into_string().replace('\u{a0}', " ");
        for title in ["20 s ago: 12.0 ms, 10 % lost", "10 s ago: no reply, 100 % lost"] {
            assert!(page.contains(&format!("<title>{title}</title>")), "{title}: {page}");
        }
        assert_eq!(page.matches("<title>").count(), 2, "steps without results have no title");
    }
}
