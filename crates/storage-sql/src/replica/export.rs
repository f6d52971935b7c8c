//! Rows to records, page by page; every page is a few queries, each a range of an index.
//!
//! References have no index by modseq: a round reads all of the account's once, in the order of their key.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _,
    Statement,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};
use storage::{
    Error, Result,
    replica::{self, Counts, Cursor, Page, Record, Span, Stage},
};
use types::{AccountId, BlobId, ModSeq};

use crate::{
    connect::{Conn, Row},
    entity::shard::{
        account, body, body_blob, mailbox, mailbox_grant, message, metadata as metadata_row, queue_entry,
        queue_recipient, thread_ref, tombstone, upload,
    },
    error::failed,
    rows,
    statement::{among, lists},
    write::{bodies::users, grants, metadata},
};

/// Records of a page, and rows of a query.
const ROWS: usize = 500;
/// Messages, and queue entries, that are read before it is known whether there is room for their bodies.
const WITH_BODIES: usize = 100;
/// Bytes of bodies in a page.
const PAGE_BYTES: u64 = 4 << 20;

pub(crate) async fn export(conn: &Conn, account: AccountId, cursor: Cursor) -> Result<Page> {
    let row = conn.one(&account::Entity::find_by_id(account.0)).await.map_err(failed)?;
    let Some(owner) = row else { return Ok(Page { records: Vec::new(), next: None }) };
    let Cursor { since, upto, mut stage } = cursor;
    if since.0 < owner.forgotten_modseq && since.0 > 0 {
        return Err(Error::Corrupt(format!(
            "account {account} has forgotten what was removed since {since}"
        )));
    }
    let upto = upto.unwrap_or(ModSeq(owner.modseq));
    let mut pager = Pager {
        conn,
        account: account.0,
        since: since.0,
        upto: upto.0,
        records: Vec::new(),
        bodies: HashSet::new(),
        bytes: 0,
        full: false,
    };
    loop {
        stage = match stage {
            Stage::References { after } => pager.references(after).await?,
            Stage::Mailboxes => pager.mailboxes().await?,
            Stage::Messages { after } => pager.messages(after).await?,
            Stage::Tombstones { after } => pager.tombstones(after).await?,
            Stage::Uploads { after } => pager.uploads(after).await?,
            Stage::Queue { after } => pager.queue(after).await?,
            Stage::Account => {
                let metadata = metadata::all(conn, account.0).await?;
                let grants = grants::all(conn, account.0, None).await?;
                pager.records.push(Record::Account(account_record(&owner, upto, metadata, grants)));
                return Ok(Page { records: pager.records, next: None });
            }
        };
        if pager.full || pager.records.len() >= ROWS || pager.bytes >= PAGE_BYTES {
            return Ok(Page {
                records: pager.records,
                next: Some(Cursor { since, upto: Some(upto), stage }),
            });
        }
    }
}

/// One query.
pub(crate) async fn counts(conn: &Conn, account: AccountId) -> Result<Counts> {
    let tables = ["mailbox", "message", "tombstone", "thread_ref", "body", "upload", "queue_entry"];
    let count = |table| format!("(SELECT count(*) FROM {table} WHERE account_id = $1)");
    let sql = format!("SELECT {}", tables.map(count).join(", "));
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, [account.0.into()]);
    let counts = |row: &Row<'_>| {
        let number = |at| row.get(at).map(rows::count);
        Ok(Counts {
            mailboxes: number(0)?,
            messages: number(1)?,
            tombstones: number(2)?,
            references: number(3)?,
            bodies: number(4)?,
            uploads: number(5)?,
            queue: number(6)?,
        })
    };
    Ok(conn.each_row(statement, usize::MAX, counts).await.map_err(failed)?.pop().unwrap_or_default())
}

struct Pager<'a> {
    conn: &'a Conn,
    account: i64,
    since: i64,
    upto: i64,
    records: Vec<Record>,
    /// Those that the page has already.
    bodies: HashSet<Uuid>,
    /// Of bodies.
    bytes: u64,
    /// A body did not fit any more.
    full: bool,
}

