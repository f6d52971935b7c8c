//! A blob being written: a file under another name, which goes away unless it is finished.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;
use types::BlobId;

/// A file that is removed when this is dropped, unless [`Draft::publish`] gave it its name.
#[derive(Debug)]
pub(crate) struct Draft {
    path: Option<PathBuf>,
    file: File,
    hash: Box<blake3::Hasher>,
    size_bytes: u64,
}

impl Draft {
    /// An empty draft in this folder.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self { path: Some(path), file, hash: Box::default(), size_bytes: 0 });
                }
                // Left by a process that had our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            self.file.write_all(piece)?;
            self.hash.update(piece);
            self.size_bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// The id and the size of what was written.
    pub(crate) fn id(&self) -> (BlobId, u64) {
        (BlobId(self.hash.finalize().into()), self.size_bytes)
    }

    /// Makes the bytes durable.
    pub(crate) fn sync(&self, put_at: SystemTime) -> io::Result<()> {
        self.file.set_modified(put_at)?;
        self.file.sync_all()
    }

    /// Gives the file its name; the caller makes the name durable.
    pub(crate) fn publish(mut self, name: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, name)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "draft of a blob not removed");
        }
    }
}
