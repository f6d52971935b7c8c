//! A run: what has changed since the last one, account by account, each as of one snapshot.
//!
//! The directory comes first and whole: an account that is made meanwhile is left to the next run. A round's blobs are
//! copied after its snapshot has ended, since they may come slowly; if the collector was faster, the round is done again.

mod directory;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use storage::{
    AccountState, QueueFilter,
    replica::{Counts, Cursor, Record},
};
use tokio::time::sleep;
use types::{AccountId, BlobId, ModSeq, ShardId, Timestamp};

use super::{
    Ports, Watch,
    blobs::BlobFolder,
    chain::{Rounds, Segment},
    folder::Folder,
    lines::{LineFile, Lines},
    manifest::{Away, Manifest, Piece, RunName},
    take::queues,
};
use crate::causes::in_words;

/// Accounts that are looked at at once.
const ACCOUNTS: u32 = 500;
const QUEUE: u32 = 500;
/// How often accounts that move from shard to shard are looked for at the end.
const TRIES: usize = 7;
/// Between two looks; doubled each time.
const PAUSE: Duration = Duration::from_millis(50);
/// A file of rows is ended with the account that makes it this large.
const ROWS_BYTES: u64 = 256 << 20;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub run: RunName,
    /// Whether it began a chain.
    pub full: bool,
    pub accounts: u64,
    /// Accounts that had changed.
    pub changed: u64,
    /// Messages that were new or had changed.
    pub messages: u64,
    pub blobs: u64,
    /// Bytes that came into the folder.
    pub size_bytes: u64,
    /// What the service has lost, a line each.
    pub faults: Vec<String>,
}

/// Brings the folder up to now; with `full` by a new chain.
///
/// # Errors
/// The folder or the service cannot be read or written, or another run works in the folder. What was there before is
/// as it was.
pub async fn run(ports: &Ports, folder: &Path, full: bool, watch: &Watch) -> anyhow::Result<Ran> {
    let folder = Folder::make(folder)?;
    let _held = folder.hold()?;
    folder.clean()?;
    let began_at = ports.clock.now();
    let mut chains = folder.chains()?;
    let name = RunName::next(began_at, folder.last_run()?.as_ref());
    let chain = if full { None } else { chains.pop() };
    if let Some(fault) = chain.as_ref().and_then(|chain| chain.fault.as_ref()) {
        bail!("{fault}; begin a new chain with --full");
    }
    let known = match &chain {
        Some(chain) => Rounds::read(chain, chain.manifests.len()).context("begin a new chain with --full")?,
        None => Rounds::default(),
    };
    let path = chain.as_ref().map_or_else(|| folder.chain(&name), |chain| chain.folder.clone());
    let mut run = Run {
        ports,
        watch,
        files: Files {
            folder: folder.begin(&path, &name)?,
            name: name.clone(),
            rows: None,
            done: Vec::new(),
        },
        blobs: BlobFolder::new(folder.blobs()),
        known,
        people: HashMap::new(),
        left: BTreeSet::new(),
        segments: Vec::new(),
        away: Vec::new(),
        ran: Ran {
            run: name.clone(),
            full: chain.is_none(),
            accounts: 0,
            changed: 0,
            messages: 0,
            blobs: 0,
            size_bytes: 0,
            faults: Vec::new(),
        },
    };
    let last = chain.as_ref().and_then(|chain| chain.manifests.last());
    match run.all(last).await {
        Ok((pieces, rows)) => {
            let times = [began_at, ports.clock.now()];
            let mut manifest = Manifest::new(name, last, times, pieces, rows);
            manifest.away = run.away;
            manifest.moving = run.left.into_iter().collect();
            folder.commit(&path, &manifest)?;
            Ok(run.ran)
        }
        Err(error) => {
            // A full disk is not left full of what nobody can use; the next run would remove it, too.
            let _ = folder.clean();
            Err(error)
        }
    }
}

struct Run<'a> {
    ports: &'a Ports,
    watch: &'a Watch,
    files: Files,
    blobs: BlobFolder,
    known: Rounds,
    /// When each account was made.
    people: HashMap<AccountId, Timestamp>,
    /// The accounts that have not been looked at.
    left: BTreeSet<AccountId>,
    segments: Vec<Segment>,
    away: Vec<Away>,
    ran: Ran,
}

