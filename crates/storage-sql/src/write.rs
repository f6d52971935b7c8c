//! Writing: what units of work do, by topic.

pub(crate) mod bodies;
mod copy;
pub(crate) mod grants;
mod mailboxes;
pub(crate) mod messages;
pub(crate) mod metadata;
pub(crate) mod queue;

use async_trait::async_trait;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use storage::{
    Appended, Copy, FlagChange, Grant, Keep, Lease, Listed, Mailbox, Message, NewMailbox, NewMessage,
    NewQueueEntry, Placement, QueueEntry, RecipientUpdate, RefHash, Result, Transaction, Upload,
    replica::Record,
};
use types::{
    AccountId, Bucket, MailboxId, MessageId, ModSeq, QueueId, Sequence, ThreadId, Timestamp, UploadId,
    api::Delivery,
};

use crate::{
    entity::shard::upload,
    error::failed,
    fence,
    open::Open,
    replica::import,
    rolls, rows,
    statement::{Conflict, insert},
};

#[async_trait]
impl Transaction for Open {
    async fn provision(&mut self, account: AccountId, now: Timestamp) -> Result<()> {
        mailboxes::provision(self, account, now).await
    }

    async fn purge(&mut self, account: AccountId) -> Result<()> {
        mailboxes::purge(self, account).await
    }

    async fn import(&mut self, account: AccountId, records: &[Record]) -> Result<()> {
        import::import(self, account, records).await
    }

    async fn fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool> {
        fence::put_up(self, bucket, mover).await
    }

    async fn receive(&mut self, bucket: Bucket, mover: &str) -> Result<bool> {
        fence::receive(self, bucket, mover).await
    }

    async fn close_fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool> {
        fence::close(self, bucket, mover).await
    }

    async fn lift_fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool> {
        fence::lift(self, bucket, mover).await
    }

    async fn place(&mut self, after: Option<AccountId>) -> Result<Option<AccountId>> {
        fence::place(self, after).await
    }

    async fn clear_some(&mut self, account: AccountId, limit: u32) -> Result<bool> {
        fence::clear_some(self, account, u64::from(limit)).await
    }

    async fn threads(&mut self, account: AccountId, refs: &[RefHash]) -> Result<Vec<(RefHash, ThreadId)>> {
        self.hold(account).await?;
        let keys: Vec<_> = refs.iter().map(|hash| (account, *hash)).collect();
        self.look_up(&[], &keys).await?;
        let thread = |hash: &RefHash| {
            self.threads.get(&(account.0, *hash)).copied().flatten().map(|thread| (*hash, ThreadId(thread)))
        };
        Ok(refs.iter().filter_map(thread).collect())
    }

    async fn append(&mut self, message: NewMessage) -> Result<Appended> {
        messages::append(self, message).await
    }

    async fn change_flags(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        change: &FlagChange,
    ) -> Result<Vec<Placement>> {
        messages::change_flags(self, account, ids, change).await
    }

    async fn change_listed(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        messages: Vec<Listed>,
        change: &FlagChange,
    ) -> Result<Vec<Listed>> {
        messages::change_listed(self, account, mailbox, messages, change).await
    }

    async fn move_messages(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        to: MailboxId,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        messages::move_to(self, account, ids, to, now).await
    }

    async fn renumber_messages(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        messages::renumber(self, account, ids, now).await
    }

    async fn copy_messages(
        &mut self,
        account: AccountId,
        copies: &[Copy],
        to: MailboxId,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        copy::copy_to(self, account, copies, to, now).await
    }

    async fn sign(&mut self, account: AccountId, signatures: &[(MessageId, Vec<u8>)]) -> Result<()> {
        messages::sign(self, account, signatures).await
    }

    async fn expunge(&mut self, account: AccountId, ids: &[MessageId]) -> Result<u64> {
        messages::expunge(self, account, ids).await
    }

    async fn expunge_listed(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        messages: &[Listed],
    ) -> Result<()> {
        messages::expunge_listed(self, account, mailbox, messages).await
    }

    async fn keep_listing(
        &mut self,
        mailbox: &Mailbox,
        messages: &Sequence<Listed>,
        as_of: ModSeq,
        how: Keep,
    ) -> Result<()> {
        rolls::keep(self, mailbox, messages, as_of, how).await
    }

    async fn annotate(
        &mut self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: &[(String, Option<Vec<u8>>)],
    ) -> Result<()> {
        metadata::annotate(self, account, mailbox, changes).await
    }

