//! The last changes of the verdict on one tunnel.
//!
//! They are packed, because ten thousand tunnels have fifty each: a change takes 12 bytes, and equal sentences are
//! stored once per tunnel.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{inventory::TunnelKey, verdict::Verdict};

/// The histories of all tunnels with a verdict that has changed.
pub type VerdictHistories = BTreeMap<Arc<TunnelKey>, VerdictHistory>;

/// One change of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictEvent<'a> {
    /// In whole milliseconds.
    pub at: Timestamp,
    pub from: Verdict,
    pub to: Verdict,
    /// Explanation of the verdict `to`; `None` if the explanations of newer changes take all the space.
    pub why: Option<&'a str>,
}

/// The last changes of the verdict on one tunnel, the oldest first. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerdictHistory(Option<Arc<Record>>);

#[derive(Debug, PartialEq, Eq)]
struct Record {
    began: PackedTime,
    events: Box<[PackedEvent]>,
    /// Explanations, each followed by a line break.
    reasons: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedEvent {
    at: PackedTime,
    from: Verdict,
    to: Verdict,
    /// Index of the explanation.
    reason: u8,
}

const _: () = assert!(size_of::<PackedEvent>() == 12);

/// A time between 1970 and 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedTime {
    seconds: u32,
    millis: u16,
}

impl PackedTime {
    fn new(time: Timestamp) -> Self {
        let seconds = u32::try_from(time.as_second()).unwrap_or(if time.as_second() < 0 { 0 } else { u32::MAX });
        Self { seconds, millis: u16::try_from(time.subsec_millisecond()).unwrap_or_default() }
    }

    fn unpack(self) -> Timestamp {
        Timestamp::new(self.seconds.into(), i32::from(self.millis) * 1_000_000).unwrap_or_default()
    }
}

impl VerdictHistory {
    /// Maximum number of changes. The oldest are dropped.
    pub const KEPT: usize = 50;

    /// The last changes of `events`, the oldest first. `began` is the time since which the verdict before the first of
    /// them held.
    pub fn new(began: Timestamp, events: &[VerdictEvent<'_>]) -> Self {
        let dropped = events.len().saturating_sub(Self::KEPT);
        let began = if dropped > 0 { events[dropped - 1].at } else { began };
        let mut reasons = Reasons::default();
        // The explanations of the newest changes have precedence.
        let packed = events[dropped..].iter().rev().map(|event| PackedEvent {
            at: PackedTime::new(event.at),
            from: event.from,
            to: event.to,
            reason: event.why.map_or(Reasons::NONE, |why| reasons.index(why)),
        });
        let mut events: Vec<_> = packed.collect();
        if events.is_empty() {
            return Self::default();
        }
        events.reverse();
        Self(Some(Arc::new(Record {
            began: PackedTime::new(began),
            events: events.into(),
            reasons: reasons.text.into(),
        })))
    }

    /// The history with one more change. `held_since` is the time since which the previous verdict held.
    #[must_use]
    pub fn with(&self, event: VerdictEvent<'_>, held_since: Timestamp) -> Self {
        let events: Vec<_> = self.events().chain([event]).collect();
        Self::new(self.began().unwrap_or(held_since), &events)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Since when the verdict before the first change held; `None` if there are no changes.
    pub fn began(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|record| record.began.unpack())
    }

    /// The changes, the oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = VerdictEvent<'_>> {
        (0..self.packed().len()).filter_map(|index| self.event(index))
    }

    /// The change at this index, from 0 for the oldest.
    pub fn event(&self, index: usize) -> Option<VerdictEvent<'_>> {
        let record = self.0.as_deref()?;
        let event = record.events.get(index)?;
        let why = record.reasons.split_terminator('\n').nth(event.reason.into());
        Some(VerdictEvent { at: event.at.unpack(), from: event.from, to: event.to, why })
    }

    /// The index of the first change after this time.
    pub fn first_after(&self, time: Timestamp) -> Option<usize> {
        self.packed().iter().position(|event| event.at.unpack() > time)
    }

    fn packed(&self) -> &[PackedEvent] {
        self.0.as_deref().map_or(&[], |record| &record.events)
    }
}

/// Different explanations, up to a maximum length.
#[derive(Debug, Default)]
struct Reasons {
    text: String,
}