impl Run<'_> {
    async fn all(&mut self, last: Option<&Manifest>) -> anyhow::Result<([Piece; 2], Vec<Piece>)> {
        let directory = self.directory(last).await?;
        self.left = self.people.keys().copied().collect();
        self.watch.begin(self.people.len() as u64);
        for shard in self.ports.shards.all() {
            if let Err(error) = self.shard(shard).await {
                self.leave(shard, error).await?;
            }
        }
        self.moved().await?;
        self.tell_away();
        let mut lines = self.files.create("accounts")?.part()?;
        for segment in &self.segments {
            lines.push(segment)?;
        }
        let accounts = lines.finish()?.0.finish(self.files.within("accounts"))?;
        let rows = self.files.finish()?;
        self.blobs.sync()?;
        self.ran.size_bytes += accounts.size_bytes + rows.iter().map(|rows| rows.size_bytes).sum::<u64>();
        Ok(([directory, accounts], rows))
    }

    async fn shard(&mut self, shard: ShardId) -> anyhow::Result<()> {
        let queued = self.queued(shard).await?;
        let mut after = None;
        loop {
            let states = self.ports.shards.latest(shard).await?.accounts(after, ACCOUNTS).await?;
            let Some(last) = states.last() else { return Ok(()) };
            after = Some(last.id);
            for state in states {
                // What is left of an account that has moved away is none of it.
                if self.ports.shards.shard_of(state.id) == shard {
                    self.look(shard, &state, queued.contains(&state.id)).await?;
                }
            }
        }
    }

    /// Leaves what has not been looked at of a shard that is away to a later run; any other error is one.
    async fn leave(&mut self, shard: ShardId, error: anyhow::Error) -> anyhow::Result<()> {
        let shards = &*self.ports.shards;
        if shards.ping(shard).await.is_ok() {
            return Err(error.context(format!("shard {shard}")));
        }
        tracing::warn!(%shard, error = in_words(&error), "a shard is away; the backup goes on without it");
        let before = self.left.len();
        self.left.retain(|account| shards.shard_of(*account) != shard);
        let accounts = (before - self.left.len()) as u64;
        match self.away.iter_mut().find(|away| away.shard == shard.0) {
            Some(away) => away.accounts += accounts,
            None => self.away.push(Away { shard: shard.0, accounts }),
        }
        Ok(())
    }

    fn tell_away(&mut self) {
        let told = self.away.iter().map(|Away { shard, accounts }| {
            format!(
                "shard {shard} ({}) is away: {accounts} of its accounts are not in this run; run it again when it is back",
                self.ports.shards.name(ShardId(*shard))
            )
        });
        self.ran.faults.extend(told);
    }

    /// Looks for the accounts that were on no shard when it was their shard's turn: those that have moved meanwhile.
    async fn moved(&mut self) -> anyhow::Result<()> {
        let mut pause = PAUSE;
        for attempt in 0..TRIES {
            if self.left.is_empty() {
                break;
            }
            if attempt > 0 {
                sleep(pause).await;
                pause *= 2;
            }
            for account in self.left.clone() {
                let shard = self.ports.shards.shard_of(account);
                if self.left.contains(&account)
                    && let Err(error) = self.find(shard, account).await
                {
                    self.leave(shard, error).await?;
                }
            }
        }
        let moving = |account| {
            format!("account {account} keeps moving from shard to shard and is not in this run; run it again")
        };
        self.ran.faults.extend(self.left.iter().map(moving));
        Ok(())
    }

    async fn find(&mut self, shard: ShardId, account: AccountId) -> anyhow::Result<()> {
        let shards = &*self.ports.shards;
        let mut latest = shards.latest(shard).await?;
        if let Some(state) = latest.account(account).await? {
            let queued = queues(&mut *latest, account).await?;
            drop(latest);
            return self.look(shard, &state, queued).await;
        }
        drop(latest);
        shards.refresh().await?;
        if shards.shard_of(account) == shard {
            // It has not moved, but has nothing.
            self.seen(account);
        }
        Ok(())
    }

    /// Looks at an account, once.
    async fn look(&mut self, shard: ShardId, state: &AccountState, queued: bool) -> anyhow::Result<()> {
        let account = state.id;
        let Some(created_at) = self.people.get(&account).copied().filter(|_| self.left.contains(&account))
        else {
            return Ok(());
        };
        let there = match self.due(state, created_at, queued) {
            Some(since) => self
                .account(shard, account, created_at, since)
                .await
                .with_context(|| format!("account {account}"))?,
            None => true,
        };
        if there {
            self.seen(account);
        }
        Ok(())
    }

    fn seen(&mut self, account: AccountId) {
        self.left.remove(&account);
        self.watch.step();
    }

    /// The accounts with mail on its way: the queue is in no change log.
    async fn queued(&self, shard: ShardId) -> anyhow::Result<HashSet<AccountId>> {
        let mut queued = HashSet::new();
        let mut filter = QueueFilter { limit: QUEUE, ..QueueFilter::default() };
        loop {
            let entries = self.ports.shards.latest(shard).await?.queue(&filter).await?;
            let Some(last) = entries.last() else { return Ok(queued) };
            filter.after = Some((last.account, last.id));
            queued.extend(entries.iter().map(|entry| entry.account));
        }
    }

    /// Where the account's round begins; `None` if nothing has changed.
    fn due(&self, state: &AccountState, created_at: Timestamp, queued: bool) -> Option<ModSeq> {
        let Some(last) = self.known.of(state.id, created_at).last() else { return Some(ModSeq(0)) };
        let upto = ModSeq(last.upto);
        // What was restored, or has forgotten what was removed, does not go on from what we know.
        if state.forgotten > upto || state.modseq < upto {
            return Some(ModSeq(0));
        }
        let changed = state.modseq > upto || queued || last.counts.queue > 0;
        changed.then_some(upto)
    }

    /// Writes its round down; false if it is not there any more.
    async fn account(
        &mut self,
        shard: ShardId,
        account: AccountId,
        created_at: Timestamp,
        since: ModSeq,
    ) -> anyhow::Result<bool> {
        let mut missing = Vec::new();
        // Blobs that are not there the second time either were lost by the service.
        for again in [false, true] {
            let mut round = Round::default();
            let mut lines = self.files.rows()?.part()?;
            if let Err(error) = self.rows(shard, account, since, &mut lines, &mut round).await {
                // The file goes on without it, with what others have in it.
                self.files.rows = Some(lines.abandon()?);
                return Err(error);
            }
            let Some((upto, used_bytes)) = round.end else {
                // It was removed, or moved to another shard, just now.
                self.files.rows = Some(lines.abandon()?);
                return Ok(false);
            };
            let copied = match self.blobs.keep(&*self.ports.blobs, shard, &round.blobs).await {
                Ok(copied) => copied,
                Err(error) => {
                    self.files.rows = Some(lines.abandon()?);
                    return Err(error);
                }
            };
            self.ran.blobs += copied.new;
            self.ran.size_bytes += copied.new_bytes;
            missing = copied.missing;
            if !missing.is_empty() && !again {
                self.files.rows = Some(lines.abandon()?);
                continue;
            }
            let (file, extent) = lines.finish()?;
            self.segments.push(Segment {
                account,
                created_at,
                since: since.0,
                upto,
                file: self.files.row_name(),
                extent,
                records: round.records,
                counts: round.counts,
                used_bytes,
                missing: missing.clone(),
            });
            self.files.put_back(file)?;
            self.ran.changed += 1;
            self.ran.messages += round.messages;
            break;
        }
        let lost =
            |blob: &BlobId| format!("account {account}: the service has lost blob {blob} of shard {shard}");
        self.ran.faults.extend(missing.iter().map(lost));
        Ok(true)
    }

    /// Writes what has changed of the account since then, as of one snapshot.
    async fn rows(
        &self,
        shard: ShardId,
        account: AccountId,
        since: ModSeq,
        lines: &mut Lines,
        round: &mut Round,
    ) -> anyhow::Result<()> {
        let mut snapshot = self.ports.shards.snapshot(shard).await?;
        round.counts = snapshot.counts(account).await?;
        let mut cursor = Some(Cursor::after(since));
        while let Some(at) = cursor {
            let page = snapshot.export(account, at).await?;
            round.blobs.extend(page.blobs());
            for record in &page.records {
                round.saw(record);
                lines.push(record)?;
            }
            self.watch.messages(self.ran.messages + round.messages);
            cursor = page.next;
        }
        Ok(())
    }
}

