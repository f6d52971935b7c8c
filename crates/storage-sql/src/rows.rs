//! Rows to the types of the ports and back.

mod columns;

use std::{collections::HashMap, sync::Arc};

use sea_orm::prelude::Uuid;
use serde::{Serialize, de::DeserializeOwned};
use storage::{
    AccountState, Error, Listed, Mailbox, Message, NewMessage, NewQueueEntry, NewRecipient, Origin, Packed,
    Placement, QueueEntry, QueueRecipient, RecipientState, Result, Summary, Upload, body::blobs_of,
};
use types::{
    AccountId, Address, BlobId, BodyId, EmailAddress, Flags, MailboxId, MessageId, ModSeq, Priority, QueueId,
    Role, ThreadId, Timestamp, Uid, UidValidity, UploadId, api::Delivery, flags::changed_keywords,
};

use crate::entity::shard::{account, body, mailbox, message, queue_entry, queue_recipient, upload};

/// A size or count as the database keeps it.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A size or count from the database.
pub(crate) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// So many rows at most as are asked for.
pub(crate) fn expected(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn small(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(0)
}

pub(crate) fn account_state(row: &account::Model) -> AccountState {
    AccountState {
        id: AccountId(row.account_id),
        modseq: ModSeq(row.modseq),
        indexed: ModSeq(row.indexed_modseq),
        forgotten: ModSeq(row.forgotten_modseq),
        messages: count(row.messages),
        used_bytes: count(row.used_bytes),
    }
}

pub(crate) fn mailbox(row: &mailbox::Model) -> Mailbox {
    Mailbox {
        account: AccountId(row.account_id),
        id: MailboxId(row.id),
        name: row.name.clone(),
        parent: row.parent_id.map(MailboxId),
        role: row.role.and_then(role),
        uid_validity: UidValidity(small(row.uid_validity)),
        uid_next: Uid(small(row.uid_next)),
        modseq: ModSeq(row.modseq),
        total: count(row.total),
        unread: count(row.unread),
        size_bytes: count(row.size_bytes),
        subscribed: row.subscribed,
    }
}

/// Mailboxes as people read them: roles first in their order, then by name.
pub(crate) fn mailboxes<'a>(rows: impl Iterator<Item = &'a mailbox::Model>) -> Vec<Mailbox> {
    let mut rows: Vec<_> = rows.filter(|row| !row.deleted).collect();
    rows.sort_by(|a, b| {
        let key = |row: &mailbox::Model| (row.role.unwrap_or(i32::MAX), row.id);
        let (a_key, b_key) = (key(a), key(b));
        a_key.0.cmp(&b_key.0).then_with(|| a.name_key.cmp(&b.name_key)).then(a_key.1.cmp(&b_key.1))
    });
    rows.into_iter().map(mailbox).collect()
}

fn role(stored: i32) -> Option<Role> {
    Role::ALL.get(usize::try_from(stored).ok()?).copied()
}

pub(crate) fn stored_role(role: Role) -> i32 {
    Role::ALL.iter().zip(0..).find(|(known, _)| **known == role).map_or(0, |(_, place)| place)
}

/// A message as a mail program lists it. Keywords that are the same are shared through `known`.
pub(crate) fn listed(row: ListedRow, known: &mut HashMap<String, Arc<[String]>>) -> Listed {
    let keywords = match known.get(&row.keywords) {
        Some(shared) => Arc::clone(shared),
        None => {
            let shared: Arc<[String]> = keywords(&row.keywords).into();
            known.insert(row.keywords, Arc::clone(&shared));
            shared
        }
    };
    Listed {
        id: MessageId(row.id),
        uid: Uid(small(row.uid)),
        modseq: ModSeq(row.modseq),
        flags: flags(row.flags),
        keywords,
        received_at: Timestamp::from_millis(row.received_at),
        sent_at: row.sent_at.map(Timestamp::from_millis),
        size_bytes: count(row.size_bytes),
    }
}

