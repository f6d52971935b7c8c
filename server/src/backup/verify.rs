//! Reading a folder back as if everything were restored from it; and removing blobs that no run names.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use storage::replica::Record;
use types::{AccountId, BlobId};

use super::{
    Watch,
    blobs::BlobFolder,
    chain::{Entries, Rounds, Segment, segments},
    folder::{Chain, Folder},
    lines::{Extent, Reader, check},
    manifest::Manifest,
    replay::Replay,
};

/// What a folder holds, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub chains: u64,
    pub runs: u64,
    /// Of the newest run.
    pub accounts: u64,
    /// Of the newest run.
    pub messages: u64,
    pub blobs: u64,
    /// Of all files that runs name.
    pub size_bytes: u64,
    /// One line each.
    pub faults: Vec<String>,
}

/// Reads everything.
///
/// # Errors
/// The folder cannot be read at all, or is no folder of backups. Whatever is wrong within it is among
/// [`Verified::faults`].
pub fn verify(folder: &Path, watch: &Watch) -> anyhow::Result<Verified> {
    let folder = Folder::open(folder)?;
    let mut verifier = Verifier {
        blobs: BlobFolder::new(folder.blobs()),
        watch,
        named: HashMap::new(),
        seen: HashSet::new(),
        verified: Verified::default(),
    };
    for chain in folder.chains()? {
        verifier.verified.chains += 1;
        verifier.verified.faults.extend(chain.fault.clone());
        verifier.chain(&chain)?;
    }
    verifier.blobs()?;
    Ok(verifier.verified)
}

struct Verifier<'a> {
    blobs: BlobFolder,
    watch: &'a Watch,
    /// Blobs that runs name: their sizes, and somebody who needs them.
    named: HashMap<BlobId, (u64, AccountId)>,
    /// Files that were looked at.
    seen: HashSet<String>,
    verified: Verified,
}

impl Verifier<'_> {
    fn chain(&mut self, chain: &Chain) -> anyhow::Result<()> {
        let mut accounts: BTreeMap<AccountId, Vec<Segment>> = BTreeMap::new();
        for manifest in &chain.manifests {
            self.verified.runs += 1;
            let whole = self.files(chain, manifest);
            if !whole.contains(&manifest.accounts.path) {
                continue;
            }
            match segments(&chain.folder, manifest) {
                Ok(segments) => segments.into_iter().for_each(|segment| {
                    // A damaged file is named once, not once for each account in it.
                    if whole.contains(&segment.file) {
                        accounts.entry(segment.account).or_default().push(segment);
                    }
                }),
                Err(error) => self.verified.faults.push(format!("{error:#}")),
            }
        }
        self.watch.begin(accounts.len() as u64);
        for (account, segments) in accounts {
            self.account(chain, account, &segments)?;
            self.watch.step();
        }
        if let Some(last) = chain.manifests.last()
            && let Err(error) = self.newest(chain, last)
        {
            self.verified.faults.push(format!("{error:#}"));
        }
        Ok(())
    }

    /// The files of the run that are whole.
    fn files(&mut self, chain: &Chain, manifest: &Manifest) -> HashSet<String> {
        let mut whole = HashSet::new();
        for piece in manifest.pieces() {
            let path = chain.folder.join(&piece.path);
            if self.seen.insert(format!("{}/{}", chain.name(), piece.path)) {
                self.verified.size_bytes += piece.size_bytes;
            }
            match check(&path, &piece.extent()) {
                Ok(()) => {
                    whole.insert(piece.path.clone());
                }
                Err(error) => self.verified.faults.push(format!("{}: {error:#}", path.display())),
            }
        }
        if whole.contains(&manifest.directory.path)
            && let Err(error) = people(chain, manifest)
        {
            self.verified.faults.push(format!("{error:#}"));
        }
        whole
    }

    /// What is newest of all.
    fn newest(&mut self, chain: &Chain, last: &Manifest) -> anyhow::Result<()> {
        let rounds = Rounds::read(chain, chain.manifests.len())?;
        let mut entries = Entries::open(&chain.folder, last)?;
        (self.verified.accounts, self.verified.messages) = (0, 0);
        while let Some(person) = entries.next_person()? {
            self.verified.accounts += 1;
            let last = rounds.of(person.id, person.created_at).last();
            self.verified.messages += last.map_or(0, |last| last.counts.messages);
        }
        Ok(())
    }

    fn account(&mut self, chain: &Chain, account: AccountId, segments: &[Segment]) -> anyhow::Result<()> {
        let mut replay = Replay::default();
        let mut upto = 0;
        for segment in segments {
            if segment.since == 0 {
                replay = Replay::default();
                upto = 0;
            }
            let path = chain.folder.join(&segment.file);
            if let Err(error) = self.segment(&path, segment, &mut replay, upto) {
                self.verified.faults.push(format!("{}: account {account}: {error:#}", path.display()));
                return Ok(());
            }
            upto = segment.upto;
            for blob in &segment.missing {
                let fault =
                    format!("account {account}: the service had lost blob {blob} before it was backed up");
                self.verified.faults.push(fault);
                self.named.remove(blob);
            }
        }
        Ok(())
    }

    fn segment(
        &mut self,
        path: &Path,
        segment: &Segment,
        replay: &mut Replay,
        upto: i64,
    ) -> anyhow::Result<()> {
        ensure!(
            segment.since == upto,
            "a run before it is missing: it goes on from modseq {}",
            segment.since
        );
        let mut records = 0;
        let mut end = None;
        each(path, &segment.extent, |record| {
            records += 1;
            end = if let Record::Account(account) = &record { Some(account.modseq) } else { None };
            for (blob, size_bytes) in replay.apply(record)? {
                self.named.insert(blob, (size_bytes, segment.account));
            }
            Ok(())
        })?;
        ensure!(end == Some(segment.upto), "it does not end at modseq {}", segment.upto);
        ensure!(records == segment.records, "it has {records} records instead of {}", segment.records);
        let counts = replay.counts();
        ensure!(counts == segment.counts, "it leads to {counts:?}, but the account had {:?}", segment.counts);
        Ok(())
    }

    /// Every blob that a run names.
    fn blobs(&mut self) -> anyhow::Result<()> {
        self.watch.begin(self.named.len() as u64);
        let mut named: Vec<_> = self.named.drain().collect();
        named.sort_unstable_by_key(|(id, _)| *id);
        for (id, (size_bytes, account)) in named {
            let path = self.blobs.path(id);
            let fault = match self.blobs.size(id)? {
                None => Some("it is missing".to_owned()),
                Some(size) if size != size_bytes => {
                    Some(format!("it has {size} bytes instead of {size_bytes}"))
                }
                Some(_) => {
                    let extent = Extent { offset: 0, size_bytes, blake3: id.to_string() };
                    check(&path, &extent).err().map(|error| format!("{error:#}"))
                }
            };
            self.verified.blobs += 1;
            self.verified.size_bytes += size_bytes;
            let needed = |fault: String| format!("{}: {fault} (account {account} needs it)", path.display());
            self.verified.faults.extend(fault.map(needed));
            self.watch.step();
        }
        Ok(())
    }
}

fn people(chain: &Chain, manifest: &Manifest) -> anyhow::Result<()> {
    let mut entries = Entries::open(&chain.folder, manifest)?;
    while entries.next()?.is_some() {}
    Ok(())
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
