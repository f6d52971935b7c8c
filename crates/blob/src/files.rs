//! Blobs as files: `<root>/<shard>/<aa>/<bb>/<id>`, whose time of modification is when they were put.
//!
//! A blob is written to a draft, which is synced and renamed, and then the folder is synced: whoever is told that it
//! is stored can rely on that after a power cut. Nothing is locked meanwhile, so puts wait for the disk together.
//!
//! Between the collector's look at a blob's time and its removal nobody may renew that time, in another process
//! neither: removing holds the lock of a file, `<root>/lock`, alone; renewing and naming hold it together with others.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use storage::{BlobInfo, Blobs, ByteStream, Error, Result};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{block_in_place, spawn_blocking},
};
use types::{BlobId, Clock, ShardId, Timestamp};

use crate::{
    draft::Draft,
    folders::{Folders, make, sync},
};

/// Blobs in a folder. Clones are the same store.
#[derive(Clone)]
pub struct FileBlobs {
    inner: Arc<Inner>,
}

struct Inner {
    folders: Folders,
    clock: Arc<dyn Clock>,
}

/// How much is read or written at a time.
const PIECE_BYTES: usize = 128 << 10;
/// After this, a draft has no writer any more.
const DRAFT_LIFE: Duration = Duration::from_secs(86_400);

impl FileBlobs {
    /// Opens the store in this folder, or makes it; fails if it cannot be written to. Removes drafts that a crash left.
    pub fn open(root: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let inner = Inner { folders: Folders::new(root), clock };
        inner.prepare(root).map_err(|error| {
            let text = format!("cannot write to the blob folder {}: {error}", root.display());
            Error::from_io_of(&error, text)
        })?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs it where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(Error::from_io),
        Err(error) => Err(Error::Backend(error.into())),
    }
}

/// Reads what may have to wait for the disk, where the answer is wanted: what the system has in memory is read sooner
/// than another thread is told to.
async fn reading<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => Ok(block_in_place(read)),
        _ => spawn_blocking(read).await.map_err(|error| Error::Backend(error.into())),
    }
}

/// A blob that is being read.
struct Reading {
    id: BlobId,
    file: File,
    left_bytes: u64,
}

impl Reading {
    /// `None` if there is no such blob.
    fn begin(path: &Path, id: BlobId, range: Range<u64>) -> io::Result<Option<Self>> {
        let Some(mut file) = found(File::open(path))? else {
            return Ok(None);
        };
        let end = range.end.min(file.metadata()?.len());
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Some(Self { id, file, left_bytes: end.saturating_sub(range.start) }))
    }

    /// The next piece; `None`: that was all.
    fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.left_bytes == 0 {
            return Ok(None);
        }
        let size = usize::try_from(self.left_bytes).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; size];
        self.file.read_exact(&mut piece).map_err(|error| match Error::from_io(error) {
            Error::Backend(cause) => Error::Corrupt(format!("blob {}: {cause}", self.id)),
            error => error,
        })?;
        self.left_bytes -= size as u64;
        Ok(Some(piece.into()))
    }
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, shard: ShardId, bytes: Bytes) -> Result<BlobId> {
        self.blocking(move |inner| {
            let id = BlobId(blake3::hash(&bytes).into());
            if !inner.renew(shard, id, bytes.len() as u64)? {
                let mut draft = Draft::new(&inner.folders.drafts())?;
                draft.write(&[bytes])?;
                inner.publish(shard, draft)?;
            }
            Ok(id)
        })
        .await
    }

    async fn put_stream(&self, shard: ShardId, mut stream: ByteStream) -> Result<(BlobId, u64)> {
        let mut draft = self.blocking(|inner| Draft::new(&inner.folders.drafts())).await?;
        loop {
            let mut pieces = Vec::new();
            let mut size_bytes = 0;
            while size_bytes < PIECE_BYTES
                && let Some(piece) = stream.try_next().await?
            {
                size_bytes += piece.len();
                pieces.push(piece);
            }
            let ended = size_bytes < PIECE_BYTES;
            draft = blocking(move || {
                draft.write(&pieces)?;
                Ok(draft)
            })
            .await?;
            if ended {
                break;
            }
        }
        self.blocking(move |inner| {
            let (id, size_bytes) = draft.id();
            if !inner.renew(shard, id, size_bytes)? {
                inner.publish(shard, draft)?;
            }
            Ok((id, size_bytes))
        })
        .await
    }

    async fn open(&self, shard: ShardId, id: BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        let path = self.inner.folders.file(shard, id);
        // Most blobs are one piece.
        let opened = reading(move || {
            let reading = Reading::begin(&path, id, range)?;
            Ok(reading.map(|mut reading| (Some(reading.piece()), reading)))
        });
        let Some(start) = opened.await?.map_err(Error::from_io)? else {
            return Ok(None);
        };
        let pieces = stream::try_unfold(start, |(first, mut blob)| async move {
            let piece = match first {
                Some(first) => first?,
                None => {
                    let (piece, read) = reading(move || (blob.piece(), blob)).await?;
                    blob = read;
                    piece?
                }
            };
            Ok(piece.map(|piece| (piece, (None, blob))))
        });
        Ok(Some(pieces.boxed()))
    }

    async fn size(&self, shard: ShardId, id: BlobId) -> Result<Option<u64>> {
        self.blocking(move |inner| {
            let metadata = found(fs::metadata(inner.folders.file(shard, id)))?;
            Ok(metadata.map(|metadata| metadata.len()))
        })
        .await
    }

    async fn delete(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64> {
        let ids = ids.to_vec();
        self.blocking(move |inner| {
            let mut removed = 0;
            for id in ids {
                removed += u64::from(inner.remove(shard, id, put_before)?);
            }
            Ok(removed)
        })
        .await
    }

    async fn list(&self, shard: ShardId) -> Result<BoxStream<'static, Result<BlobInfo>>> {
        let folders = self.blocking(move |inner| children(&inner.folders.shard(shard))).await?;
        let all = stream::iter(folders).then(|folder| async move {
            match blocking(move || infos(&folder)).await {
                Ok(infos) => stream::iter(infos.into_iter().map(Ok)).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            }
        });
        Ok(all.flatten().boxed())
    }
}

