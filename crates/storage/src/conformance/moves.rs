//! What [`Moves`] promises. Call [`run`] with a directory whose bucket map was dealt to shards 0 and 1.

use std::{sync::Arc, time::Duration};

use types::{Bucket, Secret, ShardId, Timestamp};

#[cfg(doc)]
use crate::Moves;
use crate::{
    Directory, Error,
    moves::{Claim, Phase, Removal},
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
    assert_eq!(directory.take_over(BUCKET, &claim("b", 49)).await.unwrap(), None, "somebody works on it");
    assert_eq!(directory.take_over(Bucket(8), &claim("b", 50)).await.unwrap(), None, "there is none");
    let over = directory.take_over(BUCKET, &claim("r", 50)).await.unwrap().unwrap();
    assert_eq!((over.from, over.to, over.mover.as_str()), (ShardId(0), ShardId(2), "r"));
    assert!(!directory.beat(BUCKET, "a", NOW).await.unwrap());
    let taken = directory.claim_move(BUCKET, ShardId(1), &claim("b", 100)).await.unwrap().unwrap();
    assert_eq!(
        (taken.to, taken.mover.as_str(), taken.started_at),
        (ShardId(2), "b", NOW),
        "it goes where it went"
    );
    assert!(!directory.beat(BUCKET, "a", NOW).await.unwrap());
    assert!(!directory.switch(&[BUCKET], "a", NOW).await.unwrap());

    let before = directory.bucket_map(&[]).await.unwrap();
    assert!(directory.switch(&[BUCKET], "b", NOW).await.unwrap());
    let after = directory.bucket_map(&[]).await.unwrap();
    let differ: Vec<_> =
        (0_u16..).zip(before.shards.iter().zip(&after.shards)).filter(|(_, (a, b))| a != b).collect();
    assert_eq!(differ, [(BUCKET.0, (&ShardId(0), &ShardId(2)))]);
    assert_eq!(directory.map_version().await.unwrap(), version + 2);
    assert_eq!(directory.moves().await.unwrap()[0].phase, Phase::Cleaning);
    directory.end_moves(&[BUCKET], "a").await.unwrap();
    assert_eq!(directory.moves().await.unwrap().len(), 1, "only its mover ends a move");
    directory.end_moves(&[BUCKET], "b").await.unwrap();
    assert!(directory.moves().await.unwrap().is_empty());

    many_at_once(&*directory).await;
    shards_change(&*directory).await;
}

async fn shards_change(directory: &dyn Directory) {
    let url = Secret::new("sqlite:/c.db".to_owned());
    let version = directory.map_version().await.unwrap();
    assert!(!directory.set_shard_url(ShardId(9), &url).await.unwrap());
    assert_eq!(directory.map_version().await.unwrap(), version);
    assert!(directory.set_shard_url(ShardId(2), &url).await.unwrap());
    assert_eq!(directory.map_version().await.unwrap(), version + 1, "nodes look again");
    assert_eq!(directory.added_shards().await.unwrap()[0].url.expose(), url.expose());

    let here = directory.remove_shard(ShardId(2)).await.unwrap();
    assert!(matches!(&here, Removal::Home(buckets) if buckets.contains(&BUCKET)), "{here:?}");
    assert_eq!(directory.remove_shard(ShardId(9)).await.unwrap(), Removal::Unknown);
    directory.add_shard(ShardId(3), &url, NOW).await.unwrap();
    directory.claim_move(BUCKET, ShardId(3), &claim("d", 0)).await.unwrap().unwrap();
    assert_eq!(directory.remove_shard(ShardId(3)).await.unwrap(), Removal::Moving(vec![BUCKET]));
    directory.end_moves(&[BUCKET], "d").await.unwrap();
    assert_eq!(directory.remove_shard(ShardId(3)).await.unwrap(), Removal::Removed);
    assert_eq!(directory.added_shards().await.unwrap().len(), 1);

    assert_eq!(directory.remove_shard(ShardId(3)).await.unwrap(), Removal::Unknown);
    assert!(!directory.set_shard_url(ShardId(3), &url).await.unwrap(), "it is no shard any more");
    assert!(directory.claim_move(BUCKET, ShardId(3), &claim("d", 0)).await.is_err(), "nothing moves there");
    assert_eq!(directory.moves().await.unwrap(), []);
    directory.add_shard(ShardId(3), &url, NOW).await.unwrap();
    assert_eq!(directory.added_shards().await.unwrap().len(), 2, "it came back");
    assert_eq!(directory.remove_shard(ShardId(3)).await.unwrap(), Removal::Removed);
}

async fn many_at_once(directory: &dyn Directory) {
    let many: Vec<_> = (100..600).map(Bucket).collect();
    directory.claim_move(Bucket(300), ShardId(2), &claim("another", 0)).await.unwrap().unwrap();
    let claimed = directory.claim_moves(&many, ShardId(2), &claim("c", 1)).await.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|claimed| claimed.bucket).collect();
    let expected: Vec<_> = many.iter().copied().filter(|bucket| *bucket != Bucket(300)).collect();
    assert_eq!(claimed, expected, "but the one that another works on");
    assert_eq!(directory.beat_all(&many, "c", NOW).await.unwrap(), expected);
    assert_eq!(directory.beat_all(&[Bucket(99)], "c", NOW).await.unwrap(), [], "no move begins by that");
    let version = directory.map_version().await.unwrap();
    assert!(!directory.switch(&many, "c", NOW).await.unwrap());
    assert_eq!(directory.map_version().await.unwrap(), version, "all or none");
    assert!(directory.switch(&claimed, "c", NOW).await.unwrap());
    assert_eq!(directory.map_version().await.unwrap(), version + 1);
    let map = directory.bucket_map(&[]).await.unwrap();
    let there = (0_u16..).zip(&map.shards).filter(|(_, shard)| **shard == ShardId(2));
    let there: Vec<_> = there.map(|(bucket, _)| Bucket(bucket)).filter(|bucket| *bucket != BUCKET).collect();
    assert_eq!(there, claimed);
    directory.end_moves(&many, "c").await.unwrap();
    let left: Vec<_> = directory.moves().await.unwrap().iter().map(|left| left.bucket).collect();
    assert_eq!(left, [Bucket(300)]);
    directory.end_moves(&left, "another").await.unwrap();
}
