//! The page at `/`: a headline, what needs attention, and the table of tunnels.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    document::Document,
    format::{count_noun, format_count},
    graph::draw_bar,
    sites::{draw_sites, site_names},
    sources::{draw_notices, draw_sources},
    table::draw_table,
    words,
};
use crate::{
    domain::{dataset::PollState, label::Label, tunnel::TunnelType, verdict::Verdict},
    http::address::{ATTENTION, Query, verdict_value},
    snapshot::{
        Snapshot,
        rows::{BY_URGENCY, Concern, Filter, Order, Summary, VerdictFilter},
        sites::SiteSummary,
    },
};

/// Draws the page.
pub(in crate::http) fn draw_front(snapshot: &Snapshot, query: &Query) -> Document {
    let summary = snapshot.summary();
    let headline = Headline::new(snapshot, &summary);
    let sites = snapshot.sites(&Filter::default());
    let body = html! {
        section id="headline" class={ "headline " (headline.concern) } data-live {
            (headline.draw())
            @if summary.tunnels > 0 { (draw_shares(&summary)) (draw_tiles(&summary, query)) }
        }
        div id="notices" class="notices" data-live { (draw_notices(snapshot, &summary)) }
        @if summary.tunnels > 0 {
            section id="sites" class="sites" data-live aria-label="Sites" { (draw_sites(snapshot, &sites, query)) }
            (draw_form(snapshot, &sites, query))
            section id="tunnels" data-live aria-label="Tunnels" { (draw_table(snapshot, query)) }
        }
        (draw_sources(snapshot))
    };
    Document { title: headline.text, concern: headline.concern, root: "./", body }
}

/// A bar with one part per concern.
fn draw_shares(summary: &Summary) -> Markup {
    let width = |concern| 1000.0 * summary.of_concern(concern) as f64 / summary.tunnels as f64;
    let mut left = 0.0;
    let parts = Concern::ALL.iter().map(|&concern| {
        let part = (concern, left, width(concern));
        left += part.2;
        part
    });
    html! {
        svg class="shares" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            @for (concern, left, width) in parts { @if width > 0.0 { (draw_bar(concern, left, width, None)) } }
        }
    }
}

/// One link per verdict that occurs, with the number of its tunnels.
fn draw_tiles(summary: &Summary, query: &Query) -> Markup {
    let draw_tile = |name: &str, concern: &str, number: usize, wanted: Option<VerdictFilter>| {
        let here = query.filter.verdict == wanted;
        let target = Query { filter: Filter { verdict: wanted, ..Filter::default() }, ..Query::default() };
        html! {
            li { a class={ "tile " (concern) } href=(target.link()) aria-current=[here.then_some("true")] {
                b { (format_count(number)) } span { (name) }
            } }
        }
    };
    html! {
        ul class="tiles" aria-label="Tunnels by verdict" {
            (draw_tile("All", "all", summary.tunnels, None))
            @for verdict in BY_URGENCY.into_iter().filter(|&verdict| summary.with(verdict) > 0) {
                @let (name, concern) = (words::verdict_name(verdict), Concern::of(verdict).as_str());
                (draw_tile(name, concern, summary.with(verdict), Some(VerdictFilter::Only(verdict))))
            }
        }
    }
}

fn draw_form(snapshot: &Snapshot, sites: &[SiteSummary<'_>], query: &Query) -> Markup {
    let Filter { account, site, tunnel_type, verdict, search } = &query.filter;
    let names = site_names(sites);
    let verdicts = BY_URGENCY.iter().map(|&verdict: &Verdict| (verdict.as_str(), words::verdict_name(verdict)));
    let verdicts = [("", "Any verdict"), (ATTENTION, "Needs attention")].into_iter().chain(verdicts);
    let types = TunnelType::ALL.iter().map(|&tunnel_type| (tunnel_type.as_str(), words::type_name(tunnel_type)));
    let orders = Order::ALL.iter().map(|&order| (order.as_str(), order_name(order)));
    html! {
        form class="filter" role="search" method="get" action="./" {
            label class="wide" { span { "Search" }
                input type="search" name="search" value=(search) maxlength="128"
                    placeholder="Name, description or address";
            }
            @if (snapshot.fleet().accounts.len() > 1) || account.is_some() {
                (select_account(snapshot, account.as_deref()))
            }
            @if !names.is_empty() || site.is_some() {
                label { span { "Site" }
                    input name="site" value=[site.as_deref()] list="site-names" autocomplete="off"
                        placeholder="Any site";
                }
                datalist id="site-names" { @for name in names { option value=(name) {} } }
            }
            (select("verdict", "Verdict", verdicts, verdict.map(verdict_value)))
            (select("type", "Type", [("", "Any type")].into_iter().chain(types), tunnel_type.map(Label::as_str)))
            (select("sort", "Sort by", orders, Some(query.order.as_str())))
            button type="submit" { "Show" }
            @if query.filter != Filter::default() { a class="reset" href="./" { "Reset" } }
        }
    }
}

fn select_account(snapshot: &Snapshot, chosen: Option<&str>) -> Markup {
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
        Order::Site => "Site",
        Order::Since => "Latest change first",
        Order::Rtt => "Highest RTT first",
        Order::Loss => "Highest loss first",
    }
}