impl Pager<'_> {
    async fn references(&mut self, after: Option<i64>) -> Result<Stage> {
        use thread_ref::Column::{AccountId, Modseq, RefHash};
        let mut found = thread_ref::Entity::find().filter(AccountId.eq(self.account));
        if let Some(after) = after {
            found = found.filter(RefHash.gt(after));
        }
        // Before references had a modseq, they were given 0.
        if self.since > 0 {
            found = found.filter(Modseq.gt(self.since));
        }
        let found = found.filter(Modseq.lte(self.upto)).order_by_asc(RefHash).limit(limit(ROWS));
        let rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        let last = rows.last().filter(|_| rows.len() == ROWS).map(|row| row.ref_hash);
        self.records.extend(rows.into_iter().map(|row| {
            Record::Reference(replica::Reference {
                ref_hash: row.ref_hash,
                thread_id: row.thread_id,
                modseq: row.modseq,
            })
        }));
        Ok(last.map_or(Stage::Mailboxes, |last| Stage::References { after: Some(last) }))
    }

    /// An account has no more mailboxes than fit into a page.
    async fn mailboxes(&mut self) -> Result<Stage> {
        use mailbox::Column::{AccountId, Id, Modseq};
        let found = mailbox::Entity::find()
            .filter(AccountId.eq(self.account))
            .filter(Modseq.gt(self.since))
            .filter(Modseq.lte(self.upto))
            .order_by_asc(Id);
        let rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        self.records.extend(rows.into_iter().map(mailbox_record));
        Ok(Stage::Messages { after: (self.since, Uuid::max()) })
    }

    /// To the end of the log, wherever that is by now: what is changed again and again only moves on in the log, and
    /// must not slip through to a later round, which would take it for known.
    async fn messages(&mut self, after: (i64, Uuid)) -> Result<Stage> {
        use message::Column::{AccountId, Id, Modseq};
        let found = message::Entity::find()
            .filter(AccountId.eq(self.account))
            .filter(tuple([Expr::col(Modseq), Expr::col(Id)]).gt(tuple([after.0.into(), after.1.into()])))
            .order_by_asc(Modseq)
            .order_by_asc(Id)
            .limit(limit(WITH_BODIES));
        let mut rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        let mut more = rows.len() == WITH_BODIES;
        // A body never changes: what was there before has it.
        let body = |row: &message::Model| (row.created_modseq > self.since).then_some(row.body_id);
        let bodies: Vec<_> = rows.iter().map(body).collect();
        let fits = self.load_bodies(&bodies).await?;
        more |= fits < rows.len();
        rows.truncate(fits);
        let last = rows.last().map_or(after, |row| (row.modseq, row.id));
        self.records.extend(rows.into_iter().map(message_record));
        Ok(if more {
            Stage::Messages { after: last }
        } else {
            Stage::Tombstones { after: (self.since, i64::MAX, i64::MAX) }
        })
    }

    async fn tombstones(&mut self, after: (i64, i64, i64)) -> Result<Stage> {
        use tombstone::Column::{AccountId, MailboxId, Modseq, Uid};
        let key = tuple([Expr::col(Modseq), Expr::col(MailboxId), Expr::col(Uid)]);
        let found = tombstone::Entity::find()
            .filter(AccountId.eq(self.account))
            .filter(key.gt(tuple([after.0.into(), after.1.into(), after.2.into()])))
            .filter(Modseq.lte(self.upto))
            .order_by_asc(Modseq)
            .order_by_asc(MailboxId)
            .order_by_asc(Uid)
            .limit(limit(ROWS));
        let rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        let last =
            rows.last().filter(|_| rows.len() == ROWS).map(|row| (row.modseq, row.mailbox_id, row.uid));
        self.records.extend(rows.into_iter().map(|row| {
            Record::Tombstone(replica::Tombstone {
                mailbox_id: row.mailbox_id,
                uid: row.uid,
                message_id: row.message_id,
                modseq: row.modseq,
                expunged: row.expunged,
            })
        }));
        Ok(last.map_or(Stage::Uploads { after: None }, |after| Stage::Tombstones { after }))
    }

    async fn uploads(&mut self, after: Option<Uuid>) -> Result<Stage> {
        use upload::Column::{AccountId, Id};
        let mut found = upload::Entity::find().filter(AccountId.eq(self.account));
        if let Some(after) = after {
            found = found.filter(Id.gt(after));
        }
        let found = found.order_by_asc(Id).limit(limit(ROWS));
        let rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        let last = rows.last().filter(|_| rows.len() == ROWS).map(|row| row.id);
        self.records.push(Record::Uploads(Span { after, upto: last }));
        for row in rows {
            self.records.push(upload_record(row)?);
        }
        Ok(last.map_or(Stage::Queue { after: None }, |last| Stage::Uploads { after: Some(last) }))
    }

    async fn queue(&mut self, after: Option<Uuid>) -> Result<Stage> {
        use queue_entry::Column::{AccountId, Id};
        let mut found = queue_entry::Entity::find().filter(AccountId.eq(self.account));
        if let Some(after) = after {
            found = found.filter(Id.gt(after));
        }
        let found = found.order_by_asc(Id).limit(limit(WITH_BODIES));
        let mut rows = self.conn.all(&found, ROWS).await.map_err(failed)?;
        let mut more = rows.len() == WITH_BODIES;
        let bodies: Vec<_> = rows.iter().map(|row| Some(row.body_id)).collect();
        let place = self.records.len();
        let fits = self.load_bodies(&bodies).await?;
        more |= fits < rows.len();
        rows.truncate(fits);
        if more && rows.is_empty() {
            return Ok(Stage::Queue { after });
        }
        let last = rows.last().filter(|_| more).map(|row| row.id);
        self.records.insert(place, Record::Queue(Span { after, upto: last }));
        let mut recipients = self.recipients(&rows).await?;
        self.records.extend(rows.into_iter().map(|row| {
            let recipients = recipients.remove(&row.id).unwrap_or_default();
            entry_record(row, recipients)
        }));
        Ok(last.map_or(Stage::Account, |last| Stage::Queue { after: Some(last) }))
    }

    /// By entry, in order.
    async fn recipients(
        &self,
        entries: &[queue_entry::Model],
    ) -> Result<HashMap<Uuid, Vec<replica::QueueRecipient>>> {
        use queue_recipient::Column::{AccountId, Position, QueueId};
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for entry in entries {
            let found = queue_recipient::Entity::find()
                .filter(AccountId.eq(self.account))
                .filter(QueueId.eq(entry.id))
                .order_by_asc(Position);
            for row in self.conn.all(&found, ROWS).await.map_err(failed)? {
                all.entry(row.queue_id).or_default().push(recipient(row));
            }
        }
        Ok(all)
    }

    /// Adds bodies, in order, as long as there is room, but the first of all in any case. Returns how many of the rows
    /// that wanted them have theirs.
    async fn load_bodies(&mut self, wanted: &[Option<Uuid>]) -> Result<usize> {
        use body::Column::{AccountId, Id};
        let ids: Vec<_> = wanted.iter().flatten().copied().filter(|id| !self.bodies.contains(id)).collect();
        let mut sizes = HashMap::new();
        for list in lists(self.conn, &ids) {
            let found = body::Entity::find()
                .select_only()
                .column(Id)
                .expr(Expr::cust("CAST(length(structure) + length(layout) + length(inline) AS BIGINT)"))
                .filter(AccountId.eq(self.account))
                .filter(among(self.conn, Id, list));
            let statement = found.build(self.conn.get_database_backend());
            let size = |row: &Row<'_>| Ok((row.get::<Uuid>(0)?, row.get::<i64>(1)?));
            sizes.extend(self.conn.each_row(statement, ROWS, size).await.map_err(failed)?);
        }
        let mut taken = Vec::new();
        let mut fits = 0;
        for id in wanted {
            if let Some(id) = id.filter(|id| !self.bodies.contains(id)) {
                let size = sizes.get(&id).copied().map(rows::count).ok_or_else(|| self.missing(id))?;
                if self.bytes > 0 && self.bytes + size > PAGE_BYTES {
                    self.full = true;
                    break;
                }
                self.bytes += size;
                self.bodies.insert(id);
                taken.push(id);
            }
            fits += 1;
        }
        self.add_bodies(&taken).await?;
        Ok(fits)
    }

    async fn add_bodies(&mut self, ids: &[Uuid]) -> Result<()> {
        let mut blobs: BTreeMap<Uuid, Vec<BlobId>> = BTreeMap::new();
        let mut found = HashMap::new();
        let keys: Vec<_> = ids.iter().map(|id| (self.account, *id)).collect();
        let users = users(self.conn, &keys).await?;
        for list in lists(self.conn, ids) {
            let names = body_blob::Entity::find()
                .filter(body_blob::Column::AccountId.eq(self.account))
                .filter(among(self.conn, body_blob::Column::BodyId, list.clone()))
                .order_by_asc(body_blob::Column::BodyId)
                .order_by_asc(body_blob::Column::BlobId);
            for row in self.conn.all(&names, ROWS).await.map_err(failed)? {
                blobs.entry(row.body_id).or_default().push(rows::blob_id(&row.blob_id)?);
            }
            let bodies = body::Entity::find().filter(body::Column::AccountId.eq(self.account)).filter(among(
                self.conn,
                body::Column::Id,
                list,
            ));
            found.extend(
                self.conn.all(&bodies, ROWS).await.map_err(failed)?.into_iter().map(|row| (row.id, row)),
            );
        }
        for id in ids {
            let row = found.remove(id).ok_or_else(|| self.missing(*id))?;
            self.records.push(Record::Body(replica::Body {
                id: row.id,
                size_bytes: row.size_bytes,
                refs: users.get(&(self.account, *id)).copied().unwrap_or(row.refs),
                structure: row.structure,
                layout: row.layout,
                inline: row.inline,
                blobs: blobs.remove(id).unwrap_or_default(),
            }));
        }
        Ok(())
    }

    fn missing(&self, body: Uuid) -> Error {
        Error::Corrupt(format!("account {} lacks body {body}", self.account))
    }
}

