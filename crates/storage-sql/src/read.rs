//! Reading: a fixed number of queries for each method, all of them by index.

mod changes;
mod listing;
mod page;
pub(crate) mod queue;
mod signatures;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, prelude::Uuid, sea_query::Expr,
};
use storage::{
    AccountState, Annotation, Changes, Content, Edition, Error, Fence, Grant, Listing, Mailbox, Message,
    Packed, PageRequest, Paged, Placement, QueueEntry, QueueFilter, QueueLengths, Result, Snapshot, Totals,
    Upload,
    replica::{Counts, Cursor, Page},
};
use types::{
    AccountId, BlobId, BodyId, Bucket, MailboxId, MessageId, ModSeq, QueueId, ThreadId, Timestamp, UploadId,
};

use crate::{
    connect::{FromRow as _, Row},
    entity::shard::{account, body, body_blob, mailbox, message, upload},
    error::failed,
    fence,
    open::Open,
    replica::{export, loose},
    rolls,
    rows::{self, Spot},
    statement::{among, lists, with_wanted},
    write::{grants, metadata},
};

#[async_trait]
impl Snapshot for Open {
    async fn account(&mut self, account: AccountId) -> Result<Option<AccountState>> {
        self.hold(account).await?;
        if let Some(loaded) = self.accounts.get(&account.0) {
            return Ok(loaded.row.as_ref().map(rows::account_state));
        }
        let row: Option<account::Model> =
            self.conn.one(&account::Entity::find_by_id(account.0)).await.map_err(failed)?;
        Ok(row.as_ref().map(rows::account_state))
    }

    async fn mailboxes(&mut self, account: AccountId) -> Result<Vec<Mailbox>> {
        self.hold(account).await?;
        if let Some(loaded) = self.accounts.get(&account.0) {
            return Ok(rows::mailboxes(loaded.mailboxes.values()));
        }
        let wanted = mailbox::Entity::find()
            .filter(mailbox::Column::AccountId.eq(account.0))
            .filter(mailbox::Column::Deleted.eq(false));
        let found: Vec<mailbox::Model> = self.conn.all(&wanted, MAILBOXES).await.map_err(failed)?;
        Ok(rows::mailboxes(found.iter()))
    }

    async fn mailbox(&mut self, account: AccountId, id: MailboxId) -> Result<Option<Mailbox>> {
        self.hold(account).await?;
        if self.accounts.contains_key(&account.0) {
            return Ok(Open::mailbox(self, account.0, id.0).map(rows::mailbox));
        }
        let wanted =
            mailbox::Entity::find_by_id((account.0, id.0)).filter(mailbox::Column::Deleted.eq(false));
        let row: Option<mailbox::Model> = self.conn.one(&wanted).await.map_err(failed)?;
        Ok(row.as_ref().map(rows::mailbox))
    }

    async fn annotations(&mut self, account: AccountId) -> Result<Vec<Annotation>> {
        let rows = metadata::all(&self.conn, account.0).await?;
        Ok(rows.into_iter().map(metadata::annotation).collect())
    }

    async fn grants(&mut self, account: AccountId, grantee: Option<AccountId>) -> Result<Vec<Grant>> {
        let rows = grants::all(&self.conn, account.0, grantee.map(|grantee| grantee.0)).await?;
        Ok(rows.iter().map(grants::grant).collect())
    }

