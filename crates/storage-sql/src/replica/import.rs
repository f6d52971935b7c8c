//! Records to rows: each run of records of one kind is a few statements. What is there already changes nothing.
//!
//! Bodies are written without users; whatever uses one says so when it is added, and no more when it goes.

use std::{collections::BTreeMap, mem::discriminant};

use sea_orm::{ColumnTrait, EntityTrait, Iterable, QueryFilter, QuerySelect, prelude::Uuid, sea_query::Expr};
use storage::{
    Error, Result,
    replica::{self, Record, Span},
};
use types::{AccountId, Bucket, MessageId, address::fold};

use crate::{
    entity::shard::{
        account, body, body_blob, fence, mailbox, mailbox_grant, message, metadata, placement, queue_entry,
        queue_recipient, thread_ref, tombstone, upload,
    },
    error::failed,
    fence::hold_back,
    open::{COUNTERS, MAILBOX, Open},
    statement::{Conflict, among, insert, lists},
    write::{
        bodies::{self, add_users},
        grants,
    },
};

pub(crate) async fn import(open: &mut Open, account: AccountId, records: &[Record]) -> Result<()> {
    open.flush().await?;
    // First of all, so that whoever clears the bucket also finds what is never brought to its end.
    let bucket = i32::from(Bucket::of(account).0);
    let placed = placement::Model { account_id: account.0, bucket };
    insert::<placement::Entity>(&open.conn, vec![placed], Conflict::Stays).await?;
    for run in records.chunk_by(|a, b| discriminant(a) == discriminant(b)) {
        let import = Import { open, account: account.0 };
        match run.first() {
            None => {}
            Some(Record::Reference(_)) => import.references(run).await?,
            Some(Record::Mailbox(_)) => import.mailboxes(run).await?,
            Some(Record::Body(_)) => import.bodies(run).await?,
            Some(Record::Message(_)) => import.messages(run).await?,
            Some(Record::Tombstone(_)) => import.tombstones(run).await?,
            Some(Record::Uploads(_)) => import.clear_uploads(run).await?,
            Some(Record::Upload(_)) => import.uploads(run).await?,
            Some(Record::Queue(_)) => import.clear_queue(run).await?,
            Some(Record::QueueEntry(_)) => import.queue(run).await?,
            Some(Record::Account(_)) => import.account(run).await?,
        }
    }
    open.reload(account.0);
    Ok(())
}

struct Import<'a> {
    open: &'a Open,
    account: i64,
}

