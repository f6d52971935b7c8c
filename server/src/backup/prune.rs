//! Removing blobs that no run names any more.

use std::{collections::HashSet, fs, path::Path};

use anyhow::{Context as _, bail};
use storage::replica::Record;

use super::{
    blobs::BlobFolder,
    chain::segments,
    folder::Folder,
    lines::{Extent, Reader},
};

/// Removes blobs that no run names; how many, and their bytes.
///
/// # Errors
/// A run cannot be read: what it names is not known then, and nothing is removed.
pub fn prune(folder: &Path) -> anyhow::Result<(u64, u64)> {
    let folder = Folder::open(folder)?;
    let _held = folder.hold()?;
    folder.clean()?;
    let mut named = HashSet::new();
    for chain in folder.chains()? {
        if let Some(fault) = chain.fault {
            bail!("{fault}; nothing is removed");
        }
        for manifest in &chain.manifests {
            for segment in segments(&chain.folder, manifest)? {
                let path = chain.folder.join(&segment.file);
                let add = |record| {
                    match record {
                        Record::Body(body) => named.extend(body.blobs),
                        Record::Upload(upload) => drop(named.insert(upload.blob_id)),
                        _ => {}
                    }
                    Ok(())
                };
                each(&path, &segment.extent, add)
                    .with_context(|| format!("{}: nothing is removed", path.display()))?;
            }
        }
    }
    let (mut count, mut bytes) = (0, 0);
    for (path, id) in BlobFolder::new(folder.blobs()).files()? {
        if id.is_none_or(|id| !named.contains(&id)) {
            bytes += path.metadata().map_or(0, |data| data.len());
            fs::remove_file(&path).with_context(|| format!("{}: it cannot be removed", path.display()))?;
            count += 1;
        }
    }
    Ok((count, bytes))
}

fn each(
    path: &Path,
    extent: &Extent,
    mut with: impl FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = Reader::open(path, extent)?;
    while let Some((record, _)) = reader.next()? {
        with(record)?;
    }
    Ok(())
}
