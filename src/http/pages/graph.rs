//! A small graph of the last ten minutes of one address: a line for the round-trip times, bars for the losses.

use std::{fmt::Write as _, time::Duration};

use maud::{Markup, html};

use super::format::{format_ms, format_percent};
use crate::{
    prober::history::{History, Span},
    snapshot::rows::Concern,
};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
/// Space above and below the line.
const MARGIN: f64 = 2.0;

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

/// Draws the graph. `size` is the CSS class that sets its size.
pub(super) fn draw_graph(history: &History, size: &str) -> Markup {
    let steps: Vec<Span> = history.steps().collect();
    let label = describe(history.total());
    html! {
        svg class=(size) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
            aria-label=(label)
        {
            title { (label) }
            path class="lost" d=(bar_path(&steps)) {}
            path class="rtt" d=(line_path(&steps)) {}
        }
    }
}

/// The graph in words.
fn describe(total: Span) -> String {
    match (total.rtt(), total.loss()) {
        (Some(rtt), Some(loss)) => {
            format!("last 10 minutes: {} on average, {} lost", format_ms(rtt), format_percent(loss))
        }
        (None, Some(_)) => "last 10 minutes: no reply".to_owned(),
        (_, None) => "last 10 minutes: no results yet".to_owned(),
    }
}

fn x_of_step(step: usize) -> f64 {
    (step as f64 + 0.5) * WIDTH / History::STEPS as f64
}

/// The scale is from zero to the highest mean. A step without a reply interrupts the line; a single step is a dot.
fn line_path(steps: &[Span]) -> String {
    let highest = steps.iter().filter_map(|span| span.rtt()).max().unwrap_or_default().max(Duration::from_nanos(1));
    let mut path = String::new();
    let mut drawing = false;
    for (step, span) in steps.iter().enumerate() {
        let Some(rtt) = span.rtt() else {
            drawing = false;
            continue;
        };
        let y = HEIGHT - MARGIN - rtt.as_secs_f64() / highest.as_secs_f64() * (HEIGHT - 2.0 * MARGIN);
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
            (&[(9, 1, 12)], "last 10 minutes: 12.0 ms on average, 10 % lost"),
        ] {
            assert_eq!(describe(history(steps).total()).replace('\u{a0}', " "), text);
        }
        assert!(draw_graph(&history(&[]), "spark").into_string().contains("d=\"\""), "an empty graph");
    }
}
