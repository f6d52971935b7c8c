//! Backups while a shard is away.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use storage::Shards;
use testkit::{Call, Meddled, Meddler};
use types::ShardId;

use super::{
    history::{Act, Step},
    plane::Ground,
    verified,
    world::World,
};
use crate::backup::{Ports, Watch, everything, find, run};

/// Shards of which one goes away after so many accounts of it were read.
struct Leaving {
    shards: Arc<dyn Shards>,
    away: ShardId,
    left: AtomicI64,
}

#[async_trait]
impl Meddler for Leaving {
    fn inner(&self) -> &dyn Shards {
        &*self.shards
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        if shard == self.away {
            if self.left.load(Ordering::Relaxed) <= 0 {
                return Err(storage::Error::Unavailable("away".into()));
            }
            self.left.fetch_sub(i64::from(call == Call::Snapshot), Ordering::Relaxed);
        }
        Ok(shard)
    }
}

/// A shard goes away before or amid a run: the others are in it, what it has is whole, and the next run catches up.
#[tokio::test]
async fn a_shard_that_is_away_is_left_to_the_next_run() {
    let mut world = World::new(&Ground::Files).await;
    for _ in 0..11 {
        world.apply(&Step::Account).await;
    }
    let shards = Arc::clone(&world.plane.ports.shards);
    let of = |shard: u16| world.accounts.iter().filter(|id| shards.shard_of(**id) == ShardId(shard)).count();
    for (reads, shard) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        assert!(of(shard) > 1, "{} accounts on shard {shard}", of(shard));
        for account in &world.accounts {
            let now = world.plane.ports.clock.now();
            let step = Step::Mail { blob: None, queued: false };
            world.plane.write(*account, Act { account: *account, step, chance: 3, now }).await;
        }
        let leaving =
            Leaving { shards: Arc::clone(&shards), away: ShardId(shard), left: AtomicI64::new(reads) };
        let ports = Ports { shards: Arc::new(Meddled(leaving)), ..world.plane.ports.clone() };
        let full = reads == 0;
        let ran = run(&ports, &world.backups(), full, &Watch::nobody()).await.unwrap();
        let reads = usize::try_from(reads).unwrap();
        let [fault] = ran.faults.as_slice() else { panic!("{:?}", ran.faults) };
        let missing = format!("is away: {} of its accounts are not in this run", of(shard) - reads);
        assert!(fault.starts_with(&format!("shard {shard} (")) && fault.contains(&missing), "{fault}");
        assert_eq!(ran.changed, (of(1 - shard) + reads) as u64);
        let told = verified(&world.backups()).faults;
        assert!(told.iter().any(|fault| fault.starts_with(&format!("shard {shard} was away"))), "{told:?}");

        let ran = run(&world.plane.ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
        assert_eq!((ran.changed, ran.faults), ((of(shard) - reads) as u64, Vec::new()));
        assert_eq!(verified(&world.backups()).faults, [""; 0]);
    }
    let at = find(&world.backups(), None).unwrap();
    let fresh = Ground::Files.plane().await;
    let restored = everything(&fresh.ports, &at, false, &Watch::nobody()).await.unwrap();
    assert_eq!((restored.messages, restored.faults), (4 * 12, Vec::new()));
}
