//! The data folder: there, writable, and one server's at a time; of no use to a node that keeps everything elsewhere.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use storage_sql::DatabaseUrl;

use crate::{config::Config, parts};

/// The file in the data folder that a running server holds locked.
const LOCK: &str = "magpie.lock";

/// The data folder, held by this server until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

/// Makes the folder if anything is kept there and it is missing, readable by its owner only.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<()> {
    if config.keeps_files() { make(&config.data_dir) } else { Ok(()) }
}

/// Refuses to begin anew: a command that is about what exists leaves nothing behind where there is nothing.
pub(crate) fn find(config: &Config) -> anyhow::Result<()> {
    if let DatabaseUrl::Sqlite(path) = parts::databases(config).0
        && path.try_exists().is_ok_and(|there| !there)
    {
        let path = std::path::absolute(&path).unwrap_or(path);
        bail!(
            "there is no Magpie data here: {} is not there. If it is elsewhere, say where with MAGPIE_DATA_DIR, or with \
             --config and the file that names data_dir; `magpie domain add` or `magpie serve` begins anew",
            path.display()
        );
    }
    prepare(config)
}

/// Prepares the folder and takes it for a server, if anything is kept there.
pub(crate) fn hold(config: &Config) -> anyhow::Result<Option<Held>> {
    prepare(config)?;
    if config.keeps_files() { lock(&config.data_dir).map(Some) } else { Ok(None) }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    let fails = || format!("data_dir {}: it cannot be used as the data folder", folder.display());
    if !folder.exists() {
        fs::create_dir_all(folder).with_context(fails)?;
        owner_only(folder).with_context(fails)?;
    }
    let probe = probe(folder);
    fs::write(&probe, b"").with_context(|| format!("data_dir {}: it is not writable", folder.display()))?;
    fs::remove_file(&probe).with_context(fails)
}

fn probe(folder: &Path) -> PathBuf {
    folder.join(format!(".probe-{}", std::process::id()))
}

fn lock(folder: &Path) -> anyhow::Result<Held> {
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("{}: it cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).unwrap_or_default();
            let process = process.trim();
            let who = if process.is_empty() { String::new() } else { format!(" (process {process})") };
            bail!("data_dir {}: another server uses it already{who}", folder.display());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{}: it cannot be locked", path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Held { _lock: file })
}

#[cfg(unix)]
fn owner_only(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn owner_only(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_server_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        make(&folder).unwrap();
        let held = lock(&folder).unwrap();
        let error = lock(&folder).unwrap_err().to_string();
        assert!(error.contains("another server uses it already (process "), "{error}");
        drop(held);
        lock(&folder).unwrap();
    }

    #[test]
    fn a_file_is_no_folder() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(make(&file.join("x")).is_err());
        assert!(make(&file).is_err());
    }
}
