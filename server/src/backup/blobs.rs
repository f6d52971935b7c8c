//! The blobs in the folder: each once, under its content's hash, whichever runs and chains name it.
//!
//! A blob gets its name when it is whole and on disk, so whatever has a name need not be copied again.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use storage::{Blobs, ByteStream};
use tokio::{fs, io::AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use types::{BlobId, ShardId};

use super::folder::{entries, make_folder, sync_folder};

/// Blobs that are copied at the same time.
pub(super) const AT_ONCE: usize = 8;

/// The folder's blobs.
#[derive(Debug)]
pub(super) struct BlobFolder {
    root: PathBuf,
    /// Folders with new names in them.
    touched: BTreeSet<PathBuf>,
}

/// What became of a wish to keep a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Already,
    New(u64),
    /// The service does not have it.
    Missing(BlobId),
}

/// What became of several.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) new: u64,
    pub(super) new_bytes: u64,
    pub(super) missing: Vec<BlobId>,
}

impl BlobFolder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, touched: BTreeSet::new() }
    }

    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.root.join(name.get(..2).unwrap_or_default()).join(name)
    }

    /// Brings those over that are not here yet.
    pub(super) async fn keep(
        &mut self,
        from: &dyn Blobs,
        shard: ShardId,
        ids: &BTreeSet<BlobId>,
    ) -> anyhow::Result<Copied> {
        let mut copied = Copied::default();
        let mut folders = BTreeSet::new();
        {
            let this = &*self;
            let copies =
                futures::stream::iter(ids).map(|id| async move { (*id, this.copy(from, shard, *id).await) });
            let mut copies = copies.buffer_unordered(AT_ONCE);
            while let Some((id, kept)) = copies.next().await {
                match kept? {
                    Kept::Already => {}
                    Kept::Missing(id) => copied.missing.push(id),
                    Kept::New(size_bytes) => {
                        copied.new += 1;
                        copied.new_bytes += size_bytes;
                        folders.extend(this.path(id).parent().map(Path::to_owned));
                    }
                }
            }
        }
        self.touched.append(&mut folders);
        Ok(copied)
    }

    async fn copy(&self, from: &dyn Blobs, shard: ShardId, id: BlobId) -> anyhow::Result<Kept> {
        let path = self.path(id);
        if fs::try_exists(&path).await.with_context(|| path.display().to_string())? {
            return Ok(Kept::Already);
        }
        let Some(mut bytes) = from.open(shard, id, 0..u64::MAX).await.with_context(|| unread(id))? else {
            return Ok(Kept::Missing(id));
        };
        let unwritten = || format!("{}: it cannot be written", path.display());
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let temporary = path.with_extension("new");
        let mut open = fs::OpenOptions::new();
        let file = open.create(true).truncate(true).write(true).mode(0o600).open(&temporary);
        let mut file = file.await.with_context(unwritten)?;
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = bytes.try_next().await.with_context(|| unread(id))? {
            hasher.update(&piece);
            file.write_all(&piece).await.with_context(unwritten)?;
        }
        file.flush().await.with_context(unwritten)?;
        ensure!(
            *hasher.finalize().as_bytes() == id.0,
            "blob {id} of shard {shard} is damaged in the service: its content does not fit its name"
        );
        file.sync_all().await.with_context(unwritten)?;
        fs::rename(&temporary, &path).await.with_context(unwritten)?;
        Ok(Kept::New(hasher.count()))
    }

    /// Has the names of new blobs on disk.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(());
        }
        touched.iter().map(PathBuf::as_path).chain([self.root.as_path()]).try_for_each(sync_folder)
    }

    /// What is wrong with a blob's file, if anything is.
    pub(super) fn fault(&self, id: BlobId) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        let read = std::fs::File::open(self.path(id)).and_then(|file| hasher.update_reader(file).map(drop));
        match read {
            Ok(()) if *hasher.finalize().as_bytes() == id.0 => None,
            Ok(()) => Some(self.damaged(id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(self.missing(id)),
            Err(error) => Some(format!("{}: it cannot be read: {error}", self.path(id).display())),
        }
    }

    pub(super) fn missing(&self, id: BlobId) -> String {
        format!("{}: it is missing", self.path(id).display())
    }

    pub(super) fn damaged(&self, id: BlobId) -> String {
        format!("{}: it is damaged: its content does not fit its name", self.path(id).display())
    }

    /// Its bytes; `None` if it is not here.
    pub(super) async fn open(&self, id: BlobId) -> anyhow::Result<Option<ByteStream>> {
        let path = self.path(id);
        match fs::File::open(&path).await {
            Ok(file) => {
                let stream = ReaderStream::with_capacity(file, 256 << 10).map_err(storage::Error::from_io);
                Ok(Some(stream.boxed()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Every file among them: a blob's, or one that is none (which a broken-off run has left).
    pub(super) fn files(&self) -> anyhow::Result<Vec<(PathBuf, Option<BlobId>)>> {
        let mut files = Vec::new();
        if !self.root.exists() {
            return Ok(files);
        }
        for (_, folder) in entries(&self.root)? {
            if folder.is_dir() {
                files.extend(entries(&folder)?.into_iter().map(|(name, path)| (path, name.parse().ok())));
            }
        }
        Ok(files)
    }
}

fn unread(id: BlobId) -> String {
    format!("blob {id}: the service cannot read it")
}
