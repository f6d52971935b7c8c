//! Copying the accounts of a bucket to its new shard, and comparing.
//!
//! An account is *late* until its copy has been found to be like it as of a moment after which nothing has changed. What
//! has changed since is told by a few queries for the whole bucket ([`Copier::late`]), so that what happens behind the
//! fence costs as much as has changed in the moment before it, not as much as there is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem::take,
    pin::pin,
    time::Duration,
};

use storage::{
    AccountState, Snapshot,
    moves::Move,
    replica::{self, Cursor, Digest, Record},
};
use tokio::time::{Instant, sleep};
use types::{AccountId, BlobId, Bucket, ModSeq, ShardId};

use super::{
    Tell,
    units::{Clear, Import},
};
use crate::{Error, Result, Service, Step};

/// How often a mover is heard of: well within [`super::SILENCE`].
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Records, and bytes of bodies, after which what was read is written.
const RECORDS: usize = 500;
const BYTES: usize = 4 << 20;

/// Copies the accounts of a bucket from a shard to another.
pub(super) struct Copier {
    service: Service,
    pub(super) from: ShardId,
    pub(super) to: ShardId,
    bucket: Bucket,
    mover: String,
    /// Up to where each account's copy was found to be like the original.
    verified: HashMap<AccountId, ModSeq>,
    /// Blobs that were brought over.
    blobs: HashSet<BlobId>,
    /// Records that were copied.
    pub(super) records: u64,
    heard_at: Instant,
}

/// An account whose copy is behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    account: AccountId,
    /// Up to where the copy goes.
    since: ModSeq,
    /// Changes after that, about.
    behind: u64,
    /// Whether the copy was ever found to be like it: if not, all of it is to be compared.
    was_compared: bool,
}

impl Late {
    /// Whether these are so few accounts, with so few changes, that the rest takes a moment.
    pub(super) fn are_few(late: &[Self], accounts: usize, changes: u64) -> bool {
        late.len() <= accounts
            && late.iter().all(|late| late.was_compared)
            && late.iter().map(|late| late.behind).sum::<u64>() <= changes
    }
}

/// What came of an attempt to bring copies up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All are like their originals were a moment ago.
    Alike,
    /// Some took more than a page, or blobs: they were copied, and are to be compared.
    Copied,
    /// Some were not like their originals; they are to be copied anew.
    Unlike,
}

/// A shard's accounts of the bucket, and what says whether two of them differ.
type Seen = BTreeMap<AccountId, (AccountState, Option<u128>)>;

impl Copier {
    pub(super) fn new(service: Service, running: &Move, mover: &str) -> Self {
        let Move { bucket, from, to, .. } = *running;
        let (verified, blobs) = (HashMap::new(), HashSet::new());
        let mover = mover.to_owned();
        Self { service, from, to, bucket, mover, verified, blobs, records: 0, heard_at: Instant::now() }
    }

    /// Says that this goes on; an error if somebody has taken the move over.
    pub(super) async fn beat(&mut self) -> Result<()> {
        let now = self.service.now();
        self.heard_at = Instant::now();
        if self.service.parts.directory.beat(self.bucket, &self.mover, now).await? {
            Ok(())
        } else {
            Err(taken_over(self.bucket))
        }
    }

    /// The same now and then.
    async fn tick(&mut self) -> Result<()> {
        if self.heard_at.elapsed() < BEAT_EVERY { Ok(()) } else { self.beat().await }
    }

