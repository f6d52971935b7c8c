//! Taking a mail back that has not left yet: one that was to go later.

use async_trait::async_trait;
use storage::{
    FlagChange, Message, Needs, QueueEntry, QueueFilter, Result as StorageResult, Transaction, Unit,
};
use types::{
    AccountId, Flags, MessageId, QueueId, Role, Timestamp,
    api::{self, Delivery, DeliveryState},
};

use crate::{Access, Error, Result, convert};

const PAGE: u32 = 200;

impl Access {
    /// Takes a sent mail out of the queue before its time has come, and makes a draft of it.
    pub async fn recall(&self, id: MessageId) -> Result<api::Summary> {
        let message = self.row(id).await?;
        let entry = match self.queued(id).await? {
            Some(entry) => entry,
            // Somebody was faster.
            None if message.flags.contains(Flags::DRAFT) => return Ok(convert::summary(message)),
            None => return Err(gone()),
        };
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

/// That none of these is to go later: who throws it away would not expect it to be sent.
pub(crate) fn check_unscheduled(messages: &[Message], now: Timestamp) -> Result<()> {
    let waits = |delivery: &Delivery| {
        delivery.state == DeliveryState::Queued && delivery.next_attempt_at.is_some_and(|at| at > now)
    };
    match messages.iter().find(|message| message.delivery.iter().any(waits)) {
        Some(Message { id, .. }) => {
            Err(Error::Conflict(format!("the mail {id} is to be sent later: take it back first (recall)")))
        }
        None => Ok(()),
    }
}

/// Whether nobody has begun to send it, and its time is still to come.
fn is_waiting(entry: &QueueEntry, now: Timestamp) -> bool {
    entry.next_attempt_at > now
        && !entry.is_sending(now)
        && entry.recipients.iter().all(|to| to.attempts == 0)
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
        let Some(message) = tx.messages(self.account, &[self.id]).await?.pop() else {
            return Ok(Err(Error::NotFound("message")));
        };
        match tx.queue_entry(self.account, self.entry).await? {
            Some(entry) if is_waiting(&entry, self.now) => {}
            // Somebody else has taken it back.
            None if message.flags.contains(Flags::DRAFT) => return Ok(Ok(convert::summary(message))),
            // Whoever is to send it may have begun.
            Some(_) | None => return Ok(Err(gone())),
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
