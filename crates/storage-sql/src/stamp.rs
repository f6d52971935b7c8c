//! Whether anything was committed to an SQLite database, without asking it.
//!
//! In the WAL mode every commit, of whatever process, ends by writing the first header of the index of the log anew, with
//! a counter and the place where the log ends; and each reading transaction of SQLite begins by comparing this header
//! with the one that its pages are from (<https://www.sqlite.org/walformat.html>, 2.1). The same comparison is made here,
//! at the price of a small read of a file that is in memory.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use storage::Stamp;
use types::ShardId;

/// Of the first of both copies of the header.
const HEADER: usize = 48;

/// `None` if there is no log: nobody has the database open.
pub(crate) fn stamp(shard: ShardId, database: &Path) -> Option<Stamp> {
    let mut file = File::open(index(database)).ok()?;
    let mut state = vec![0; HEADER];
    file.read_exact(&mut state).ok()?;
    // The last who closes the database removes the index, and the next one might look like it.
    let metadata = file.metadata().ok()?;
    let made = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    state.extend(made.as_nanos().to_le_bytes());
    state.extend(metadata.ino().to_le_bytes());
    Some(Stamp { shard, state: state.into() })
}

fn index(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}
