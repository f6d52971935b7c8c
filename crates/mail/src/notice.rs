//! Mail of the service's own to others, such as the reports that they ask for.

use bytes::Bytes;
use storage::{Body, NewQueueEntry, NewRecipient, Origin, QueueBody, Segment};
use types::{AccountId, BodyId, EmailAddress, Notify, QueueId, RecipientTerms, Terms};

use crate::deliver::Deliver;
use crate::{Result, Service};

/// A mail that nobody here has written.
#[derive(Debug, Clone)]
pub struct Notice {
    /// At least one.
    pub to: Vec<EmailAddress>,
    pub terms: Terms,
    pub raw: Bytes,
}

impl Service {
    /// Queues the mails, all of them or none; durable when it returns. They are from an address of ours, which is also
    /// their return path. Nobody is told what becomes of them. False if there is no account that could answer for them.
    pub async fn send_notices(&self, from: &EmailAddress, notices: Vec<Notice>) -> Result<bool> {
        let Some(account) = self.keeper(from).await? else { return Ok(false) };
        let queued = notices.into_iter().map(|notice| self.entry_of(account, from, notice));
        let queued = queued.collect::<Result<Vec<_>>>()?;
        let deliver = Deliver { queued, ..Deliver::default() };
        self.write(self.shard_of(account), deliver).await?;
        Ok(true)
    }

    fn entry_of(&self, account: AccountId, from: &EmailAddress, notice: Notice) -> Result<NewQueueEntry> {
        let Notice { to, terms, raw } = notice;
        let now = self.now();
        let body = Body { segments: vec![Segment::Inline(raw)] };
        let never = RecipientTerms { notify: Some(Notify::default()), ..RecipientTerms::default() };
        Ok(NewQueueEntry {
            account,
            id: QueueId::at(now, self.random_bytes()),
            message: None,
            body: QueueBody::Own(body.pack(BodyId::at(now, self.random_bytes()))?),
            return_path: Some(from.clone()),
            recipients: to
                .into_iter()
                .map(|address| NewRecipient { address, terms: never.clone() })
                .collect(),
            terms,
            origin: Origin::Notification,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.config().queue_lifetime),
        })
    }
}
