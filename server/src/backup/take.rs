//! Rounds into a shard: blobs first, then rows, a few hundred to a transaction, the account's own row last.
//!
//! A restored account goes on with a gap: its next modseq and UIDs are far above those that it gave after the backup
//! was made, so that no client takes new mail for mail that it has seen; clients that know a modseq load anew.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use storage::{
    Error, Needs, QueueFilter, Result, Snapshot, Transaction, Unit,
    replica::{self, Counts, Page, Record},
    write,
};
use types::{AccountId, BlobId, Bucket, ModSeq, ShardId, Timestamp};

use super::{
    Ports, Watch,
    blobs::{AT_ONCE, BlobFolder},
    chain::Segment,
    folder::Chain,
    lines::Reader,
    loss::{lost_blobs, play, whole},
    replay::Replay,
};

/// Records, and bytes of their text, of a transaction.
const RECORDS: usize = 500;
const BYTES: usize = 4 << 20;
/// How far ahead a restored account goes on.
const MODSEQS: i64 = 1 << 32;
const UIDS: i64 = 1 << 20;
const MOST_UID: i64 = u32::MAX as i64;

/// What an account that was restored from these rounds has forgotten: everything. No other account has this number.
pub(super) fn mark(rounds: &[Segment]) -> i64 {
    rounds.last().map_or(0, |last| last.upto.saturating_add(MODSEQS))
}

/// Where rounds go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) account: AccountId,
    /// The modseq of the account that is there, which was found to have no mail; `None` if there is none.
    pub(super) found: Option<ModSeq>,
    /// Makes its mailboxes others than those of the backup: their UIDVALIDITY comes from this time.
    pub(super) renewed: Option<Timestamp>,
    pub(super) with_queue: bool,
}

/// Brings accounts from a chain into the service.
pub(super) struct Taker<'a> {
    pub(super) ports: &'a Ports,
    pub(super) watch: &'a Watch,
    pub(super) chain: &'a Chain,
    pub(super) blobs: BlobFolder,
    /// What was put already.
    pub(super) put: HashSet<(ShardId, BlobId)>,
    /// Blobs that could not be put, and why.
    pub(super) bad: HashMap<BlobId, String>,
    /// Those that the rounds of the account name.
    pub(super) suspects: HashMap<BlobId, String>,
    pub(super) messages: u64,
    /// What could not be brought back, a line each.
    pub(super) faults: Vec<String>,
}

