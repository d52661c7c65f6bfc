use std::collections::BTreeSet;

use web_toolkit::clock;

use super::*;
use crate::prober::schedule::PhaseSequence;

fn address() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn session() -> ProbeSession {
    let now = clock::now().instant;
    let timing = Timing::default();
    ProbeSession::new(
        address(),
        Schedule::new(now, PhaseSequence::default().next_phase(), timing.interval(), now),
        timing,
    )
}

const REPLY: EchoOutcome = EchoOutcome::Reply { rtt: Duration::from_millis(1) };
const LOST: EchoOutcome = EchoOutcome::Failed(ProbeFailure::Timeout);

/// The sequence numbers of the next `count` echoes.
fn sequences(session: &mut ProbeSession, count: usize) -> Vec<u16> {
    std::iter::repeat_with(|| session.next_echo(session.due()).unwrap().0.sequence).take(count).collect()
}

#[tokio::test(start_paused = true)]
async fn sequence_numbers_never_repeat_at_once_and_use_the_whole_range() {
    let numbers = sequences(&mut session(), 200_000);
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
    for sixteenth in 0..16_u16 {
        let share = numbers.iter().filter(|&&number| number >> 12 == sixteenth).count();
        assert!((11_000..14_000).contains(&share), "{share} of 200,000 in part {sixteenth}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_echoes_of_one_session_reveal_nothing_about_those_of_another() {
    let mut sessions: Vec<_> = std::iter::repeat_with(session).take(1_000).collect();
    let identifiers: BTreeSet<_> = sessions.iter().map(|session| session.identifier).collect();
    assert!(identifiers.len() > 900, "{} identifiers for 1,000 sessions", identifiers.len());
    let next: BTreeSet<_> = sessions.iter_mut().map(|session| sequences(session, 1)[0]).collect();
    assert!(next.len() > 900, "{} first sequence numbers for 1,000 sessions", next.len());
    let [first, second] = [0, 1].map(|n| sequences(&mut sessions[n], 1_000));
    let differences: BTreeSet<_> = first.iter().zip(&second).map(|(a, b)| a.wrapping_sub(*b)).collect();
    assert!(differences.len() > 900, "the sequence numbers of two sessions are related");
    let steps: BTreeSet<_> = first.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 900, "the next sequence number follows from the last one");
}

#[tokio::test(start_paused = true)]
async fn many_losses_change_the_identifier_to_an_unused_one() {
    let mut session = session();
    let mut identifiers = vec![session.identifier];
    for loss in 1..=LOSSES_BEFORE_NEW_IDENTIFIER * 100 {
        let renewed = session.record_outcome(LOST);
        assert_eq!(renewed, loss % LOSSES_BEFORE_NEW_IDENTIFIER == 0);
        if renewed {
            assert!(!identifiers.contains(&session.identifier));
            identifiers.push(session.identifier);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn replies_between_losses_keep_the_identifier_and_unsent_packets_do_not_count() {
    let mut session = session();
    let identifier = session.identifier;
    for _ in 0..1_000 {
        for _ in 1..LOSSES_BEFORE_NEW_IDENTIFIER {
            assert!(!session.record_outcome(LOST));
        }
        assert!(!session.record_outcome(EchoOutcome::Failed(ProbeFailure::NotSent)));
        assert!(!session.record_outcome(REPLY));
    }
    assert_eq!(session.identifier, identifier);
}
