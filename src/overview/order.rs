//! In which order tunnels are listed.

use std::cmp::{Ordering, Reverse};

use super::{concern::urgency, row::Row};
use crate::domain::{history::Span, label::label_enum};

label_enum! {
    /// What stands first. Tunnels that are equal in it are sorted by name.
    pub enum Order {
        /// The most broken.
        Trouble => "trouble",
        Name => "name",
        /// By account, and in it by name.
        Account => "account",
        /// The newest verdict.
        Since => "since",
        /// The slowest over the last minutes; what is not known comes last.
        Rtt => "rtt",
        /// The lossiest over the last minutes; what is not known comes last.
        Loss => "loss",
    }
}

impl Order {
    pub fn sort(self, rows: &mut [Row<'_>]) {
        rows.sort_by(by_name);
        // What follows keeps the order of equals.
        match self {
            Self::Name => {}
            Self::Trouble => rows.sort_by_key(|row| urgency(row.verdict())),
            Self::Account => rows.sort_by(|a, b| a.account.cmp(b.account)),
            Self::Since => rows.sort_by_key(|row| Reverse(row.verdict.map(|verdict| verdict.changed.instant))),
            Self::Rtt => rows.sort_by_cached_key(|row| Reverse(row.recent().rtt())),
            Self::Loss => rows.sort_by_cached_key(|row| Reverse(loss_in_millionths(row.recent()))),
        }
    }
}

/// Floats have no order of their own.
fn loss_in_millionths(span: Span) -> Option<u64> {
    (1_000_000 * u64::from(span.lost)).checked_div(u64::from(span.replies) + u64::from(span.lost))
}

fn by_name(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let (left, right) = (a.tunnel(), b.tunnel());
    let name = left.name.cmp(&right.name).then_with(|| a.account.cmp(b.account));
    name.then_with(|| left.tunnel_type().cmp(&right.tunnel_type())).then_with(|| left.id.cmp(&right.id))
}
