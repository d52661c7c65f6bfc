//! Decides which sizes are tried at one address, and when. Contains no socket and reads no clock.
//!
//! Every round tries one large packet and, beside it, a small one. While the expected size passes, there is one round
//! per interval. A search begins only after [`LOSSES`] rounds in a row in which the large packet was lost and the small
//! one was not. It tries each size twice, and ends when it knows the path MTU within [`WIDTH`] bytes. Loss that affects
//! small packets as well is not a matter of size: such rounds do not count, and neither does a search during which the
//! usual echoes were lost.
//!
//! A "packet too big" suggests the next size to try. It is never believed alone, because anybody on the path can send
//! one: a size counts as passing only with a reply, and as too big only if it was lost.

use std::time::Instant;

use super::{MtuLimits, PathMtu, SMALL};
use crate::prober::history::EchoTotals;

/// Losses in a row after which the path MTU is searched.
const LOSSES: u8 = 3;

/// Tries per size in a search.
const TRIES: u8 = 2;

/// A search ends when its bounds are this close, in bytes.
pub const WIDTH: u16 = 8;

/// Maximum number of errors that a search follows, so that a router that lies costs only a few packets.
const HINTS: u8 = 2;

/// Rounds in a row without a statement about the size, after which a search is given up.
const PAUSES: u8 = 3;

/// Steps of a search per interval.
const STEPS: u32 = 6;

/// Intervals after which the expected size is tried again.
const RETRY: u32 = 10;

/// One usual echo in this many may be lost while a size is found to be too big.
const TOLERATED: u64 = 20;

/// How a packet of a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketFate {
    Answered,
    /// Lost without an explanation.
    Lost,
    /// Lost, and a router said that it is too big, with the MTU of its next link if it stated one.
    TooBig(Option<u32>),
    /// Larger than the MTU of the interface of this machine.
    AboveInterface,
    /// The kernel did not send it, or dropped replies. Says nothing about the path.
    NotSent,
}

/// A finished round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtuRound {
    pub large: PacketFate,
    pub small: PacketFate,
    /// The usual echoes to the same address so far.
    pub usual: EchoTotals,
    /// When it ended.
    pub ended: Instant,
}

/// The search at one address.
#[derive(Debug)]
pub struct MtuSearch {
    limits: MtuLimits,
    path: PathMtu,
    phase: SearchPhase,
    /// Start of the latest round.
    began: Instant,
    due: Instant,
    /// When the expected size is tried again.
    retry_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum SearchPhase {
    Watch(Suspicion),
    Search(Bisection),
}

/// Losses in a row of a size that should pass.
#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    losses: u8,
    /// Whether one of them was explained.
    explained: bool,
    /// The usual echoes before the first of them.
    before: EchoTotals,
}

/// A search between two bounds.
#[derive(Debug, Clone, Copy)]
struct Bisection {
    /// Passes. Below the floor, no size of the search has passed so far.
    low: u16,
    /// Does not pass, or is not tried.
    high: u16,
    /// Whether the search has found a size that does not pass.
    any_lost: bool,
    size: u16,
    tries: u8,
    /// A size that is said to be the path MTU.
    guess: Option<u16>,
    /// The path MTU before this search, which is a guess after the first loss.
    known: Option<u16>,
    hints: u8,
    pauses: u8,
    suspicion: Suspicion,
}

impl MtuSearch {
    /// Creates a search with its first round at `first`.
    pub fn new(limits: MtuLimits, first: Instant) -> Self {
        let phase = SearchPhase::Watch(Suspicion::default());
        Self { limits, path: PathMtu::default(), phase, began: first, due: first, retry_at: first }
    }

    /// Returns the time of the next round.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Returns what is known so far.
    pub const fn path(&self) -> PathMtu {
        self.path
    }

