//! Files of SQLite databases: made where they are missing, for their owner alone, and named where they cannot be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use storage::{BucketMap, Result, Shards as _};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use types::{AccountId, ShardId};

const SHARD: ShardId = ShardId(0);

/// Opens the database and asks it something.
async fn open(path: &Path) -> Result<()> {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let shards = SqlShards::open(&[(SHARD, DatabaseUrl::sqlite(path))], map, &Options::default()).await?;
    shards.latest(SHARD).await?.mailboxes(AccountId(1)).await?;
    shards.close().await;
    Ok(())
}

#[tokio::test]
async fn a_file_is_made_with_its_folder_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/deep/shard.db");
    for _ in 0..2 {
        open(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn links_lead_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    symlink("disk/b.db", folder.path().join("a.db")).unwrap();
    symlink("c.db", disk.join("b.db")).unwrap();
    for _ in 0..2 {
        open(&folder.path().join("a.db")).await.unwrap();
        assert!(fs::symlink_metadata(disk.join("c.db")).unwrap().is_file());
    }
}

#[tokio::test]
async fn what_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (file, circle) = (folder.path().join("file"), folder.path().join("circle"));
    fs::write(&file, "").unwrap();
    symlink("circle", &circle).unwrap();
    symlink("missing/shard.db", folder.path().join("astray")).unwrap();
    let cases = [
        (file.join("shard.db"), "file"),
        (file.join("deep/shard.db"), "file"),
        (folder.path().to_owned(), ""),
        (circle, "circle"),
        (folder.path().join("astray"), "missing/shard.db"),
    ];
    for (path, named) in cases {
        let said = format!("{:?}", open(&path).await.unwrap_err());
        let named = folder.path().join(named).display().to_string();
        let named = named.trim_end_matches('/');
        assert!(said.contains(named), "{}: {said}", path.display());
    }
}
