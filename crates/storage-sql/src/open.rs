//! An open transaction: its connection, and rows that are kept in memory until they must be written.
//!
//! Units of a batch run on one of these, one after another. The rows of their accounts and mailboxes are loaded once,
//! changed in memory, and written once. New messages wait, too. Whatever must see them in the database calls
//! [`Open::flush`] first. A snapshot is the same with nothing to write.

mod entries;
mod load;
mod settled;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use sea_orm::prelude::Uuid;
use storage::{Committed, Error, RefHash, Result};
use types::{AccountId, MessageId, ModSeq, ShardId};

use crate::{
    connect::Conn,
    entity::shard::{
        account, body, body_blob, mailbox, message, queue_entry, queue_recipient, signature, thread_ref,
        tombstone,
    },
    fence,
    mark::{Left, Mark},
    read::queue::Found,
    rows::Spot,
    shards::Opened,
    statement::{Conflict, Writes},
    write::{bodies, messages},
};

/// New rows that wait at most, and the bytes of their bodies: a statement of PostgreSQL cannot be longer than 1 GiB, and
/// no memory should be that large.
const MOST_WAITING: usize = 256;
const MOST_WAITING_BYTES: usize = 16 << 20;
/// Messages that are remembered from one unit to the next.
const MOST_SPOTS: usize = 1_024;

pub(crate) struct Open {
    pub(crate) conn: Conn,
    pub(crate) accounts: HashMap<i64, Loaded>,
    /// Whether the account has or had a message of this id.
    pub(crate) known: HashMap<(i64, Uuid), bool>,
    pub(crate) threads: HashMap<(i64, RefHash), Option<Uuid>>,
    pub(crate) waiting: Waiting,
    /// Messages that were read, as they are now.
    spots: HashMap<(i64, Uuid), Spot>,
    /// Entries of the queue that were read, as they are now; `None`: there is none.
    entries: HashMap<(i64, Uuid), Option<Found>>,
    unit: UnitState,
    /// Whether this may write, and so must have the lock of an account before it reads what it will act upon.
    pub(crate) writes: bool,
    wrote: bool,
    /// Changes of as many messages are deferred.
    pub(crate) defer_from: usize,
    /// Whether anything was deferred, and whether something that was has been asked for.
    pub(crate) deferred: bool,
    pub(crate) has_settled: bool,
    /// Where what is deferred is written, for those who read. PostgreSQL never has any.
    source: Option<Arc<Opened>>,
    /// Accounts that owe nothing in this snapshot.
    settled: HashSet<i64>,
    /// On PostgreSQL what is to be left with the first rows that are written, and then is.
    mark: Option<Mark>,
    left: Option<Left>,
}

/// An account's row, if it has one, and its mailboxes that are not deleted.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) row: Option<account::Model>,
    pub(crate) mailboxes: BTreeMap<i64, mailbox::Model>,
    /// Messages whose rows lack something.
    pub(crate) owed: usize,
    /// Whether the row is to be inserted, rather than changed.
    new: bool,
    changed: bool,
    changed_mailboxes: BTreeSet<i64>,
}

/// What is to be written: new rows, and changes of those that are there.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) bodies: BTreeMap<(i64, Uuid), body::Model>,
    pub(crate) body_bytes: usize,
    pub(crate) blobs: Vec<body_blob::Model>,
    pub(crate) signatures: Vec<signature::Model>,
    pub(crate) messages: Vec<message::Model>,
    pub(crate) refs: Vec<thread_ref::Model>,
    pub(crate) tombstones: Vec<tombstone::Model>,
    pub(crate) entries: Vec<queue_entry::Model>,
    pub(crate) recipients: Vec<queue_recipient::Model>,
    /// What sent messages tell, each as of a modseq.
    pub(crate) deliveries: BTreeMap<(i64, Uuid), (Option<String>, i64)>,
    /// Which of [`Open::entries`] are to be written, or to go.
    changed_entries: BTreeSet<(i64, Uuid)>,
    /// How many recipients these have.
    outcomes: usize,
    gone_entries: BTreeSet<(i64, Uuid)>,
    /// Users that leave bodies.
    pub(crate) leaving: BTreeMap<(i64, Uuid), i64>,
}

