use std::{sync::Arc, time::Duration};

use web_toolkit::clock::{self, Moment};

use super::*;
use crate::{
    domain::{
        dataset::{FailureReason, PollStatus},
        fixtures::{gre, polled, reporting, tunnel},
        inventory::{AccountName, TunnelKey},
        tunnel::{BgpState, Tunnel, TunnelType},
        verdict::{Reported, TunnelVerdict, Verdicts},
    },
    snapshot::{Judged, rows::VerdictFilter},
};

fn snapshot(now: Moment, tunnels: &[(Tunnel, Verdict, &str)]) -> Snapshot {
    let evidence =
        Evidence { reported: Reported::None, edge: Reported::None, inside: Side::Answers, outside: Side::Unsettled };
    let verdicts = tunnels.iter().map(|(tunnel, verdict, why)| {
        let key = TunnelKey::new(&AccountName::new("acme"), tunnel);
        (
            Arc::new(key),
            Arc::new(TunnelVerdict { verdict: *verdict, evidence, changed: now, changes: 0, why: (*why).into() }),
        )
    });
    let judged = Judged {
        fleet: polled(Some(now), tunnels.iter().map(|(tunnel, ..)| tunnel.clone())),
        board: Arc::default(),
        verdicts: Arc::new(Verdicts { tunnels: verdicts.collect() }),
        ..Judged::default()
    };
    Snapshot { judged, stale_after: Duration::from_mins(5), now }
}

