//! The suites of `storage::conformance` on SQLite files.

use std::{path::PathBuf, sync::Arc};

use storage::{BucketMap, Directory as _, conformance};
use storage_sql::{Options, Schema, SqlDirectory, SqlShards, pending_migrations};
use types::ShardId;

async fn shards(folder: &tempfile::TempDir, options: &Options) -> storage::Result<Arc<SqlShards>> {
    let files: Vec<(ShardId, PathBuf)> =
        (0..3).map(|id| (ShardId(id), folder.path().join(format!("shard-{id}.db")))).collect();
    let ids: Vec<_> = files.iter().map(|(id, _)| *id).collect();
    SqlShards::open(&files, Arc::new(BucketMap::even(&ids)), options).await.map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_keep_their_promises() {
    let folder = tempfile::tempdir().unwrap();
    let shards = shards(&folder, &Options::default()).await.unwrap();
    conformance::shards::run(shards.clone()).await;
    shards.close().await;
}

#[tokio::test]
async fn shards_keep_their_promises_in_small_batches_too() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_batch: 1, max_waiting: 1, readers: 2, ..Options::default() };
    let shards = shards(&folder, &options).await.unwrap();
    conformance::shards::run(shards.clone()).await;
    shards.close().await;
}

#[tokio::test]
async fn the_directory_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/directory.db");
    assert_eq!(pending_migrations(&path, Schema::Directory).await.unwrap().len(), 2);
    let directory = SqlDirectory::open(&path, &Options::default()).await.unwrap();
    assert!(pending_migrations(&path, Schema::Directory).await.unwrap().is_empty());
    conformance::directory::run(Arc::new(directory)).await;

    let again = SqlDirectory::open(&path, &Options::default()).await.unwrap();
    assert_eq!(again.domains().await.unwrap().len(), 2, "a second start keeps everything");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}
