//! The pages of an answer with rows in the order of the names of tunnels.
//!
//! A page is full if one of its lists has as many rows as were asked for. The last name of such a list may be
//! incomplete, so it is dropped and the next page begins with it.

/// Maximum number of pages of one poll.
const MAX_PAGES: u32 = 10;

/// Whether more pages are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Unfinished,
    Complete,
    /// There is more data than is read.
    Truncated,
}

/// The pages read so far.
#[derive(Debug, Default)]
pub(super) struct Paging {
    pages: u32,
    after: Box<str>,
    progress: Progress,
}

impl Paging {
    /// The name with which the next page begins.
    pub(super) fn after(&self) -> &str {
        &self.after
    }

    /// The number of the current page, from 1.
    pub(super) fn page(&self) -> u32 {
        self.pages
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.progress == Progress::Unfinished
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.progress != Progress::Complete
    }

    pub(super) fn next_page(self) -> Self {
        Self { pages: self.pages + 1, ..self }
    }

    /// Ends a page. `cut` is the first name of those that were dropped.
    pub(super) fn end_page(&mut self, cut: Option<Box<str>>) {
        self.progress = match cut {
            None => Progress::Complete,
            Some(next) if self.pages >= MAX_PAGES || next == self.after => Progress::Truncated,
            Some(next) => {
                self.after = next;
                Progress::Unfinished
            }
        };
    }

    /// The only page.
    #[cfg(test)]
    pub(super) fn complete() -> Self {
        Self { pages: 1, progress: Progress::Complete, ..Self::default() }
    }
}