impl Reasons {
    /// Maximum length in bytes. Two verdicts in turn, as of a tunnel that flaps, need about half of it.
    const MOST_BYTES: usize = 512;

    /// The index of no explanation.
    const NONE: u8 = u8::MAX;

    /// The index of this explanation.
    fn index(&mut self, why: &str) -> u8 {
        let known = self.text.split_terminator('\n').position(|known| known == why);
        let new = || {
            let fits = self.text.len() + why.len() < Self::MOST_BYTES && !why.is_empty() && !why.contains('\n');
            fits.then(|| self.text.split_terminator('\n').count())
        };
        let Some(index) = known.or_else(new) else { return Self::NONE };
        if known.is_none() {
            self.text.extend([why, "\n"]);
        }
        u8::try_from(index).unwrap_or(Self::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn event(millis: i64, why: Option<&str>) -> VerdictEvent<'_> {
        VerdictEvent { at: at(millis), from: Verdict::Healthy, to: Verdict::TunnelFault, why }
    }

    #[test]
    fn the_last_fifty_changes_are_kept_with_the_time_before_them() {
        let mut history = VerdictHistory::default();
        assert!(history.is_empty() && history.began().is_none() && history.events().next().is_none());
        for millis in 1..=60 {
            history = history.with(event(1_763_766_000_000 + millis, Some("it is silent")), at(7));
            let expected = if millis <= 50 { 7 } else { 1_763_766_000_000 + millis - 50 };
            assert_eq!(history.began(), Some(at(expected)), "{millis}");
        }
        let times: Vec<_> = history.events().map(|event| event.at.as_millisecond()).collect();
        assert_eq!(times, (1_763_766_000_011..=1_763_766_000_060).collect::<Vec<_>>());
        assert!(history.events().all(|event| event.why == Some("it is silent")));
        assert_eq!(history.0.unwrap().reasons.len(), 13, "one copy");
    }

    #[test]
    fn explanations_of_old_changes_are_dropped_if_they_are_too_long() {
        let reasons: Vec<String> = (0..9).map(|n| n.to_string().repeat(100)).collect();
        let mut history = VerdictHistory::default();
        for (millis, why) in reasons.iter().enumerate() {
            history = history.with(event(millis.try_into().unwrap(), Some(why)), at(0));
        }
        let kept: Vec<_> = history.events().map(|event| event.why).collect();
        let last = reasons[4..].iter().map(|why| Some(why.as_str()));
        assert_eq!(kept, [None; 4].into_iter().chain(last).collect::<Vec<_>>());
    }

    #[test]
    fn a_text_that_is_no_sentence_is_left_out() {
        let history = VerdictHistory::new(at(0), &[event(1, Some("")), event(2, Some("a\nb")), event(3, None)]);
        assert!(history.events().all(|event| event.why.is_none()), "{history:?}");
        assert_eq!(VerdictHistory::new(at(0), &[]), VerdictHistory::default());
    }

    #[test]
    fn changes_after_a_time_are_found() {
        let history = VerdictHistory::new(at(0), &[event(10, None), event(20, None), event(20, None)]);
        for (time, index) in [(0, Some(0)), (9, Some(0)), (10, Some(1)), (19, Some(1)), (20, None)] {
            assert_eq!(history.first_after(at(time)), index, "{time}");
        }
    }

    #[test]
    fn times_outside_the_range_are_moved_to_its_ends() {
        let history = VerdictHistory::new(Timestamp::MIN, &[VerdictEvent { at: Timestamp::MAX, ..event(0, None) }]);
        assert_eq!(history.began().unwrap().as_second(), 0);
        assert_eq!(history.event(0).unwrap().at.as_second(), i64::from(u32::MAX));
    }

    #[test]
    fn ten_thousand_full_histories_take_less_than_fifteen_megabytes() {
        // The allocator rounds up to 16 bytes and adds 8.
        let allocated = |bytes: usize| (bytes + 8).next_multiple_of(16);
        let record = allocated(size_of::<Record>() + 2 * size_of::<usize>());
        let each = record + allocated(VerdictHistory::KEPT * size_of::<PackedEvent>()) + allocated(Reasons::MOST_BYTES);
        assert!(10_000 * each < 13 << 20, "{each} bytes");
    }
}
