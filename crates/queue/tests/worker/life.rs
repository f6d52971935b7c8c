//! Attempts over days, and what a crash does to them.

use std::time::Duration;

use anyhow::Result;
use queue::{Schedule, WorkerConfig};
use types::{Address, Clock, Role, api::Compose};

use crate::desk::{Desk, until, work};

#[tokio::test]
async fn a_host_that_stays_down_is_tried_for_three_days_and_then_the_sender_is_told() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("carol@there.test", 450, "4.4.1 mx.there.test could not be connected to");
    let id = desk.send(&["carol@there.test"], &[]).await?;
    let start = desk.house.clock.now();
    let mut pauses = Vec::new();
    assert_eq!(desk.delivery(id).await?, ["carol@there.test Queued"]);
    desk.work().await?;
    while let Some(pause) = desk.turn().await? {
        let told = ["carol@there.test Deferred 450 4.4.1 mx.there.test could not be connected to (again)"];
        assert_eq!(desk.delivery(id).await?, told);
        let warnings = desk.subjects("alice@demo.test").await?;
        assert!(warnings.len() <= 1 && warnings.iter().all(|told| told.contains("delayed")), "{warnings:?}");
        pauses.push(pause);
        desk.work().await?;
    }

    let last = pauses.pop().unwrap_or_default();
    let expected = Schedule::default().delays;
    for (at, pause) in pauses.iter().enumerate() {
        let expected = expected.get(at).or(expected.last()).copied().unwrap_or_default();
        let (low, high) = (expected * 9 / 10, expected * 11 / 10);
        assert!((low..=high).contains(pause), "attempt {at}: {pause:?}");
    }
    assert!(last <= Duration::from_secs(264 * 60), "{last:?}");
    assert_eq!(desk.house.clock.now().since(start), Duration::from_secs(3 * 86_400));
    assert_eq!(desk.courier.sent().len(), pauses.len() + 2);
    let told = ["carol@there.test Failed 450 4.4.1 mx.there.test could not be connected to"];
    assert_eq!(desk.delivery(id).await?, told);
    assert_eq!(desk.queued().await?, 0);
    assert_eq!(desk.subjects("alice@demo.test").await?.len(), 2, "that it takes long, and that it failed");
    let told = desk.newest("alice@demo.test").await?;
    assert!(
        told.contains("Final-Recipient: rfc822; carol@there.test\r\nAction: failed\r\nStatus: 5.4.7\r\n"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_that_comes_back_gets_the_mail_once() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("carol@there.test", 450, "4.3.2 Down");
    let id = desk.send(&["bob@demo.test", "carol@there.test"], &[]).await?;
    for _ in 0..3 {
        desk.work().await?;
        desk.turn().await?;
    }
    desk.courier.says("carol@there.test", 250, "2.0.0 Kept");
    desk.work().await?;
    assert_eq!(desk.turn().await?, None);
    let told = ["bob@demo.test Delivered 250 2.1.5 Delivered", "carol@there.test Delivered 250 2.0.0 Kept"];
    assert_eq!(desk.delivery(id).await?, told);
    assert_eq!(desk.subjects("bob@demo.test").await?, ["Lunch"], "delivered at the first attempt only");
    assert!(desk.subjects("alice@demo.test").await?.is_empty());
    assert_eq!(desk.courier.sent().len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_dies_between_delivery_and_settling_doubles_nothing_here() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("there.test");
    desk.courier.says("carol@there.test", 550, "5.1.1 No such user");
    let id = desk.send(&["bob@demo.test", "carol@there.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        desk.worker.start_due(shard).await?;
    }
    while desk.courier.sent().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.subjects("bob@demo.test").await?, ["Lunch"]);

    // Even of the same name: what counts is the claim.
    let second = desk.another(WorkerConfig { name: "first".to_owned(), ..WorkerConfig::default() });
    work(&desk.house, &second).await?;
    assert_eq!(desk.courier.sent().len(), 1, "the lease protects it");

    // The first worker is as good as dead: its lease ends, and another takes the entry over.
    desk.house.clock.advance(WorkerConfig::default().lease + Duration::from_secs(1));
    for shard in desk.house.mail.shards().all() {
        second.start_due(shard).await?;
    }
    while desk.courier.sent().len() < 2 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(2);
    desk.worker.idle().await;
    second.idle().await;
    work(&desk.house, &second).await?;

    assert_eq!(desk.subjects("bob@demo.test").await?, ["Lunch"]);
    assert_eq!(desk.subjects("alice@demo.test").await?.len(), 1, "one notification");
    let told =
        ["bob@demo.test Delivered 250 2.1.5 Delivered", "carol@there.test Failed 550 5.1.1 No such user"];
    assert_eq!(desk.delivery(id).await?, told);
    assert_eq!(desk.queued().await?, 0);
    Ok(())
}

#[tokio::test]
async fn who_has_the_mail_does_not_get_it_again_because_another_is_slow() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let to = ["bob@demo.test", "carol@fast.test", "dave@slow.test"];
    let id = desk.send(&to, &[]).await?;
    for shard in desk.house.mail.shards().all() {
        desk.worker.start_due(shard).await?;
    }
    let told = [
        "bob@demo.test Delivered 250 2.1.5 Delivered",
        "carol@fast.test Delivered 250 2.0.0 Ok",
        "dave@slow.test Queued",
    ];
    until("what is known is written down", || async { Ok(desk.delivery(id).await? == told) }).await?;
    until("both are on their way", || async { Ok(desk.courier.sent().len() == 2) }).await?;
    let second = desk.another(WorkerConfig::default());
    work(&desk.house, &second).await?;
    assert_eq!(desk.courier.sent().len(), 2, "the lease goes on");

    // As good as dead: another takes over what is left, at once.
    second.take_over().await;
    for shard in desk.house.mail.shards().all() {
        second.start_due(shard).await?;
    }
    until("the rest is sent again", || async { Ok(desk.courier.sent().len() == 3) }).await?;
    gate.add_permits(2);
    desk.worker.idle().await;
    second.idle().await;
    let again = desk.courier.sent().remove(2);
    assert_eq!(again.recipients, ["dave@slow.test".parse()?]);
    assert_eq!(desk.delivery(id).await?[2], "dave@slow.test Delivered 250 2.0.0 Ok");
    assert_eq!(desk.queued().await?, 0);
    Ok(())
}

#[tokio::test]
async fn scheduled_mail_is_received_when_it_was_scheduled_for() -> Result<()> {
    let desk = Desk::open().await?;
    let send_at = desk.house.clock.now().plus(Duration::from_secs(86_400));
    let compose = Compose {
        to: vec![Address { name: String::new(), email: "bob@demo.test".to_owned() }],
        send_at: Some(send_at),
        ..Compose::default()
    };
    desk.house.access("alice@demo.test").await?.compose(compose).await?;
    desk.work().await?;
    assert!(desk.subjects("bob@demo.test").await?.is_empty());
    assert_eq!(desk.turn().await?, Some(Duration::from_secs(86_400)));
    desk.house.clock.advance(Duration::from_secs(5));
    desk.work().await?;
    let received = desk.house.list("bob@demo.test", Role::Inbox).await?;
    assert_eq!(received.iter().map(|mail| mail.received_at).collect::<Vec<_>>(), [send_at]);
    Ok(())
}
