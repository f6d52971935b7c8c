//! One node at a time does what one of all nodes does.

#![cfg(test)]

use std::time::Duration;

use testkit::House;
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_millis(900);
const STEP: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_turn_is_kept_for_as_long_as_the_work_takes() {
    let house = House::open().await.unwrap();
    let mail = &house.mail;
    let turn = mail.turn("work", "one", LEASE).await.unwrap().unwrap();
    let is_free = async || mail.turn("work", "two", LEASE).await.unwrap().is_some();
    let work = async {
        // Three leases long.
        for _ in 0..27 {
            house.clock.advance(STEP);
            sleep(STEP).await;
            assert!(!is_free().await);
        }
        "done"
    };
    assert_eq!(turn.keep(work).await, Some("done"));
    turn.pass_on(LEASE).await;
    assert!(!is_free().await, "not yet");
    house.clock.advance(LEASE);
    assert!(is_free().await);
    assert!(mail.turn("other work", "one", LEASE).await.unwrap().is_some());
}

#[tokio::test]
async fn who_has_lost_the_turn_stops() {
    let house = House::open().await.unwrap();
    let mail = &house.mail;
    let turn = mail.turn("work", "one", LEASE).await.unwrap().unwrap();
    house.clock.advance(LEASE);
    let other = mail.turn("work", "two", LEASE).await.unwrap().unwrap();
    let broken_off = timeout(DEADLINE, turn.keep(std::future::pending::<()>())).await;
    assert_eq!(broken_off.expect("it notices"), None);
    turn.pass_on(Duration::ZERO).await;
    assert!(mail.turn("work", "three", LEASE).await.unwrap().is_none(), "it is not theirs to give");
    other.pass_on(Duration::ZERO).await;
    assert!(mail.turn("work", "three", LEASE).await.unwrap().is_some());
}