    async fn page(&mut self, account: AccountId, request: &PageRequest) -> Result<Vec<Message>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.page(account, request).await;
        }
        let wanted = page::select(account, request);
        let found = self.conn.all(&wanted, rows::expected(request.limit)).await.map_err(failed)?;
        found.into_iter().map(rows::message).collect()
    }

    async fn page_if_new(
        &mut self,
        account: AccountId,
        request: &PageRequest,
        known: Option<Edition>,
    ) -> Result<Option<Paged>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.page_if_new(account, request, known).await;
        }
        page::if_new(&self.conn, account, request, known).await
    }

    async fn messages(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Message>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.messages(account, ids).await;
        }
        let found = self.read_message_rows(account, ids).await?;
        if self.writes {
            self.remember(account.0, &found.iter().map(Spot::from).collect::<Vec<_>>());
        }
        found.into_iter().map(rows::message).collect()
    }

    async fn placements(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Placement>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.placements(account, ids).await;
        }
        Ok(self.spots(account, ids).await?.iter().map(rows::placement).collect())
    }

    async fn listing(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<Listing>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.listing(account, mailbox, since).await;
        }
        let Some(mailbox) = self.mailbox(account, mailbox).await? else { return Ok(None) };
        let Some(state) = Snapshot::account(self, account).await? else { return Ok(None) };
        if since.0 > 0 {
            return listing::changed(&self.conn, mailbox, &state, since).await.map(Some);
        }
        listing::whole(&self.conn, mailbox, &state).await.map(Some)
    }

    async fn outgrown(&mut self, account: AccountId) -> Result<Vec<MailboxId>> {
        self.flush().await?;
        rolls::outgrown(&self.conn, account).await
    }

    async fn structures(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Vec<u8>)>> {
        self.flush().await?;
        let ids = distinct(ids);
        let mut found = BTreeMap::new();
        for list in lists(&self.conn, &ids) {
            let structure = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let read: Vec<(Uuid, Option<Vec<u8>>)> =
                self.with_bodies(account, &list, "m.id, b.structure", structure).await?;
            for (id, structure) in read {
                found.insert(MessageId(id), structure.ok_or_else(|| missing_body(id))?);
            }
        }
        Ok(found.into_iter().collect())
    }

    async fn signatures(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Arc<[u8]>)>> {
        self.flush().await?;
        signatures::find(&self.conn, account, &distinct(ids)).await
    }

    async fn structure(&mut self, account: AccountId, id: MessageId) -> Result<Option<Vec<u8>>> {
        self.flush().await?;
        let structure = |row: &Row<'_>| row.get::<Option<Vec<u8>>>(0);
        let found = self.with_bodies(account, &[id.0], "b.structure", structure).await?.pop();
        found.map(|structure| structure.ok_or_else(|| missing_body(id.0))).transpose()
    }

    async fn contents(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Content>> {
        self.flush().await?;
        let ids = distinct(ids);
        let columns = format!("m.id, m.received_at, b.id, {}", body::Model::columns("b"));
        let with_body = |row: &Row<'_>| {
            let is_there = row.get::<Option<Uuid>>(2)?.is_some();
            let body = is_there.then(|| body::Model::from_row(row, 3)).transpose()?;
            Ok((row.get(0)?, row.get(1)?, body))
        };
        let mut found = BTreeMap::new();
        for list in lists(&self.conn, &ids) {
            for (id, received_at, body) in self.with_bodies(account, &list, &columns, with_body).await? {
                found.insert(id, content(id, received_at, body)?);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn thread(&mut self, account: AccountId, thread: ThreadId, limit: u32) -> Result<Vec<Message>> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.thread(account, thread, limit).await;
        }
        let wanted = message::Entity::find()
            .filter(message::Column::AccountId.eq(account.0))
            .filter(message::Column::ThreadId.eq(thread.0))
            .order_by_desc(message::Column::Id)
            .limit(u64::from(limit));
        let found: Vec<message::Model> = self.conn.all(&wanted, 1).await.map_err(failed)?;
        found.into_iter().rev().map(rows::message).collect()
    }

    async fn body(&mut self, account: AccountId, id: BodyId) -> Result<Option<Packed>> {
        self.flush().await?;
        let row: Option<body::Model> =
            self.conn.one(&body::Entity::find_by_id((account.0, id.0))).await.map_err(failed)?;
        row.map(rows::packed).transpose()
    }

    async fn changes(&mut self, account: AccountId, since: ModSeq, limit: u32) -> Result<Changes> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.changes(account, since, limit).await;
        }
        changes::changes(&self.conn, account, since, limit).await
    }

    async fn upload(&mut self, account: AccountId, id: UploadId) -> Result<Option<Upload>> {
        let row = self.conn.one(&upload::Entity::find_by_id((account.0, id.0))).await.map_err(failed)?;
        row.map(rows::upload).transpose()
    }

    async fn queue_entry(&mut self, account: AccountId, id: QueueId) -> Result<Option<QueueEntry>> {
        self.flush().await?;
        let view = self.conn.view().await.map_err(failed)?;
        let found = queue::entry(view.as_ref().unwrap_or(&self.conn), account, id).await?;
        let Some(found) = found else { return Ok(None) };
        found.view().map(Some)
    }

    async fn queue(&mut self, filter: &QueueFilter) -> Result<Vec<QueueEntry>> {
        self.flush().await?;
        let view = self.conn.view().await.map_err(failed)?;
        queue::list(view.as_ref().unwrap_or(&self.conn), filter).await
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>> {
        self.flush().await?;
        queue::next_due(&self.conn).await
    }

    async fn unindexed(&mut self, after: Option<AccountId>, limit: u32) -> Result<Vec<AccountId>> {
        self.flush().await?;
        let found = account::Entity::find()
            .select_only()
            .column(account::Column::AccountId)
            .filter(account::Column::AccountId.gt(after.map_or(i64::MIN, |after| after.0)))
            .filter(Expr::cust("indexed_modseq < modseq AND fenced = FALSE"))
            .order_by_asc(account::Column::AccountId)
            .limit(u64::from(limit));
        let found = self.conn.column(&found, rows::expected(limit)).await.map_err(failed)?;
        Ok(found.into_iter().map(AccountId).collect())
    }

    async fn blobs_in_use(&mut self, blobs: &[BlobId]) -> Result<Vec<BlobId>> {
        self.flush().await?;
        let view = self.conn.view().await.map_err(failed)?;
        let conn = view.as_ref().unwrap_or(&self.conn);
        let keys: Vec<_> = blobs.iter().map(|blob| blob.0.to_vec()).collect();
        let mut used = Vec::new();
        for list in lists(conn, &keys) {
            let bodies = body_blob::Entity::find()
                .select_only()
                .column(body_blob::Column::BlobId)
                .filter(among(conn, body_blob::Column::BlobId, list.clone()));
            used.extend(conn.column::<Vec<u8>>(&bodies, list.len()).await.map_err(failed)?);
            let uploads = upload::Entity::find().select_only().column(upload::Column::BlobId).filter(among(
                conn,
                upload::Column::BlobId,
                list.clone(),
            ));
            used.extend(conn.column::<Vec<u8>>(&uploads, list.len()).await.map_err(failed)?);
        }
        used.sort_unstable();
        used.dedup();
        used.iter().map(|blob| rows::blob_id(blob)).collect()
    }

    async fn queue_lengths(&mut self, now: Timestamp) -> Result<QueueLengths> {
        self.flush().await?;
        queue::lengths(&self.conn, now).await
    }

    async fn export(&mut self, account: AccountId, cursor: Cursor) -> Result<Page> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.export(account, cursor).await;
        }
        export::export(&self.conn, account, cursor).await
    }

    async fn counts(&mut self, account: AccountId) -> Result<Counts> {
        if let Some(mut settled) = self.settled(account).await? {
            return settled.counts(account).await;
        }
        export::counts(&self.conn, account).await
    }

    async fn totals(&mut self) -> Result<Totals> {
        self.flush().await?;
        fence::totals(&self.conn).await
    }

    async fn fenced(&mut self, bucket: Bucket) -> Result<Option<Fence>> {
        if self.writes {
            fence::held(&self.conn, bucket).await
        } else {
            fence::find(&self.conn, bucket).await
        }
    }

    async fn open_fences(&mut self) -> Result<Vec<(Bucket, String)>> {
        fence::open_ones(&self.conn).await
    }

    async fn bucket(&mut self, bucket: Bucket) -> Result<Vec<AccountState>> {
        self.flush().await?;
        fence::accounts(&self.conn, bucket).await
    }

    async fn placed(&mut self, bucket: Bucket) -> Result<Vec<AccountId>> {
        self.flush().await?;
        Ok(fence::members(&self.conn, bucket).await?.into_iter().map(AccountId).collect())
    }

    async fn populated(&mut self, first: Bucket, last: Bucket) -> Result<Vec<Bucket>> {
        self.flush().await?;
        fence::populated(&self.conn, first, last).await
    }

    async fn loose(&mut self, bucket: Bucket) -> Result<Vec<(AccountId, u128)>> {
        self.flush().await?;
        loose::loose(&self.conn, bucket).await
    }

    async fn accounts(&mut self, after: Option<AccountId>, limit: u32) -> Result<Vec<AccountState>> {
        self.flush().await?;
        let found = account::Entity::find()
            .filter(account::Column::AccountId.gt(after.map_or(i64::MIN, |account| account.0)))
            .order_by_asc(account::Column::AccountId)
            .limit(u64::from(limit));
        let found = self.conn.all(&found, rows::expected(limit)).await.map_err(failed)?;
        Ok(found.iter().map(rows::account_state).collect())
    }
}