/// The columns of a [`Listed`].
#[derive(Debug)]
pub(crate) struct ListedRow {
    pub(crate) id: Uuid,
    pub(crate) uid: i64,
    pub(crate) modseq: i64,
    pub(crate) flags: i32,
    pub(crate) keywords: String,
    pub(crate) received_at: i64,
    pub(crate) sent_at: Option<i64>,
    pub(crate) size_bytes: i64,
}

/// What a change of messages needs to know of their rows.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) id: Uuid,
    pub(crate) mailbox_id: i64,
    pub(crate) uid: i64,
    pub(crate) modseq: i64,
    pub(crate) flags: i32,
    pub(crate) keywords: String,
    pub(crate) body_id: Uuid,
    pub(crate) received_at: i64,
    pub(crate) size_bytes: i64,
    pub(crate) delivery: Option<String>,
}

impl From<&message::Model> for Spot {
    fn from(row: &message::Model) -> Self {
        Self {
            id: row.id,
            mailbox_id: row.mailbox_id,
            uid: row.uid,
            modseq: row.modseq,
            flags: row.flags,
            keywords: row.keywords.clone(),
            body_id: row.body_id,
            received_at: row.received_at,
            size_bytes: row.size_bytes,
            delivery: row.delivery.clone(),
        }
    }
}

pub(crate) fn placement(spot: &Spot) -> Placement {
    Placement {
        id: MessageId(spot.id),
        mailbox: MailboxId(spot.mailbox_id),
        uid: Uid(small(spot.uid)),
        modseq: ModSeq(spot.modseq),
        flags: flags(spot.flags),
        keywords: keywords(&spot.keywords),
        received_at: Timestamp::from_millis(spot.received_at),
    }
}

pub(crate) fn message(row: message::Model) -> Result<Message> {
    let damaged = |what| Error::Corrupt(format!("{what} of message {}", row.id));
    let to = serde_json::from_str(&row.to_json).map_err(|_| damaged("the recipients"))?;
    Ok(Message {
        account: AccountId(row.account_id),
        id: MessageId(row.id),
        mailbox: MailboxId(row.mailbox_id),
        uid: Uid(small(row.uid)),
        modseq: ModSeq(row.modseq),
        created: ModSeq(row.created_modseq),
        flags: flags(row.flags),
        keywords: keywords(&row.keywords),
        thread: ThreadId(row.thread_id),
        body: BodyId(row.body_id),
        received_at: Timestamp::from_millis(row.received_at),
        sent_at: row.sent_at.map(Timestamp::from_millis),
        saved_at: row.saved_at.map(Timestamp::from_millis),
        size_bytes: count(row.size_bytes),
        delivery: delivery(row.id, row.delivery.as_deref())?,
        summary: Summary {
            from: Address { name: row.from_name, email: row.from_email },
            to,
            subject: row.subject,
            preview: row.preview,
            has_attachments: row.has_attachments,
        },
    })
}

pub(crate) fn flags(stored: i32) -> Flags {
    Flags::from_bits(u8::try_from(stored & 0xFF).unwrap_or(0))
}

pub(crate) fn stored_flags(flags: Flags) -> i32 {
    i32::from(flags.bits())
}

/// Keywords are atoms, so a space parts them.
pub(crate) fn keywords(stored: &str) -> Vec<String> {
    stored.split_ascii_whitespace().map(str::to_owned).collect()
}

/// With these put in and taken out: sorted, each once.
pub(crate) fn stored_keywords(keywords: Vec<String>, add: &[String], remove: &[String]) -> String {
    text(changed_keywords(keywords, add, remove).join(" "))
}

pub(crate) fn delivery(id: Uuid, stored: Option<&str>) -> Result<Vec<Delivery>> {
    let delivery = stored.map_or(Ok(Vec::new()), serde_json::from_str);
    delivery.map_err(|_| Error::Corrupt(format!("the delivery state of message {id}")))
}

