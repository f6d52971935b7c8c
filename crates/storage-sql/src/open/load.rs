//! What an open transaction loads: accounts with their mailboxes, which message ids are known, where threads lead.
//!
//! Several nodes may write to a shard at once. On PostgreSQL whoever writes anything of an account holds the lock of
//! its row until the commit, taken in order of the ids, so an account has one writer at a time, its modseqs are
//! committed in order, and what was loaded stays true. (SQLite locks the whole file.)

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QueryFilter, Statement, Value, prelude::Uuid};
use storage::{Needs, RefHash, Result};
use types::{AccountId, MessageId};

use super::Open;
use crate::{
    connect::{FromRow as _, Row},
    entity::shard::{account, mailbox},
    error::failed,
    rows::Spot,
    statement::{among, array, lists, with_wanted},
};

impl Open {
    /// Loads what units have said they need.
    pub(crate) async fn prepare(&mut self, needs: impl Iterator<Item = Needs>) -> Result<()> {
        let mut all = Needs::default();
        for needs in needs {
            all.accounts.extend(needs.accounts);
            all.refs.extend(needs.refs);
            all.ids.extend(needs.ids);
            all.entries.extend(needs.entries);
            all.sent.extend(needs.sent);
        }
        let accounts: BTreeSet<_> = all.accounts.iter().map(|account| account.0).collect();
        self.load(accounts.into_iter().collect()).await?;
        self.look_up(&all.ids, &all.refs).await?;
        self.look_up_entries(all.entries.iter().map(|(account, id)| (account.0, id.0)).collect()).await?;
        self.look_up_spots(&all.sent).await
    }

    /// Reads messages of several accounts that are about to be changed.
    async fn look_up_spots(&mut self, sent: &[(AccountId, MessageId)]) -> Result<()> {
        let keys: Vec<_> = sent.iter().map(|(account, id)| (account.0, id.0)).collect();
        for list in lists(&self.conn, &keys) {
            let rest = format!(
                "SELECT message.account_id, {} FROM wanted CROSS JOIN message \
                 WHERE message.account_id = wanted.a AND message.id = wanted.b",
                Spot::columns("message")
            );
            let wanted = with_wanted(&self.conn, &list, &rest);
            let take = |row: &Row<'_>| Ok((row.get(0)?, Spot::from_row(row, 1)?));
            for (owner, spot) in self.conn.each_row(wanted, list.len(), take).await.map_err(failed)? {
                if self.owed(owner) == 0 {
                    self.remember(owner, &[spot]);
                }
            }
        }
        Ok(())
    }

    /// Loads accounts that are not loaded yet.
    pub(crate) async fn load(&mut self, mut accounts: Vec<i64>) -> Result<()> {
        accounts.retain(|account| !self.accounts.contains_key(account));
        if accounts.is_empty() {
            return Ok(());
        }
        for list in lists(&self.conn, &accounts) {
            self.load_with_mailboxes(list).await?;
        }
        for account in accounts {
            self.accounts.entry(account).or_default();
        }
        Ok(())
    }

    /// Loads accounts with their mailboxes by one statement, which on PostgreSQL locks them. Who had to wait for the lock
    /// sees the account as it is now, but the mailboxes as they were when the statement began, and reads those once more.
    async fn load_with_mailboxes(&mut self, accounts: Vec<i64>) -> Result<()> {
        let columns = format!("{}, {}", account::Model::columns("a"), mailbox::Model::columns("m"));
        let statement = if self.conn.is_postgres() {
            let sql = format!(
                "WITH a AS MATERIALIZED \
                 (SELECT * FROM account WHERE account_id = ANY($1) ORDER BY account_id FOR UPDATE) \
                 SELECT {columns}, before.modseq, CAST(0 AS BIGINT) FROM a \
                 JOIN account AS before ON before.account_id = a.account_id \
                 LEFT JOIN mailbox AS m ON m.account_id = a.account_id AND m.deleted = FALSE"
            );
            Statement::from_sql_and_values(DbBackend::Postgres, sql, [array(accounts, 0)])
        } else {
            let sql = format!(
                "WITH a AS MATERIALIZED (SELECT *, (SELECT COALESCE(SUM(d.messages), 0) FROM deferred AS d \
                 WHERE d.account_id = account.account_id) AS owed FROM account WHERE account_id IN ({})) \
                 SELECT {columns}, a.modseq, a.owed FROM a \
                 LEFT JOIN mailbox AS m ON m.account_id = a.account_id AND m.deleted = FALSE",
                vec!["?"; accounts.len()].join(", ")
            );
            Statement::from_sql_and_values(DbBackend::Sqlite, sql, accounts.into_iter().map(Value::from))
        };
        let take = |row: &Row<'_>| {
            let at = account::Model::COLUMNS.len();
            let has_one = row.get::<Option<i64>>(at)?.is_some();
            let mailbox = has_one.then(|| mailbox::Model::from_row(row, at)).transpose()?;
            let at = at + mailbox::Model::COLUMNS.len();
            let (before, owed): (i64, i64) = (row.get(at)?, row.get(at + 1)?);
            Ok((account::Model::from_row(row, 0)?, mailbox, before, owed))
        };
        let mut stale = BTreeSet::new();
        for (owner, mailbox, before, owed) in self.conn.each_row(statement, 1, take).await.map_err(failed)? {
            let loaded = self.accounts.entry(owner.account_id).or_default();
            if owner.modseq == before {
                loaded.mailboxes.extend(mailbox.map(|row| (row.id, row)));
            } else {
                stale.insert(owner.account_id);
            }
            loaded.row = Some(owner);
            loaded.owed = usize::try_from(owed).unwrap_or(usize::MAX);
        }
        if stale.is_empty() { Ok(()) } else { self.load_mailboxes(stale.into_iter().collect()).await }
    }

    async fn load_mailboxes(&mut self, accounts: Vec<i64>) -> Result<()> {
        let rows = mailbox::Entity::find()
            .filter(among(&self.conn, mailbox::Column::AccountId, accounts))
            .filter(mailbox::Column::Deleted.eq(false));
        for row in self.conn.all(&rows, 1).await.map_err(failed)? {
            self.accounts.entry(row.account_id).or_default().mailboxes.insert(row.id, row);
        }
        Ok(())
    }

    /// Finds out which of these ids the accounts have or had, and where these references lead.
    pub(crate) async fn look_up(
        &mut self,
        ids: &[(AccountId, MessageId)],
        refs: &[(AccountId, RefHash)],
    ) -> Result<()> {
        let ids = ids.iter().map(|(account, id)| (account.0, id.0));
        let ids: Vec<_> = ids.filter(|key| !self.known.contains_key(key)).collect();
        let refs = refs.iter().map(|(account, hash)| (account.0, *hash));
        let refs: Vec<_> = refs.filter(|key| !self.threads.contains_key(key)).collect();
        if ids.is_empty() && refs.is_empty() {
            return Ok(());
        }
        if !refs.is_empty() && !self.waiting.refs.is_empty() {
            self.flush().await?;
        }
        self.known.extend(ids.iter().map(|key| (*key, false)));
        self.threads.extend(refs.iter().map(|key| (*key, None)));
        if self.conn.is_postgres() {
            return self.take_up(looked_up_at_once(&ids, &refs)).await;
        }
        let (mut ids, mut refs) = (lists(&self.conn, &ids), lists(&self.conn, &refs));
        loop {
            let (ids, refs) = (ids.next().unwrap_or_default(), refs.next().unwrap_or_default());
            if ids.is_empty() && refs.is_empty() {
                return Ok(());
            }
            self.take_up(looked_up_here(&ids, &refs)).await?;
        }
    }

    /// Notes what the statement finds: messages that are there or were, and the threads that references lead to.
    async fn take_up(&mut self, statement: Statement) -> Result<()> {
        let take = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<Option<RefHash>>(2)?));
        for (account, found, hash) in self.conn.each_row(statement, 1, take).await.map_err(failed)? {
            match hash {
                None => self.known.insert((account, found), true).map(|_| ()),
                Some(hash) => self.threads.insert((account, hash), Some(found)).map(|_| ()),
            };
        }
        Ok(())
    }
}