/// What the unit that runs now has done.
#[derive(Default)]
struct UnitState {
    changed: BTreeSet<i64>,
    queued: bool,
    wrote: bool,
}

impl Open {
    /// To read what `conn` shows; what is deferred of that is written at the source first.
    pub(crate) fn reader(conn: Conn, source: Option<Arc<Opened>>) -> Self {
        let source = source.filter(|_| !conn.is_postgres());
        Self { source, ..Self::new(conn, false, None) }
    }

    /// To run units on. If anything is written, the mark is, too. Changes of as many messages as are said are deferred.
    pub(crate) fn writer(conn: Conn, mark: Option<Mark>, defer_from: usize) -> Self {
        let defer_from = if conn.is_postgres() { usize::MAX } else { defer_from.max(1) };
        Self { defer_from, ..Self::new(conn, true, mark) }
    }

    fn new(conn: Conn, writes: bool, mark: Option<Mark>) -> Self {
        Self {
            conn,
            writes,
            wrote: false,
            defer_from: usize::MAX,
            deferred: false,
            has_settled: false,
            source: None,
            settled: HashSet::new(),
            mark,
            left: None,
            accounts: HashMap::new(),
            known: HashMap::new(),
            threads: HashMap::new(),
            waiting: Waiting::default(),
            spots: HashMap::new(),
            entries: HashMap::new(),
            unit: UnitState::default(),
        }
    }

    /// Makes sure of the account before it is read, if it may be written to: nobody else writes to it until the commit,
    /// and it lives here. A snapshot is one in which the account owes nothing from here on.
    pub(crate) async fn hold(&mut self, account: AccountId) -> Result<()> {
        if !self.writes {
            return self.see_settled(account).await;
        }
        self.load(vec![account.0]).await?;
        match self.accounts.get(&account.0).and_then(|loaded| loaded.row.as_ref()) {
            Some(row) if row.fenced => Err(Error::Moving),
            Some(_) => Ok(()),
            None => fence::check_placing(&self.conn, account.0).await,
        }
    }

    /// The messages, if all of them are known; in order of their ids.
    pub(crate) fn known_spots(&self, account: AccountId, ids: &[MessageId]) -> Option<Vec<Spot>> {
        let mut known: Vec<_> =
            ids.iter().map(|id| self.spots.get(&(account.0, id.0)).cloned()).collect::<Option<_>>()?;
        known.sort_unstable_by_key(|spot| spot.id);
        known.dedup_by_key(|spot| spot.id);
        Some(known)
    }

    /// Notes what messages are like now, if that can change only by what is done here.
    pub(crate) fn remember(&mut self, account: i64, spots: &[Spot]) {
        if self.writes && self.accounts.contains_key(&account) {
            self.spots.extend(spots.iter().map(|spot| ((account, spot.id), spot.clone())));
        }
    }

    /// Forgets what these are like.
    pub(crate) fn forget_spots(&mut self, account: i64, ids: impl Iterator<Item = Uuid>) {
        if !self.spots.is_empty() {
            ids.for_each(|id| drop(self.spots.remove(&(account, id))));
        }
    }

    /// The account, which must be loaded and provisioned.
    pub(crate) fn account(&mut self, account: i64) -> Result<&mut account::Model> {
        self.accounts
            .get_mut(&account)
            .and_then(|loaded| loaded.row.as_mut())
            .ok_or_else(|| not_provisioned(account))
    }

    /// Adds the row of an account that has none; the account must be loaded.
    pub(crate) fn add_account(&mut self, row: account::Model) {
        let loaded = self.accounts.entry(row.account_id).or_default();
        loaded.row = Some(row);
        loaded.new = true;
    }

    /// Takes the account's next modseq.
    pub(crate) fn advance(&mut self, account: i64) -> Result<i64> {
        let row = self.account(account)?;
        row.modseq += 1;
        let modseq = row.modseq;
        self.account_changed(account);
        Ok(modseq)
    }

    /// Notes a change of the account that others want to hear of.
    pub(crate) fn account_changed(&mut self, account: i64) {
        self.bookkept(account);
        self.unit.changed.insert(account);
    }

    /// Notes a change of the account's row that nobody has to be told of.
    pub(crate) fn bookkept(&mut self, account: i64) {
        self.accounts.entry(account).or_default().changed = true;
        self.unit.wrote = true;
    }