/// The summary of all tunnels in one sentence.
#[derive(Debug)]
struct Headline {
    concern: Concern,
    text: String,
    detail: String,
}

impl Headline {
    fn new(snapshot: &Snapshot, summary: &Summary) -> Self {
        if summary.tunnels == 0 { Self::without_tunnels(snapshot) } else { Self::with_tunnels(summary) }
    }

    fn without_tunnels(snapshot: &Snapshot) -> Self {
        let states: Vec<PollState> = snapshot.datasets().map(|(.., status)| status.state).collect();
        let (text, detail) = if states.iter().any(|state| matches!(state, PollState::Failed(_))) {
            (
                "The tunnels are unknown",
                "Cloudflare did not return the lists of tunnels. The reason and a fix are below.",
            )
        } else if states.contains(&PollState::Waiting) {
            ("Waiting for the first poll", "The lists of tunnels have been requested. This takes some seconds.")
        } else {
            (
                "There are no tunnels",
                "Cloudflare lists none. New ones appear after the next poll. If any are missing, check the account id.",
            )
        };
        Self { concern: Concern::Unsure, text: text.into(), detail: detail.into() }
    }

    fn with_tunnels(summary: &Summary) -> Self {
        let Summary { tunnels, .. } = *summary;
        let attention = summary.needing_attention();
        let unsure = summary.of_concern(Concern::Unsure);
        let all = count_noun(tunnels, "tunnel", "tunnels");
        if attention > 0 {
            let concern = if summary.of_concern(Concern::Broken) > 0 { Concern::Broken } else { Concern::Suspect };
            let verb = if attention == 1 { "needs" } else { "need" };
            let text = format!("{} of {all} {verb} attention", format_count(attention));
            return Self { concern, text, detail: list_failed_layers(summary) };
        }
        if summary.with(Verdict::ProberIsolated) > 0 {
            let text = "This prober reaches none of its targets".into();
            return Self {
                concern: Concern::Suspect,
                text,
                detail: words::verdict_meaning(Verdict::ProberIsolated).into(),
            };
        }
        if unsure == tunnels {
            let detail = "Cloudflare reports no BGP session, and no address has answered yet.".into();
            return Self { concern: Concern::Unsure, text: format!("The state of {all} is unknown"), detail };
        }
        if unsure > 0 {
            let detail = format!("The state of {} is unknown.", count_noun(unsure, "tunnel", "tunnels"));
            let text = format!("{} of {all} are healthy", format_count(tunnels - unsure));
            return Self { concern: Concern::Fine, text, detail };
        }
        let text = if tunnels == 1 { "The only tunnel is healthy".into() } else { format!("All {all} are healthy") };
        Self { concern: Concern::Fine, text, detail: "No action is needed.".into() }
    }

    fn draw(&self) -> Markup {
        html! {
            h1 class=(self.concern) { (self.text) }
            p class="detail" { (self.detail) }
        }
    }
}

/// One phrase per verdict that needs attention.
fn list_failed_layers(summary: &Summary) -> String {
    let phrases: Vec<String> = BY_URGENCY
        .into_iter()
        .filter(|&verdict| Concern::of(verdict).needs_attention() && summary.with(verdict) > 0)
        .filter_map(|verdict| {
            Some(format!("{} ({})", words::failed_layer(verdict)?, format_count(summary.with(verdict))))
        })
        .collect();
    format!("Failed: {}.", phrases.join("; "))
}