/// The rows of a run's records, which are of this kind.
macro_rules! rows {
    ($run:expr, $kind:ident, $row:ident => $model:expr) => {
        $run.iter()
            .filter_map(|record| match record {
                Record::$kind($row) => Some($model),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
}

impl Import<'_> {
    async fn references(&self, run: &[Record]) -> Result<()> {
        use thread_ref::Column::{Modseq, ThreadId};
        let rows = rows!(run, Reference, row => thread_ref::Model {
            account_id: self.account,
            ref_hash: row.ref_hash,
            thread_id: row.thread_id,
            modseq: row.modseq,
        });
        let there = Conflict::Replaces(&[ThreadId, Modseq]);
        insert::<thread_ref::Entity>(&self.open.conn, rows, there).await
    }

    async fn mailboxes(&self, run: &[Record]) -> Result<()> {
        let rows = rows!(run, Mailbox, row => mailbox::Model {
            account_id: self.account,
            id: row.id,
            parent_id: row.parent_id,
            name_key: fold(&row.name),
            name: row.name.clone(),
            role: row.role,
            uid_validity: row.uid_validity,
            uid_next: row.uid_next,
            modseq: row.modseq,
            total: row.total,
            unread: row.unread,
            size_bytes: row.size_bytes,
            deleted: row.deleted,
            subscribed: row.subscribed,
        });
        insert::<mailbox::Entity>(&self.open.conn, rows, Conflict::Replaces(&MAILBOX)).await
    }

    async fn bodies(&self, run: &[Record]) -> Result<()> {
        let rows = rows!(run, Body, row => body::Model {
            account_id: self.account,
            id: row.id,
            size_bytes: row.size_bytes,
            refs: 0,
            structure: row.structure.clone(),
            layout: row.layout.clone(),
            inline: row.inline.clone(),
        });
        insert::<body::Entity>(&self.open.conn, rows, Conflict::Stays).await?;
        let blobs = rows!(run, Body, row => row.blobs.iter().map(|blob| body_blob::Model {
            account_id: self.account,
            body_id: row.id,
            blob_id: blob.0.to_vec(),
        }));
        let blobs = blobs.into_iter().flatten().collect();
        insert::<body_blob::Entity>(&self.open.conn, blobs, Conflict::Stays).await
    }

    async fn messages(&self, run: &[Record]) -> Result<()> {
        let rows = rows!(run, Message, row => self.message(row));
        let mut known = Vec::new();
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        for list in lists(&self.open.conn, &ids) {
            let found = message::Entity::find()
                .select_only()
                .column(message::Column::Id)
                .filter(message::Column::AccountId.eq(self.account))
                .filter(among(&self.open.conn, message::Column::Id, list));
            known.extend(self.open.conn.column::<Uuid>(&found, ids.len()).await.map_err(failed)?);
        }
        known.sort_unstable();
        let new = rows.iter().filter(|row| known.binary_search(&row.id).is_err());
        self.share_bodies(new.map(|row| row.body_id)).await?;
        let columns: Vec<_> = message::Column::iter()
            .filter(|column| !matches!(column, message::Column::AccountId | message::Column::Id))
            .collect();
        insert::<message::Entity>(&self.open.conn, rows, Conflict::Replaces(&columns)).await
    }

    fn message(&self, row: &replica::Message) -> message::Model {
        message::Model {
            account_id: self.account,
            id: row.id,
            mailbox_id: row.mailbox_id,
            uid: row.uid,
            modseq: row.modseq,
            created_modseq: row.created_modseq,
            flags: row.flags,
            keywords: row.keywords.clone(),
            thread_id: row.thread_id,
            body_id: row.body_id,
            received_at: row.received_at,
            sent_at: row.sent_at,
            size_bytes: row.size_bytes,
            from_name: row.from_name.clone(),
            from_email: row.from_email.clone(),
            to_json: row.to_json.clone(),
            subject: row.subject.clone(),
            preview: row.preview.clone(),
            has_attachments: row.has_attachments,
            delivery: row.delivery.clone(),
            saved_at: row.saved_at,
        }
    }

    /// What was expunged may have come over before it was.
    async fn tombstones(&self, run: &[Record]) -> Result<()> {
        let rows = rows!(run, Tombstone, row => tombstone::Model {
            account_id: self.account,
            mailbox_id: row.mailbox_id,
            uid: row.uid,
            message_id: row.message_id,
            modseq: row.modseq,
            expunged: row.expunged,
        });
        let gone: Vec<_> =
            rows.iter().filter(|row| row.expunged).map(|row| MessageId(row.message_id)).collect();
        insert::<tombstone::Entity>(&self.open.conn, rows, Conflict::Stays).await?;
        let gone = self.open.read_message_rows(AccountId(self.account), &gone).await?;
        let ids: Vec<_> = gone.iter().map(|row| row.id).collect();
        for list in lists(&self.open.conn, &ids) {
            self.open
                .conn
                .change(
                    &message::Entity::delete_many()
                        .filter(message::Column::AccountId.eq(self.account))
                        .filter(among(&self.open.conn, message::Column::Id, list)),
                )
                .await
                .map_err(failed)?;
        }
        self.release(gone.iter().map(|row| row.body_id)).await
    }

    /// Takes a user from each of these bodies.
    async fn release(&self, ids: impl Iterator<Item = Uuid>) -> Result<()> {
        let mut leaving = BTreeMap::new();
        ids.for_each(|id| *leaving.entry((self.account, id)).or_default() += 1);
        bodies::let_go(&self.open.conn, leaving).await
    }

    async fn clear_uploads(&self, run: &[Record]) -> Result<()> {
        for span in rows!(run, Uploads, span => *span) {
            let mut gone = upload::Entity::delete_many().filter(upload::Column::AccountId.eq(self.account));
            for bound in bounds(upload::Column::Id, span) {
                gone = gone.filter(bound);
            }
            self.open.conn.change(&gone).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn uploads(&self, run: &[Record]) -> Result<()> {
        let rows = rows!(run, Upload, row => upload::Model {
            account_id: self.account,
            id: row.id,
            filename: row.filename.clone(),
            content_type: row.content_type.clone(),
            size_bytes: row.size_bytes,
            blob_id: row.blob_id.0.to_vec(),
            created_at: row.created_at,
        });
        insert::<upload::Entity>(&self.open.conn, rows, Conflict::Fails).await
    }

    async fn clear_queue(&self, run: &[Record]) -> Result<()> {
        for span in rows!(run, Queue, span => *span) {
            let mut found =
                queue_entry::Entity::find().filter(queue_entry::Column::AccountId.eq(self.account));
            let mut entries =
                queue_entry::Entity::delete_many().filter(queue_entry::Column::AccountId.eq(self.account));
            let mut recipients = queue_recipient::Entity::delete_many()
                .filter(queue_recipient::Column::AccountId.eq(self.account));
            for bound in bounds(queue_entry::Column::Id, span) {
                found = found.filter(bound.clone());
                entries = entries.filter(bound);
            }
            for bound in bounds(queue_recipient::Column::QueueId, span) {
                recipients = recipients.filter(bound);
            }
            let bodies = found.select_only().column(queue_entry::Column::BodyId);
            let bodies: Vec<Uuid> = self.open.conn.column(&bodies, 1).await.map_err(failed)?;
            if bodies.is_empty() {
                continue;
            }
            self.open.conn.change(&entries).await.map_err(failed)?;
            self.open.conn.change(&recipients).await.map_err(failed)?;
            self.release(bodies.into_iter()).await?;
        }
        Ok(())
    }

    async fn queue(&self, run: &[Record]) -> Result<()> {
        let entries = rows!(run, QueueEntry, row => queue_entry::Model {
            account_id: self.account,
            id: row.id,
            message_id: row.message_id,
            body_id: row.body_id,
            size_bytes: row.size_bytes,
            return_path: row.return_path.clone(),
            origin: row.origin,
            created_at: row.created_at,
            expires_at: row.expires_at,
            next_attempt_at: row.next_attempt_at,
            due_at: row.due_at,
            held: row.held,
            leased_by: row.leased_by.clone(),
            leased_until: row.leased_until,
            terms: row.terms.clone(),
            urgent: row.urgent,
            patient: row.patient,
            via: row.via.clone(),
        });
        let recipients = rows!(run, QueueEntry, row => row.recipients.iter().map(|to| queue_recipient::Model {
            account_id: self.account,
            queue_id: row.id,
            position: to.position,
            address: to.address.clone(),
            state: to.state,
            attempts: to.attempts,
            next_attempt_at: to.next_attempt_at,
            reply: to.reply.clone(),
            terms: to.terms.clone(),
            warned: to.warned,
        }));
        self.share_bodies(entries.iter().map(|row| row.body_id)).await?;
        insert::<queue_entry::Entity>(&self.open.conn, entries, Conflict::Fails).await?;
        let recipients = recipients.into_iter().flatten().collect();
        insert::<queue_recipient::Entity>(&self.open.conn, recipients, Conflict::Fails).await
    }

    async fn account(&self, run: &[Record]) -> Result<()> {
        let bucket = i32::from(Bucket::of(AccountId(self.account)).0);
        let fence = self.open.conn.one(&fence::Entity::find_by_id(bucket)).await.map_err(failed)?;
        let rows = rows!(run, Account, row => account::Model {
            account_id: self.account,
            modseq: row.modseq,
            indexed_modseq: row.indexed_modseq,
            forgotten_modseq: row.forgotten_modseq,
            messages: row.messages,
            used_bytes: row.used_bytes,
            next_mailbox_id: row.next_mailbox_id,
            last_uid_validity: row.last_uid_validity,
            fenced: fence.is_some(),
        });
        insert::<account::Entity>(&self.open.conn, rows, Conflict::Replaces(&COUNTERS)).await?;
        // It comes whole each time.
        self.open
            .conn
            .change(&metadata::Entity::delete_many().filter(metadata::Column::AccountId.eq(self.account)))
            .await
            .map_err(failed)?;
        let rows = rows!(run, Account, row => row.metadata.iter().map(|one| metadata::Model {
            account_id: self.account,
            mailbox_id: one.mailbox_id,
            name: one.name.clone(),
            value: one.value.clone(),
        }));
        let rows = rows.into_iter().flatten().collect();
        insert::<metadata::Entity>(&self.open.conn, rows, Conflict::Replaces(&[metadata::Column::Value]))
            .await?;
        self.grants(run).await?;
        // Whoever puts one up from here on finds the account.
        if fence.is_none() { hold_back(&self.open.conn).await } else { Ok(()) }
    }

    /// They come whole each time, too.
    async fn grants(&self, run: &[Record]) -> Result<()> {
        self.open
            .conn
            .change(
                &mailbox_grant::Entity::delete_many()
                    .filter(mailbox_grant::Column::AccountId.eq(self.account)),
            )
            .await
            .map_err(failed)?;
        let rows = rows!(run, Account, row => row.grants.iter().map(|one| mailbox_grant::Model {
            account_id: self.account,
            grantee_id: one.grantee_id,
            mailbox_id: one.mailbox_id,
            grantee_since: one.grantee_since,
            rights: one.rights,
            subscribed: one.subscribed,
        }));
        let rows = rows.into_iter().flatten().collect();
        insert::<mailbox_grant::Entity>(&self.open.conn, rows, Conflict::Replaces(&grants::CHANGEABLE)).await
    }

    /// One more user of each of these bodies, which must be there.
    async fn share_bodies(&self, bodies: impl Iterator<Item = Uuid>) -> Result<()> {
        let mut users: BTreeMap<(i64, Uuid), i64> = BTreeMap::new();
        bodies.for_each(|body| *users.entry((self.account, body)).or_default() += 1);
        let keys: Vec<_> = users.keys().copied().collect();
        if bodies::users(&self.open.conn, &keys).await?.len() != keys.len() {
            return Err(Error::Corrupt(format!("a copy of account {} lacks bodies", self.account)));
        }
        add_users(&self.open.conn, users.into_iter().collect()).await
    }
}

/// What keeps a column within the span.
fn bounds<C: ColumnTrait>(column: C, span: Span) -> impl Iterator<Item = Expr> {
    let after = span.after.map(|after| column.gt(after));
    let upto = span.upto.map(|upto| column.lte(upto));
    after.into_iter().chain(upto)
}