    async fn set_grant(&mut self, account: AccountId, grant: &Grant) -> Result<()> {
        grants::set(self, account, grant).await
    }

    async fn create_mailbox(&mut self, mailbox: NewMailbox) -> Result<Mailbox> {
        mailboxes::create(self, mailbox).await
    }

    async fn rename_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        name: &str,
    ) -> Result<Option<Mailbox>> {
        mailboxes::rename(self, account, id, name).await
    }

    async fn move_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        parent: Option<MailboxId>,
        name: &str,
    ) -> Result<Option<Mailbox>> {
        mailboxes::place(self, account, id, parent, name).await
    }

    async fn subscribe_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        subscribed: bool,
    ) -> Result<Option<Mailbox>> {
        mailboxes::subscribe(self, account, id, subscribed).await
    }

    async fn delete_mailbox(&mut self, account: AccountId, id: MailboxId) -> Result<bool> {
        mailboxes::delete(self, account, id).await
    }

    async fn delivery(&mut self, account: AccountId, id: MessageId) -> Result<Option<Vec<Delivery>>> {
        messages::delivery(self, account, id).await
    }

    async fn set_delivery(&mut self, account: AccountId, id: MessageId, delivery: &[Delivery]) -> Result<()> {
        messages::set_delivery(self, account, id, delivery).await
    }

    async fn enqueue(&mut self, entry: NewQueueEntry) -> Result<()> {
        queue::enqueue(self, entry).await
    }

    async fn lease(&mut self, lease: &Lease) -> Result<Vec<QueueEntry>> {
        queue::lease(self, lease).await
    }

    async fn renew(
        &mut self,
        account: AccountId,
        id: QueueId,
        worker: &str,
        until: Timestamp,
    ) -> Result<bool> {
        queue::renew(self, account, id, worker, until).await
    }

    async fn end_leases(&mut self) -> Result<u64> {
        queue::end_leases(self).await
    }

    async fn settle(
        &mut self,
        account: AccountId,
        id: QueueId,
        worker: &str,
        updates: &[RecipientUpdate],
        until: Option<Timestamp>,
    ) -> Result<Option<QueueEntry>> {
        queue::settle(self, account, id, worker, updates, until).await
    }

    async fn hold(&mut self, account: AccountId, id: QueueId, held: bool) -> Result<bool> {
        queue::hold(self, account, id, held).await
    }

    async fn retry_now(&mut self, account: AccountId, id: QueueId, now: Timestamp) -> Result<bool> {
        queue::retry_now(self, account, id, now).await
    }

    async fn reroute(&mut self, account: AccountId, id: QueueId, via: Option<String>) -> Result<bool> {
        queue::reroute(self, account, id, via).await
    }

    async fn drop_entry(&mut self, account: AccountId, id: QueueId) -> Result<bool> {
        queue::remove(self, account, id).await
    }

    async fn add_upload(&mut self, upload: Upload) -> Result<()> {
        self.hold(upload.account).await?;
        self.wrote();
        insert::<upload::Entity>(&self.conn, vec![rows::stored_upload(upload)], Conflict::Fails).await
    }

    async fn remove_upload(&mut self, account: AccountId, id: UploadId) -> Result<()> {
        self.hold(account).await?;
        self.wrote();
        self.conn.change(&upload::Entity::delete_by_id((account.0, id.0))).await.map_err(failed)?;
        Ok(())
    }

    async fn expire_uploads(&mut self, before: Timestamp) -> Result<u64> {
        self.wrote();
        let old = upload::Entity::delete_many()
            .filter(upload::Column::CreatedAt.lt(before.millis()))
            .filter(Expr::cust(NOT_FENCED));
        Ok(self.conn.change(&old).await.map_err(failed)?)
    }

    async fn set_indexed(&mut self, account: AccountId, modseq: ModSeq) -> Result<()> {
        self.load(vec![account.0]).await?;
        let Ok(row) = self.account(account.0) else { return Ok(()) };
        if row.indexed_modseq != modseq.0 && !row.fenced {
            row.indexed_modseq = modseq.0;
            self.bookkept(account.0);
        }
        Ok(())
    }
}

/// Rows of accounts that live here.
pub(crate) const NOT_FENCED: &str = "account_id NOT IN (SELECT account_id FROM account WHERE fenced = TRUE)";
