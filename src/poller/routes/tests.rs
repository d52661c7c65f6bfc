use super::*;
use crate::domain::fixtures::route;

fn listing(next_hop: &str) -> RouteListing {
    RouteListing { routes: vec![route("192.0.2.0/24", next_hop, 100)], ..RouteListing::default() }
}

fn polled() -> TrackedRoutes {
    let mut tracked = TrackedRoutes::resume(RouteTable::default());
    tracked.succeed(&AccountName::new("acme"), listing("10.0.0.1"), clock::now());
    tracked
}

#[tokio::test]
async fn a_failure_keeps_the_routes_and_the_time_of_the_last_success() {
    let (mut tracked, account) = (polled(), AccountName::new("acme"));
    let before = tracked.table.clone();
    let failure = ApiFailure::new(FailureReason::Auth);
    let wait = tracked.fail(&account, &failure, Duration::from_mins(1));
    assert!(wait >= Duration::from_mins(1));
    assert_eq!(tracked.table.status.state, PollState::Failed(FailureReason::Auth));
    assert_eq!(tracked.table.status.last_success, before.status.last_success);
    assert_eq!(tracked.table.routes, before.routes);
}

#[tokio::test]
async fn equal_routes_keep_their_memory() {
    let (mut tracked, account) = (polled(), AccountName::new("acme"));
    let before = Arc::clone(&tracked.table.routes);
    tracked.succeed(&account, listing("10.0.0.1"), clock::now());
    assert!(Arc::ptr_eq(&before, &tracked.table.routes));
    tracked.succeed(&account, listing("10.0.0.3"), clock::now());
    assert!(!Arc::ptr_eq(&before, &tracked.table.routes));
}

#[tokio::test]
async fn a_reload_keeps_the_routes_and_drops_them_if_they_are_switched_off() {
    use crate::domain::inventory::Fleet;
    let account = AccountName::new("acme");
    let fleet = FleetSender::new(Arc::new(Fleet::unpolled([account.clone()])));
    prepare_routes(&fleet, &account, Some(RoutePollSettings::default()));
    update_account(&fleet, &account, |known| known.set_routes(Some(polled().table)));
    prepare_routes(&fleet, &account, Some(RoutePollSettings { per_prefix: true }));
    let table = |fleet: &FleetSender| fleet.borrow().accounts[&account].routes().cloned();
    assert_eq!(table(&fleet).map(|table| (table.routes.len(), table.per_prefix)), Some((1, true)));
    prepare_routes(&fleet, &account, None);
    assert!(table(&fleet).is_none());
}
