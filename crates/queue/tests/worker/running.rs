//! The worker's loop: woken by new mail, not held up by slow destinations, ended in good order.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use futures::FutureExt as _;
use queue::{DnsRouter, Parts, Routing, SmtpConfig, SmtpCourier, Worker, WorkerConfig};
use storage::RecipientState;
use testkit::{Script, Sink, Zone};
use tokio::time::timeout;

use crate::desk::{Desk, LONG, until, work};

#[tokio::test]
async fn a_slow_destination_holds_up_nobody_else() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let config = WorkerConfig {
        name: "w".to_owned(),
        in_hand: 8,
        concurrency: 2,
        per_destination: 1,
        poll: Duration::from_secs(3_600),
        ..WorkerConfig::default()
    };
    let worker = desk.another(config);
    let work = async {
        for _ in 0..4 {
            desk.send(&["carol@slow.test"], &[]).await?;
        }
        for _ in 0..10 {
            let id = desk.send(&["dave@fast.test"], &[]).await?;
            until("dave gets his mail", || async {
                Ok(desk.delivery(id).await? == ["dave@fast.test Delivered 250 2.0.0 Ok"])
            })
            .await?;
        }
        gate.add_permits(100);
        desk.shutdown.cancel();
        anyhow::Ok(())
    };
    let (done, ()) = timeout(LONG * 2, futures::future::join(work, worker.run())).await?;
    done
}

#[tokio::test]
async fn the_shutdown_finishes_what_runs_and_gives_back_what_waits() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let config = WorkerConfig { name: "w".to_owned(), per_destination: 1, ..WorkerConfig::default() };
    let worker = desk.another(config);
    let first = desk.send(&["carol@slow.test"], &[]).await?;
    let second = desk.send(&["dave@slow.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    until("one is on its way", || async { Ok(desk.courier.sent().len() == 1) }).await?;
    let mut others = desk.house.mail.bus().queue_wakeups();
    desk.shutdown.cancel();
    gate.add_permits(1);
    timeout(LONG, worker.run()).await?;
    assert!(others.next().now_or_never().is_some(), "other workers are told at once");

    let mut told = desk.delivery(first).await?;
    told.extend(desk.delivery(second).await?);
    told.sort();
    let delivered = told.iter().filter(|told| told.ends_with("Delivered 250 2.0.0 Ok")).count();
    let queued = told.iter().filter(|told| told.ends_with("Queued")).count();
    assert_eq!((delivered, queued), (1, 1), "{told:?}");
    let waiting = desk.house.mail.admin().queue(10).await?;
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].leased_until, waiting[0].recipients[0].attempts), (None, 0));
    Ok(())
}