pub(crate) fn stored_delivery(delivery: &[Delivery]) -> Result<Option<String>> {
    let json =
        |delivery: &[Delivery]| serde_json::to_string(delivery).map_err(|error| Error::Backend(error.into()));
    if delivery.is_empty() { Ok(None) } else { json(delivery).map(Some) }
}

/// Where a new message comes to lie.
pub(crate) struct Place {
    pub(crate) mailbox: i64,
    pub(crate) uid: i64,
    pub(crate) modseq: i64,
}

/// The row and its body's row.
pub(crate) fn new_message(new: NewMessage, place: &Place) -> Result<(message::Model, body::Model)> {
    let to_json = serde_json::to_string(&new.summary.to).map_err(|error| Error::Backend(error.into()))?;
    let row = message::Model {
        account_id: new.account.0,
        id: new.id.0,
        mailbox_id: place.mailbox,
        uid: place.uid,
        modseq: place.modseq,
        created_modseq: place.modseq,
        flags: stored_flags(new.flags),
        keywords: stored_keywords(new.keywords, &[], &[]),
        thread_id: new.thread.0,
        body_id: new.body.id.0,
        received_at: new.received_at.millis(),
        sent_at: new.sent_at.map(Timestamp::millis),
        size_bytes: stored(new.body.size_bytes),
        from_name: text(new.summary.from.name),
        from_email: text(new.summary.from.email),
        to_json,
        subject: text(new.summary.subject),
        preview: text(new.summary.preview),
        has_attachments: new.summary.has_attachments,
        delivery: stored_delivery(&new.delivery)?,
        saved_at: Some(new.saved_at.millis()),
    };
    Ok((row, stored_body(new.account, new.body, new.structure)))
}

pub(crate) fn stored_body(account: AccountId, body: Packed, structure: Vec<u8>) -> body::Model {
    body::Model {
        account_id: account.0,
        id: body.id.0,
        size_bytes: stored(body.size_bytes),
        refs: 1,
        structure,
        layout: body.layout,
        inline: body.inline,
    }
}

pub(crate) fn packed(row: body::Model) -> Result<Packed> {
    Ok(Packed {
        id: BodyId(row.id),
        size_bytes: count(row.size_bytes),
        blobs: blobs_of(&row.layout)?,
        layout: row.layout,
        inline: row.inline,
    })
}

/// Text as every back end can keep it: PostgreSQL knows no NUL.
pub(crate) fn text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

pub(crate) fn blob_id(stored: &[u8]) -> Result<BlobId> {
    stored.try_into().map(BlobId).map_err(|_| Error::Corrupt("the id of a blob".to_owned()))
}

pub(crate) fn upload(row: upload::Model) -> Result<Upload> {
    Ok(Upload {
        account: AccountId(row.account_id),
        id: UploadId(row.id),
        blob: blob_id(&row.blob_id)?,
        filename: row.filename,
        content_type: row.content_type,
        size_bytes: count(row.size_bytes),
        created_at: Timestamp::from_millis(row.created_at),
    })
}

pub(crate) fn stored_upload(upload: Upload) -> upload::Model {
    upload::Model {
        account_id: upload.account.0,
        id: upload.id.0,
        filename: text(upload.filename),
        content_type: text(upload.content_type),
        size_bytes: stored(upload.size_bytes),
        blob_id: upload.blob.0.to_vec(),
        created_at: upload.created_at.millis(),
    }
}

pub(crate) const PENDING: i32 = 0;
const DELIVERED: i32 = 1;
const FAILED: i32 = 2;

pub(crate) const fn stored_state(state: RecipientState) -> i32 {
    match state {
        RecipientState::Pending => PENDING,
        RecipientState::Delivered => DELIVERED,
        RecipientState::Failed => FAILED,
    }
}