/// How the names of blobs begin that are about to be removed.
const ASIDE: &str = "removed-";

/// The blob that a file beside the drafts was taken from.
fn aside_name(name: &OsStr) -> Option<(ShardId, BlobId)> {
    let (shard, id) = name.to_str()?.strip_prefix(ASIDE)?.split_once('-')?;
    Some((shard.parse().ok()?, id.parse().ok()?))
}

impl Inner {
    fn prepare(&self, root: &Path) -> io::Result<()> {
        fs::create_dir_all(root)?;
        make(root)?;
        self.folders.lock()?;
        let drafts = self.folders.drafts();
        make(&drafts)?;
        // Dropped at once: shows whether files can be made here.
        Draft::new(&drafts)?;
        let now = self.clock.now();
        for path in children(&drafts)? {
            if let Some((shard, id)) = path.file_name().and_then(aside_name) {
                // A crash came between taking the name away and deciding: it is decided anew.
                self.folders.prepare(shard, id)?;
                fs::rename(&path, self.folders.file(shard, id))?;
            } else if let Some(metadata) = found(fs::metadata(&path))?
                && now.since(put_at(&metadata)?) > DRAFT_LIFE
            {
                found(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// If the blob is there already, makes it count as put now.
    fn renew(&self, shard: ShardId, id: BlobId, size_bytes: u64) -> io::Result<bool> {
        {
            let lock = self.folders.lock()?;
            lock.lock_shared()?;
            let Some(file) = found(File::open(self.folders.file(shard, id)))? else {
                return Ok(false);
            };
            if file.metadata()?.len() != size_bytes {
                return Ok(false);
            }
            file.set_modified(self.now())?;
        }
        // Whoever put it may not have come as far as syncing its name.
        self.folders.prepare(shard, id)?;
        sync(&self.folders.of(shard, id))?;
        Ok(true)
    }

    fn publish(&self, shard: ShardId, draft: Draft) -> io::Result<()> {
        let (id, _) = draft.id();
        self.folders.prepare(shard, id)?;
        draft.sync(self.now())?;
        {
            let lock = self.folders.lock()?;
            lock.lock_shared()?;
            draft.publish(&self.folders.file(shard, id))?;
        }
        sync(&self.folders.of(shard, id))
    }

    /// Whether it was there, old, and is gone.
    fn remove(&self, shard: ShardId, id: BlobId, put_before: Timestamp) -> io::Result<bool> {
        let path = self.folders.file(shard, id);
        let lock = self.folders.lock()?;
        lock.lock()?;
        match found(fs::metadata(&path))? {
            Some(metadata) if put_at(&metadata)? < put_before => Ok(found(fs::remove_file(&path))?.is_some()),
            _ => Ok(false),
        }
    }

    fn now(&self) -> SystemTime {
        let since_epoch = self.clock.now().since(Timestamp::default());
        SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

fn put_at(metadata: &Metadata) -> io::Result<Timestamp> {
    let since_epoch = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::default().plus(since_epoch))
}

/// The blobs in the folders of this folder.
fn infos(folder: &Path) -> io::Result<Vec<BlobInfo>> {
    let mut infos = Vec::new();
    for path in
        children(folder)?.iter().map(|folder| children(folder)).collect::<io::Result<Vec<_>>>()?.concat()
    {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Other names are not ours.
        if let Ok(id) = name.parse()
            && let Some(metadata) = found(fs::metadata(&path))?
        {
            infos.push(BlobInfo { id, size_bytes: metadata.len(), put_at: put_at(&metadata)? });
        }
    }
    Ok(infos)
}

/// What lies in the folder; nothing if it is not there, or no folder.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// `None` if there is no such file.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
