use super::*;

/// Uses the loopback interface. Tests are skipped if the machine does not permit ICMP sockets.
fn network() -> (IcmpNetwork, Arc<Sockets>) {
    let sockets = Arc::new(Sockets::default());
    (IcmpNetwork::new(Arc::clone(&sockets)), sockets)
}

fn binding(mode: SocketMode) -> Binding {
    Binding { mode, source: None, interface: None, dscp: 0 }
}

fn echo(target: &str, sequence: u16) -> Echo {
    Echo { target: target.parse().unwrap(), identifier: 0xbeef, sequence, timeout: Duration::from_millis(500) }
}

async fn probe(mode: SocketMode, target: &str) -> Option<EchoOutcome> {
    let (network, sockets) = network();
    let echo = echo(target, 1);
    let link = network.create_link(IpVersion::from(echo.target), &Arc::new(binding(mode)));
    let outcome = link.send_echo(echo).await;
    sockets.list()[0].up.then_some(outcome)
}

#[tokio::test]
async fn loopback_replies_with_a_positive_round_trip_time() {
    for mode in [SocketMode::Auto, SocketMode::Raw, SocketMode::Dgram] {
        for target in ["127.0.0.1", "127.1.2.3", "::1"] {
            match probe(mode, target).await {
                None => eprintln!("skipped: {mode} sockets are not permitted"),
                Some(EchoOutcome::Reply { rtt }) => assert!(!rtt.is_zero() && rtt < Duration::from_millis(500)),
                Some(other) => panic!("{target} by {mode}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn sequence_numbers_may_wrap() {
    let (network, sockets) = network();
    let link = network.create_link(IpVersion::V4, &Arc::new(binding(SocketMode::Auto)));
    for sequence in [65_534, 65_535, 0, 1] {
        let outcome = link.send_echo(echo("127.0.0.1", sequence)).await;
        if !sockets.list()[0].up {
            return eprintln!("skipped: sockets are not permitted");
        }
        assert!(matches!(outcome, EchoOutcome::Reply { .. }), "{sequence}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_missing_interface_is_unreachable_and_the_socket_is_down() {
    let (network, sockets) = network();
    let binding = Binding { interface: Some("no-such-if0".into()), ..binding(SocketMode::Auto) };
    let link = network.create_link(IpVersion::V4, &Arc::new(binding.clone()));
    let outcome = link.send_echo(echo("127.0.0.1", 1)).await;
    let allowed = probe(SocketMode::Auto, "127.0.0.1").await.is_some();
    let expected = if allowed { ProbeFailure::Unreachable } else { ProbeFailure::NotSent };
    assert_eq!(outcome, EchoOutcome::Failed(expected));
    let status = &sockets.list()[0];
    assert_eq!((status.up, status.mode, &*status.binding), (false, SocketMode::Auto, &binding));
    drop(link);
    assert!(sockets.list().is_empty(), "an unused socket is not listed");
}

#[tokio::test]
async fn a_foreign_source_address_is_a_local_failure() {
    let (network, sockets) = network();
    let binding = Binding { source: Some("203.0.113.77".parse().unwrap()), ..binding(SocketMode::Auto) };
    let link = network.create_link(IpVersion::V4, &Arc::new(binding));
    assert_eq!(link.send_echo(echo("127.0.0.1", 1)).await, EchoOutcome::Failed(ProbeFailure::NotSent));
    assert!(!sockets.list()[0].up);
}