/// The table and the summary.
fn written(snapshot: &Snapshot, filter: &Filter, style: TableStyle) -> String {
    let mut text = Vec::new();
    write_table(snapshot, filter, style, &mut text).unwrap();
    write_summary(snapshot, filter, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn table(snapshot: &Snapshot, in_colour: bool) -> String {
    written(snapshot, &Filter::default(), TableStyle { in_colour, ..TableStyle::default() })
}

fn three() -> Snapshot {
    snapshot(
        clock::now(),
        &[
            (reporting(tunnel("ams"), BgpState::Up), Verdict::Healthy, "Cloudflare reports the session up"),
            (reporting(gre(tunnel("a-very-long-name")), BgpState::Down), Verdict::ReportedDown, "the session is down"),
            (tunnel("東京"), Verdict::Unknown, "nothing is known"),
        ],
    )
}

#[tokio::test]
async fn the_most_broken_tunnel_is_first_and_the_columns_are_aligned() {
    assert_eq!(
        table(&three(), false),
        "\
VERDICT        TUNNEL            TYPE   BGP          TCP  CHECKS  WHY
reported_down  a-very-long-name  gre    down (none)  -    -       the session is down
unknown        東京              ipsec  -            -    -       nothing is known
healthy        ams               ipsec  up (none)    -    -       Cloudflare reports the session up

3 tunnels, 1 needs attention
"
    );
}

#[tokio::test]
async fn only_the_verdict_is_coloured() {
    let text = table(&three(), true);
    assert!(text.contains("\u{1b}[31mreported_down\u{1b}[0m  a-very-long-name  gre"), "{text:?}");
    assert!(text.contains("\u{1b}[32mhealthy\u{1b}[0m"), "{text:?}");
}

#[tokio::test]
async fn lists_that_cannot_be_read_are_not_reported_as_empty() {
    let mut snapshot = snapshot(clock::now(), &[]);
    let mut fleet = snapshot.fleet().clone();
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let failed = PollStatus { state: PollState::Failed(FailureReason::NotFound), ..PollStatus::default() };
    account.set_list(TunnelType::Gre, TunnelList { status: failed, ..TunnelList::default() });
    snapshot.judged.fleet = Arc::new(fleet);
    assert_eq!(
        table(&snapshot, false),
        "\
could not read the tunnels
account acme: gre_tunnels cannot be read (not_found): check the account id and `--cloudflare.api-url`
account acme: ipsec_tunnels was not polled
"
    );
}

/// The three tunnels, of which the broken one has the site `fra`.
fn three_with_a_site() -> Snapshot {
    let mut snapshot = three();
    let mut fleet = snapshot.fleet().clone();
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let mut list = account.list(TunnelType::Gre).as_ref().clone();
    Arc::make_mut(&mut list.entries)[0].site = Some("fra".into());
    account.set_list(TunnelType::Gre, list);
    snapshot.judged.fleet = Arc::new(fleet);
    snapshot
}

fn of_site(snapshot: &Snapshot, site: &str) -> (String, Assessment) {
    let filter = Filter { site: Some(site.into()), ..Filter::default() };
    (written(snapshot, &filter, TableStyle::default()), assess(snapshot, &filter))
}

#[tokio::test]
async fn the_site_is_a_column_and_a_filter() {
    let snapshot = three_with_a_site();
    assert!(table(&snapshot, false).contains("TYPE   SITE  BGP"), "{}", table(&snapshot, false));
    assert!(!table(&three(), false).contains("SITE"), "no tunnel has a site");
    let (text, assessment) = of_site(&snapshot, "fra");
    assert_eq!(
        text,
        "\
VERDICT        TUNNEL            TYPE  SITE  BGP          TCP  CHECKS  WHY
reported_down  a-very-long-name  gre   fra   down (none)  -    -       the session is down

1 tunnel, 1 needs attention
"
    );
    assert_eq!(assessment, Assessment::Attention);
}

#[tokio::test]
async fn a_site_without_tunnels_is_not_well() {
    let found = of_site(&three_with_a_site(), "f\nra");
    let hint = "no tunnel has this site; run the command without `--site` to see all sites\n";
    assert_eq!(found, (format!("{hint}0 tunnels, 0 need attention\n"), Assessment::Attention));
}

/// The three tunnels with a list that could not be read.
fn three_without_the_ipsec_list() -> Snapshot {
    let mut snapshot = three();
    let mut fleet = snapshot.fleet().clone();
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let failed = PollStatus { state: PollState::Failed(FailureReason::Timeout), ..PollStatus::default() };
    account.set_list(TunnelType::Ipsec, TunnelList { status: failed, ..TunnelList::default() });
    snapshot.judged.fleet = Arc::new(fleet);
    snapshot
}

#[tokio::test]
async fn a_list_that_could_not_be_read_is_counted_and_outweighs_a_broken_tunnel() {
    let snapshot = three_without_the_ipsec_list();
    let text = table(&snapshot, false);
    assert!(text.contains("\n1 tunnel, 1 needs attention; could not read 1 of "), "{text}");
    assert_eq!(assess(&snapshot, &Filter::default()), Assessment::Unreadable);
}

#[tokio::test]
async fn an_assessment_concerns_only_the_tunnels_that_match() {
    let snapshot = three();
    let words = |search: &str| Filter { search: search.into(), ..Filter::default() };
    let of = |verdict| Filter { verdict: Some(VerdictFilter::Only(verdict)), ..Filter::default() };
    for (filter, expected) in [
        (Filter::default(), Assessment::Attention),
        (words("LONG name"), Assessment::Attention),
        (words("ams"), Assessment::Well),
        (words("nowhere"), Assessment::Attention),
        (of(Verdict::Healthy), Assessment::Well),
        (of(Verdict::ReportedDown), Assessment::Attention),
        (of(Verdict::BgpFault), Assessment::Well),
        (Filter { search: "ams".into(), ..of(Verdict::BgpFault) }, Assessment::Well),
    ] {
        assert_eq!(assess(&snapshot, &filter), expected, "{filter:?}");
    }
    let text = written(&snapshot, &words("nowhere"), TableStyle::default());
    assert!(text.starts_with("no tunnel matches; run the command without `--search` to see all tunnels\n0 "), "{text}");
}

#[tokio::test]
async fn a_table_without_headings_has_only_rows() {
    let mut text = Vec::new();
    let style = TableStyle { without_headings: true, ..TableStyle::default() };
    write_table(&three(), &Filter::default(), style, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("reported_down  a-very-long-name") && !text.contains("\n\n"), "{text}");
}

#[tokio::test]
async fn a_table_fits_the_terminal() {
    let style = |width, most_rows| TableStyle { width: Some(width), most_rows, ..TableStyle::default() };
    assert_eq!(
        written(&three(), &Filter::default(), style(60, Some(2))),
        "\
VERDICT        TUNNEL            WHY
reported_down  a-very-long-name  the session is down
unknown        東京              nothing is known
… and 1 more

3 tunnels, 1 needs attention
"
    );
    for width in 40..100 {
        let text = written(&three(), &Filter::default(), style(width, None));
        assert!(text.lines().take(4).all(|line| line.width() <= width), "{width} columns:\n{text}");
    }
}