/// What an account has of them, as a rule.
const MAILBOXES: usize = 10;

/// As many rows take the time of a body.
const BODY: usize = 16;

impl Open {
    /// Messages that exist, as `m`, each with its body, as `b`, which is missing where the shard is damaged.
    async fn with_bodies<T: Send + 'static>(
        &self,
        account: AccountId,
        ids: &[Uuid],
        columns: &str,
        take: impl FnMut(&Row<'_>) -> Result<T, DbErr> + Send + 'static,
    ) -> Result<Vec<T>> {
        let keys: Vec<_> = ids.iter().map(|id| (account.0, *id)).collect();
        let rest = format!(
            "SELECT {columns} FROM wanted CROSS JOIN message AS m \
             LEFT JOIN body AS b ON b.account_id = m.account_id AND b.id = m.body_id \
             WHERE m.account_id = wanted.a AND m.id = wanted.b"
        );
        let wanted = with_wanted(&self.conn, &keys, &rest);
        self.conn.each_row(wanted, keys.len() * BODY, take).await.map_err(failed)
    }

    /// Rows of messages that exist and were written, in order of their ids.
    pub(crate) async fn read_message_rows(
        &self,
        account: AccountId,
        ids: &[MessageId],
    ) -> Result<Vec<message::Model>> {
        debug_assert_eq!(self.owed(account.0), 0, "rows are used of an account that owes");
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let mut found = Vec::new();
        for list in lists(&self.conn, &ids) {
            let expected = list.len();
            let wanted = message::Entity::find()
                .filter(message::Column::AccountId.eq(account.0))
                .filter(among(&self.conn, message::Column::Id, list));
            found.extend(self.conn.all(&wanted, expected).await.map_err(failed)?);
        }
        found.sort_unstable_by_key(|row| row.id);
        found.dedup_by_key(|row| row.id);
        Ok(found)
    }

