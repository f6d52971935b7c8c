//! Taking a mail back that has not left yet: one that was to go later.

use async_trait::async_trait;
use storage::{FlagChange, Needs, QueueEntry, QueueFilter, Result as StorageResult, Transaction, Unit};
use types::{AccountId, Flags, MessageId, QueueId, Role, Timestamp, api};

use crate::{Access, Error, Result, convert};

const PAGE: u32 = 200;

impl Access {
    /// Takes a sent mail out of the queue before its time has come, and makes a draft of it.
    pub async fn recall(&self, id: MessageId) -> Result<api::Summary> {
        let found = self.service.latest(self.id).await?.messages(self.id, &[id]).await?;
        if found.is_empty() {
            return Err(Error::NotFound("message"));
        }
        let entry = self.queued(id).await?.ok_or_else(gone)?;
        let unit = Recall { account: self.id, id, entry: entry.id, now: self.service.now() };
        self.write(unit).await?
    }

    async fn queued(&self, id: MessageId) -> Result<Option<QueueEntry>> {
        let mut after = None;
        loop {
            let filter = QueueFilter { account: Some(self.id), after, limit: PAGE };
            let entries = self.service.latest(self.id).await?.queue(&filter).await?;
            after = entries.last().map(|entry| (entry.account, entry.id));
            if let Some(entry) = entries.into_iter().find(|entry| entry.message == Some(id)) {
                return Ok(Some(entry));
            }
            if after.is_none() {
                return Ok(None);
            }
        }
    }
}

fn gone() -> Error {
    Error::Conflict("the mail has been sent already".to_owned())
}

struct Recall {
    account: AccountId,
    id: MessageId,
    entry: QueueId,
    now: Timestamp,
}

#[async_trait]
impl Unit for Recall {
    type Output = Result<api::Summary>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let entry = tx.queue_entry(self.account, self.entry).await?;
        // Whoever is about to send it may have begun.
        let is_waiting = |entry: &QueueEntry| {
            entry.next_attempt_at > self.now
                && entry.leased_until.is_none_or(|until| until <= self.now)
                && entry.recipients.iter().all(|to| to.attempts == 0)
        };
        if !entry.as_ref().is_some_and(is_waiting) {
            return Ok(Err(gone()));
        }
        tx.drop_entry(self.account, self.entry).await?;
        tx.set_delivery(self.account, self.id, &[]).await?;
        let change = FlagChange { add: Flags::DRAFT, ..FlagChange::default() };
        tx.change_flags(self.account, &[self.id], &change).await?;
        let mailboxes = tx.mailboxes(self.account).await?;
        let drafts = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Drafts));
        let mut messages = match drafts {
            Some(drafts) => tx.move_messages(self.account, &[self.id], drafts.id, self.now).await?,
            None => tx.messages(self.account, &[self.id]).await?,
        };
        Ok(messages.pop().map(convert::summary).ok_or(Error::NotFound("message")))
    }
}