impl Taker<'_> {
    /// Has the account be what the rounds say; what it was before is gone. If a file is damaged, it becomes what it
    /// was before that, and false is returned if that is nothing.
    pub(super) async fn account(
        &mut self,
        who: &str,
        rounds: &[Segment],
        goal: Goal,
    ) -> anyhow::Result<bool> {
        let (usable, damage) = whole(self.chain, rounds);
        self.faults.extend(damage.map(|damage| format!("{who}: {damage}")));
        let Some((last, before)) = usable.split_last() else { return Ok(false) };
        self.suspects.clear();
        let mut place = Place { shard: self.ports.shards.shard_of(goal.account), fresh: true };
        for round in before {
            self.round(round, &mut Adapt::new(goal, None), &mut place).await?;
        }
        self.round(last, &mut Adapt::new(goal, Some(mark(rounds))), &mut place).await?;
        self.check(goal, &place, last.counts).await?;
        self.lost_blobs(who, usable, goal.with_queue)?;
        self.messages += last.counts.messages;
        self.watch.messages(self.messages);
        Ok(true)
    }

    /// Names the blobs that could not be put, where the account as it is now needs them.
    fn lost_blobs(&mut self, who: &str, rounds: &[Segment], with_queue: bool) -> anyhow::Result<()> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        let mut account = Replay::default();
        for round in rounds {
            play(self.chain, round, &mut account)?;
        }
        let lost = lost_blobs(&account, &self.suspects).into_iter();
        let lost = lost.filter(|(_, queued)| with_queue || !queued);
        self.faults.extend(lost.map(|(what, _)| format!("{who}: {what}")));
        Ok(())
    }

    async fn round(&mut self, round: &Segment, adapt: &mut Adapt, place: &mut Place) -> anyhow::Result<()> {
        let path = self.chain.folder.join(&round.file);
        let mut reader = Reader::<Record>::open(&path, &round.extent)?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            let next = reader.next().with_context(|| path.display().to_string())?;
            let over = next.is_none();
            if let Some((record, size)) = next
                && let Some(record) = adapt.adapt(record)
            {
                records.push(record);
                bytes += size;
            }
            if over || records.len() >= RECORDS || bytes >= BYTES {
                self.import(adapt.goal, std::mem::take(&mut records), place).await?;
                bytes = 0;
            }
            if over {
                return Ok(());
            }
        }
    }

    async fn import(&mut self, goal: Goal, records: Vec<Record>, place: &mut Place) -> anyhow::Result<()> {
        let Goal { account, found, .. } = goal;
        let shard = place.shard;
        let page = Page { records, next: None };
        self.put(shard, page.blobs()).await?;
        self.shares(account, &page.records).await?;
        let unit = Import { account, records: page.records, fresh: std::mem::take(&mut place.fresh), found };
        match write(&*self.ports.shards, shard, unit).await {
            // Nobody listens to an account that was not there.
            Ok(_) => Ok(()),
            Err(Error::Exists(_)) => {
                bail!("account {account} is used while it is being restored; restore it again when it is not")
            }
            Err(Error::Moving) => bail!(moving(&[Bucket::of(account)])),
            Err(error) => Err(error).with_context(|| format!("shard {shard}")),
        }
    }

    /// Has the directory say with whom the account shares something, before it does.
    async fn shares(&self, account: AccountId, records: &[Record]) -> anyhow::Result<()> {
        for record in records {
            let Record::Account(row) = record else { continue };
            for grant in &row.grants {
                let shared = self.ports.directory.add_share(account, AccountId(grant.grantee_id)).await;
                shared.context("the directory")?;
            }
        }
        Ok(())
    }

    /// Puts the blobs, also those that are there: then they are new to the collector.
    async fn put(&mut self, shard: ShardId, ids: Vec<BlobId>) -> anyhow::Result<()> {
        let (blobs, to) = (&self.blobs, &*self.ports.blobs);
        let new = ids.iter().copied().filter(|id| self.put.insert((shard, *id)));
        let puts = new.map(|id| async move {
            let Some(stream) = blobs.open(id).await? else { return Ok(Some((id, blobs.missing(id)))) };
            let (put, _) = to.put_stream(shard, stream).await.context("the service cannot store a blob")?;
            anyhow::Ok((put != id).then(|| (id, blobs.damaged(id))))
        });
        let mut puts = stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some(fault) = puts.next().await {
            self.bad.extend(fault?);
        }
        let bad = ids.iter().filter_map(|id| Some((*id, self.bad.get(id)?.clone())));
        self.suspects.extend(bad);
        Ok(())
    }

    /// Whether everything has arrived.
    async fn check(&self, goal: Goal, place: &Place, noted: Counts) -> anyhow::Result<()> {
        let Goal { account, with_queue, .. } = goal;
        let mut counts = self.ports.shards.latest(place.shard).await?.counts(account).await?;
        if !with_queue {
            (counts.queue, counts.bodies) = (noted.queue, noted.bodies);
        }
        ensure!(counts == noted, "account {account} has become {counts:?}, but was {noted:?} in the backup");
        Ok(())
    }
}

/// Where an account goes.
struct Place {
    /// From its first record to its last.
    shard: ShardId,
    /// Whether nothing of it is there yet.
    fresh: bool,
}