    /// Says so while something is done, however long that takes.
    async fn beating<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.tick().await?;
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(BEAT_EVERY) => self.beat().await?,
            }
        }
    }

    pub(super) fn accounts(&self) -> u64 {
        self.verified.len() as u64
    }

    pub(super) fn blobs(&self) -> u64 {
        self.blobs.len() as u64
    }

    /// The accounts that are late, by a few queries. What the target has too much is removed on the way.
    pub(super) async fn late(&mut self) -> Result<Vec<Late>> {
        self.tick().await?;
        let originals = self.seen(self.from).await?;
        // Also what was removed while it was being copied, and so was never set up.
        let placed = self.service.parts.shards.latest(self.to).await?.placed(self.bucket).await?;
        for account in placed.iter().filter(|account| !originals.contains_key(account)) {
            self.clear(*account).await?;
        }
        let copies = self.seen(self.to).await?;
        let mut late = Vec::new();
        for (account, original) in originals {
            let copy = copies.get(&account);
            let since = copy.map(|(copy, _)| copy.modseq).unwrap_or_default();
            if copy == Some(&original) && self.verified.get(&account) == Some(&since) {
                continue;
            }
            let mut next = Late {
                account,
                since,
                behind: original.0.modseq.0.abs_diff(since.0),
                was_compared: self.verified.contains_key(&account),
            };
            if original.0.forgotten > since {
                // What was removed is not known any more: begin with nothing.
                self.clear(account).await?;
                next = Late { since: ModSeq(0), was_compared: false, ..next };
            }
            late.push(next);
        }
        Ok(late)
    }

    async fn seen(&self, shard: ShardId) -> Result<Seen> {
        let mut latest = self.service.parts.shards.latest(shard).await?;
        let mut loose: HashMap<_, _> = latest.loose(self.bucket).await?.into_iter().collect();
        let states = latest.bucket(self.bucket).await?;
        Ok(states.into_iter().map(|state| (state.id, (state, loose.remove(&state.id)))).collect())
    }

    /// Copies what the copies lack, and compares those that were little behind.
    pub(super) async fn bring_up(&mut self, late: &[Late], tell: Tell<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::Alike;
        let mut long = Vec::new();
        let mut rest = late;
        while !rest.is_empty() {
            let (looked_at, alike) = self.compare_some(rest, &mut long).await?;
            if !alike {
                outcome = Outcome::Unlike;
            }
            rest = rest.get(looked_at..).unwrap_or_default();
            tell(Step::Copied(self.bucket));
        }
        if !long.is_empty() {
            self.copy(&long).await?;
            tell(Step::Copied(self.bucket));
            if outcome == Outcome::Alike {
                outcome = Outcome::Copied;
            }
        }
        Ok(outcome)
    }

    /// Brings the first of the accounts, as many as are written at once, to what they are at one moment, and compares
    /// them as of that moment, whoever writes to them meanwhile. Those that take more than a page or a blob go to `long`.
    /// Returns how many accounts were looked at, and whether all that were compared are alike.
    async fn compare_some(&mut self, late: &[Late], long: &mut Vec<Late>) -> Result<(usize, bool)> {
        self.tick().await?;
        let mut snapshot = self.service.parts.shards.snapshot(self.from).await?;
        let (mut batch, mut copied, mut looked_at) = (Batch::default(), Vec::new(), 0);
        for next in late {
            looked_at += 1;
            let page = snapshot.export(next.account, Cursor::after(next.since)).await?;
            let is_short = page.next.is_none() && page.blobs().iter().all(|blob| self.blobs.contains(blob));
            match page.records.last() {
                Some(Record::Account(state)) if is_short => {
                    let verified = self.verified.get(&next.account).copied().unwrap_or_default();
                    let known = if state.forgotten_modseq > verified.0 { ModSeq(0) } else { verified };
                    let upto = ModSeq(state.modseq);
                    // What was read is what is to be compared, unless more than that was never compared.
                    let original = if known == next.since {
                        let counts = snapshot.counts(next.account).await?;
                        replica::digest_of(&page.records, counts)?
                    } else {
                        // Of the same moment: the next account may be one of a later one.
                        self.digest(&mut *snapshot, next.account, known).await?
                    };
                    copied.push((next.account, known, upto, original));
                    batch.add(next.account, page.records);
                }
                Some(_) => long.push(*next),
                // It is there no more.
                None => {}
            }
            if batch.is_full() {
                break;
            }
        }
        drop(snapshot);
        self.import(batch).await?;
        let mut alike = true;
        let mut latest = self.service.parts.shards.latest(self.to).await?;
        for (account, since, upto, original) in copied {
            let copy = self.digest(&mut *latest, account, since).await?;
            if original == copy {
                self.verified.insert(account, upto);
                continue;
            }
            tracing::warn!(%account, ?original, ?copy, "a copy is not like its original");
            self.clear(account).await?;
            alike = false;
        }
        Ok((looked_at, alike))
    }

    /// A round over each of these accounts, page by page, with blobs: no snapshot is held meanwhile.
    async fn copy(&mut self, long: &[Late]) -> Result<()> {
        let shards = self.service.parts.shards.clone();
        let mut batch = Batch::default();
        for Late { account, since, .. } in long {
            let mut cursor = Some(Cursor::after(*since));
            while let Some(at) = cursor {
                let page = shards.snapshot(self.from).await?.export(*account, at).await?;
                for blob in page.blobs() {
                    if !self.bring(blob).await? {
                        tracing::error!(%account, %blob, "a blob is missing, and so it will be on the new shard");
                    }
                }
                cursor = page.next;
                batch.add(*account, page.records);
                if batch.is_full() {
                    self.import(take(&mut batch)).await?;
                }
            }
        }
        self.import(batch).await
    }

    /// Brings a blob over, once; false if it is not there.
    async fn bring(&mut self, blob: BlobId) -> Result<bool> {
        if !self.blobs.insert(blob) {
            return Ok(true);
        }
        let (service, from, to) = (self.service.clone(), self.from, self.to);
        self.beating(async move { service.bring(blob, from, to).await }).await
    }

    async fn import(&mut self, batch: Batch) -> Result<()> {
        if batch.parts.is_empty() {
            return self.tick().await;
        }
        self.records += batch.records as u64;
        let import = Import { bucket: self.bucket, mover: self.mover.clone(), parts: batch.parts };
        let (service, to) = (self.service.clone(), self.to);
        let imported = self.beating(async move { service.quietly(to, import).await }).await?;
        if imported { Ok(()) } else { Err(taken_over(self.bucket)) }
    }

    async fn digest(
        &mut self,
        snapshot: &mut dyn Snapshot,
        account: AccountId,
        since: ModSeq,
    ) -> Result<Digest> {
        self.beating(async { Ok(replica::digest(snapshot, account, since).await?) }).await
    }

    /// Removes what was copied of an account; an error if it is not this mover's copy any more.
    async fn clear(&mut self, account: AccountId) -> Result<()> {
        self.verified.remove(&account);
        let (service, to, bucket, mover) = (self.service.clone(), self.to, self.bucket, self.mover.clone());
        self.beating(async move { service.clear_account(to, bucket, Some(&mover), account).await }).await
    }
}

/// Records that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<(AccountId, Vec<Record>)>,
    records: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, account: AccountId, records: Vec<Record>) {
        self.records += records.len();
        self.bytes += records.iter().map(size_bytes).sum::<usize>();
        self.parts.push((account, records));
    }

    const fn is_full(&self) -> bool {
        self.records >= RECORDS || self.bytes >= BYTES
    }
}

fn size_bytes(record: &Record) -> usize {
    match record {
        Record::Body(body) => body.structure.len() + body.layout.len() + body.inline.len(),
        _ => 0,
    }
}

pub(super) fn taken_over(bucket: Bucket) -> Error {
    Error::Conflict(format!("another process has taken over the move of bucket {}", bucket.0))
}

impl Service {
    /// Removes all rows of an account by [`Clear`].
    pub(super) async fn clear_account(
        &self,
        shard: ShardId,
        bucket: Bucket,
        mover: Option<&str>,
        account: AccountId,
    ) -> Result<()> {
        loop {
            let clear = Clear { bucket, mover: mover.map(str::to_owned), account };
            match self.quietly(shard, clear).await? {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => return Err(taken_over(bucket)),
            }
        }
    }
}
