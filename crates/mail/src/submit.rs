//! Sending: mail of an account's own into the queue.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{Quota, Verdict};
use storage::queue::QueueBody;
use storage::{Needs, NewQueueEntry, NewRecipient, Origin, Result as StorageResult, Transaction, Unit};
use types::{EmailAddress, QueueId, RecipientTerms, Terms, Timestamp};

use crate::forward::as_written;
use crate::{Access, Error, Result};

/// A mail that a program sends over SMTP.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What the entry will be called.
    pub id: QueueId,
    pub return_path: Option<EmailAddress>,
    pub recipients: Vec<(EmailAddress, RecipientTerms)>,
    pub terms: Terms,
    /// Not to be sent before (RFC 4865).
    pub not_before: Option<Timestamp>,
    pub raw: Bytes,
}

impl Access {
    /// Queues a mail for its recipients. Durable when it returns.
    pub async fn submit(&self, submission: Submission) -> Result<()> {
        let Submission { id, return_path, recipients, terms, not_before, raw } = submission;
        self.limit_sends(recipients.len()).await?;
        // The connection may have been let in long ago, by a password that somebody has changed since.
        if !self.is_valid().await? {
            return Err(Error::Unauthenticated);
        }
        let limit = self.service.message_limit(self.id).await?;
        if raw.len() as u64 > limit {
            return Err(Error::TooLarge(format!("a mail of this account has at most {limit} bytes")));
        }
        if let Some(sender) = &return_path
            && !self.may_post_as(sender).await?
        {
            return Err(Error::Forbidden(format!("{} does not send as {sender}", self.email)));
        }
        let terms = as_written(terms, &raw);
        let raw = if self.check_authors(&raw).await? { self.with_sender(&raw) } else { raw };
        let prepared = self.service.prepare(self.shard(), raw).await?;
        let body = QueueBody::Own(prepared.body);
        let mut entry = NewQueueEntry { id, terms, ..self.queue_entry(body, return_path, Vec::new()) };
        let recipient = |(address, terms)| NewRecipient { address, terms };
        entry.recipients = recipients.into_iter().map(recipient).collect();
        if let Some(not_before) = not_before.filter(|at| *at > entry.not_before) {
            // Held back by its sender, it has all its time afterwards.
            entry.not_before = not_before;
            entry.expires_at = not_before.plus(self.service.config().queue_lifetime);
        }
        self.write(Enqueue(entry)).await
    }

    /// An entry that is due now.
    pub(crate) fn queue_entry(
        &self,
        body: QueueBody,
        return_path: Option<EmailAddress>,
        recipients: Vec<EmailAddress>,
    ) -> NewQueueEntry {
        let now = self.service.now();
        NewQueueEntry {
            account: self.id,
            id: QueueId::at(now, self.service.random_bytes()),
            message: None,
            body,
            return_path,
            recipients: recipients.into_iter().map(Into::into).collect(),
            terms: Terms::default(),
            origin: Origin::Submission,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.service.config().queue_lifetime),
        }
    }

    /// Counts a mail against the account's sends, or says when the next may go.
    pub(crate) async fn limit_sends(&self, recipients: usize) -> Result<()> {
        let config = self.service.config();
        if recipients > config.max_recipients {
            let most = config.max_recipients;
            return Err(Error::invalid("to", format!("a mail has at most {most} recipients")));
        }
        let quota = Quota {
            burst: config.sends_per_hour,
            count: config.sends_per_hour,
            period: Duration::from_secs(3_600),
        };
        match self.service.parts.limits.check(&format!("send:{}", self.id), quota).await {
            Verdict::Allowed { .. } => Ok(()),
            Verdict::Limited { retry_after } => Err(Error::Limited { retry_after }),
        }
    }
}

struct Enqueue(NewQueueEntry);

#[async_trait]
impl Unit for Enqueue {
    type Output = ();

    fn needs(&self) -> Needs {
        let blobs = match &self.0.body {
            QueueBody::Own(body) => body.blobs.clone(),
            QueueBody::Shared(_) => Vec::new(),
        };
        Needs { accounts: vec![self.0.account], blobs, ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.provision(self.0.account, self.0.created_at).await?;
        tx.enqueue(self.0.clone()).await
    }
}
