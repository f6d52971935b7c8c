//! What [`Moves`] promises. Call [`run`] with a directory whose bucket map was dealt to shards 0 and 1.

use std::{sync::Arc, time::Duration};

use types::{Bucket, Secret, ShardId, Timestamp};

#[cfg(doc)]
use crate::Moves;
use crate::{
    Directory, Error,
    moves::{Claim, Phase},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const BUCKET: Bucket = Bucket(7);

fn claim(mover: &str, second: u64) -> Claim {
    let now = NOW.plus(Duration::from_secs(second));
    Claim { mover: mover.to_owned(), now, silent_since: now.minus(Duration::from_secs(30)) }
}

/// Runs the whole suite.
pub async fn run(directory: Arc<dyn Directory>) {
    let id = directory.service_id().await.unwrap();
    assert!(id.len() >= 32, "{id}");
    assert_eq!(directory.service_id().await.unwrap(), id);

    let version = directory.map_version().await.unwrap();
    let url = Secret::new("sqlite:/a/b.db".to_owned());
    directory.add_shard(ShardId(2), &url, NOW).await.unwrap();
    let again = directory.add_shard(ShardId(2), &url, NOW).await;
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    let added = directory.added_shards().await.unwrap();
    assert_eq!(added.iter().map(|added| added.id).collect::<Vec<_>>(), [ShardId(2)]);
    assert_eq!(added[0].url.expose(), url.expose());
    assert_eq!(directory.map_version().await.unwrap(), version + 1);

    let begun = directory.claim_move(BUCKET, ShardId(2), &claim("a", 0)).await.unwrap().unwrap();
    assert_eq!((begun.from, begun.to, begun.phase), (ShardId(0), ShardId(2), Phase::Copying));
    assert_eq!(directory.claim_move(BUCKET, ShardId(1), &claim("b", 29)).await.unwrap(), None);
    assert!(directory.beat(BUCKET, "a", NOW.plus(Duration::from_secs(20))).await.unwrap());
    assert_eq!(directory.claim_move(BUCKET, ShardId(1), &claim("b", 49)).await.unwrap(), None);
    let taken = directory.claim_move(BUCKET, ShardId(1), &claim("b", 50)).await.unwrap().unwrap();
    assert_eq!(
        (taken.to, taken.mover.as_str(), taken.started_at),
        (ShardId(2), "b", NOW),
        "it goes where it went"
    );
    assert!(!directory.beat(BUCKET, "a", NOW).await.unwrap());
    assert!(!directory.switch(BUCKET, "a", NOW).await.unwrap());

    let before = directory.bucket_map(&[]).await.unwrap();
    assert!(directory.switch(BUCKET, "b", NOW).await.unwrap());
    let after = directory.bucket_map(&[]).await.unwrap();
    let differ: Vec<_> =
        (0_u16..).zip(before.shards.iter().zip(&after.shards)).filter(|(_, (a, b))| a != b).collect();
    assert_eq!(differ, [(BUCKET.0, (&ShardId(0), &ShardId(2)))]);
    assert_eq!(directory.map_version().await.unwrap(), version + 2);
    assert_eq!(directory.moves().await.unwrap()[0].phase, Phase::Cleaning);
    directory.end_move(BUCKET, "a").await.unwrap();
    assert_eq!(directory.moves().await.unwrap().len(), 1, "only its mover ends a move");
    directory.end_move(BUCKET, "b").await.unwrap();
    assert!(directory.moves().await.unwrap().is_empty());
}
