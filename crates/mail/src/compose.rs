//! Composing: drafts, and mail that goes out with its Sent copy.

use async_trait::async_trait;
use bytes::Bytes;
use message::{Outgoing, compose::OutgoingAttachment};
use storage::queue::QueueBody;
use storage::{
    FlagChange, Needs, NewMessage, NewQueueEntry, Result as StorageResult, Snapshot, Source, Transaction,
    Unit,
};
use types::api::{Compose, Composed, Delivery, DeliveryState};
use types::{AccountId, Address, EmailAddress, Flags, MessageId, Role, ThreadId, UploadId};

use crate::deliver::{needs, thread};
use crate::{Access, Error, Result, body};

/// Whom a mail is from.
struct Author {
    name: String,
    email: EmailAddress,
    /// Somebody else, in whose name it is sent.
    is_other: bool,
}

impl Access {
    /// Keeps a draft, or sends: the Sent copy and the queue entry are one transaction, durable when it returns.
    pub async fn compose(&self, compose: Compose) -> Result<Composed> {
        let named = recipients(&compose, self.service.config().max_recipients)?;
        if !compose.draft {
            if named.is_empty() {
                return Err(Error::invalid("to", "add at least one recipient"));
            }
            self.limit_sends(named.len()).await?;
            self.check_recipients(&named).await?;
        }
        let recipients: Vec<_> = named.into_iter().map(|(_, address)| address).collect();
        if compose.attachments.len() > MAX_ATTACHMENTS {
            return Err(Error::invalid(
                "attachments",
                format!("a mail has at most {MAX_ATTACHMENTS} attachments"),
            ));
        }
        let author = self.author(compose.from.as_deref()).await?;
        let now = self.service.now();
        let _place = self.service.composing.acquire().await;
        let raw = self.written(&compose, &author).await?;
        self.check_room(raw.len() as u64).await?;
        let limit = self.service.config().max_message_bytes;
        if raw.len() as u64 > limit {
            let detail = format!(
                "with its attachments the message has {} bytes; at most {limit} can be sent",
                raw.len()
            );
            return Err(Error::TooLarge(detail));
        }
        let prepared = self.service.prepare(self.shard(), raw).await?;
        let id = self.service.new_id();
        let role = if compose.draft { Role::Drafts } else { Role::Sent };
        let mut message = prepared.message(self.id, id, Source::Role(role), now);
        message.flags = if compose.draft { Flags::SEEN | Flags::DRAFT } else { Flags::SEEN };
        let entry = (!compose.draft).then(|| {
            message.delivery = recipients.iter().map(queued).collect();
            let return_path = Some(self.email.clone());
            let mut entry = self.queue_entry(QueueBody::Shared(prepared.body.id), return_path, recipients);
            entry.message = Some(id);
            // Whoever tells us of it names it so.
            entry.terms.envelope_id = Some(id.to_string());
            entry.not_before = compose.send_at.unwrap_or(now).max(now);
            // As if it were made when it becomes due: that is when its recipients receive it.
            entry.created_at = entry.not_before;
            entry.expires_at = entry.not_before.plus(self.service.config().queue_lifetime);
            entry
        });
        let unit = Keep {
            message,
            entry,
            replaces: compose.replaces,
            answered: compose.in_reply_to.filter(|_| !compose.draft),
            forwarded: compose.forward_of.filter(|_| !compose.draft),
        };
        let thread_id = self.write(unit).await?;
        self.service.remember_text(&[(self.id, id)], &prepared);
        Ok(Composed { id, thread_id })
    }

    /// Who is nobody here would only send it back. After the sends are counted, so that names are not guessed quickly.
    async fn check_recipients(&self, named: &[(String, EmailAddress)]) -> Result<()> {
        for (field, address) in named {
            if self.service.is_nobody(address).await {
                return Err(Error::invalid(field, format!("there is no mailbox {address} here")));
            }
        }
        Ok(())
    }

    /// Whom the mail is from.
    async fn author(&self, from: Option<&str>) -> Result<Author> {
        let Some(from) = from else {
            return Ok(Author { name: self.name.clone(), email: self.email.clone(), is_other: false });
        };
        let email: EmailAddress =
            from.parse().map_err(|_| Error::invalid("from", format!("`{from}` is not an address")))?;
        if self.may_send_as(&email).await? {
            return Ok(Author { name: self.name.clone(), email, is_other: false });
        }
        match self.in_name_of(&email).await? {
            Some(owner) => Ok(Author { name: owner.name, email, is_other: true }),
            None => Err(Error::Forbidden(format!("{} does not send as {email}", self.email))),
        }
    }

    /// The mail's bytes.
    async fn written(&self, compose: &Compose, author: &Author) -> Result<Bytes> {
        let mut attachments: Vec<OutgoingAttachment> = Vec::new();
        // Base64 makes four bytes of three.
        let mut room = self.service.config().max_message_bytes / 4 * 3;
        for (index, reference) in compose.attachments.iter().enumerate() {
            let attachment = self.attachment_of(index, reference, room).await?;
            room = room.saturating_sub(attachment.bytes.len() as u64);
            attachments.push(attachment);
        }
        let (in_reply_to, references) = self.ancestors(compose.in_reply_to.or(compose.forward_of)).await?;
        let random = self.service.random_bytes::<16>();
        let unique: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let outgoing = Outgoing {
            from: Address { name: author.name.clone(), email: author.email.to_string() },
            sender: author
                .is_other
                .then(|| Address { name: self.name.clone(), email: self.email.to_string() }),
            to: compose.to.clone(),
            cc: compose.cc.clone(),
            bcc: compose.bcc.clone(),
            keep_bcc: true,
            subject: compose.subject.clone(),
            date: self.service.now(),
            message_id: format!("{unique}@{}", author.email.domain()),
            in_reply_to: in_reply_to.filter(|_| compose.in_reply_to.is_some()).into_iter().collect(),
            references,
            text: compose.text.clone(),
            html: compose.html.clone(),
            attachments,
            ..Outgoing::default()
        };
        let written = tokio::task::spawn_blocking(move || message::compose(&outgoing)).await;
        written.map(Bytes::from).map_err(|error| Error::Internal(format!("compose task: {error}")))
    }

