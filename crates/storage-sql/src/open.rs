//! An open transaction: its connection, and rows that are kept in memory until they must be written.
//!
//! Units of a batch run on one of these, one after another. The rows of their accounts and mailboxes are loaded once,
//! changed in memory, and written once. New messages wait, too. Whatever must see them in the database calls
//! [`Open::flush`] first. A snapshot is the same with nothing to write.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    prelude::Uuid,
    sea_query::{Expr, OnConflict},
};
use storage::{Committed, Error, Needs, RefHash, Result};
use types::{AccountId, MessageId, ModSeq, ShardId};

use crate::{
    entity::shard::{
        account, body, body_blob, mailbox, message, queue_entry, queue_recipient, thread_ref, tombstone,
    },
    error::failed,
    statement::{find, insert, lists},
};

/// New messages that wait at most.
const MOST_WAITING: usize = 256;

pub(crate) struct Open {
    pub(crate) conn: DatabaseTransaction,
    pub(crate) accounts: HashMap<i64, Loaded>,
    /// Whether the account has or had a message of this id.
    pub(crate) known: HashMap<(i64, Uuid), bool>,
    pub(crate) threads: HashMap<(i64, RefHash), Option<Uuid>>,
    pub(crate) waiting: Waiting,
    unit: UnitState,
}

/// An account's row, if it has one, and its mailboxes that are not deleted.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) row: Option<account::Model>,
    pub(crate) mailboxes: BTreeMap<i64, mailbox::Model>,
    changed: bool,
    changed_mailboxes: BTreeSet<i64>,
}

/// Rows to be inserted.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) bodies: BTreeMap<(i64, Uuid), body::Model>,
    pub(crate) blobs: Vec<body_blob::Model>,
    pub(crate) messages: Vec<message::Model>,
    pub(crate) refs: Vec<thread_ref::Model>,
    pub(crate) tombstones: Vec<tombstone::Model>,
    pub(crate) entries: Vec<queue_entry::Model>,
    pub(crate) recipients: Vec<queue_recipient::Model>,
}

/// What the unit that runs now has done.
#[derive(Default)]
struct UnitState {
    changed: BTreeSet<i64>,
    queued: bool,
    wrote: bool,
}

impl Open {
    pub(crate) fn new(conn: DatabaseTransaction) -> Self {
        Self {
            conn,
            accounts: HashMap::new(),
            known: HashMap::new(),
            threads: HashMap::new(),
            waiting: Waiting::default(),
            unit: UnitState::default(),
        }
    }

    /// Loads what units have said they need.
    pub(crate) async fn prepare(&mut self, needs: impl Iterator<Item = Needs>) -> Result<()> {
        let mut all = Needs::default();
        for needs in needs {
            all.accounts.extend(needs.accounts);
            all.refs.extend(needs.refs);
            all.ids.extend(needs.ids);
        }
        let accounts: BTreeSet<_> = all.accounts.iter().map(|account| account.0).collect();
        self.load(accounts.into_iter().collect()).await?;
        self.load_known(&all.ids).await?;
        self.load_threads(&all.refs).await
    }

    /// Loads accounts that are not loaded yet.
    pub(crate) async fn load(&mut self, mut accounts: Vec<i64>) -> Result<()> {
        accounts.retain(|account| !self.accounts.contains_key(account));
        for list in lists(&accounts) {
            let rows = account::Entity::find().filter(account::Column::AccountId.is_in(list.clone()));
            for row in rows.all(&self.conn).await.map_err(failed)? {
                let loaded = self.accounts.entry(row.account_id).or_default();
                loaded.row = Some(row);
            }
            let rows = mailbox::Entity::find()
                .filter(mailbox::Column::AccountId.is_in(list))
                .filter(mailbox::Column::Deleted.eq(false));
            for row in rows.all(&self.conn).await.map_err(failed)? {
                let loaded = self.accounts.entry(row.account_id).or_default();
                loaded.mailboxes.insert(row.id, row);
            }
        }
        for account in accounts {
            self.accounts.entry(account).or_default();
        }
        Ok(())
    }

    /// Finds out which of these ids the accounts have or had.
    pub(crate) async fn load_known(&mut self, ids: &[(AccountId, MessageId)]) -> Result<()> {
        let keys = ids.iter().map(|(account, id)| (account.0, id.0));
        let keys: Vec<_> = keys.filter(|key| !self.known.contains_key(key)).collect();
        for list in lists(&keys) {
            let here = find::<message::Entity, _>(&self.conn, "message", "id", &list).await?;
            let gone = find::<tombstone::Entity, _>(&self.conn, "tombstone", "message_id", &list).await?;
            let here = here.into_iter().map(|row| (row.account_id, row.id));
            let gone = gone.into_iter().map(|row| (row.account_id, row.message_id));
            self.known.extend(list.into_iter().map(|key| (key, false)));
            self.known.extend(here.chain(gone).map(|key| (key, true)));
        }
        Ok(())
    }

