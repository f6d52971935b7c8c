//! Whether anything was committed to an SQLite database, without asking it.
//!
//! In the WAL mode every commit, of whatever process, ends by writing the first header of the index of the log anew, with
//! a counter and the place where the log ends; and each reading transaction of SQLite begins by comparing this header
//! with the one that its pages are from (<https://www.sqlite.org/walformat.html>, 2.1). The same comparison is made here,
//! at the price of a small read of a file that is in memory.
//!
//! **Rule:** an index is opened once and never closed while it is there. SQLite's locks on it belong to the process, and
//! closing any descriptor of the file would give all of them up (`fcntl(2)`): others could then write at the same time.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use storage::Stamp;
use types::ShardId;

/// Of the first of both copies of the header.
const HEADER: usize = 48;
/// Where in it transactions are counted, in the machine's own order of bytes.
const COUNTER: std::ops::Range<usize> = 8..12;

/// The indexes of this process, which several openers of a database may ask for.
static OPEN: Mutex<Vec<(PathBuf, Index)>> = Mutex::new(Vec::new());

struct Index {
    file: File,
    /// Device and number, which no other file has as long as this one is open.
    id: (u64, u64),
    /// How many were opened before: the next one might look the same.
    nth: u64,
}

/// `None` if there is no log: nobody has the database open.
pub(crate) fn stamp(shard: ShardId, database: &Path) -> Option<Stamp> {
    let path = index_of(database);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = fs::metadata(&path).ok()?;
    let at = open.iter().position(|(known, _)| *known == path);
    let place = match at {
        Some(at) => at,
        None => {
            open.push((path.clone(), Index::open(&path, 0)?));
            open.len() - 1
        }
    };
    let (_, index) = open.get_mut(place)?;
    if index.id != (found.dev(), found.ino()) {
        // The last who closes the database removes the index. One that only has another name may be in use.
        if index.file.metadata().ok()?.nlink() > 0 {
            return None;
        }
        *index = Index::open(&path, index.nth + 1)?;
    }
    let mut state = vec![0; HEADER];
    index.file.read_exact_at(&mut state, 0).ok()?;
    let counter = u32::from_ne_bytes(state.get(COUNTER)?.try_into().ok()?);
    state.extend(index.nth.to_le_bytes());
    Some(Stamp { shard, state: state.into(), commits: index.nth << 32 | u64::from(counter) })
}

impl Index {
    fn open(path: &Path, nth: u64) -> Option<Self> {
        let file = File::open(path).ok()?;
        let id = file.metadata().map(|found| (found.dev(), found.ino()));
        match id {
            Ok(id) => Some(Self { file, id, nth }),
            Err(_) => {
                // See the rule.
                std::mem::forget(file);
                None
            }
        }
    }
}

fn index_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}