    /// A mailbox that is not deleted; the account must be loaded.
    pub(crate) fn mailbox(&self, account: i64, id: i64) -> Option<&mailbox::Model> {
        self.accounts.get(&account)?.mailboxes.get(&id).filter(|row| !row.deleted)
    }

    /// The same to be changed as of this modseq.
    pub(crate) fn change_mailbox(
        &mut self,
        account: i64,
        id: i64,
        modseq: i64,
    ) -> Result<&mut mailbox::Model> {
        let missing = || Error::Corrupt(format!("mailbox {id} of account {account} is missing"));
        let loaded = self.accounts.get_mut(&account).ok_or_else(missing)?;
        loaded.changed_mailboxes.insert(id);
        let row = loaded.mailboxes.get_mut(&id).ok_or_else(missing)?;
        row.modseq = modseq;
        Ok(row)
    }

    pub(crate) fn add_mailbox(&mut self, row: mailbox::Model) {
        let loaded = self.accounts.entry(row.account_id).or_default();
        loaded.changed_mailboxes.insert(row.id);
        loaded.mailboxes.insert(row.id, row);
    }

    /// Notes that the unit changed something that has no modseq.
    pub(crate) fn wrote(&mut self) {
        self.unit.wrote = true;
    }

    pub(crate) fn queued(&mut self) {
        self.unit.queued = true;
        self.unit.wrote = true;
    }

    /// Whether the running unit changed anything.
    pub(crate) fn has_written(&self) -> bool {
        self.unit.wrote
    }

    /// Whether any of the units that have run has.
    pub(crate) fn has_any_written(&self) -> bool {
        self.wrote
    }

    /// What the unit that has just run did; the next one starts afresh.
    pub(crate) fn finish_unit(&mut self, shard: ShardId) -> Committed {
        let unit = std::mem::take(&mut self.unit);
        self.wrote |= unit.wrote;
        if self.spots.len() > MOST_SPOTS {
            self.spots.clear();
        }
        let modseq = |account: i64| {
            let row = self.accounts.get(&account)?.row.as_ref()?;
            Some((AccountId(account), ModSeq(row.modseq)))
        };
        let accounts = unit.changed.into_iter().filter_map(modseq).collect();
        Committed::hint(shard, accounts, unit.queued)
    }

    /// Forgets an account that was removed.
    pub(crate) fn forget(&mut self, account: i64) {
        self.reload(account);
        self.accounts.insert(account, Loaded::default());
        self.unit.changed.remove(&account);
    }

    /// Has the account read again when it is needed next: it was written past this memory.
    pub(crate) fn reload(&mut self, account: i64) {
        self.accounts.remove(&account);
        self.known.retain(|key, _| key.0 != account);
        self.threads.retain(|key, _| key.0 != account);
        self.spots.retain(|key, _| key.0 != account);
        self.entries.retain(|key, _| key.0 != account);
        self.unit.wrote = true;
    }

    /// The same for all accounts; nothing waits to be written.
    pub(crate) fn reload_all(&mut self) {
        self.accounts.clear();
        self.known.clear();
        self.threads.clear();
        self.spots.clear();
        self.entries.clear();
        self.unit.wrote = true;
    }

