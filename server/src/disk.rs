//! Room on the disks that this node keeps files on: told at `/readyz`, in the log and by a metric before it ends.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use storage_sql::DatabaseUrl;
use tokio::time::sleep;

use crate::{
    config::{BlobStore, Config, SearchIndex},
    members::Warnings,
    parts,
};

const EVERY: Duration = Duration::from_secs(10);

/// Looks again and again.
pub(crate) async fn watch(config: &Config, warnings: Warnings) {
    let (folders, wanted) = (folders(config), config.limits.disk_free.0);
    let mut told = None;
    loop {
        let full = look(&folders, wanted);
        // The numbers change all the time; what is said is said once.
        let names: BTreeSet<_> = full.iter().map(|(folder, _)| folder.clone()).collect();
        if told.as_ref() != Some(&names) {
            warnings.set("disk", text(&full, wanted));
            told = Some(names);
        }
        sleep(EVERY).await;
    }
}

/// The folders of files, each once.
fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let (directory, shards) = parts::databases(config);
    let files = shards.into_iter().map(|(_, url)| url).chain([directory]).filter_map(|url| match url {
        DatabaseUrl::Sqlite(path) => path.parent().map(Path::to_owned),
        DatabaseUrl::Postgres(_) => None,
    });
    let mut all: BTreeSet<_> = files.collect();
    if let BlobStore::Files(path) = &config.blobs.url {
        all.insert(config.in_data(path));
    }
    if let SearchIndex::Tantivy(path) = &config.search.url {
        all.insert(config.in_data(path));
    }
    all
}

/// The folders with less room than wanted, and how much they have.
fn look(folders: &BTreeSet<PathBuf>, wanted: u64) -> Vec<(PathBuf, u64)> {
    let mut full = Vec::new();
    for folder in folders {
        match free(folder) {
            Ok(bytes) => {
                #[expect(clippy::cast_precision_loss, reason = "for people to look at")]
                metrics::gauge!("magpie_disk_free_bytes", "folder" => folder.display().to_string())
                    .set(bytes as f64);
                if bytes < wanted {
                    full.push((folder.clone(), bytes));
                }
            }
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "room cannot be looked at"),
        }
    }
    full
}

/// Bytes that a process without privileges may still write there.
fn free(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn text(full: &[(PathBuf, u64)], wanted: u64) -> Option<String> {
    let one = |(folder, bytes): &(PathBuf, u64)| format!("{} has {} MB", folder.display(), bytes >> 20);
    let all = full.iter().map(one).collect::<Vec<_>>().join(", ");
    (!full.is_empty()).then(|| {
        format!("the disk is nearly full: {all} of room, less than limits.disk_free ({} MB)", wanted >> 20)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_full_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folders = BTreeSet::from([folder.path().to_owned(), folder.path().join("missing")]);
        assert_eq!(text(&look(&folders, 1), 1), None);
        let full = look(&folders, u64::MAX);
        assert_eq!(full.len(), 1);
        let said = text(&full, u64::MAX).unwrap();
        assert!(said.contains(&folder.path().display().to_string()), "{said}");
    }
}
