//! The folders that blobs lie in, made when first needed.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use types::{BlobId, ShardId};

/// A shard's folder, or one below it.
type Level = (ShardId, Option<u8>, Option<u8>);

/// `<root>/<shard>/<aa>/<bb>`, where `aabb` begins the id.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    /// Folders whose entries in the folders above are known to be on the disk. (That a folder is there does not tell:
    /// another thread may have made it just now.)
    durable: Mutex<HashSet<Level>>,
}

impl Folders {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), durable: Mutex::default() }
    }

    /// Where drafts are written: in the file system that the blobs are in.
    pub(crate) fn drafts(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The file whose lock keeps the collector apart from the others; closing it unlocks.
    pub(crate) fn lock(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.root.join("lock"))
    }

    pub(crate) fn shard(&self, shard: ShardId) -> PathBuf {
        self.root.join(shard.to_string())
    }

    pub(crate) fn of(&self, shard: ShardId, id: BlobId) -> PathBuf {
        let [first, second, ..] = id.0;
        self.shard(shard).join(format!("{first:02x}")).join(format!("{second:02x}"))
    }

    pub(crate) fn file(&self, shard: ShardId, id: BlobId) -> PathBuf {
        self.of(shard, id).join(id.to_string())
    }

    /// Makes the blob's folder, durably.
    pub(crate) fn prepare(&self, shard: ShardId, id: BlobId) -> io::Result<()> {
        let [first, second, ..] = id.0;
        let leaf = self.of(shard, id);
        let levels = [(shard, Some(first), Some(second)), (shard, Some(first), None), (shard, None, None)];
        let mut missing = Vec::new();
        for (level, folder) in levels.into_iter().zip(leaf.ancestors()) {
            if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(&level) {
                break;
            }
            missing.push((level, folder));
        }
        for (level, folder) in missing.into_iter().rev() {
            make(folder)?;
            self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(level);
        }
        Ok(())
    }
}

/// Makes the folder unless it is there, and its entry durable. The folder above must be there.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    folder.parent().map_or(Ok(()), sync)
}

/// Makes the folder's entries durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    // The parent of a relative name is the empty path.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
