//! The store as its users and the disk see it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use blob::FileBlobs;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use storage::{Blobs, Error, conformance};
use tokio::sync::oneshot;
use types::{Clock, ShardId, Timestamp};

const SHARD: ShardId = ShardId(3);

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

fn open(root: &Path) -> (FileBlobs, Arc<Hand>) {
    let clock = Arc::new(Hand::default());
    (FileBlobs::open(root, Arc::clone(&clock) as _).unwrap(), clock)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.retain(|path| path.file_name().unwrap() != "lock");
    all.sort();
    all
}

#[tokio::test]
async fn keeps_the_promises_of_the_port() {
    check_promises().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_them_where_tasks_have_many_threads() {
    check_promises().await;
}

async fn check_promises() {
    let root = tempfile::tempdir().unwrap();
    conformance::blobs::run(Arc::new(open(root.path()).0)).await;
    assert!(files(&root.path().join("tmp")).is_empty());
}

#[tokio::test]
async fn lays_files_out_by_shard_and_id() {
    let root = tempfile::tempdir().unwrap();
    let id = open(root.path()).0.put(SHARD, Bytes::from_static(b"abc")).await.unwrap();
    let path = root.path().join(format!("3/64/37/{id}"));
    assert_eq!(files(root.path()), std::slice::from_ref(&path));
    assert_eq!(fs::read(path).unwrap(), b"abc");
    // Another store in the same folder sees the same.
    assert_eq!(open(root.path()).0.size(SHARD, id).await.unwrap(), Some(3));
}

#[tokio::test]
async fn putting_again_renews_the_time_and_mends_a_cut_file() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, clock) = open(root.path());
    let bytes = Bytes::from_static(b"content");
    for at in [1_000, 5_000, 9_000] {
        clock.0.store(at, Ordering::Relaxed);
        let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
        let listed: Vec<_> = blobs.list(SHARD).await.unwrap().try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (listed[0].id, listed[0].size_bytes, listed[0].put_at),
            (id, 7, Timestamp::from_seconds(at))
        );
    }
    let path = files(root.path()).remove(0);
    fs::write(&path, b"con").unwrap();
    blobs.put_stream(SHARD, stream::iter([Ok(bytes.clone())]).boxed()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
}

#[tokio::test]
async fn streams_are_read_in_pieces() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, _) = open(root.path());
    let bytes = Bytes::from(vec![7; 1_000_000]);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    let pieces: Vec<_> =
        blobs.open(SHARD, id, 10..900_000).await.unwrap().unwrap().try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece: &Bytes| piece.len() <= 256 << 10));
    assert_eq!(pieces.concat(), bytes[10..900_000]);
    // A file that is shorter than it was when it was opened.
    let stream = blobs.open(SHARD, id, 0..1_000_000).await.unwrap().unwrap();
    fs::File::options().write(true).open(files(root.path()).remove(0)).unwrap().set_len(500_000).unwrap();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_of_a_blob_that_is_there_is_damage() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, _) = open(root.path());
    let id = blobs.put(SHARD, Bytes::from_static(b"abc")).await.unwrap();
    let path = files(root.path()).remove(0);
    fs::remove_file(&path).unwrap();
    assert!(blobs.open(SHARD, id, 0..3).await.unwrap().is_none());
    // It has a length, and its bytes cannot be read.
    fs::create_dir(&path).unwrap();
    let damaged = blobs.open(SHARD, id, 0..1).await.unwrap().unwrap();
    let error = damaged.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains(&id.to_string())), "{error:?}");
    // Nothing of it is wanted.
    let nothing = blobs.open(SHARD, id, 0..0).await.unwrap().unwrap();
    assert!(nothing.try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_given_up_stream_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, _) = open(root.path());
    let (reached, wait) = oneshot::channel();
    let stuck = stream::once(async move {
        reached.send(()).unwrap();
        future::pending().await
    });
    let endless = stream::iter([Ok(Bytes::from(vec![1; 300_000]))]).chain(stuck).boxed();
    tokio::select! {
        _ = blobs.put_stream(SHARD, endless) => panic!("it has no end"),
        _ = wait => {}
    }
    // What was being written when it was given up ends by itself.
    while !files(root.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_puts_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, _) = open(root.path());
    let put = |number: u32| blobs.put(SHARD, Bytes::from((number % 100).to_string()));
    let ids = future::try_join_all((0..400).map(put)).await.unwrap();
    assert_eq!(ids[..100], ids[100..200]);
    assert_eq!(files(&root.path().join("3")).len(), 100);
    assert_eq!(files(&root.path().join("tmp")).len(), 0);
}

/// Every put that succeeded while the collector removed what it took for old must be there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn the_collector_takes_nothing_that_was_put_again() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, clock) = open(root.path());
    let other = FileBlobs::open(root.path(), Arc::clone(&clock) as _).unwrap();
    for round in 1..=100 {
        let bytes = Bytes::from_static(b"content");
        clock.0.store(round * 1_000, Ordering::Relaxed);
        let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
        clock.0.store(round * 1_000 + 500, Ordering::Relaxed);
        let before = Timestamp::from_seconds(round * 1_000 + 500);
        let put = tokio::task::spawn_blocking({
            let blobs = blobs.clone();
            move || tokio::runtime::Handle::current().block_on(async { blobs.put(SHARD, bytes).await })
        });
        let old = [id];
        let (put, deleted) = tokio::join!(put, other.delete(SHARD, &old, before));
        put.unwrap().unwrap();
        deleted.unwrap();
        assert_eq!(blobs.size(SHARD, id).await.unwrap(), Some(7), "round {round}");
    }
}

#[test]
fn old_drafts_go_when_the_store_is_opened() {
    let root = tempfile::tempdir().unwrap();
    let (_, clock) = open(root.path());
    let drafts = root.path().join("tmp");
    for (name, at) in [("1-1", 100), ("1-2", 80_000)] {
        let file = fs::File::create(drafts.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(at)).unwrap();
    }
    clock.0.store(100_000, Ordering::Relaxed);
    FileBlobs::open(root.path(), clock).unwrap();
    assert_eq!(files(&drafts), [drafts.join("1-2")]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    let Err(error) = FileBlobs::open(&path, Arc::new(Hand::default())) else {
        panic!("opened a file");
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(path.to_str().unwrap()), "{source}");
}
