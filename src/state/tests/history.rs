use super::*;
use crate::domain::verdict_history::{VerdictEvent, VerdictHistory};

fn history(at: Timestamp, why: &str) -> VerdictHistory {
    let event = VerdictEvent { at, from: Verdict::Healthy, to: Verdict::TunnelFault, why: Some(why) };
    VerdictHistory::new(at, &[event])
}

fn with_history(history: VerdictHistory, now: Moment) -> Judged {
    let histories = [(Arc::new(key("fra")), history)].into();
    Judged { histories: Arc::new(histories), ..judged(Verdict::TunnelFault, now) }
}

#[test]
fn changes_are_written_and_read_again() {
    let (folder, now) = (Folder::new(), clock::now());
    let at = Timestamp::from_millisecond(now.wall.as_millisecond()).unwrap();
    let judged = with_history(history(at, "it is silent"), now);
    let mut archive = Archive::default();
    assert!(archive.differs_from(&judged));
    archive.update(&judged, now.wall);
    assert!(!archive.differs_from(&judged));
    let directory = folder.open();
    directory.write(&archive).unwrap();
    assert_eq!(directory.load(), archive);
    assert_eq!(archive.past_verdicts(now).histories, *judged.histories);

    let flapped = with_history(history(at, "it was silent"), now);
    assert!(archive.differs_from(&flapped), "the verdict is the same, its changes are not");
    let later = now.after(Duration::from_hours(8 * 24));
    archive.update(&Judged::default(), now.wall);
    assert_eq!(archive.past_verdicts(later).histories, *judged.histories, "changes do not become too old");
    archive.update(&Judged::default(), later.wall);
    assert!(archive.histories.is_empty(), "the tunnel has been absent for a week");
}

#[test]
fn changes_that_are_not_valid_are_left_out() {
    let record = |events: &str| {
        format!(
            r#"{{"account": "acme", "tunnel_type": "ipsec", "tunnel_id": "fra", "began": "2026-11-21T00:00:00Z",
                "reasons": ["it is silent"], "events": {events}}}"#
        )
    };
    for (events, kept) in [
        (r#"[[1, "healthy", "tunnel_fault", 0], [2, "tunnel_fault", "melted", null]]"#, 1),
        (r#"[[1, "healthy", "tunnel_fault", 7], [2, "tunnel_fault", "healthy", null]]"#, 2),
        (r#"[[9223372036854775807, "healthy", "tunnel_fault", 0]]"#, 0),
        ("[]", 0),
    ] {
        let text = format!(
            r#"{{"format": "magic-tunnel-exporter state", "version": 1, "saved": "", "histories": [{}]}}"#,
            record(events)
        );
        let archive = decode(text.as_bytes()).unwrap();
        let found: Vec<usize> = archive.histories.values().map(|entry| entry.value.events().count()).collect();
        assert_eq!(found, [kept], "{events}");
    }
    let text = r#"{"format": "magic-tunnel-exporter state", "version": 1, "saved": "", "histories": [7]}"#;
    decode(text.as_bytes()).unwrap_err();
}

/// A history with fifty changes and four explanations of usual length.
fn full(now: Timestamp) -> VerdictHistory {
    let why =
        |n: u8| format!("10.0.0.{n} inside the tunnel does not answer while the customer endpoint does; check IKE");
    let reasons = [1, 2, 3, 4].map(why);
    let events: Vec<_> = (0..50)
        .map(|n| VerdictEvent {
            at: now,
            from: Verdict::ProberIsolated,
            to: Verdict::ProberIsolated,
            why: Some(&reasons[n % 4]),
        })
        .collect();
    VerdictHistory::new(now, &events)
}

#[test]
fn ten_thousand_full_histories_fit_into_the_file() {
    let now = clock::now().wall;
    let entry = Entry { value: full(now), absent_since: None };
    let histories = (0..10_000).map(|n| (Arc::new(key(&format!("{n:032}"))), entry.clone())).collect();
    let size = encoded(&Archive { saved: Some(now), histories, ..Archive::default() }).len();
    assert!(size < 40 << 20, "{size} bytes");
}

proptest! {
    #[test]
    fn every_history_is_read_as_it_was_written(
        began in any_time(),
        events in prop::collection::vec((any_time(), 0..Verdict::ALL.len(), prop::option::of("\\PC{0,80}")), 0..60),
        absent_since in prop::option::of(any_time()),
    ) {
        let events: Vec<_> = events
            .iter()
            .map(|(at, verdict, why)| {
                let [from, to] = [Verdict::Healthy, Verdict::ALL[*verdict]];
                VerdictEvent { at: *at, from, to, why: why.as_deref() }
            })
            .collect();
        let value = VerdictHistory::new(began, &events);
        prop_assert_eq!(value.events().count(), events.len().min(VerdictHistory::KEPT));
        let histories = [(Arc::new(key("fra")), Entry { value, absent_since })].into();
        let archive = Archive { saved: Some(began), histories, ..Archive::default() };
        prop_assert_eq!(&decode(&encoded(&archive)).unwrap(), &archive);
    }
}