/// Why nothing can be restored while buckets are on their way.
pub(super) fn moving(buckets: &[Bucket]) -> String {
    format!(
        "buckets are on their way to another shard, and nothing is restored meanwhile: {} (see `magpie shard list`); \
         finish the move and restore again",
        Bucket::ranges(buckets)
    )
}

/// Makes records of the backup fit for where they go.
struct Adapt {
    goal: Goal,
    /// The modseq to go on from, in the last round.
    mark: Option<i64>,
    in_queue: bool,
}

impl Adapt {
    fn new(goal: Goal, mark: Option<i64>) -> Self {
        Self { goal, mark, in_queue: false }
    }

    fn adapt(&mut self, record: Record) -> Option<Record> {
        match record {
            Record::Queue(_) => self.in_queue = true,
            // Bodies that only the queue has come after it has begun.
            Record::Body(_) | Record::QueueEntry(_) if self.in_queue && !self.goal.with_queue => return None,
            Record::Mailbox(mailbox) => return Some(Record::Mailbox(self.mailbox(mailbox))),
            Record::Account(account) => return Some(Record::Account(self.account(account)?)),
            _ => {}
        }
        Some(record)
    }

    fn mailbox(&self, mailbox: replica::Mailbox) -> replica::Mailbox {
        match self.goal.renewed {
            Some(now) => replica::Mailbox { uid_validity: uid_validity(now, mailbox.id), ..mailbox },
            None => {
                let uid_next = mailbox.uid_next.saturating_add(UIDS).min(MOST_UID).max(mailbox.uid_next);
                replica::Mailbox { uid_next, ..mailbox }
            }
        }
    }

    /// `None` before the last round: the row says that the account is whole.
    fn account(&self, account: replica::Account) -> Option<replica::Account> {
        let mark = self.mark?;
        let last_uid_validity = match self.goal.renewed {
            Some(now) => uid_validity(now, account.next_mailbox_id),
            None => account.last_uid_validity,
        };
        // Beside the old account, or under another number, it is another's: nobody was let into that.
        let grants = if self.goal.renewed.is_some() { Vec::new() } else { account.grants };
        // It is indexed from the beginning.
        Some(replica::Account {
            modseq: mark,
            forgotten_modseq: mark,
            indexed_modseq: 0,
            last_uid_validity,
            grants,
            ..account
        })
    }
}

fn uid_validity(now: Timestamp, mailbox: i64) -> i64 {
    now.seconds().saturating_add(mailbox).clamp(1, MOST_UID)
}

struct Import {
    account: AccountId,
    records: Vec<Record>,
    /// Whether these are the first: what else there is of the account goes.
    fresh: bool,
    /// As in [`Goal`].
    found: Option<ModSeq>,
}

/// Whether the account has mail on its way.
pub(super) async fn queues<S: Snapshot + ?Sized>(shard: &mut S, account: AccountId) -> Result<bool> {
    let filter = QueueFilter { account: Some(account), after: None, limit: 1 };
    Ok(!shard.queue(&filter).await?.is_empty())
}

#[async_trait]
impl Unit for Import {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        if let Some(state) = tx.account(self.account).await? {
            // Putting blobs takes long: mail may have come, and whoever came after the first rows set it up.
            let empty = state.messages == 0 && !queues(tx, self.account).await?;
            if !self.fresh || self.found != Some(state.modseq) || !empty {
                return Err(Error::Exists("the account"));
            }
        }
        if self.fresh {
            // Rows without an account are those of an attempt that broke off.
            tx.purge(self.account).await?;
        }
        tx.import(self.account, &self.records).await?;
        // Last, since a fence does not stop an import, but one that is put up after this waits for its commit.
        match tx.fenced(Bucket::of(self.account)).await? {
            Some(_) => Err(Error::Moving),
            None => Ok(()),
        }
    }
}

/// Gives an account its standard folders.
pub(super) struct Provision(pub(super) AccountId, pub(super) Timestamp);

#[async_trait]
impl Unit for Provision {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.provision(self.0, self.1).await
    }
}