    /// An attachment by its reference: an upload's id, or `message/part`.
    async fn attachment_of(&self, index: usize, reference: &str, limit: u64) -> Result<OutgoingAttachment> {
        let field = || format!("attachments[{index}]");
        let unknown =
            || Error::invalid(field(), "there is no such upload or attachment; please attach the file again");
        if let Some((message, part)) = reference.split_once('/') {
            let id: MessageId = message.parse().map_err(|_| unknown())?;
            let (attachment, download) = self.attachment(id, part).await.map_err(|error| match error {
                Error::NotFound(_) => unknown(),
                other => other,
            })?;
            return Ok(OutgoingAttachment {
                filename: attachment.filename,
                content_type: attachment.content_type,
                bytes: download.content.collect(limit).await?.into(),
                content_id: None,
            });
        }
        let id: UploadId = reference.parse().map_err(|_| unknown())?;
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.upload(account, id).await };
        let upload = self.service.look(account, look).await?.ok_or_else(unknown)?;
        let stream = self.service.open_blob(account, upload.blob, 0..upload.size_bytes).await?;
        Ok(OutgoingAttachment {
            filename: upload.filename,
            content_type: upload.content_type,
            bytes: body::collect(stream.ok_or_else(unknown)?, limit).await?.into(),
            content_id: None,
        })
    }

    /// The Message-ID of the message that is answered or passed on, and the chain that leads to it.
    async fn ancestors(&self, id: Option<MessageId>) -> Result<(Option<String>, Vec<String>)> {
        let Some(id) = id else { return Ok((None, Vec::new())) };
        let message = self.message(id).await.map_err(|error| match error {
            Error::NotFound(_) => Error::invalid("in_reply_to", "there is no such message"),
            other => other,
        })?;
        let mut references = message.references;
        references.extend(message.message_id.clone());
        Ok((message.message_id, references))
    }
}

const MAX_ATTACHMENTS: usize = 100;

/// Everybody that it goes to, each once, in order, and where they are named.
fn recipients(compose: &Compose, most: usize) -> Result<Vec<(String, EmailAddress)>> {
    let mut all: Vec<(String, EmailAddress)> = Vec::new();
    for (field, addresses) in [("to", &compose.to), ("cc", &compose.cc), ("bcc", &compose.bcc)] {
        for (index, address) in addresses.iter().enumerate() {
            let place = format!("{field}[{index}].email");
            match address.email.trim().parse::<EmailAddress>() {
                Ok(email) => {
                    if !all.iter().any(|(_, known)| known.key() == email.key()) {
                        all.push((place, email));
                    }
                }
                // A draft keeps what was typed so far only where it is an address.
                Err(error) => return Err(Error::invalid(place, error.to_string())),
            }
        }
    }
    if all.len() > most {
        return Err(Error::invalid("to", format!("a mail has at most {most} recipients")));
    }
    Ok(all)
}

fn queued(recipient: &EmailAddress) -> Delivery {
    Delivery {
        recipient: recipient.to_string(),
        state: DeliveryState::Queued,
        reply: None,
        next_attempt_at: None,
    }
}

/// Adds the Sent copy or draft, queues it, removes the draft it replaces and marks what it answers.
struct Keep {
    message: NewMessage,
    entry: Option<NewQueueEntry>,
    replaces: Option<MessageId>,
    answered: Option<MessageId>,
    forwarded: Option<MessageId>,
}

#[async_trait]
impl Unit for Keep {
    type Output = ThreadId;

    fn needs(&self) -> Needs {
        needs(std::slice::from_ref(&self.message))
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<ThreadId> {
        let account = self.message.account;
        let mut message = self.message.clone();
        tx.provision(account, message.received_at).await?;
        message.thread = thread(tx, &message).await?;
        let thread = message.thread;
        tx.append(message).await?;
        if let Some(entry) = &self.entry {
            tx.enqueue(entry.clone()).await?;
        }
        if let Some(draft) = self.replaces {
            discard_draft(tx, account, draft).await?;
        }
        for (id, flag) in [(self.answered, Flags::ANSWERED), (self.forwarded, Flags::FORWARDED)] {
            if let Some(id) = id {
                tx.change_flags(account, &[id], &FlagChange { add: flag, ..FlagChange::default() }).await?;
            }
        }
        Ok(thread)
    }
}

/// Removes a draft for good. Anything else of that id stays: only drafts are replaced.
async fn discard_draft(tx: &mut dyn Transaction, account: AccountId, id: MessageId) -> StorageResult<()> {
    let found = tx.messages(account, &[id]).await?;
    if found.iter().any(|message| message.flags.contains(Flags::DRAFT)) {
        tx.expunge(account, &[id]).await?;
    }
    Ok(())
}
