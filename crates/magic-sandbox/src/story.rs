//! What the sandbox shows, and what happens in it by itself: accounts, their tunnels, and events in time.
//!
//! A [`Story`] is checked when it is made: every body against the rules of the API, every event against the tunnels
//! it names, in the order of time. [`Player`] says what is due; [`super::world`] carries it out.

mod file;
mod plan;
mod player;

use web_toolkit::settings::ConfigError;

pub use self::plan::Story;
pub(super) use self::{
    file::patched,
    plan::{Event, id},
    player::{Player, Turn},
};

/// The story of the `demo` command, and of `sandbox` where no file is given.
const DEMO: &str = include_str!("stories/demo.yml");

impl Story {
    /// The embedded story: seven tunnels that walk through every verdict in three minutes and begin again.
    pub fn demo() -> Self {
        Self::parse("demo.yml", DEMO).unwrap_or_else(|error| unreachable!("a test parses the embedded story: {error}"))
    }

    /// Reads a story file; `name` is what the file is called in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        file::parse(name, text)
    }
}

#[cfg(test)]
mod tests;
