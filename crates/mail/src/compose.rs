//! Composing: drafts, and mail that goes out with its Sent copy.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use message::{Outgoing, compose::OutgoingAttachment};
use storage::queue::QueueBody;
use storage::{
    FlagChange, Needs, NewMessage, NewQueueEntry, Result as StorageResult, Source, Transaction, Unit,
};
use types::api::{Compose, Composed, Delivery, DeliveryState};
use types::{Address, EmailAddress, Flags, MessageId, Role, ThreadId, Timestamp};

use crate::deliver::{needs, thread};
use crate::original::{Origin, no_draft};
use crate::{Access, Error, Result};

/// Whom a mail is from.
struct Author {
    name: String,
    email: EmailAddress,
    /// Somebody else, in whose name it is sent.
    is_other: bool,
}

impl Access {
    /// Keeps a draft, or sends: the Sent copy and the queue entry are one transaction, durable when it returns.
    pub async fn compose(&self, mut compose: Compose) -> Result<Composed> {
        compose.send_at = self.goes_at(&compose)?;
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
        let replaced_bytes = match compose.replaces {
            Some(draft) => self.draft_bytes(draft).await?,
            None => 0,
        };
        // Before a place is taken, since it may be in an account of another shard.
        let mut origin = self.origin(&compose).await?;
        let marks = if compose.draft { Vec::new() } else { std::mem::take(&mut origin.marks) };
        let _place = self.service.composing.acquire().await;
        let raw = self.written(&compose, origin, &author).await?;
        self.check_growth(raw.len() as u64, replaced_bytes).await?;
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
            message.delivery = recipients.iter().map(|to| queued(to, compose.send_at)).collect();
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
        let own_marks = if compose.shared.is_none() { marks.clone() } else { Vec::new() };
        let unit = Keep { message, entry, replaces: compose.replaces, marks: own_marks };
        let thread_id = self.write(unit).await?.ok_or_else(no_draft)?;
        self.service.remember_text(&[(self.id, id)], &prepared);
        if let Some(shared) = compose.shared {
            self.mark_shared(shared, &marks).await;
        }
        Ok(Composed { id, thread_id })
    }

    /// Not before when it goes, if it is to go later.
    fn goes_at(&self, compose: &Compose) -> Result<Option<Timestamp>> {
        if compose.draft {
            return Ok(None);
        }
        let (now, longest) = (self.service.now(), self.service.config().max_hold);
        match (compose.send_at, compose.hold_for) {
            (Some(at), _) if at > now.plus(longest) => {
                let latest = now.plus(longest);
                Err(Error::invalid("send_at", format!("a mail is held back until {latest} at the latest")))
            }
            (Some(at), _) => Ok(Some(at).filter(|at| *at > now)),
            (None, Some(seconds)) => {
                let held = Duration::from_secs(seconds.into()).min(longest);
                Ok(Some(now.plus(held)).filter(|at| *at > now))
            }
            (None, None) => Ok(None),
        }
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
    async fn written(&self, compose: &Compose, origin: Origin, author: &Author) -> Result<Bytes> {
        let mut attachments: Vec<OutgoingAttachment> = Vec::new();
        // Base64 makes four bytes of three.
        let mut room = self.service.config().max_message_bytes / 4 * 3;
        for (index, reference) in compose.attachments.iter().enumerate() {
            let attachment = self.attachment_of(index, reference, room).await?;
            room = room.saturating_sub(attachment.bytes.len() as u64);
            attachments.push(attachment);
        }
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
            // What goes later is of that time to whoever receives it.
            date: compose.send_at.unwrap_or_default().max(self.service.now()),
            message_id: format!("{unique}@{}", author.email.domain()),
            in_reply_to: origin.answered,
            references: origin.references,
            text: compose.text.clone(),
            html: compose.html.clone(),
            attachments,
            ..Outgoing::default()
        };
        let written = tokio::task::spawn_blocking(move || message::compose(&outgoing)).await;
        written.map(Bytes::from).map_err(|error| Error::Internal(format!("compose task: {error}")))
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

fn queued(recipient: &EmailAddress, send_at: Option<Timestamp>) -> Delivery {
    Delivery {
        recipient: recipient.to_string(),
        state: DeliveryState::Queued,
        reply: None,
        next_attempt_at: send_at,
    }
}

/// Adds the Sent copy or draft, queues it, removes the draft it replaces and marks what it answers; nothing of all that
/// (`None`) if there is no such draft.
struct Keep {
    message: NewMessage,
    entry: Option<NewQueueEntry>,
    replaces: Option<MessageId>,
    marks: Vec<(MessageId, Flags)>,
}

#[async_trait]
impl Unit for Keep {
    type Output = Option<ThreadId>;

    fn needs(&self) -> Needs {
        needs(std::slice::from_ref(&self.message))
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Option<ThreadId>> {
        let account = self.message.account;
        let replaces: Vec<_> = self.replaces.into_iter().collect();
        let replaced = tx.messages(account, &replaces).await?;
        let is_draft = |message: &storage::Message| message.flags.contains(Flags::DRAFT);
        if replaced.len() < replaces.len() || !replaced.iter().all(is_draft) {
            return Ok(None);
        }
        let mut message = self.message.clone();
        tx.provision(account, message.received_at).await?;
        message.thread = thread(tx, &message).await?;
        let thread = message.thread;
        tx.append(message).await?;
        if let Some(entry) = &self.entry {
            tx.enqueue(entry.clone()).await?;
        }
        if !replaces.is_empty() {
            tx.expunge(account, &replaces).await?;
        }
        for (id, flag) in &self.marks {
            tx.change_flags(account, &[*id], &FlagChange { add: *flag, ..FlagChange::default() }).await?;
        }
        Ok(Some(thread))
    }
}