fn state(stored: i32) -> Result<RecipientState> {
    match stored {
        PENDING => Ok(RecipientState::Pending),
        DELIVERED => Ok(RecipientState::Delivered),
        FAILED => Ok(RecipientState::Failed),
        _ => Err(Error::Corrupt("the state of a queued recipient".to_owned())),
    }
}

const ORIGINS: [Origin; 3] = [Origin::Submission, Origin::Relay, Origin::Notification];

/// The rows of an entry whose body is `body`.
pub(crate) fn new_entry(
    new: NewQueueEntry,
    body: Uuid,
    size_bytes: i64,
) -> (queue_entry::Model, Vec<queue_recipient::Model>) {
    let next_attempt_at = new.not_before.millis();
    let recipient = |(position, recipient): (i32, &NewRecipient)| queue_recipient::Model {
        account_id: new.account.0,
        queue_id: new.id.0,
        position,
        address: recipient.address.to_string(),
        state: PENDING,
        attempts: 0,
        next_attempt_at,
        reply: None,
        terms: stored_terms(&recipient.terms),
        warned: false,
    };
    let recipients = (0..).zip(&new.recipients).map(recipient).collect();
    let entry = queue_entry::Model {
        account_id: new.account.0,
        id: new.id.0,
        message_id: new.message.map(|id| id.0),
        body_id: body,
        size_bytes,
        return_path: new.return_path.map(|address| address.to_string()),
        origin: ORIGINS
            .iter()
            .zip(0..)
            .find(|(known, _)| **known == new.origin)
            .map_or(0, |(_, place)| place),
        created_at: new.created_at.millis(),
        expires_at: new.expires_at.millis(),
        next_attempt_at,
        due_at: next_attempt_at,
        held: false,
        leased_by: None,
        leased_until: None,
        terms: stored_terms(&new.terms),
        urgent: new.terms.priority > Priority::default(),
        patient: new.terms.priority < Priority::default(),
        via: None,
    };
    (entry, recipients)
}

/// An entry with its recipients, which must be in order.
pub(crate) fn queue_entry(
    row: &queue_entry::Model,
    recipients: &[queue_recipient::Model],
) -> Result<QueueEntry> {
    let damaged = |what| Error::Corrupt(format!("{what} of queue entry {}", row.id));
    let address = |text: &str| text.parse::<EmailAddress>().map_err(|_| damaged("an address"));
    let recipient = |row: &queue_recipient::Model| {
        Ok(QueueRecipient {
            address: address(&row.address)?,
            state: state(row.state)?,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
            reply: row.reply.clone(),
            warned: row.warned,
            terms: terms(row.terms.as_deref(), "what is asked for a recipient")?,
        })
    };
    let origin = usize::try_from(row.origin).ok().and_then(|place| ORIGINS.get(place).copied());
    Ok(QueueEntry {
        account: AccountId(row.account_id),
        id: QueueId(row.id),
        message: row.message_id.map(MessageId),
        body: BodyId(row.body_id),
        size_bytes: count(row.size_bytes),
        return_path: row.return_path.as_deref().map(address).transpose()?,
        recipients: recipients.iter().map(recipient).collect::<Result<_>>()?,
        origin: origin.ok_or_else(|| damaged("the origin"))?,
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: Timestamp::from_millis(row.expires_at),
        next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
        held: row.held,
        via: row.via.clone(),
        leased_until: row.leased_until.map(Timestamp::from_millis),
        terms: terms(row.terms.as_deref(), "what is asked for a queue entry")?,
    })
}

/// What is asked, if anything is.
fn stored_terms<T: Serialize + Default + PartialEq>(terms: &T) -> Option<String> {
    (*terms != T::default()).then(|| serde_json::to_string(terms).ok()).flatten()
}

fn terms<T: DeserializeOwned + Default>(stored: Option<&str>, what: &str) -> Result<T> {
    let read = |json| serde_json::from_str(json).map_err(|_| Error::Corrupt(what.to_owned()));
    stored.map_or_else(|| Ok(T::default()), read)
}
