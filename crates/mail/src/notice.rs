//! Mail of the service's own to others, such as the reports that they ask for.

use bytes::Bytes;
use storage::{Body, NewQueueEntry, NewRecipient, Origin, QueueBody, Segment};
use types::{BodyId, EmailAddress, Notify, QueueId, RecipientTerms, Terms};

use crate::deliver::Deliver;
use crate::{Result, Service};

/// A mail that nobody here has written.
#[derive(Debug, Clone)]
pub struct Notice {
    /// An address of ours; it is also the return path.
    pub from: EmailAddress,
    /// At least one.
    pub to: Vec<EmailAddress>,
    pub terms: Terms,
    pub raw: Bytes,
}

impl Service {
    /// Queues the mail; durable when it returns. Nobody is told what becomes of it. False if there is no account that
    /// could answer for it.
    pub async fn send_notice(&self, notice: Notice) -> Result<bool> {
        let Notice { from, to, terms, raw } = notice;
        let Some(account) = self.keeper(&from).await? else { return Ok(false) };
        let now = self.now();
        let body = Body { segments: vec![Segment::Inline(raw)] };
        let never = RecipientTerms { notify: Some(Notify::default()), ..RecipientTerms::default() };
        let entry = NewQueueEntry {
            account,
            id: QueueId::at(now, self.random_bytes()),
            message: None,
            body: QueueBody::Own(body.pack(BodyId::at(now, self.random_bytes()))?),
            return_path: Some(from),
            recipients: to
                .into_iter()
                .map(|address| NewRecipient { address, terms: never.clone() })
                .collect(),
            terms,
            origin: Origin::Notification,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.config().queue_lifetime),
        };
        let deliver = Deliver { queued: vec![entry], ..Deliver::default() };
        self.write(self.shard_of(account), deliver).await?;
        Ok(true)
    }
}
