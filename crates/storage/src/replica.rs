//! Exact copies of an account, for moving it to another shard and for backups.
//!
//! A copy is a sequence of [`Record`]s, made in *rounds*. A round brings the copy from one modseq to another: the
//! first one starts at 0, and each further one costs as much as has changed. Nothing is given anew: ids, UIDs,
//! UIDVALIDITY and modseqs stay.
//!
//! ```text
//! let mut cursor = Some(Cursor::after(since));
//! while let Some(at) = cursor {
//!     let page = snapshot.export(account, at).await?;   // the same snapshot, or a newer one
//!     transaction.import(account, &page.records).await?; // one transaction for all pages, or one each
//!     cursor = page.next;
//! }
//! ```
//!
//! Rules:
//! - The records of a round are imported in their order; between transactions they may be parted anywhere.
//! - The copy has nothing of the account before the first round, or what was imported from the same account before. A
//!   round that was broken off is begun again from where it began: what is there already changes nothing.
//! - The copy's own modseq says where the next round begins: [`Record::Account`] comes last in a round.
//! - If all pages of a round are from one snapshot, the copy is the account as of that snapshot. If not, then only
//!   after a further round during which nothing was written.
//! - Blobs are named, not contained: whoever copies brings them over before the page that names them
//!   ([`Page::blobs`]).
//! - What was removed is told by tombstones. An account that has forgotten tombstones after `since` cannot be copied
//!   from there ([`Error::Corrupt`]): its copy begins anew, with nothing.
//!
//! Records have the columns of the tables in plain numbers, times in milliseconds since 1970, without the account,
//! so that they can be imported as another one. They are meant to be kept: a column that comes later gets
//! `#[serde(default)]`, and [`VERSION`] grows when older programs could not read what is written.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use types::{AccountId, BlobId, ModSeq};
use uuid::Uuid;

use crate::{Error, Result, Snapshot};

/// The version of [`Record`], to be written beside records that are kept.
pub const VERSION: u16 = 1;

/// A piece of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Reference(Reference),
    Mailbox(Mailbox),
    /// Comes before what uses it; its users are counted where it is imported.
    Body(Body),
    Message(Message),
    Tombstone(Tombstone),
    /// The uploads between these ids are those that follow, and no others.
    Uploads(Span),
    Upload(Upload),
    /// The queue entries between these ids are those that follow, and no others.
    Queue(Span),
    QueueEntry(QueueEntry),
    Account(Account),
}

/// Ids after the first and up to the second; `None`: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub after: Option<Uuid>,
    pub upto: Option<Uuid>,
}

/// The account's own row, as of the end of the round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub modseq: i64,
    pub indexed_modseq: i64,
    pub forgotten_modseq: i64,
    pub messages: i64,
    pub used_bytes: i64,
    pub next_mailbox_id: i64,
    pub last_uid_validity: i64,
    /// All of them, by mailbox and name.
    #[serde(default)]
    pub metadata: Vec<Metadatum>,
    /// All of them, by grantee and mailbox.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

/// What somebody may do with a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub grantee_id: i64,
    pub mailbox_id: i64,
    pub grantee_since: i64,
    /// The bits of [`types::Rights`].
    pub rights: i32,
    pub subscribed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadatum {
    /// 0: of the account.
    pub mailbox_id: i64,
    pub name: String,
    #[serde(with = "bytes")]
    pub value: Vec<u8>,
}

/// A mailbox; deleted ones stay for the change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    pub id: i64,
    pub parent_id: Option<i64>,
    pub name: String,
    /// Its place in [`types::Role::ALL`].
    pub role: Option<i32>,
    pub uid_validity: i64,
    pub uid_next: i64,
    pub modseq: i64,
    pub total: i64,
    pub unread: i64,
    pub size_bytes: i64,
    pub deleted: bool,
    #[serde(default = "yes")]
    pub subscribed: bool,
}

/// What an older copy does not say of a mailbox.
const fn yes() -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub id: Uuid,
    pub mailbox_id: i64,
    pub uid: i64,
    pub modseq: i64,
    pub created_modseq: i64,
    /// The bits of [`types::Flags`].
    pub flags: i32,
    /// Sorted, with a space between two.
    pub keywords: String,
    pub thread_id: Uuid,
    pub body_id: Uuid,
    pub received_at: i64,
    pub sent_at: Option<i64>,
    #[serde(default)]
    pub saved_at: Option<i64>,
    pub size_bytes: i64,
    pub from_name: String,
    pub from_email: String,
    /// A JSON list of [`types::Address`].
    pub to_json: String,
    pub subject: String,
    pub preview: String,
    pub has_attachments: bool,
    /// A JSON list of [`types::api::Delivery`].
    pub delivery: Option<String>,
}

/// Where a message was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub mailbox_id: i64,
    pub uid: i64,
    pub message_id: Uuid,
    pub modseq: i64,
    pub expunged: bool,
}

/// The thread that a Message-ID leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub ref_hash: i64,
    pub thread_id: Uuid,
    pub modseq: i64,
}

/// A body with its MIME structure; see [`crate::Packed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub id: Uuid,
    pub size_bytes: i64,
    /// Messages and queue entries that use it, where it was exported.
    pub refs: i64,
    #[serde(with = "bytes")]
    pub structure: Vec<u8>,
    #[serde(with = "bytes")]
    pub layout: Vec<u8>,
    /// Compressed.
    #[serde(with = "bytes")]
    pub inline: Vec<u8>,
    /// The blobs that the layout names, in order, each once.
    pub blobs: Vec<BlobId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: Uuid,
    pub filename: String,
    pub content_type: String,
    pub size_bytes: i64,
    pub blob_id: BlobId,
    pub created_at: i64,
}

