use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use proptest::prelude::*;

use super::super::queue::*;
use crate::server::Peer;

const USUAL: Places = Places::USUAL;

fn peer(last: u8) -> Peer {
    Peer::from(IpAddr::from([192, 0, 2, last]))
}

#[test]
fn peers_take_turns() {
    let mut waiting = WaitingRequests::default();
    for (of, request) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
        waiting.push(peer(of), request, USUAL).unwrap();
    }
    let order: Vec<_> = std::iter::from_fn(|| waiting.pop()).collect();
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
}

#[test]
fn one_peer_fills_only_its_own_places() {
    let mut waiting = WaitingRequests::default();
    for _ in 0..USUAL.of_peer {
        waiting.push(peer(1), (), USUAL).unwrap();
    }
    assert_eq!(waiting.push(peer(1), (), USUAL), Err(QueueFull));
    assert_eq!(waiting.push(peer(2), (), USUAL), Ok(()));
}

#[test]
fn more_requests_wait_if_their_checks_are_cheap() {
    for (cost, all, of_peer) in [(4, 4_096, 256), (5, 2_048, 128), (9, 128, 8), (10, 64, 4), (12, 64, 4), (31, 64, 4)] {
        assert_eq!(Places::for_cost(cost), Places { all, of_peer }, "cost {cost}");
    }
    let mut waiting = WaitingRequests::default();
    for _ in 0..64 {
        waiting.push(peer(1), (), Places::for_cost(5)).unwrap();
    }
    assert_eq!(waiting.push(peer(2), (), USUAL), Ok(()), "in the place of a peer with more");
    assert_eq!(waiting.len(), 64);
}

#[test]
fn a_full_queue_has_a_place_for_a_peer_with_fewer_requests() {
    let mut waiting = WaitingRequests::default();
    let peers = (0..).take(USUAL.all / USUAL.of_peer);
    for of in peers.clone() {
        for _ in 0..USUAL.of_peer {
            waiting.push(peer(of), of, USUAL).unwrap();
        }
    }
    assert_eq!((waiting.len(), waiting.push(peer(99), 99, USUAL)), (USUAL.all, Ok(())));
    assert_eq!(waiting.len(), USUAL.all);
    let first_round: Vec<_> = peers.clone().map(|_| waiting.pop()).collect();
    assert_eq!(first_round, peers.map(Some).collect::<Vec<_>>());
    assert_eq!(waiting.pop(), Some(99), "after one turn of each other peer");
}

#[tokio::test]
async fn a_turn_ends_when_it_is_dropped_and_a_dropped_request_is_skipped() {
    let queue = FairQueue::default();
    let turn = queue.turn(peer(1), USUAL).await.unwrap();
    let mut waiting: Vec<_> = (2..5).map(|of| Box::pin(queue.turn(peer(of), USUAL))).collect();
    for request in &mut waiting {
        assert!(tokio::time::timeout(Duration::ZERO, request).await.is_err());
    }
    drop(waiting.remove(0));
    drop(turn);
    let second = waiting.remove(0).await.unwrap();
    // A turn that was given, but not taken, goes to the next as well.
    drop(second);
    let turn = waiting.remove(0).await.unwrap();
    drop(turn);
    assert!(queue.turn(peer(9), USUAL).await.is_ok());
}

#[test]
fn many_threads_share_one_turn_and_lose_none() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let (queue, inside, done) = (FairQueue::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    let (queue, inside, done) = (&queue, &inside, &done);
    std::thread::scope(|scope| {
        for of in 0..16 {
            let runtime = runtime.handle().clone();
            scope.spawn(move || {
                runtime.block_on(async {
                    for n in 0..200 {
                        let turn = queue.turn(peer(of), USUAL);
                        // Some clients give up while they wait.
                        let turn = if n % 7 == 0 {
                            tokio::time::timeout(Duration::ZERO, turn).await.ok()
                        } else {
                            Some(turn.await)
                        };
                        let Some(turn) = turn else { continue };
                        let turn = turn.expect("fewer requests than places");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            });
        }
    });
    assert!(done.load(Ordering::SeqCst) >= 16 * 171);
}

proptest! {
    #[test]
    fn any_history_is_bounded_fair_and_loses_nothing(steps in prop::collection::vec((0..40_u8, 0..4_u8), 1..400)) {
        let mut waiting = WaitingRequests::default();
        let mut expected: BTreeMap<Peer, usize> = BTreeMap::new();
        for (of, step) in steps {
            if step == 0 {
                let popped: Option<Peer> = waiting.pop();
                prop_assert_eq!(popped.is_none(), expected.values().all(|count| *count == 0));
                if let Some(popped) = popped {
                    *expected.get_mut(&popped).unwrap() -= 1;
                }
            } else if waiting.push(peer(of), peer(of), USUAL).is_ok() {
                if expected.values().sum::<usize>() == USUAL.all {
                    let (most, count) = expected.iter_mut().rev().max_by_key(|(peer, count)| (**count, **peer)).unwrap();
                    prop_assert!(*most != peer(of));
                    *count -= 1;
                }
                *expected.entry(peer(of)).or_default() += 1;
            }
            prop_assert_eq!(waiting.len(), expected.values().sum::<usize>());
            prop_assert!(waiting.len() <= USUAL.all);
            prop_assert!(expected.values().all(|count| *count <= USUAL.of_peer));
        }
    }
}