    /// Writes if so much waits that memory would grow.
    pub(crate) async fn flush_if_much(&mut self) -> Result<()> {
        let waiting = &self.waiting;
        let rows = [
            waiting.messages.len(),
            waiting.entries.len(),
            waiting.deliveries.len(),
            waiting.outcomes,
            waiting.gone_entries.len(),
        ];
        let is_much =
            rows.into_iter().any(|rows| rows >= MOST_WAITING) || waiting.body_bytes >= MOST_WAITING_BYTES;
        if is_much { self.flush().await } else { Ok(()) }
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut writes = Writes::new(&self.conn);
        let bodies = waiting.bodies.into_values().collect();
        // Another user of a body that is there.
        writes.insert::<body::Entity>(bodies, Conflict::Adds(body::Column::Refs));
        writes.insert::<body_blob::Entity>(waiting.blobs, Conflict::Stays);
        writes.insert::<signature::Entity>(waiting.signatures, Conflict::Stays);
        writes.insert::<message::Entity>(waiting.messages, Conflict::Fails);
        writes.insert::<thread_ref::Entity>(waiting.refs, Conflict::Stays);
        writes.insert::<tombstone::Entity>(waiting.tombstones, Conflict::Fails);
        writes.insert::<queue_entry::Entity>(waiting.entries, Conflict::Fails);
        writes.insert::<queue_recipient::Entity>(waiting.recipients, Conflict::Fails);
        let changed = waiting.changed_entries.iter().filter_map(|key| self.entries.get(key)?.clone());
        let (rows, recipients): (Vec<_>, Vec<_>) = changed.map(|found| (found.row, found.recipients)).unzip();
        writes.insert::<queue_entry::Entity>(rows, Conflict::Replaces(&ENTRY));
        writes.insert::<queue_recipient::Entity>(recipients.concat(), Conflict::Replaces(&RECIPIENT));
        let gone: Vec<_> = waiting.gone_entries.into_iter().collect();
        writes.remove::<queue_entry::Entity, _>("id", &gone);
        writes.remove::<queue_recipient::Entity, _>("queue_id", &gone);
        messages::write_deliveries(&mut writes, waiting.deliveries);
        let (mut added, mut changed, mut mailboxes) = (Vec::new(), Vec::new(), Vec::new());
        for loaded in self.accounts.values_mut() {
            let is_new = std::mem::take(&mut loaded.new);
            if std::mem::take(&mut loaded.changed) {
                if is_new { &mut added } else { &mut changed }.extend(loaded.row.clone());
            }
            for id in std::mem::take(&mut loaded.changed_mailboxes) {
                mailboxes.extend(loaded.mailboxes.get(&id).cloned());
            }
        }
        // Another node may have set the account up meanwhile: then this fails, and the units run again.
        writes.insert::<account::Entity>(added, Conflict::Fails);
        writes.insert::<account::Entity>(changed, Conflict::Replaces(&COUNTERS));
        writes.insert::<mailbox::Entity>(mailboxes, Conflict::Replaces(&MAILBOX));
        if !writes.is_empty() {
            if let Some(mark) = self.mark {
                mark.leave(&mut writes);
            }
            let process = writes.run().await?;
            self.has_left(process);
        }
        // Whoever has come meanwhile is counted by now.
        bodies::let_go(&self.conn, waiting.leaving).await
    }

    /// Writes everything that waits. If anything was written at all, PostgreSQL can be asked for the outcome by what
    /// was left, should the commit not be answered.
    pub(crate) async fn finish(&mut self) -> Result<Option<Left>> {
        self.flush().await?;
        if self.wrote
            && let Some(mark) = self.mark
        {
            let mut writes = Writes::new(&self.conn);
            mark.leave(&mut writes);
            let process = writes.run().await?;
            self.has_left(process);
        }
        Ok(self.left)
    }

    fn has_left(&mut self, process: Option<i32>) {
        let left = self.mark.take().zip(process).map(|(mark, process)| Left { mark, process });
        self.left = self.left.or(left);
    }
}

pub(crate) fn not_provisioned(account: i64) -> Error {
    Error::Backend(format!("account {account} has not been set up on this shard").into())
}

/// What changes in an account's row.
pub(crate) const COUNTERS: [account::Column; 7] = {
    use account::Column as C;
    [
        C::Modseq,
        C::IndexedModseq,
        C::ForgottenModseq,
        C::Messages,
        C::UsedBytes,
        C::NextMailboxId,
        C::LastUidValidity,
    ]
};

/// What changes in an entry of the queue, and in its recipients.
const ENTRY: [queue_entry::Column; 6] = {
    use queue_entry::Column as C;
    [C::NextAttemptAt, C::DueAt, C::Held, C::LeasedBy, C::LeasedUntil, C::Via]
};
const RECIPIENT: [queue_recipient::Column; 5] = {
    use queue_recipient::Column as C;
    [C::State, C::Attempts, C::NextAttemptAt, C::Reply, C::Warned]
};

/// What changes in a mailbox's row.
pub(crate) const MAILBOX: [mailbox::Column; 12] = {
    use mailbox::Column as C;
    [
        C::ParentId,
        C::Name,
        C::NameKey,
        C::Role,
        C::UidValidity,
        C::UidNext,
        C::Modseq,
        C::Total,
        C::Unread,
        C::SizeBytes,
        C::Deleted,
        C::Subscribed,
    ]
};
