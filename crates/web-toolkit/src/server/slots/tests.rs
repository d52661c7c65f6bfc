use std::{net::IpAddr, time::Duration};

use proptest::prelude::*;
use tokio::time;

use super::*;

fn peer(last: u8) -> Peer {
    Peer::from(IpAddr::from([192, 0, 2, last]))
}

/// Whether `admit` waits at the moment.
async fn waits(slots: &Arc<Slots>, of: Peer) -> bool {
    tokio::time::timeout(Duration::ZERO, slots.admit(of)).await.is_err()
}

async fn second() {
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_connection_makes_room() {
    let counts = ConnectionCounts::default();
    let slots = Slots::new(16, counts.clone());
    let mut held = Vec::new();
    for last in 0..16 {
        held.push(slots.admit(peer(last)).await.unwrap());
        second().await;
    }
    held[0].set_active();
    held[1].set_active();
    held[1].set_idle();
    assert!(waits(&slots, peer(99)).await, "the slot is not free before its connection is closed");
    held[2].evicted().await;
    assert!(!held[0].evicted.is_cancelled() && !held[1].evicted.is_cancelled());
    assert!(waits(&slots, peer(98)).await);
    assert_eq!((counts.open(), counts.evicted()), (16, 1), "only one connection is closed for one slot");
    drop(held.remove(2));
    let _new = slots.admit(peer(99)).await.unwrap();
    assert_eq!(counts.open(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_more_than_an_eighth_loses_its_own_connections() {
    let slots = Slots::new(16, ConnectionCounts::default());
    let modest = slots.admit(peer(1)).await.unwrap();
    second().await;
    let mut greedy = Vec::new();
    for _ in 0..15 {
        greedy.push(slots.admit(peer(2)).await.unwrap());
        second().await;
    }
    assert!(waits(&slots, peer(2)).await);
    assert!(greedy[0].evicted.is_cancelled(), "its own oldest connection");
    drop(greedy.remove(0));
    greedy.push(slots.admit(peer(2)).await.unwrap());
    assert!(waits(&slots, peer(3)).await);
    assert!(greedy[0].evicted.is_cancelled() && !modest.evicted.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_response_in_progress_is_never_interrupted() {
    let counts = ConnectionCounts::default();
    let slots = Slots::new(8, counts.clone());
    let mut busy = Vec::new();
    for _ in 0..8 {
        let slot = slots.admit(peer(1)).await.unwrap();
        slot.set_active();
        busy.push(slot);
    }
    assert!(slots.admit(peer(1)).await.is_none(), "this peer has more than its share");
    assert!(waits(&slots, peer(2)).await, "another peer waits for the end of a response");
    assert!(busy.iter().all(|slot| !slot.evicted.is_cancelled()));
    let mut waiting = Box::pin(slots.admit(peer(2)));
    assert!(is_pending(&mut waiting).await);
    busy[3].set_idle();
    assert!(is_pending(&mut waiting).await, "the connection is being closed");
    assert!(busy[3].evicted.is_cancelled());
    drop(busy.remove(3));
    assert!(waiting.await.is_some());
}

/// Polls once, and returns whether the future is pending.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// Clients that connect, are served, idle until they are evicted, or give up while they wait: each of them ends, so no
/// wake-up is lost, and the limit holds at every moment.
#[test]
fn many_threads_share_the_slots_and_none_waits_forever() {
    const LIMIT: usize = 4;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let (counts, served) = (ConnectionCounts::default(), Arc::new(AtomicUsize::new(0)));
    let slots = Slots::new(LIMIT, counts.clone());
    let client = |last: u8| {
        let (slots, counts, served) = (Arc::clone(&slots), counts.clone(), Arc::clone(&served));
        async move {
            for n in 0..300 {
                let admitted = slots.admit(peer(last));
                let admitted =
                    if n % 5 == 0 { time::timeout(Duration::ZERO, admitted).await.ok() } else { Some(admitted.await) };
                let Some(Some(slot)) = admitted else { continue };
                assert!(counts.open() <= LIMIT);
                slot.set_active();
                tokio::task::yield_now().await;
                slot.set_idle();
                served.fetch_add(1, Ordering::Relaxed);
                if n % 3 == 0 {
                    // The last clients may have nothing to make room for.
                    let _ = time::timeout(Duration::from_millis(5), slot.evicted()).await;
                }
            }
        }
    };
    let clients: Vec<_> = (0..12).map(|last| runtime.spawn(client(last))).collect();
    let all = async {
        for client in clients {
            client.await.unwrap();
        }
    };
    runtime.block_on(async { time::timeout(Duration::from_mins(2), all).await }).expect("every client ends");
    assert_eq!(counts.open(), 0);
    assert!(served.load(Ordering::Relaxed) >= 12 * 200, "{served:?}");
}

proptest! {
    /// Whatever clients do, the table is never above its limit, evicts only idle connections, and lets in a peer that
    /// holds less than its share as soon as one connection is idle.
    #[test]
    fn any_history_keeps_the_rules(limit in 1..20_usize, steps in prop::collection::vec((0..4_u8, 0..3_u8, 0..20_usize), 1..200)) {
        let mut table = SlotTable::default();
        let mut now = clock::now().instant;
        for (last, step, nth) in steps {
            now += Duration::from_millis(1);
            let nth = table.entries.keys().nth(nth).copied();
            match (step, nth) {
                (0, Some(id)) => {
                    let was_idle = table.entries[&id].idle_since.is_some();
                    table.set_idle_since(id, Some(now).filter(|_| !was_idle));
                }
                (1, Some(id)) => table.remove(id),
                _ => {
                    let held = table.held.get(&peer(last)).copied().unwrap_or_default();
                    let (full, evicting, idle) = (
                        table.entries.len() >= limit,
                        table.entries.values().any(|entry| entry.evicted.is_cancelled()),
                        !table.idle.is_empty(),
                    );
                    let admission = table.admit(peer(last), limit, now);
                    let expected = match (full, evicting, held < (limit / 8).max(1), idle) {
                        (false, ..) => matches!(admission, Admission::Admitted(..)),
                        (_, true, ..) | (_, _, true, false) => matches!(admission, Admission::Waiting),
                        (_, _, true, true) => matches!(admission, Admission::Evicting),
                        (_, _, false, _) => matches!(admission, Admission::Evicting | Admission::Refused),
                    };
                    prop_assert!(expected, "{:?}, {} held", admission, held);
                }
            }
            prop_assert!(table.entries.len() <= limit);
            let idle = table.entries.values().filter(|entry| entry.idle_since.is_some() && !entry.leaving).count();
            prop_assert_eq!(table.idle.len(), idle);
            prop_assert_eq!(table.entries.values().filter(|entry| entry.leaving).count(), table.leaving);
            prop_assert_eq!(table.held.values().sum::<usize>(), table.entries.len());
        }
    }
}
