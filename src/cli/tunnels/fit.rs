//! Fits a table to the width of a terminal: the last column is shortened, then the least important columns are left
//! out.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Blanks between two columns.
pub(super) const GAP: usize = 2;

/// Columns that are left out if the table is too wide, the first one first.
const LESS_IMPORTANT: [&str; 9] = ["CHECKS", "TCP", "TYPE", "OUTSIDE", "INSIDE", "EDGE", "ACCOUNT", "SITE", "BGP"];

/// The last column keeps at least this width while another one can be left out.
const LEAST_LAST: usize = 24;

/// Every column keeps at least this width.
const LEAST: usize = 8;

/// The widths of the columns in a terminal with `limit` columns; `None` for a column that is left out. `headings` are
/// the columns with the widths of their widest cells.
pub(super) fn fit(headings: &[(&str, usize)], limit: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = headings.iter().map(|(_, width)| Some(*width)).collect();
    for less_important in LESS_IMPORTANT {
        if total(&widths).saturating_sub(limit) <= spare(&widths) {
            break;
        }
        if let Some(index) = headings.iter().position(|(heading, _)| *heading == less_important) {
            widths[index] = None;
        }
    }
    let excess = |widths: &[Option<usize>]| total(widths).saturating_sub(limit);
    let too_wide = excess(&widths);
    widths.iter_mut().flatten().rev().take(1).for_each(|last| shorten(last, LEAST_LAST, too_wide));
    let too_wide = excess(&widths);
    let widest = widths.iter_mut().flatten().rev().skip(1).max_by_key(|width| **width);
    if let Some(widest) = widest {
        shorten(widest, LEAST, too_wide);
    }
    let too_wide = excess(&widths);
    widths.iter_mut().flatten().rev().take(1).for_each(|last| shorten(last, LEAST, too_wide));
    widths
}

/// The width of a line.
fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// How much shorter the last column can be.
fn spare(widths: &[Option<usize>]) -> usize {
    widths.last().copied().flatten().unwrap_or_default().saturating_sub(LEAST_LAST)
}

fn shorten(width: &mut usize, least: usize, excess: usize) {
    *width = (*width).min(width.saturating_sub(excess).max(least));
}

/// The text, cut to this number of columns of a terminal.
pub(super) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return text.into();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or_default();
        // One column is for the ellipsis.
        used < columns
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: [(&str, usize); 6] =
        [("VERDICT", 13), ("TUNNEL", 20), ("TYPE", 5), ("BGP", 16), ("CHECKS", 6), ("WHY", 60)];

    fn kept(limit: usize) -> Vec<&'static str> {
        let widths = fit(&TABLE, limit);
        TABLE.iter().zip(widths).filter_map(|((heading, _), width)| width.map(|_| *heading)).collect()
    }

    #[test]
    fn a_table_that_fits_is_not_changed() {
        assert_eq!(fit(&TABLE, 130), TABLE.map(|(_, width)| Some(width)));
    }

    #[test]
    fn the_last_column_is_shortened_before_others_are_left_out() {
        assert_eq!(fit(&TABLE, 100), [Some(13), Some(20), Some(5), Some(16), Some(6), Some(30)]);
        assert_eq!(kept(90), ["VERDICT", "TUNNEL", "TYPE", "BGP", "WHY"]);
        assert_eq!(kept(80), ["VERDICT", "TUNNEL", "BGP", "WHY"]);
        assert_eq!(kept(62), ["VERDICT", "TUNNEL", "WHY"]);
    }

    #[test]
    fn a_narrow_terminal_shortens_the_widest_of_the_columns_that_are_left() {
        assert_eq!(fit(&TABLE, 50).into_iter().flatten().collect::<Vec<_>>(), [13, 9, 24]);
    }

    #[test]
    fn a_text_is_cut_at_a_column_of_the_terminal() {
        for (text, columns, expected) in [
            ("frankfurt", 9, "frankfurt"),
            ("frankfurt", 8, "frankfu…"),
            ("東京都", 6, "東京都"),
            ("東京都", 5, "東京…"),
            ("東京都", 4, "東…"),
        ] {
            assert_eq!(cut(text, columns), expected, "{text} in {columns}");
        }
    }

    proptest! {
        #[test]
        fn a_table_fits_every_terminal_with_room_for_three_short_columns(
            widths in proptest::collection::vec(1_usize..80, 6),
            limit in 60_usize..200,
        ) {
            let headings: Vec<_> = TABLE.iter().zip(&widths).map(|((heading, _), width)| (*heading, *width)).collect();
            let fitted = fit(&headings, limit);
            // The verdict and the name cannot both be shortened.
            prop_assume!(widths[0] <= 24);
            prop_assert!(total(&fitted) <= limit, "{fitted:?}");
        }

        #[test]
        fn a_cut_text_has_at_most_these_columns(text in "[a-zé東京]{0,40}", columns in 1_usize..30) {
            prop_assert!(cut(&text, columns).width() <= columns);
        }
    }
}