    /// The same, of columns that are narrow. Who writes reads each once.
    pub(crate) async fn spots(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Spot>> {
        if let Some(known) = self.known_spots(account, ids) {
            return Ok(known);
        }
        self.settled(account).await?;
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let mut found = Vec::new();
        for list in lists(&self.conn, &ids) {
            let keys: Vec<_> = list.iter().map(|id| (account.0, *id)).collect();
            let rest = format!(
                "SELECT {} FROM wanted CROSS JOIN message AS m \
                 WHERE m.account_id = wanted.a AND m.id = wanted.b",
                Spot::columns("m")
            );
            let wanted = with_wanted(&self.conn, &keys, &rest);
            let spot = |row: &Row<'_>| Spot::from_row(row, 0);
            found.extend(self.conn.each_row(wanted, keys.len(), spot).await.map_err(failed)?);
        }
        found.sort_unstable_by_key(|row| row.id);
        found.dedup_by_key(|row| row.id);
        self.remember(account.0, &found);
        Ok(found)
    }
}

fn content(id: Uuid, received_at: i64, body: Option<body::Model>) -> Result<Content> {
    let mut body = body.ok_or_else(|| missing_body(id))?;
    Ok(Content {
        id: MessageId(id),
        received_at: Timestamp::from_millis(received_at),
        structure: std::mem::take(&mut body.structure),
        body: rows::packed(body)?,
    })
}

/// Each id once, in order.
fn distinct(ids: &[MessageId]) -> Vec<Uuid> {
    let mut ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn missing_body(message: Uuid) -> Error {
    Error::Corrupt(format!("the body of message {message} is missing"))
}
