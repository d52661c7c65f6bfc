//! The page at `/`: what is broken, and every tunnel.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    evidence::thousands, headline::Headline, notices::notices, shell::Document, status::status, table::table, words,
};
use crate::{
    domain::{label::Label, tunnel::TunnelType, verdict::Verdict},
    http::query::{ATTENTION, Query, word},
    snapshot::{
        Snapshot,
        concern::{BY_URGENCY, Concern, Summary},
        filter::{Filter, Order, VerdictFilter},
    },
};

/// Draws the page.
pub(in crate::http) fn front(snapshot: &Snapshot, query: &Query) -> Document {
    let summary = snapshot.summary();
    let headline = Headline::new(snapshot, &summary);
    let body = html! {
        section id="headline" class={ "headline " (headline.concern) } data-live {
            (headline.markup())
            @if summary.tunnels > 0 { (shares(&summary)) (tiles(&summary, query)) }
        }
        div id="notices" class="notices" data-live { (notices(snapshot, &summary)) }
        @if summary.tunnels > 0 {
            (form(snapshot, query))
            section id="tunnels" data-live aria-label="Tunnels" { (table(snapshot, query)) }
        }
        (status(snapshot))
    };
    Document { title: headline.text, concern: headline.concern, root: "./", body }
}

/// One bar, cut by how grave things are.
fn shares(summary: &Summary) -> Markup {
    let width = |concern| 1000.0 * summary.of_concern(concern) as f64 / summary.tunnels as f64;
    let mut left = 0.0;
    let parts = Concern::ALL.iter().map(|&concern| {
        let part = (concern, left, width(concern));
        left += part.2;
        part
    });
    html! {
        svg class="shares" viewBox="0 0 1000 6" preserveAspectRatio="none" aria-hidden="true" {
            @for (concern, x, width) in parts.collect::<Vec<_>>() {
                @if width > 0.0 { rect class=(concern) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height="6" {} }
            }
        }
    }
}

/// A count for each verdict that occurs, as links to its tunnels.
fn tiles(summary: &Summary, query: &Query) -> Markup {
    let tile = |name: &str, concern: &str, number: usize, wanted: Option<VerdictFilter>| {
        let here = query.filter.verdict == wanted;
        let target = Query { filter: Filter { verdict: wanted, ..Filter::default() }, ..Query::default() };
        html! {
            li { a class={ "tile " (concern) } href=(target.link()) aria-current=[here.then_some("true")] {
                b { (thousands(number)) } span { (name) }
            } }
        }
    };
    html! {
        ul class="tiles" aria-label="Tunnels by verdict" {
            (tile("All", "all", summary.tunnels, None))
            @for verdict in BY_URGENCY.into_iter().filter(|&verdict| summary.with(verdict) > 0) {
                (tile(words::verdict(verdict), Concern::of(verdict).as_str(), summary.with(verdict), Some(VerdictFilter::Only(verdict))))
            }
        }
    }
}

fn form(snapshot: &Snapshot, query: &Query) -> Markup {
    let Filter { account, tunnel_type, verdict, search } = &query.filter;
    let verdicts = BY_URGENCY.iter().map(|&verdict: &Verdict| (verdict.as_str(), words::verdict(verdict)));
    let verdicts = [("", "Any verdict"), (ATTENTION, "Needs attention")].into_iter().chain(verdicts);
    let types = TunnelType::ALL.iter().map(|&tunnel_type| (tunnel_type.as_str(), words::tunnel_type(tunnel_type)));
    let orders = Order::ALL.iter().map(|&order| (order.as_str(), order_name(order)));
    html! {
        form class="filter" role="search" method="get" action="./" {
            label class="wide" { span { "Search" }
                input type="search" name="search" value=(search) maxlength="128" placeholder="Name, description or address";
            }
            @if (snapshot.fleet().accounts.len() > 1) || account.is_some() { (accounts(snapshot, account.as_deref())) }
            (select("verdict", "Verdict", verdicts, verdict.map(word)))
            (select("type", "Type", [("", "Any type")].into_iter().chain(types), tunnel_type.map(Label::as_str)))
            (select("sort", "Sort by", orders, Some(query.order.as_str())))
            button type="submit" { "Show" }
            @if query.filter != Filter::default() { a class="reset" href="./" { "Reset" } }
        }
    }
}

fn accounts(snapshot: &Snapshot, chosen: Option<&str>) -> Markup {
    let names: Vec<_> = snapshot.fleet().accounts.keys().map(|name| (name.as_str(), shown(name.as_str()))).collect();
    let options = names.iter().map(|(name, shown)| (*name, &**shown));
    select("account", "Account", [("", "Any account")].into_iter().chain(options), chosen)
}

fn select<'a>(
    name: &str,
    label: &str,
    options: impl Iterator<Item = (&'a str, &'a str)>,
    chosen: Option<&str>,
) -> Markup {
    html! {
        label { span { (label) }
            select name=(name) {
                @for (value, text) in options { option value=(value) selected[chosen == Some(value)] { (text) } }
            }
        }
    }
}

const fn order_name(order: Order) -> &'static str {
    match order {
        Order::Trouble => "Most broken first",
        Order::Name => "Name",
        Order::Account => "Account",
        Order::Since => "Newest change first",
        Order::Rtt => "Slowest first",
        Order::Loss => "Lossiest first",
    }
}
