//! Several nodes, one service: mail goes in at one, is read at another and delivered by a third, while one part after
//! another fails. What was acknowledged is there, once, and everything goes on without hands.
//!
//! The load runs all the time; a ledger notes what was acknowledged. `NODES_ROUNDS` sets how often everything fails.

mod client;
mod ledger;
mod load;
mod town;

use std::time::Duration;

use load::Load;
use town::{NODES, Town};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_whatever_fails() {
    let rounds = std::env::var("NODES_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut town = Town::build().await;
    let load = Load::start(&town).await;
    load.told_within(Duration::from_secs(10)).await;
    for round in 0..rounds {
        eprintln!("round {round}: nodes are killed and started again");
        for node in NODES {
            town.kill(node).await;
            load.run_for(Duration::from_secs(1)).await;
            town.start(node).await;
            load.recovers(&town, &format!("{node:?} was killed")).await;
        }

        eprintln!("round {round}: the second shard is away");
        let others = load.unnoticed(0);
        town.services.postgres[2].stop().await.unwrap();
        load.run_for(Duration::from_secs(3)).await;
        town.services.postgres[2].resume().await.unwrap();
        others.check("the second shard was away");
        load.recovers(&town, "the second shard was away").await;

        eprintln!("round {round}: Redis is away");
        let everybody = load.unnoticed_by_all();
        town.services.redis.stop().await.unwrap();
        load.run_for(Duration::from_secs(3)).await;
        town.services.redis.again().await.unwrap();
        everybody.check("Redis was away");
        load.recovers(&town, "Redis was away").await;
        load.told_within(Duration::from_secs(20)).await;

        eprintln!("round {round}: S3 is busy");
        town.services.s3.set_busy(true);
        load.run_for(Duration::from_secs(3)).await;
        town.services.s3.set_busy(false);
        load.recovers(&town, "S3 was busy").await;

        eprintln!("round {round}: buckets are moved, one each way");
        for home in [0, 1] {
            // One that was moved a moment ago stays where it is for a while.
            let Some(person) = town.people_of(home).nth(round) else { continue };
            let (bucket, shard) = (person.bucket.to_string(), (1 - home).to_string());
            let moved = town.tell(&["shard", "move", "--buckets", &bucket, "--to", &shard], "").await;
            assert!(moved.contains("Moved 1 buckets"), "{moved}");
            load.recovers(&town, &format!("bucket {bucket} moved to shard {shard}")).await;
        }
    }
    let ledger = load.stop().await;
    println!("{ledger}");
    ledger.check(&town).await;
}
