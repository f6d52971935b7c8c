//! The worker's loop: woken by new mail, not held up by slow destinations, ended in good order.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use queue::{DnsRouter, Parts, Routing, SmtpConfig, SmtpCourier, Timeouts, Worker, WorkerConfig};
use testkit::{Script, Sink, Zone};
use tokio::time::timeout;

use crate::desk::{Desk, work};

const LONG: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
async fn until<F: Future<Output = Result<bool>>>(what: &str, mut holds: impl FnMut() -> F) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(LONG, waiting).await.with_context(|| what.to_owned())?
}

#[tokio::test]
async fn a_slow_destination_holds_up_nobody_else() -> Result<()> {
    let desk = Desk::open().await?;
    let gate = desk.courier.stalls("slow.test");
    let config = WorkerConfig {
        name: "w".to_owned(),
        in_hand: 8,
        concurrency: 2,
        per_domain: 1,
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
    let config = WorkerConfig { name: "w".to_owned(), per_domain: 1, ..WorkerConfig::default() };
    let worker = desk.another(config);
    let first = desk.send(&["carol@slow.test"], &[]).await?;
    let second = desk.send(&["dave@slow.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    until("one is on its way", || async { Ok(desk.courier.sent().len() == 1) }).await?;
    desk.shutdown.cancel();
    gate.add_permits(1);
    timeout(LONG, worker.run()).await?;

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
        courier: Arc::new(SmtpCourier::new(SmtpConfig {
            hello: "mx.demo.test".to_owned(),
            timeouts: Timeouts::default(),
        })?),
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
