use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_spent_budget_delays_the_next_request() {
    let limiter = Limiter::for_cloudflare();
    let start = clock::now();
    for _ in 0..50 {
        limiter.take(&Pulse::default()).await;
    }
    assert_eq!(clock::now().since(start), Duration::ZERO, "a start with many accounts is not slowed down");
    limiter.take(&Pulse::default()).await;
    assert!(clock::now().since(start) >= Duration::from_millis(750));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_told_to_one_collection_holds_all_of_them() {
    let limiter = Limiter::for_cloudflare();
    let start = clock::now();
    limiter.pause(Duration::from_mins(5));
    let other = limiter.clone();
    other.take(&Pulse::default()).await;
    assert!(clock::now().since(start) >= Duration::from_mins(5));
}