    /// Starts a round. Returns the size of the large packet. `usual` are the usual echoes so far.
    pub fn begin(&mut self, now: Instant, usual: EchoTotals) -> u16 {
        self.began = now;
        if let SearchPhase::Watch(suspicion) = self.phase
            && suspicion.losses == 0
            && let Some(found) = self.path.size.filter(|&found| found < self.limits.expected)
            && now >= self.retry_at
        {
            let suspicion = Suspicion { before: usual, ..suspicion };
            self.phase = SearchPhase::Search(Bisection::retry(self.limits, found, suspicion));
        }
        match self.phase {
            SearchPhase::Watch(_) => self.watched(),
            SearchPhase::Search(bisection) => bisection.size,
        }
    }

    /// The size that should pass.
    fn watched(&self) -> u16 {
        self.path.size.unwrap_or(self.limits.expected)
    }

    /// Skips a round, because the address is not up. A search in progress is given up.
    pub fn skip(&mut self, now: Instant) {
        self.phase = SearchPhase::Watch(Suspicion::default());
        self.due = now + self.limits.interval;
    }

    /// Ends a round. Returns whether [`path`](Self::path) has changed.
    pub fn finish(&mut self, round: MtuRound) -> bool {
        let before = self.path;
        match self.phase {
            SearchPhase::Watch(suspicion) => self.finish_watch(suspicion, round),
            SearchPhase::Search(bisection) => self.finish_step(bisection, round),
        }
        let pause = match self.phase {
            SearchPhase::Watch(_) => self.limits.interval,
            SearchPhase::Search(_) => self.limits.interval / STEPS,
        };
        self.due = (self.began + pause).max(round.ended);
        self.path != before
    }

    fn finish_watch(&mut self, mut suspicion: Suspicion, round: MtuRound) {
        match SizeFinding::of(round) {
            SizeFinding::Passes => {
                let size = self.watched();
                let fits = size == self.limits.expected;
                self.path =
                    PathMtu { size: Some(size), black_hole: if fits { Some(false) } else { self.path.black_hole } };
                suspicion = Suspicion::default();
            }
            SizeFinding::TooBig { explained } => {
                if suspicion.losses == 0 {
                    suspicion = Suspicion { before: round.usual, ..Suspicion::default() };
                }
                suspicion.losses += 1;
                suspicion.explained |= explained;
            }
            SizeFinding::Nothing => suspicion = Suspicion::default(),
        }
        self.phase = SearchPhase::Watch(suspicion);
        if suspicion.losses >= LOSSES {
            let lossy = is_lossy(suspicion.before, round.usual);
            let search = SearchPhase::Search(Bisection::first(self.watched(), suspicion));
            self.phase = if lossy { SearchPhase::Watch(Suspicion::default()) } else { search };
        }
    }

    fn finish_step(&mut self, mut bisection: Bisection, round: MtuRound) {
        let had_lost = bisection.any_lost;
        match SizeFinding::of(round) {
            SizeFinding::Passes => bisection.passes(),
            SizeFinding::TooBig { explained } => bisection.is_lost(self.limits, round.large, explained),
            SizeFinding::Nothing => bisection.pauses += 1,
        }
        let is_done = bisection.choose(self.limits.floor);
        // Before other sizes are tried.
        let may_be_loss = !had_lost && bisection.any_lost && is_lossy(bisection.suspicion.before, round.usual);
        self.phase = SearchPhase::Search(bisection);
        if may_be_loss || bisection.pauses >= PAUSES {
            self.end_search(round.ended);
        } else if is_done {
            self.conclude(bisection, round);
        }
    }

    fn end_search(&mut self, now: Instant) {
        self.phase = SearchPhase::Watch(Suspicion::default());
        self.retry_at = now + self.limits.interval * RETRY;
    }

