//! The sites on the front page: one link per site with the counts of its tunnels, the most broken site first.

use std::collections::BTreeSet;

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    format::{count_noun, format_count, join_with_dots},
    words::badge,
};
use crate::{
    http::address::Query,
    snapshot::{
        Row, Snapshot,
        rows::{Concern, Order, Summary},
        sites::SiteSummary,
    },
};

/// Sites that are shown at first. The link "Show all" shows more.
const FIRST: usize = 12;

/// Maximum number of sites on a page, and of names that the filter suggests.
const MOST: usize = 1_000;

/// Draws the list; nothing if no tunnel has a site. `groups` are the sites of all tunnels.
pub(super) fn draw_sites(snapshot: &Snapshot, groups: &[SiteSummary<'_>], query: &Query) -> Markup {
    let several = snapshot.fleet().accounts.len() > 1;
    let number = groups.iter().filter(|group| group.site.is_some()).count();
    if number == 0 {
        return html! {};
    }
    let limit = if query.all_sites { MOST } else { FIRST };
    html! {
        h2 { (count_noun(number, "site", "sites")) small { (count_by_concern(groups)) } }
        ul class="tiles" {
            @for group in groups.iter().filter(|group| group.site.is_some()).take(limit) {
                li { (draw_site(group, several, query)) }
            }
            @for group in groups.iter().filter(|group| group.site.is_none()) {
                li { (draw_rest(group, several)) }
            }
        }
        @if number > limit {
            p class="more" {
                (format_count(number - limit)) " more, none of which is worse. "
                @if query.all_sites { a href="api/v1/sites" { "Show all as JSON" } }
                @else { a href=(query.with_all_sites().link()) { "Show all" } }
            }
        }
        p class="more" {
            @if query.order == Order::Site {
                a href={ (query.with_order(Order::Trouble).link()) "#tunnels" } { "Sort the tunnels by verdict" }
            } @else {
                a href={ (query.with_order(Order::Site).link()) "#tunnels" } { "Group the tunnels by site" }
            }
        }
    }
}

/// The head of a group of the table: the site, its state, and how many of its tunnels work.
pub(super) fn describe_group(rows: &[Row<'_>]) -> Markup {
    let Some(first) = rows.first() else { return html! {} };
    let group =
        SiteSummary { account: first.account, site: first.site(), tunnels: Summary::count(rows.iter().cloned()) };
    let word = match group.concern() {
        Concern::Broken => "Down",
        Concern::Suspect => "Impaired",
        Concern::Unsure => "Unknown",
        Concern::Fine => "Works",
    };
    html! {
        @match group.site {
            Some(site) => a href=(Query::of_site(None, site).link()) { (shown(site)) },
            None => "No site",
        }
        " " (badge(group.concern(), word)) " " small { (describe(&group, false)) }
    }
}

/// How many sites are down, impaired or of unknown state.
fn count_by_concern(groups: &[SiteSummary<'_>]) -> String {
    let words = [(Concern::Broken, "down"), (Concern::Suspect, "impaired"), (Concern::Unsure, "unknown")];
    let count = |concern| groups.iter().filter(|group| group.site.is_some() && group.concern() == concern).count();
    let counts = words.map(|(concern, word)| (count(concern), word)).into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{} {word}", format_count(count))).collect();
    if counts.is_empty() { "all work".into() } else { counts.join(", ") }
}

fn draw_site(group: &SiteSummary<'_>, several_accounts: bool, query: &Query) -> Markup {
    let site = group.site.map_or("", |site| site);
    let account = several_accounts.then(|| group.account.as_str());
    let target = Query::of_site(account, site);
    let here = (&query.filter.site, &query.filter.account) == (&target.filter.site, &target.filter.account);
    html! {
        a class={ "tile " (group.concern()) } href=(target.link()) aria-current=[here.then_some("true")] {
            b { (shown(site)) } span { (describe(group, several_accounts)) }
        }
    }
}

/// The tunnels without a site.
fn draw_rest(group: &SiteSummary<'_>, several_accounts: bool) -> Markup {
    html! { span class="tile" { b { "No site" } span { (describe(group, several_accounts)) } } }
}

fn describe(group: &SiteSummary<'_>, several_accounts: bool) -> String {
    let (working, all) = (group.working(), group.tunnels.tunnels);
    let works = if working == 1 { "works" } else { "work" };
    let counts = format!("{} of {} {works}", format_count(working), format_count(all));
    let account = shown(group.account.as_str());
    join_with_dots([&*counts].into_iter().chain(several_accounts.then_some(&*account)))
}

/// Names of sites that the filter suggests.
pub(super) fn site_names<'a>(groups: &[SiteSummary<'a>]) -> BTreeSet<&'a str> {
    groups.iter().filter_map(|group| group.site.map(|site| &**site)).take(MOST).collect()
}
