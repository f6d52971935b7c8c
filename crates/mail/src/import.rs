//! Importing mail that is already somewhere else: keeps its time and flags, and adds nothing twice.

use bytes::Bytes;
use storage::{Appended, Source};
use types::{Flags, MailboxId, MessageId, Timestamp};

use crate::deliver::{Deliver, id_of};
use crate::{Access, Error, Result};

/// A mail to be imported.
#[derive(Debug, Clone)]
pub struct Import {
    pub folder: MailboxId,
    pub raw: Bytes,
    /// When it was received there; `None`: as its Date field says, or now.
    pub received_at: Option<Timestamp>,
    pub flags: Flags,
    pub labels: Vec<String>,
}

/// What became of an [`Import`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    New(MessageId),
    /// The same bytes of the same time were imported before.
    Duplicate(MessageId),
}

impl Access {
    /// Imports mails, all of them in one commit; durable when it returns. Lines end with CRLF then, as on the wire.
    pub async fn import(&self, mails: Vec<Import>) -> Result<Vec<Imported>> {
        let limit = self.service.config().max_message_bytes;
        let now = self.service.now();
        self.check_room(mails.iter().map(|mail| mail.raw.len() as u64).sum()).await?;
        let mut messages = Vec::with_capacity(mails.len());
        for mail in mails {
            if mail.raw.len() as u64 > limit {
                return Err(Error::TooLarge(format!("a message has at most {limit} bytes")));
            }
            let raw = message::with_crlf(&mail.raw).map_or(mail.raw, Bytes::from);
            let key = blake3::hash(&raw);
            let prepared = self.service.prepare(self.shard(), raw).await?;
            let sent_at = prepared.parsed.overview.sent_at.filter(|sent| *sent <= now);
            let at = mail.received_at.or(sent_at).unwrap_or(now);
            let id = id_of(key.as_bytes(), at);
            let mut message = prepared.message(self.id, id, Source::Mailbox(mail.folder), at);
            message.flags = mail.flags;
            message.keywords = mail.labels;
            messages.push(message);
        }
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        let appended = self.write(Deliver { messages, ..Deliver::default() }).await?;
        Ok(ids
            .into_iter()
            .zip(appended)
            .map(|(id, appended)| match appended {
                Appended::New { .. } => Imported::New(id),
                Appended::Duplicate => Imported::Duplicate(id),
            })
            .collect())
    }
}
