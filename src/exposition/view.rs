//! One scrape's picture: what there is, and what is too old to be shown.

use std::time::Duration;

use crate::domain::{
    inventory::{CollectionSnapshot, Fleet},
    moment::Moment,
};

/// What the families of one page are drawn from.
pub(super) struct View<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) now: Moment,
    pub(super) stale_after: Duration,
}

impl View<'_> {
    pub(super) fn is_fresh(&self, collection: &CollectionSnapshot) -> bool {
        collection.is_fresh(self.now, self.stale_after)
    }
}
