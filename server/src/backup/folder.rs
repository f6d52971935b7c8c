//! The folder: its mark, its lock, its chains, and how a run comes into it.
//!
//! ```text
//! magpie-backup                      says what the folder is
//! lock                               held while a run or a clean-up works
//! blobs/ab/abcd...                   see `blobs`
//! chain-20261122T163038Z/            a chain, named by its first run
//!     20261122T163038Z.manifest      a run is there once this is
//!     20261122T163038Z/              the run's files
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use super::manifest::{Manifest, RunName};
use crate::causes::in_words;

const MARK: &str = "magpie-backup";
const LOCK: &str = "lock";
const BLOBS: &str = "blobs";
const CHAIN: &str = "chain-";
const MANIFEST: &str = ".manifest";
const SAYS: &str = "Backups of a Magpie mail service; see docs/backup.md.\n";

/// A folder of backups.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// The folder, held by one program until dropped.
#[derive(Debug)]
pub(super) struct Held {
    _lock: File,
}

/// The runs that go on from each other.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) folder: PathBuf,
    /// In order, up to the first that is not as it should be.
    pub(super) manifests: Vec<Manifest>,
    /// What is wrong with the first that is not among them.
    pub(super) fault: Option<String>,
}

impl Folder {
    /// A folder that holds backups.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        ensure!(path.join(MARK).is_file(), "{}: this is no folder of backups", path.display());
        Ok(Self { path: path.to_owned() })
    }

    /// A folder that holds backups, or will from now on.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        if path.join(MARK).is_file() {
            return Ok(Self { path: path.to_owned() });
        }
        make_folder(path)?;
        let mut inside =
            fs::read_dir(path).with_context(|| format!("{}: it cannot be read", path.display()))?;
        ensure!(
            inside.next().is_none(),
            "{}: it has other things in it; name an empty folder",
            path.display()
        );
        let folder = Self { path: path.to_owned() };
        folder.write_new(&path.join(MARK), SAYS)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.path.join(BLOBS)
    }

    /// Takes the folder for writing.
    pub(super) fn hold(&self) -> anyhow::Result<Held> {
        let path = self.path.join(LOCK);
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("{}: it cannot be written", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Held { _lock: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another backup works in this folder; wait until it is done", self.path.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{}: it cannot be locked", path.display()))
            }
        }
    }

    /// The chains, in order. Those without any run are not among them.
    pub(super) fn chains(&self) -> anyhow::Result<Vec<Chain>> {
        let mut chains = Vec::new();
        for (name, path) in entries(&self.path)? {
            if name.strip_prefix(CHAIN).is_some_and(|run| RunName::parse(run).is_some()) {
                chains.push(Chain::read(path)?);
            }
        }
        chains.retain(|chain| !chain.manifests.is_empty() || chain.fault.is_some());
        Ok(chains)
    }

    /// The last run that has a name here, whether or not it can be read.
    pub(super) fn last_run(&self) -> anyhow::Result<Option<RunName>> {
        let mut last = None;
        for (name, chain) in entries(&self.path)? {
            if name.starts_with(CHAIN) {
                let names = entries(&chain)?;
                let runs = names.iter().filter_map(|(name, _)| RunName::parse(name.strip_suffix(MANIFEST)?));
                last = last.max(runs.max());
            }
        }
        Ok(last)
    }

    /// Removes what broken-off runs have left. Only while the folder is held.
    pub(super) fn clean(&self) -> anyhow::Result<()> {
        for (name, chain) in entries(&self.path)? {
            if !name.starts_with(CHAIN) {
                continue;
            }
            let inside = entries(&chain)?;
            let whole = |run: &str| inside.iter().any(|(name, _)| name.strip_suffix(MANIFEST) == Some(run));
            for (name, path) in &inside {
                if RunName::parse(name).is_some() && !whole(name) {
                    fs::remove_dir_all(path).with_context(|| undeleted(path))?;
                }
            }
            if inside.iter().all(|(name, _)| !name.ends_with(MANIFEST)) {
                fs::remove_dir_all(&chain).with_context(|| undeleted(&chain))?;
            }
        }
        Ok(())
    }

    /// The folder that the chain with this first run has.
    pub(super) fn chain(&self, first: &RunName) -> PathBuf {
        self.path.join(format!("{CHAIN}{first}"))
    }

    /// Makes the run's folder, and the chain's if it is the first.
    pub(super) fn begin(&self, chain: &Path, run: &RunName) -> anyhow::Result<PathBuf> {
        let path = chain.join(run.as_str());
        make_folder(&path)?;
        Ok(path)
    }

    /// Makes the run part of the chain: what its manifest names is on disk.
    pub(super) fn commit(&self, chain: &Path, manifest: &Manifest) -> anyhow::Result<()> {
        let run = chain.join(manifest.run.as_str());
        for folder in [run.as_path(), chain, &self.path] {
            sync_folder(folder)?;
        }
        let path = manifest_path(chain, &manifest.run);
        self.write_new(&path, &manifest.to_text()?)?;
        sync_folder(chain)
    }

    /// Writes a file that is there whole or not at all.
    fn write_new(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let unwritten = || format!("{}: it cannot be written", path.display());
        let temporary = path.with_extension("new");
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(true).write(true).mode(0o600).open(&temporary);
        let mut file = file.with_context(unwritten)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(unwritten)?;
        fs::rename(&temporary, path).with_context(unwritten)
    }
}

impl Chain {
    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let mut chain = Self { folder, manifests: Vec::new(), fault: None };
        for (name, path) in entries(&chain.folder)? {
            if !name.ends_with(MANIFEST) {
                continue;
            }
            let read = fs::read(&path).context("it cannot be read");
            match read.and_then(|text| Manifest::from_text(&text)).and_then(|manifest| chain.next(manifest)) {
                Ok(manifest) => chain.manifests.push(manifest),
                Err(error) => {
                    chain.fault = Some(format!("{}: {}", path.display(), in_words(&error)));
                    break;
                }
            }
        }
        Ok(chain)
    }

    /// The manifest, if it goes on from the last one.
    fn next(&self, manifest: Manifest) -> anyhow::Result<Manifest> {
        let last = self.manifests.last().map(|last| (&last.run, &last.hash));
        let previous = manifest.previous.as_ref().map(|previous| (&previous.run, &previous.blake3));
        match previous {
            _ if last == previous => Ok(manifest),
            Some((run, _)) => bail!("it goes on from run {run}, which is not there as it was then"),
            None => bail!("it begins a chain, but is not the first of this one"),
        }
    }
}

pub(super) fn manifest_path(chain: &Path, run: &RunName) -> PathBuf {
    chain.join(format!("{run}{MANIFEST}"))
}

/// Makes the folder and those above it, for its owner alone.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("{}: the folder cannot be made", path.display()))
}

/// Has the names in the folder on disk.
pub(super) fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("{}: it cannot be written", path.display()))
}

fn undeleted(path: &Path) -> String {
    format!("{}: it is left from a run that broke off, and cannot be removed", path.display())
}

/// What is in the folder, by name.
pub(super) fn entries(path: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let unread = || format!("{}: it cannot be read", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(unread)? {
        let entry = entry.with_context(unread)?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    Ok(entries)
}