/// What looks up ids and references by one statement of SQLite.
fn looked_up_here(ids: &[(i64, Uuid)], refs: &[(i64, RefHash)]) -> Statement {
    let tables: Vec<_> = [("wanted_ids", ids.len()), ("wanted_refs", refs.len())]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} (a, b) AS (VALUES {})", vec!["(?, ?)"; count].join(", ")))
        .collect();
    let parts = [(ids.is_empty(), IDS_HERE), (refs.is_empty(), REFS_HERE)];
    let parts: Vec<_> = parts.into_iter().filter(|(empty, _)| !empty).map(|(_, part)| part).collect();
    let sql = format!("WITH {} {}", tables.join(", "), parts.join(" UNION ALL "));
    let ids = ids.iter().flat_map(|(account, id)| [Value::from(*account), Value::from(*id)]);
    let refs = refs.iter().flat_map(|(account, hash)| [Value::from(*account), Value::from(*hash)]);
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, ids.chain(refs))
}

/// The same by one statement of PostgreSQL.
fn looked_up_at_once(ids: &[(i64, Uuid)], refs: &[(i64, RefHash)]) -> Statement {
    let values: [Value; 4] = [
        array(ids.iter().map(|(account, _)| *account), 0),
        array(ids.iter().map(|(_, id)| *id), Uuid::nil()),
        array(refs.iter().map(|(account, _)| *account), 0),
        array(refs.iter().map(|(_, hash)| *hash), 0),
    ];
    Statement::from_sql_and_values(DbBackend::Postgres, LOOK_UP, values)
}

const IDS_HERE: &str = "\
    SELECT message.account_id, message.id, NULL FROM wanted_ids CROSS JOIN message \
    WHERE message.account_id = wanted_ids.a AND message.id = wanted_ids.b \
    UNION ALL SELECT tombstone.account_id, tombstone.message_id, NULL FROM wanted_ids CROSS JOIN tombstone \
    WHERE tombstone.account_id = wanted_ids.a AND tombstone.message_id = wanted_ids.b";
const REFS_HERE: &str = "\
    SELECT thread_ref.account_id, thread_ref.thread_id, thread_ref.ref_hash FROM wanted_refs CROSS JOIN thread_ref \
    WHERE thread_ref.account_id = wanted_refs.a AND thread_ref.ref_hash = wanted_refs.b";

const LOOK_UP: &str = "\
    SELECT t.account_id, t.id AS found, CAST(NULL AS BIGINT) AS ref_hash \
    FROM unnest($1, $2) AS wanted (a, b) JOIN message AS t ON t.account_id = wanted.a AND t.id = wanted.b \
    UNION ALL SELECT t.account_id, t.message_id, CAST(NULL AS BIGINT) \
    FROM unnest($1, $2) AS wanted (a, b) JOIN tombstone AS t ON t.account_id = wanted.a AND t.message_id = wanted.b \
    UNION ALL SELECT t.account_id, t.thread_id, t.ref_hash \
    FROM unnest($3, $4) AS wanted (a, b) JOIN thread_ref AS t ON t.account_id = wanted.a AND t.ref_hash = wanted.b";