fn tuple<const N: usize>(values: [Expr; N]) -> SimpleExpr {
    Expr::tuple(values)
}

fn limit(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn account_record(
    row: &account::Model,
    upto: ModSeq,
    metadata: Vec<metadata_row::Model>,
    grants: Vec<mailbox_grant::Model>,
) -> replica::Account {
    let metadatum = |row: metadata_row::Model| replica::Metadatum {
        mailbox_id: row.mailbox_id,
        name: row.name,
        value: row.value,
    };
    let grant = |row: mailbox_grant::Model| replica::Grant {
        grantee_id: row.grantee_id,
        mailbox_id: row.mailbox_id,
        grantee_since: row.grantee_since,
        rights: row.rights,
        subscribed: row.subscribed,
    };
    replica::Account {
        modseq: upto.0,
        indexed_modseq: Ord::min(row.indexed_modseq, upto.0),
        forgotten_modseq: row.forgotten_modseq,
        messages: row.messages,
        used_bytes: row.used_bytes,
        next_mailbox_id: row.next_mailbox_id,
        last_uid_validity: row.last_uid_validity,
        metadata: metadata.into_iter().map(metadatum).collect(),
        grants: grants.into_iter().map(grant).collect(),
    }
}

fn mailbox_record(row: mailbox::Model) -> Record {
    Record::Mailbox(replica::Mailbox {
        id: row.id,
        parent_id: row.parent_id,
        name: row.name,
        role: row.role,
        uid_validity: row.uid_validity,
        uid_next: row.uid_next,
        modseq: row.modseq,
        total: row.total,
        unread: row.unread,
        size_bytes: row.size_bytes,
        deleted: row.deleted,
        subscribed: row.subscribed,
    })
}

fn message_record(row: message::Model) -> Record {
    Record::Message(replica::Message {
        id: row.id,
        mailbox_id: row.mailbox_id,
        uid: row.uid,
        modseq: row.modseq,
        created_modseq: row.created_modseq,
        flags: row.flags,
        keywords: row.keywords,
        thread_id: row.thread_id,
        body_id: row.body_id,
        received_at: row.received_at,
        sent_at: row.sent_at,
        size_bytes: row.size_bytes,
        from_name: row.from_name,
        from_email: row.from_email,
        to_json: row.to_json,
        subject: row.subject,
        preview: row.preview,
        has_attachments: row.has_attachments,
        delivery: row.delivery,
        saved_at: row.saved_at,
    })
}

pub(super) fn upload_record(row: upload::Model) -> Result<Record> {
    Ok(Record::Upload(replica::Upload {
        id: row.id,
        blob_id: rows::blob_id(&row.blob_id)?,
        filename: row.filename,
        content_type: row.content_type,
        size_bytes: row.size_bytes,
        created_at: row.created_at,
    }))
}

pub(super) fn recipient(row: queue_recipient::Model) -> replica::QueueRecipient {
    replica::QueueRecipient {
        position: row.position,
        address: row.address,
        state: row.state,
        attempts: row.attempts,
        next_attempt_at: row.next_attempt_at,
        reply: row.reply,
        terms: row.terms,
        warned: row.warned,
    }
}

pub(super) fn entry_record(row: queue_entry::Model, recipients: Vec<replica::QueueRecipient>) -> Record {
    Record::QueueEntry(replica::QueueEntry {
        id: row.id,
        message_id: row.message_id,
        body_id: row.body_id,
        size_bytes: row.size_bytes,
        return_path: row.return_path,
        origin: row.origin,
        created_at: row.created_at,
        expires_at: row.expires_at,
        next_attempt_at: row.next_attempt_at,
        due_at: row.due_at,
        held: row.held,
        leased_by: row.leased_by,
        leased_until: row.leased_until,
        terms: row.terms,
        urgent: row.urgent,
        patient: row.patient,
        via: row.via,
        recipients,
    })
}
