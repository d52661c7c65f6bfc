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
    snapshot::Judged,
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

fn table(snapshot: &Snapshot, in_colour: bool) -> String {
    let mut text = Vec::new();
    write_table(snapshot, &Filter::default(), in_colour, &mut text).unwrap();
    String::from_utf8(text).unwrap()
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
async fn a_list_that_cannot_be_read_is_reported_below() {
    let mut snapshot = snapshot(clock::now(), &[]);
    let mut fleet = snapshot.fleet().clone();
    let account = Arc::make_mut(fleet.accounts.get_mut(&AccountName::new("acme")).unwrap());
    let failed = PollStatus { state: PollState::Failed(FailureReason::NotFound), ..PollStatus::default() };
    account.set_list(TunnelType::Gre, TunnelList { status: failed, ..TunnelList::default() });
    snapshot.judged.fleet = Arc::new(fleet);
    assert_eq!(
        table(&snapshot, false),
        "\
0 tunnels, 0 need attention
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

fn of_site(snapshot: &Snapshot, site: &str) -> (String, bool) {
    let filter = Filter { site: Some(site.into()), ..Filter::default() };
    let mut text = Vec::new();
    write_table(snapshot, &filter, false, &mut text).unwrap();
    (String::from_utf8(text).unwrap(), all_well(snapshot, &filter))
}

#[tokio::test]
async fn the_site_is_a_column_and_a_filter() {
    let snapshot = three_with_a_site();
    assert!(table(&snapshot, false).contains("TYPE   SITE  BGP"), "{}", table(&snapshot, false));
    assert!(!table(&three(), false).contains("SITE"), "no tunnel has a site");
    let (text, well) = of_site(&snapshot, "fra");
    assert_eq!(
        text,
        "\
VERDICT        TUNNEL            TYPE  SITE  BGP          TCP  CHECKS  WHY
reported_down  a-very-long-name  gre   fra   down (none)  -    -       the session is down

1 tunnels, 1 needs attention
"
    );
    assert!(!well);
}

#[tokio::test]
async fn a_site_without_tunnels_is_not_well() {
    let (text, well) = of_site(&three_with_a_site(), "f\nra");
    let hint = "no tunnel has this site; run the command without `--site` to see all sites\n";
    assert_eq!((text, well), (format!("{hint}0 tunnels, 0 need attention\n"), false));
}