    /// Finds the threads of these references.
    pub(crate) async fn load_threads(&mut self, refs: &[(AccountId, RefHash)]) -> Result<()> {
        let keys = refs.iter().map(|(account, hash)| (account.0, *hash));
        let keys: Vec<_> = keys.filter(|key| !self.threads.contains_key(key)).collect();
        if !keys.is_empty() && !self.waiting.refs.is_empty() {
            self.flush().await?;
        }
        for list in lists(&keys) {
            let found = find::<thread_ref::Entity, _>(&self.conn, "thread_ref", "ref_hash", &list).await?;
            self.threads.extend(list.into_iter().map(|key| (key, None)));
            let found = found.into_iter().map(|row| ((row.account_id, row.ref_hash), Some(row.thread_id)));
            self.threads.extend(found);
        }
        Ok(())
    }

    /// The account, which must be loaded and provisioned.
    pub(crate) fn account(&mut self, account: i64) -> Result<&mut account::Model> {
        self.accounts
            .get_mut(&account)
            .and_then(|loaded| loaded.row.as_mut())
            .ok_or_else(|| not_provisioned(account))
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

    /// What the unit that has just run did; the next one starts afresh.
    pub(crate) fn finish_unit(&mut self, shard: ShardId) -> Committed {
        let unit = std::mem::take(&mut self.unit);
        let modseq = |account: i64| {
            let row = self.accounts.get(&account)?.row.as_ref()?;
            Some((AccountId(account), ModSeq(row.modseq)))
        };
        Committed {
            shard,
            accounts: unit.changed.into_iter().filter_map(modseq).collect(),
            queued: unit.queued,
        }
    }

    /// Forgets an account that was removed.
    pub(crate) fn forget(&mut self, account: i64) {
        self.accounts.insert(account, Loaded::default());
        self.known.retain(|key, _| key.0 != account);
        self.threads.retain(|key, _| key.0 != account);
        self.unit.changed.remove(&account);
        self.unit.wrote = true;
    }

    /// Writes if so much waits that memory would grow.
    pub(crate) async fn flush_if_many(&mut self) -> Result<()> {
        if self.waiting.messages.len() >= MOST_WAITING { self.flush().await } else { Ok(()) }
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let conn = &self.conn;
        let bodies = waiting.bodies.into_values().collect();
        insert::<body::Entity>(conn, bodies, Some(share())).await?;
        insert::<body_blob::Entity>(conn, waiting.blobs, Some(keep())).await?;
        insert::<message::Entity>(conn, waiting.messages, None).await?;
        insert::<thread_ref::Entity>(conn, waiting.refs, Some(keep())).await?;
        insert::<tombstone::Entity>(conn, waiting.tombstones, None).await?;
        insert::<queue_entry::Entity>(conn, waiting.entries, None).await?;
        insert::<queue_recipient::Entity>(conn, waiting.recipients, None).await?;
        let mut accounts = Vec::new();
        let mut mailboxes = Vec::new();
        for loaded in self.accounts.values_mut() {
            if std::mem::take(&mut loaded.changed) {
                accounts.extend(loaded.row.clone());
            }
            for id in std::mem::take(&mut loaded.changed_mailboxes) {
                mailboxes.extend(loaded.mailboxes.get(&id).cloned());
            }
        }
        insert::<account::Entity>(conn, accounts, Some(replace_account())).await?;
        insert::<mailbox::Entity>(conn, mailboxes, Some(replace_mailbox())).await
    }
}

pub(crate) fn not_provisioned(account: i64) -> Error {
    Error::Backend(format!("account {account} has not been set up on this shard").into())
}

/// Another user of a body that is there.
fn share() -> OnConflict {
    OnConflict::columns([body::Column::AccountId, body::Column::Id])
        .value(body::Column::Refs, Expr::cust("body.refs + excluded.refs"))
        .to_owned()
}

/// What is there stays as it is.
pub(crate) fn keep() -> OnConflict {
    OnConflict::new().do_nothing().to_owned()
}

fn replace_account() -> OnConflict {
    use account::Column::{
        AccountId, ForgottenModseq, IndexedModseq, LastUidValidity, Messages, Modseq, NextMailboxId,
        UsedBytes,
    };
    OnConflict::column(AccountId)
        .update_columns([
            Modseq,
            IndexedModseq,
            ForgottenModseq,
            Messages,
            UsedBytes,
            NextMailboxId,
            LastUidValidity,
        ])
        .to_owned()
}

fn replace_mailbox() -> OnConflict {
    use mailbox::Column::{
        AccountId, Deleted, Id, Modseq, Name, NameKey, ParentId, Role, SizeBytes, Total, UidNext,
        UidValidity, Unread,
    };
    OnConflict::columns([AccountId, Id])
        .update_columns([
            ParentId,
            Name,
            NameKey,
            Role,
            UidValidity,
            UidNext,
            Modseq,
            Total,
            Unread,
            SizeBytes,
            Deleted,
        ])
        .to_owned()
}
