//! The storage goes away while a mail is on its way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use queue::WorkerConfig;
use storage::{Error, Shards};
use testkit::{Call, House, Meddled, Meddler};
use tokio::time::timeout;
use types::ShardId;

use crate::desk::{Desk, LONG, until, work};

/// Shards whose next so many writes fail.
struct Flaky {
    inner: Arc<dyn Shards>,
    failures: Arc<AtomicUsize>,
}

#[async_trait]
impl Meddler for Flaky {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        let take = |left: usize| left.checked_sub(1).filter(|_| call == Call::Write);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Err(Error::Unavailable("away".into())),
            Err(_) => Ok(shard),
        }
    }
}

async fn desk() -> Result<(Desk, Arc<AtomicUsize>)> {
    let failures = Arc::new(AtomicUsize::new(0));
    let house =
        House::open_on(|inner| Arc::new(Meddled(Flaky { inner, failures: Arc::clone(&failures) }))).await?;
    Ok((Desk::open_in(house), failures))
}

#[tokio::test]
async fn an_outcome_waits_for_the_storage_and_nobody_else_sends_meanwhile() -> Result<()> {
    let (desk, failures) = desk().await?;
    let gate = desk.courier.stalls("slow.test");
    let id = desk.send(&["carol@slow.test"], &[]).await?;
    for shard in desk.house.mail.shards().all() {
        desk.worker.start_due(shard).await?;
    }
    until("it is on its way", || async { Ok(desk.courier.sent().len() == 1) }).await?;
    failures.store(1, Ordering::SeqCst);
    gate.add_permits(1);
    until("a write fails", || async { Ok(failures.load(Ordering::SeqCst) == 0) }).await?;
    assert_eq!(desk.delivery(id).await?, ["carol@slow.test Queued"]);
    let second = desk.another(WorkerConfig::default());
    work(&desk.house, &second).await?;
    desk.worker.idle().await;
    assert_eq!(desk.courier.sent().len(), 1);
    assert_eq!(desk.delivery(id).await?, ["carol@slow.test Delivered 250 2.0.0 Ok"]);
    Ok(())
}

#[tokio::test]
async fn an_outage_does_not_hold_up_the_shutdown() -> Result<()> {
    let (desk, failures) = desk().await?;
    let gate = desk.courier.stalls("slow.test");
    desk.send(&["carol@slow.test"], &[]).await?;
    let finish = Duration::from_millis(1);
    let worker = desk.another(WorkerConfig { finish, ..WorkerConfig::default() });
    for shard in desk.house.mail.shards().all() {
        worker.start_due(shard).await?;
    }
    until("it is on its way", || async { Ok(desk.courier.sent().len() == 1) }).await?;
    failures.store(usize::MAX, Ordering::SeqCst);
    gate.add_permits(1);
    until("a write fails", || async { Ok(failures.load(Ordering::SeqCst) < usize::MAX) }).await?;
    desk.shutdown.cancel();
    timeout(LONG, worker.run()).await?;
    Ok(())
}