/// A mail on its way, with its lease: whoever has it settles it at the copy, should that become the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    pub id: Uuid,
    pub message_id: Option<Uuid>,
    pub body_id: Uuid,
    pub size_bytes: i64,
    pub return_path: Option<String>,
    /// 0 submission, 1 relay, 2 notification.
    pub origin: i32,
    pub created_at: i64,
    pub expires_at: i64,
    pub next_attempt_at: i64,
    pub due_at: i64,
    pub held: bool,
    pub leased_by: Option<String>,
    pub leased_until: Option<i64>,
    /// JSON; `None`: nothing is asked.
    #[serde(default)]
    pub terms: Option<String>,
    #[serde(default)]
    pub urgent: bool,
    #[serde(default)]
    pub patient: bool,
    #[serde(default)]
    pub via: Option<String>,
    /// In order.
    pub recipients: Vec<QueueRecipient>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecipient {
    pub position: i32,
    pub address: String,
    /// 0 pending, 1 delivered, 2 failed.
    pub state: i32,
    pub attempts: i32,
    pub next_attempt_at: i64,
    pub reply: Option<String>,
    /// JSON; `None`: nothing is asked.
    #[serde(default)]
    pub terms: Option<String>,
    #[serde(default)]
    pub warned: bool,
}

/// Where a round is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Where the round begins: the copy has everything up to here.
    pub since: ModSeq,
    /// Where it ends, which its first page decides. What changes meanwhile is in this round or in the next one.
    pub upto: Option<ModSeq>,
    pub stage: Stage,
}

/// What comes next in a round, each after the key that the last page ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    References { after: Option<i64> },
    Mailboxes,
    Messages { after: (i64, Uuid) },
    Tombstones { after: (i64, i64, i64) },
    Uploads { after: Option<Uuid> },
    Queue { after: Option<Uuid> },
    Account,
}

impl Cursor {
    /// A round that begins after this modseq; 0 for a copy that has nothing.
    #[must_use]
    pub const fn after(since: ModSeq) -> Self {
        Self { since, upto: None, stage: Stage::References { after: None } }
    }
}

/// A part of a round: some hundreds of records, and some MiB (one body more at the most).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// `None`: the round is over.
    pub next: Option<Cursor>,
}

impl Page {
    /// The blobs that its records name, each once.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobId> {
        let mut blobs = Vec::new();
        for record in &self.records {
            match record {
                Record::Body(body) => blobs.extend(&body.blobs),
                Record::Upload(upload) => blobs.push(upload.blob_id),
                _ => {}
            }
        }
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }
}

/// How many rows an account has in each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub mailboxes: u64,
    pub messages: u64,
    pub tombstones: u64,
    pub references: u64,
    pub bodies: u64,
    pub uploads: u64,
    pub queue: u64,
}

/// What two copies of an account have in common if they are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// Of everything, whatever the digest began with.
    pub counts: Counts,
    /// Records that the checksum is made of.
    pub records: u64,
    /// The sum of the records' hashes: their order does not matter.
    pub checksum: u128,
}

impl Digest {
    fn take_in(&mut self, records: &[Record], bodies: &mut HashSet<Uuid>) -> Result<()> {
        for record in records {
            match record {
                // How a copy was cut into pages is no part of it.
                Record::Uploads(_) | Record::Queue(_) => {}
                Record::Body(body) if !bodies.insert(body.id) => {}
                record => self.add(record)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        self.checksum = self.checksum.wrapping_add(hash(record)?);
        self.records += 1;
        Ok(())
    }
}

/// What tells a record from others; sums of it do not depend on the records' order.
pub fn hash(record: &Record) -> Result<u128> {
    let bytes = postcard::to_allocvec(record).map_err(|error| Error::Backend(error.into()))?;
    let hash = blake3::hash(&bytes);
    let (half, _) = hash.as_bytes().split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    Ok(u128::from_le_bytes(*half))
}

/// The digest of what a round after `since` holds, and of all counts. With 0, everything of the account is read.
pub async fn digest(snapshot: &mut dyn Snapshot, account: AccountId, since: ModSeq) -> Result<Digest> {
    let mut digest = Digest { counts: snapshot.counts(account).await?, ..Digest::default() };
    let mut bodies = HashSet::new();
    let mut cursor = Some(Cursor::after(since));
    while let Some(at) = cursor {
        let page = snapshot.export(account, at).await?;
        digest.take_in(&page.records, &mut bodies)?;
        cursor = page.next;
    }
    Ok(digest)
}

/// The same of a round that was read already, and the counts of the same moment.
pub fn digest_of(records: &[Record], counts: Counts) -> Result<Digest> {
    let mut digest = Digest { counts, ..Digest::default() };
    digest.take_in(records, &mut HashSet::new())?;
    Ok(digest)
}

/// Bytes as they are, or in Base64 where the format is for people.
mod bytes {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            BASE64_STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
        } else {
            <&[u8]>::deserialize(deserializer).map(<[u8]>::to_vec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_as_json_and_as_bytes() {
        let record = Record::Body(Body {
            id: Uuid::from_u128(7),
            size_bytes: 3,
            refs: 1,
            structure: vec![0, 255],
            layout: Vec::new(),
            inline: vec![1; 40],
            blobs: vec![BlobId([9; 32])],
        });
        let json = serde_json::to_string(&record).unwrap();
        assert!(json.starts_with(r#"{"body":{"id":"00000000-0000-0000-0000-000000000007","#), "{json}");
        assert!(json.contains(r#""structure":"AP8=""#), "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        let bytes = postcard::to_allocvec(&record).unwrap();
        assert_eq!(postcard::from_bytes::<Record>(&bytes).unwrap(), record);
    }
}
