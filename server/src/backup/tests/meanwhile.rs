//! What happens while a backup or a restore works.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use storage::{
    Shards, Transaction,
    moves::Claim,
    replica::{Counts, Cursor, Record},
    write,
};
use testkit::{Call, Meddled, Meddler};
use types::{AccountId, Bucket, ModSeq, ShardId};

use super::{
    history::{Act, Boxed, Step, Work},
    plane::Ground,
    restore_account, verified,
    world::{World, backed_up},
};
use crate::backup::{Ports, Target, Watch, everything, find, run};

/// Rows as they are, or none.
struct Rows(AccountId, Vec<Record>);

#[async_trait]
impl Work for Rows {
    type Output = ();

    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        tx.purge(self.0).await?;
        tx.import(self.0, &self.1).await
    }
}

/// When an account moves to the first shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The first shard was looked at, the second was not.
    Between,
    /// It was found on the second shard, but not yet read.
    Within,
    /// The same whenever it is to be read.
    Always,
}

/// Shards from the second of which an account moves to the first, where its rows are already.
struct Moving {
    shards: Arc<dyn Shards>,
    account: AccountId,
    moment: Moment,
    moved: AtomicBool,
}

#[async_trait]
impl Meddler for Moving {
    fn inner(&self) -> &dyn Shards {
        &*self.shards
    }

    fn home(&self, account: AccountId) -> ShardId {
        match account == self.account {
            true if self.moment == Moment::Always => self.shards.shard_of(account),
            true if self.moved.load(Ordering::Relaxed) => ShardId(0),
            true => ShardId(1),
            false => self.shards.shard_of(account),
        }
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        match (call, self.moment) {
            (Call::Latest, Moment::Between) if shard == ShardId(1) => {
                self.moved.store(true, Ordering::Relaxed);
            }
            (Call::Snapshot, Moment::Within) if !self.moved.swap(true, Ordering::Relaxed) => {
                let _ = write(&*self.shards, shard, Boxed(Rows(self.account, Vec::new()))).await?;
            }
            // Where it was never set up.
            (Call::Snapshot, Moment::Always) => return Ok(ShardId(1 - self.shards.shard_of(self.account).0)),
            _ => {}
        }
        Ok(shard)
    }
}