    /// The bounds are close to each other.
    fn conclude(&mut self, bisection: Bisection, round: MtuRound) {
        self.end_search(round.ended);
        let fits = bisection.low >= self.limits.expected;
        if fits {
            self.path = PathMtu { size: Some(self.limits.expected), black_hole: Some(false) };
        } else if bisection.any_lost && !is_lossy(bisection.suspicion.before, round.usual) {
            self.path = PathMtu { size: Some(bisection.low), black_hole: Some(!bisection.suspicion.explained) };
        }
    }
}

/// Whether so many usual echoes were lost that a large packet may have been lost for the same reason.
fn is_lossy(before: EchoTotals, after: EchoTotals) -> bool {
    let lost = after.lost.saturating_sub(before.lost);
    let finished = lost + after.replies.saturating_sub(before.replies);
    lost * TOLERATED > finished
}

/// What a round says about its size.
enum SizeFinding {
    Passes,
    TooBig { explained: bool },
    Nothing,
}

impl SizeFinding {
    fn of(round: MtuRound) -> Self {
        match (round.large, round.small) {
            (PacketFate::Answered, _) => Self::Passes,
            (PacketFate::AboveInterface, _) | (PacketFate::TooBig(_), PacketFate::Answered) => {
                Self::TooBig { explained: true }
            }
            (PacketFate::Lost, PacketFate::Answered) => Self::TooBig { explained: false },
            (PacketFate::NotSent | PacketFate::Lost | PacketFate::TooBig(_), _) => Self::Nothing,
        }
    }
}

impl Bisection {
    /// After losses of `size`, which is tried once more.
    fn first(size: u16, suspicion: Suspicion) -> Self {
        Self {
            low: SMALL,
            high: size + 1,
            any_lost: false,
            size,
            tries: 0,
            guess: None,
            known: None,
            hints: HINTS,
            pauses: 0,
            suspicion,
        }
    }

    /// Tries the expected size again, and then the sizes just above the known path MTU.
    fn retry(limits: MtuLimits, found: u16, suspicion: Suspicion) -> Self {
        Self { low: found, known: Some(found), ..Self::first(limits.expected, suspicion) }
    }

    fn passes(&mut self) {
        (self.low, self.tries, self.pauses) = (self.size, 0, 0);
        // The guess was too low.
        if self.guess.is_some_and(|guess| guess < self.size) {
            (self.guess, self.hints) = (None, 0);
        }
    }

    fn is_lost(&mut self, limits: MtuLimits, fate: PacketFate, explained: bool) {
        self.pauses = 0;
        self.suspicion.explained |= explained;
        self.tries = if fate == PacketFate::AboveInterface { TRIES } else { self.tries + 1 };
        if self.tries < TRIES {
            return;
        }
        (self.high, self.any_lost, self.tries) = (self.size, true, 0);
        self.guess = self.known.take().or(self.guess);
        if let PacketFate::TooBig(Some(next_mtu)) = fate
            && let Ok(hint) = u16::try_from(next_mtu)
            && (limits.floor.max(self.low)..self.high).contains(&hint)
            && self.hints > 0
        {
            self.hints -= 1;
            self.guess = Some(hint);
        }
    }

    /// Chooses the next size. Returns whether there is none.
    fn choose(&mut self, floor: u16) -> bool {
        if self.tries > 0 || self.size != self.low && self.size != self.high {
            // The size was not tried often enough.
            return false;
        }
        let bottom = self.low.max(floor);
        let any_passed = self.low >= floor;
        if self.high <= floor || any_passed && self.high - self.low <= WIDTH {
            return true;
        }
        self.size = match self.guess {
            Some(guess) if self.low < guess && guess < self.high => guess,
            // The guess passes. If a slightly larger size does not, it is right.
            Some(guess) if guess == self.low && any_passed => self.low + WIDTH,
            // The path MTU was below the floor.
            Some(guess) if guess == self.low => bottom,
            _ if self.high - bottom <= WIDTH => bottom,
            _ => bottom + (self.high - bottom) / 2,
        };
        false
    }
}

#[cfg(test)]
mod tests;