#[tokio::test]
async fn a_mail_finds_its_way_through_dns_once_its_host_is_up() -> Result<()> {
    let desk = Desk::open().await?;
    let zone = Zone::start().await?;
    zone.mx("there.test", 10, "mx.there.test")?.host("mx.there.test", "127.0.0.1".parse()?)?;
    let address = Sink::start(Script::default()).await?.address();
    let worker = Worker::new(Parts {
        mail: desk.house.mail.clone(),
        router: Arc::new(DnsRouter::new(Routing {
            resolver: Some(zone.address()),
            port: address.port(),
            allow_private_targets: true,
            ..Routing::default()
        })?),
        courier: Arc::new(SmtpCourier::new(SmtpConfig::new("mx.demo.test"))?),
        signer: None,
        config: WorkerConfig { name: "w".to_owned(), ..WorkerConfig::default() },
        shutdown: desk.shutdown.clone(),
    });
    let id = desk.send(&["carol@there.test"], &[]).await?;
    work(&desk.house, &worker).await?;
    let told = "carol@there.test Deferred 450 4.4.1 mx.there.test could not be connected to: connection refused (again)";
    assert_eq!(desk.delivery(id).await?, [told]);

    let sink = Sink::start_at(address, Script::default()).await?;
    desk.turn().await?;
    work(&desk.house, &worker).await?;
    assert_eq!(desk.delivery(id).await?, ["carol@there.test Delivered 250 2.0.0 Ok: kept"]);
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].recipients, ["<carol@there.test>"]);
    assert!(received[0].from.starts_with("<alice@demo.test>"));
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_takes_long_keeps_its_lease_and_loses_it_to_the_operator() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let lease = Duration::from_millis(60);
    let worker = desk.another(WorkerConfig { name: "w".to_owned(), lease, ..WorkerConfig::default() });
    desk.send(&["carol@slow.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    until("it is on its way", || async { Ok(desk.courier.sent().len() == 1) }).await?;
    for _ in 0..3 {
        let before = desk.next_due().await?;
        desk.house.clock.advance(lease / 2);
        until("the lease is renewed", || async { Ok(desk.next_due().await? > before) }).await?;
    }
    let entry = desk.house.mail.admin().queue(1).await?.remove(0).id;
    desk.house.mail.admin().queue_action(entry, mail::admin::QueueAction::Drop).await?;
    timeout(LONG, worker.idle()).await?;
    drop(gate);
    assert_eq!(desk.queued().await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_shutdown_gives_back_what_takes_too_long() -> Result<()> {
    let desk = Desk::open().await?;
    let _gate = desk.courier.stalls("slow.test");
    let finish = Duration::from_millis(1);
    let worker = desk.another(WorkerConfig { finish, ..WorkerConfig::default() });
    let id = desk.send(&["carol@fast.test", "dave@slow.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    until("both are on their way", || async { Ok(desk.courier.sent().len() == 2) }).await?;
    desk.shutdown.cancel();
    timeout(LONG, worker.run()).await?;
    let told = ["carol@fast.test Delivered 250 2.0.0 Ok", "dave@slow.test Queued"];
    assert_eq!(desk.delivery(id).await?, told);
    let left = desk.house.mail.admin().queue(10).await?.remove(0);
    assert_eq!((left.leased_until, left.recipients[1].attempts), (None, 0));
    assert!(desk.next_due().await?.is_some_and(|due| due <= desk.house.mail.now()), "due at the next start");
    Ok(())
}

#[tokio::test]
async fn who_was_not_tried_has_not_used_an_attempt() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let worker = desk.another(WorkerConfig { in_hand: 2, per_destination: 1, ..WorkerConfig::default() });
    for to in ["carol@slow.test", "dave@slow.test"] {
        desk.send(&[to], &[]).await?;
    }
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    let waiting = async || desk.house.mail.admin().queue(10).await;
    until("one is put off", || async {
        Ok(waiting().await?.iter().any(|entry| entry.leased_until.is_none()))
    })
    .await?;
    gate.add_permits(1);
    worker.idle().await;
    let left = waiting().await?;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].recipients[0].attempts, &left[0].recipients[0].reply), (0, &None));
    let pause = desk.turn().await?.unwrap_or_default();
    assert!(pause > Duration::ZERO && pause < Duration::from_secs(70), "{pause:?}");
    Ok(())
}

#[tokio::test]
async fn many_recipients_go_in_transactions_with_outcomes_of_their_own() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    gate.add_permits(1);
    let attempt = Duration::from_secs(1);
    let worker = desk.another(WorkerConfig { attempt, per_destination: 1, ..WorkerConfig::default() });
    let to = (0..150).map(|n| format!("user{n}@slow.test")).collect::<Vec<_>>();
    let to = to.iter().map(String::as_str).collect::<Vec<_>>();
    desk.send(&to, &[]).await?;
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    worker.idle().await;
    let left = desk.house.mail.admin().queue(10).await?.remove(0);
    let mut states = left.recipients.iter().map(|to| to.state).collect::<Vec<_>>();
    states.dedup();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Pending]);
    assert_eq!(desk.courier.sent()[0].recipients.len(), 100);
    Ok(())
}
