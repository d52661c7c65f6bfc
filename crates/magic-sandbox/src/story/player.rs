//! Says what of a story is due. Pure: it is told the time.

use std::time::Duration;

use web_toolkit::clock::Moment;

use super::plan::{Event, Story};

/// Where a story stands.
#[derive(Debug)]
pub(crate) struct Player {
    period: Option<Duration>,
    events: Vec<Event>,
    lap_began: Moment,
    next: usize,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Put everything back as it was at the start.
    Restart,
    Event(Box<Event>),
}

impl Player {
    pub(crate) fn new(story: &Story, now: Moment) -> Self {
        Self { period: story.period, events: story.events.clone(), lap_began: now, next: 0 }
    }

    /// The next thing that is due, until there is none. A reader who was away for several periods is told the last
    /// one only.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Turn> {
        let elapsed = now.since(self.lap_began);
        let period = self.period.filter(|period| !period.is_zero());
        if let Some(period) = period.filter(|period| elapsed >= *period) {
            // What the rest of a past period would have done is undone by the restart.
            let laps = elapsed.as_nanos() / period.as_nanos();
            let laps = u32::try_from(laps).unwrap_or(u32::MAX);
            self.lap_began = self.lap_began.after(period.saturating_mul(laps));
            self.next = 0;
            return Some(Turn::Restart);
        }
        let event = self.events.get(self.next).filter(|event| event.at <= elapsed)?;
        self.next += 1;
        Some(Turn::Event(Box::new(event.clone())))
    }

    /// When there is something to do again.
    pub(crate) fn due(&self) -> Option<Moment> {
        let event = self.events.get(self.next).map(|event| event.at);
        event.or(self.period.filter(|period| !period.is_zero())).map(|at| self.lap_began.after(at))
    }
}