#[tokio::test]
async fn an_account_that_moves_meanwhile_is_in_the_run() {
    for moment in [Moment::Between, Moment::Within] {
        let mut world = World::new(&Ground::Files).await;
        world.apply(&Step::Mail { blob: Some(1), queued: true }).await;
        let (account, shards) = (world.accounts[0], Arc::clone(&world.plane.ports.shards));
        let here = shards.shard_of(account);
        let page =
            shards.snapshot(here).await.unwrap().export(account, Cursor::after(ModSeq(0))).await.unwrap();
        assert_eq!(page.next, None);
        for shard in shards.all() {
            let rows = Boxed(Rows(account, page.records.clone()));
            let _ = write(&*shards, shard, rows).await.unwrap();
        }
        let moving = Moving { shards, account, moment, moved: AtomicBool::new(false) };
        let ports = Ports { shards: Arc::new(Meddled(moving)), ..world.plane.ports.clone() };
        let ran = run(&ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
        assert_eq!((ran.faults, ran.changed, ran.messages), (Vec::new(), 1, 1), "{moment:?}");
        let ran = run(&world.plane.ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
        assert_eq!(ran.faults, [""; 0], "{moment:?}");
        assert_eq!(verified(&world.backups()).faults, [""; 0], "{moment:?}");
    }
}

/// An account that is never where it was found is named by the run, and by whoever reads the run, until the next one.
#[tokio::test]
async fn an_account_that_keeps_moving_is_named() {
    let mut world = World::new(&Ground::Files).await;
    world.apply(&Step::Mail { blob: None, queued: false }).await;
    let (account, shards) = (world.accounts[0], Arc::clone(&world.plane.ports.shards));
    let moving = Moving { shards, account, moment: Moment::Always, moved: AtomicBool::new(false) };
    let ports = Ports { shards: Arc::new(Meddled(moving)), ..world.plane.ports.clone() };
    let ran = run(&ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
    let said =
        format!("account {account} keeps moving from shard to shard and is not in this run; run it again");
    assert_eq!((ran.faults, ran.changed), (vec![said], 0));

    let named = format!("account {account} was moved from shard to shard during run {}", ran.run);
    let told = verified(&world.backups()).faults;
    assert!(told.iter().any(|fault| fault.starts_with(&named)), "{told:?}");
    let at = find(&world.backups(), None).unwrap();
    let fresh = Ground::Files.plane().await;
    let restored = everything(&fresh.ports, &at, false, &Watch::nobody()).await.unwrap();
    assert!(restored.faults.iter().any(|fault| fault.starts_with(&named)), "{:?}", restored.faults);
    let email = world.plane.ports.directory.account(account).await.unwrap().unwrap().email;
    let fresh = Ground::Files.plane().await;
    fresh.ports.directory.add_domain("demo.test", fresh.ports.clock.now()).await.unwrap();
    let one = restore_account(&fresh.ports, &at, &email, Target::Itself, false, &Watch::nobody()).await;
    let faults = one.unwrap().faults;
    assert!(faults.iter().any(|fault| fault.starts_with(&named)), "{faults:?}");

    let ran = run(&world.plane.ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
    assert_eq!((ran.faults, ran.messages), (Vec::new(), 1));
    assert_eq!(verified(&world.backups()).faults, [""; 0]);
}

/// Nothing is restored while buckets are on their way, and a move that begins meanwhile ends the restore.
#[tokio::test]
async fn nothing_is_restored_into_what_moves() {
    let world = backed_up(&Ground::Files).await;
    let at = find(&world.backups(), None).unwrap();
    let account = world.accounts[0];
    let fresh = Ground::Files.plane().await;
    let ports = &fresh.ports;
    let (bucket, home) = (Bucket::of(account), ports.shards.shard_of(account));
    let now = ports.clock.now();
    let claim = Claim { mover: "m".to_owned(), now, silent_since: now };
    ports.directory.claim_move(bucket, ShardId(1 - home.0), &claim).await.unwrap().unwrap();
    let everybody = async || everything(ports, &at, false, &Watch::nobody()).await.unwrap_err().to_string();
    let line = format!("nothing is restored meanwhile: {} (see", bucket.0);
    let said = everybody().await;
    assert!(said.contains(&line), "{said}");
    let email = world.plane.ports.directory.account(account).await.unwrap().unwrap().email;
    let one = restore_account(ports, &at, &email, Target::Itself, false, &Watch::nobody()).await;
    let said = one.unwrap_err().to_string();
    assert!(said.contains(&line), "{said}");

    ports.directory.end_moves(&[bucket], "m").await.unwrap();
    // One that began after the look at the moves.
    fresh.write(account, Fencing { bucket, up: true }).await;
    let said = everybody().await;
    assert!(said.contains(&line), "{said}");
    let counts = ports.shards.latest(home).await.unwrap().counts(account).await.unwrap();
    assert_eq!(counts, Counts::default());
    fresh.write(account, Fencing { bucket, up: false }).await;
    let restored = everything(ports, &at, false, &Watch::nobody()).await.unwrap();
    assert_eq!((restored.messages, restored.faults), (4, Vec::new()));
}

/// Puts a fence up, or lifts it.
struct Fencing {
    bucket: Bucket,
    up: bool,
}

#[async_trait]
impl Work for Fencing {
    type Output = bool;

    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        if self.up { tx.fence(self.bucket, "m").await } else { tx.lift_fence(self.bucket, "m").await }
    }
}

/// Mail that comes to an empty account while blobs are put stays there.
#[tokio::test]
async fn mail_that_comes_meanwhile_is_kept() {
    let world = backed_up(&Ground::Files).await;
    let at = find(&world.backups(), None).unwrap();
    for queued in [None, Some(false), Some(true)] {
        let plane = World::new(&Ground::Files).await;
        let account = plane.accounts[0];
        let ports = &plane.plane.ports;
        let email = ports.directory.account(world.accounts[0]).await.unwrap().unwrap().email;
        let arriving = queued.map(|queued| {
            let now = ports.clock.now();
            Act { account, step: Step::Mail { blob: None, queued }, chance: 9, now }
        });
        let came = arriving.is_some();
        let shards: Arc<dyn Shards> =
            Arc::new(Meddled(Arriving { shards: Arc::clone(&ports.shards), act: Mutex::new(arriving) }));
        let slow = Ports { shards, ..ports.clone() };
        let restored =
            restore_account(&slow, &at, &email, Target::Into(account), true, &Watch::nobody()).await;
        assert_eq!(restored.is_err(), came, "{restored:?}");
        let shard = ports.shards.shard_of(account);
        let counts = ports.shards.latest(shard).await.unwrap().counts(account).await.unwrap();
        let expected = match queued {
            None => (4, 2),
            Some(queued) => (1, if queued { 2 } else { 0 }),
        };
        assert_eq!((counts.messages, counts.queue), expected);
        if let Err(error) = restored {
            assert!(error.to_string().contains("is used while it is being restored"), "{error:#}");
        }
    }
}

/// Shards where mail comes just before the first transaction.
struct Arriving {
    shards: Arc<dyn Shards>,
    act: Mutex<Option<Act>>,
}

#[async_trait]
impl Meddler for Arriving {
    fn inner(&self) -> &dyn Shards {
        &*self.shards
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        let act = if call == Call::Write { self.act.lock().unwrap().take() } else { None };
        if let Some(act) = act {
            let _ = write(&*self.shards, shard, Boxed(act)).await?;
        }
        Ok(shard)
    }
}