/// What is noted of a round while it is written.
#[derive(Default)]
struct Round {
    /// Rows of the account.
    counts: Counts,
    blobs: BTreeSet<BlobId>,
    records: u64,
    messages: u64,
    /// The account's modseq and bytes.
    end: Option<(i64, i64)>,
}

impl Round {
    fn saw(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Message(_) => self.messages += 1,
            Record::Account(account) => self.end = Some((account.modseq, account.used_bytes)),
            _ => {}
        }
    }
}

/// The files of the run.
struct Files {
    folder: PathBuf,
    name: RunName,
    /// The file of rows that is being written.
    rows: Option<LineFile>,
    done: Vec<Piece>,
}

impl Files {
    fn create(&self, name: &str) -> anyhow::Result<LineFile> {
        LineFile::create(self.folder.join(name))
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        std::fs::remove_file(&path).with_context(|| path.display().to_string())
    }

    /// The name of a file within the chain's folder.
    fn within(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The name of the file of rows that is being written.
    fn row_name(&self) -> String {
        self.within(&self.row_file())
    }

    fn row_file(&self) -> String {
        format!("rows-{:04}", self.done.len() + 1)
    }

    fn rows(&mut self) -> anyhow::Result<LineFile> {
        self.rows.take().map_or_else(|| self.create(&self.row_file()), Ok)
    }

    /// Goes on with the file, if it is not large enough.
    fn put_back(&mut self, file: LineFile) -> anyhow::Result<()> {
        if file.size_bytes() < ROWS_BYTES {
            self.rows = Some(file);
        } else {
            let piece = file.finish(self.row_name())?;
            self.done.push(piece);
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Piece>> {
        if let Some(file) = self.rows.take() {
            let piece = file.finish(self.row_name())?;
            self.done.push(piece);
        }
        Ok(std::mem::take(&mut self.done))
    }
}
