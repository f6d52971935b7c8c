//! The requests and answers of the REST API and the WebSocket: one definition for server, browser and documents.
//!
//! Ids are strings, times RFC 3339. Fields may be added; none is ever renamed or removed.

mod session;
mod unsubscribe;

use serde::{Deserialize, Serialize};

use crate::{AccountId, Address, MailboxId, MessageId, ModSeq, Role, ThreadId, Timestamp, UploadId};

pub use session::{Account, AppPassword, AppPasswords, Login, MadeAppPassword, NewAppPassword, Session};
pub use unsubscribe::Unsubscribe;

/// A folder with its counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Folder {
    pub id: MailboxId,
    pub name: String,
    pub role: Option<Role>,
    pub parent_id: Option<MailboxId>,
    pub total: u64,
    pub unread: u64,
}

/// `GET /v1/folders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Folders {
    pub folders: Vec<Folder>,
}

/// `POST /v1/folders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewFolder {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<MailboxId>,
}

/// `PATCH /v1/folders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameFolder {
    pub name: String,
}

/// A line of a message list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub folder_id: MailboxId,
    pub from: Address,
    pub to: Vec<Address>,
    pub subject: String,
    /// The first words of the text, on one line.
    pub preview: String,
    pub received_at: Timestamp,
    /// Bytes as received.
    pub size: u64,
    pub unread: bool,
    pub flagged: bool,
    #[serde(default)]
    pub answered: bool,
    #[serde(default)]
    pub forwarded: bool,
    #[serde(default)]
    pub draft: bool,
    pub labels: Vec<String>,
    pub has_attachments: bool,
    /// In search results: the words around the first hit, as HTML-escaped text with `<mark>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// For mail that was sent from here: how each recipient fares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery: Vec<Delivery>,
}

/// What became of a sent mail for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    pub recipient: String,
    pub state: DeliveryState,
    /// The other side's words, where it had any; our own where nobody else was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// When it is tried again; while it is queued, when it is to go, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

impl Delivery {
    /// The reply where an operator took the mail out of the queue.
    pub const DROPPED: &str = "Removed from the queue by the operator";
    /// The same while it was being sent: nobody knows whether it arrived.
    pub const CUT_OFF: &str =
        "Removed from the queue by the operator while it was being sent; it may have arrived";
}

/// The states of [`Delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryState {
    Queued,
    Deferred,
    Delivered,
    Failed,
}

/// `GET /v1/folders/{id}/messages`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page {
    pub messages: Vec<Summary>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// `GET /v1/search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Found {
    pub messages: Vec<Summary>,
    pub next: Option<String>,
    /// How many messages match in all; an estimate where `total_is_estimate`.
    pub total: u64,
    #[serde(default)]
    pub total_is_estimate: bool,
}

/// `GET /v1/messages/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    #[serde(flatten)]
    pub summary: Summary,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub reply_to: Vec<Address>,
    pub sent_at: Option<Timestamp>,
    /// The Message-ID header, without its angle brackets.
    pub message_id: Option<String>,
    /// The message-ids of References and In-Reply-To, oldest first.
    #[serde(default)]
    pub references: Vec<String>,
    /// The plain text; made from the HTML where the mail has no other.
    pub text: String,
    /// Already safe: no scripts, no forms, nothing that is loaded from outside. Remote images wait under `data-src`.
    pub html: Option<String>,
    /// Whether `html` left out images from elsewhere.
    #[serde(default)]
    pub has_remote_images: bool,
    pub attachments: Vec<Attachment>,
    /// Every header field in order, decoded.
    pub headers: Vec<(String, String)>,
    /// What SPF, DKIM and DMARC said when the mail came in.
    pub auth: Option<Auth>,
    /// How the list is left that it came from; none of mail that is of no list, or whose author is forged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Unsubscribe>,
}

/// Verdicts in the words of RFC 8601 (`pass`, `fail`, `none`, …).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Auth {
    pub spf: String,
    pub dkim: String,
    pub dmarc: String,
}

/// A part of a message that can be saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attachment {
    /// The IMAP section number of the part (RFC 9051 §6.4.5), e.g. `2.1`.
    pub id: String,
    /// Safe to save under: no folders, no control or direction characters.
    pub filename: String,
    pub content_type: String,
    /// Bytes when decoded; an estimate within three for base64.
    pub size: u64,
    /// Shown inside the text rather than below it.
    pub inline: bool,
}

/// `GET /v1/threads/{id}`: oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thread {
    pub messages: Vec<Summary>,
}

/// `PATCH /v1/messages/{id}`; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Patch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flagged: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_id: Option<MailboxId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_labels: Vec<String>,
}

/// `PATCH /v1/messages`: the same change for many.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchMany {
    pub ids: Vec<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flagged: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_id: Option<MailboxId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_labels: Vec<String>,
}

impl PatchMany {
    /// The messages and the change.
    #[must_use]
    pub fn split(self) -> (Vec<MessageId>, Patch) {
        let Self { ids, unread, flagged, folder_id, add_labels, remove_labels } = self;
        (ids, Patch { unread, flagged, folder_id, add_labels, remove_labels })
    }
}

/// The summaries after a `PATCH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Changed {
    pub messages: Vec<Summary>,
}

/// `POST /v1/attachments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Uploaded {
    pub id: UploadId,
    pub filename: String,
    pub content_type: String,
    pub size: u64,
}

/// `POST /v1/messages`: send, or keep as a draft.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// The address to send as: one of the account's own, or of somebody whose inbox it may post to. Its main address if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default)]
    pub to: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<Address>,
    #[serde(default)]
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Ids of uploads; or `message_id/part`, e.g. `0190…/2`, for an attachment of a stored message (forward, draft), and
    /// `owner/folder/message_id/part` for one in a folder that somebody else shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// The message that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// The message that this passes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_of: Option<MessageId>,
    /// The folder that these are in, where somebody else shares it. There they are marked as answered and passed on only
    /// by whom their owner lets (`w`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedId>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Timestamp>,
    /// Not before so many seconds have passed, where there is no `send_at`: until then it can be taken back. No longer
    /// than the service lets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_for: Option<u32>,
    /// Keep it in Drafts instead of sending it.
    #[serde(default)]
    pub draft: bool,
    /// The draft that this takes the place of; it is removed in the same step. Where neither `in_reply_to` nor `forward_of`
    /// is there, or what they name is out of reach by now, this answers or passes on what the draft did, and no message is
    /// marked as answered or passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
}

/// Who may do what with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FolderAccess {
    /// Without the owner, who may do everything.
    pub people: Vec<Granted>,
}

/// Somebody who a folder is shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Granted {
    /// The main address of their account.
    pub email: String,
    /// Letters of RFC 4314: `l` sees it, `r` reads it, `s` marks as read, `w` changes other flags, `i` adds messages,
    /// `p` on an inbox sends in the owner's name, `k` makes folders in it, `x` deletes it, `t` marks as deleted,
    /// `e` expunges, `a` changes these rights.
    pub rights: String,
}

/// `GET /v1/shared`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SharedFolders {
    pub folders: Vec<SharedFolder>,
    /// What some people share is not known now: they may share more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// A folder that somebody else shares with you.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SharedFolder {
    pub owner_id: AccountId,
    /// The main address of the owner's account.
    pub owner: String,
    /// What the owner is called; may be empty.
    #[serde(default)]
    pub owner_name: String,
    pub id: MailboxId,
    /// The whole name, with slashes between its levels; the inbox is `Inbox`, as among your own folders.
    pub name: String,
    /// What you may do with it, in letters of RFC 4314 (see `Granted`). Reading takes `r`, changing messages what they
    /// are changed in: `s` whether they are unread, `w` stars and labels, `t` and `e` where they are.
    pub rights: String,
    /// If you may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// Another with each change of it or in it, if you may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modseq: Option<ModSeqNumber>,
}

/// A folder that somebody else shares with you, as paths name it: ids of folders are their owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SharedId {
    /// `owner_id` of the folder.
    pub owner: AccountId,
    pub folder: MailboxId,
}

impl SharedId {
    #[must_use]
    pub fn of(folder: &SharedFolder) -> Self {
        Self { owner: folder.owner_id, folder: folder.id }
    }

    /// The path of its messages.
    #[must_use]
    pub fn messages(self) -> String {
        format!("/v1/shared/{}/{}/messages", self.owner, self.folder)
    }
}

/// The rights that somebody is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantAccess {
    /// As in [`Granted::rights`]; at least one. The obsolete `c` stands for `kx`, and `d` for `te`.
    pub rights: String,
}

/// The answer to [`Compose`]: the Sent copy or the draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Composed {
    pub id: MessageId,
    pub thread_id: ThreadId,
}

/// What the browser says over `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ClientEvent {
    /// First, once: from where to catch up. Without `since`, only what changes from now on. With `shared`, what others
    /// share with you is told, too.
    Hello {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<ModSeqNumber>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shared: bool,
    },
}

/// What the server says over `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ServerEvent {
    /// Something changed. `modseq` is where to continue from.
    Changed(Change),
    /// All that had changed has been said; from here on it is live.
    Ready { modseq: ModSeqNumber },
    /// Too far behind to catch up piece by piece: load everything anew, then continue from `modseq`.
    Reset { modseq: ModSeqNumber },
    /// To whom has asked for it: everything that others share, after `ready` and whenever anything of it has changed.
    Shared(SharedFolders),
}

/// A change counter as a JSON number.
pub type ModSeqNumber = i64;

/// What changed after one modseq and up to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    pub modseq: ModSeqNumber,
    pub created: Vec<Summary>,
    pub updated: Vec<Summary>,
    pub removed: Vec<MessageId>,
    /// Folders whose name or counts changed, as they are now.
    pub folders: Vec<Folder>,
    /// Folders that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_folders: Vec<MailboxId>,
}

impl Change {
    #[must_use]
    pub fn modseq(&self) -> ModSeq {
        ModSeq(self.modseq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_documented_shape() {
        let hello: ClientEvent = serde_json::from_str(r#"{"type":"hello","since":12}"#).unwrap();
        assert_eq!(hello, ClientEvent::Hello { since: Some(12), shared: false });
        assert_eq!(
            serde_json::from_str::<ClientEvent>(r#"{"type":"hello"}"#).unwrap(),
            ClientEvent::Hello { since: None, shared: false }
        );
        let shared = ServerEvent::Shared(SharedFolders { folders: Vec::new(), incomplete: false });
        assert_eq!(serde_json::to_string(&shared).unwrap(), r#"{"type":"shared","folders":[]}"#);
        assert_eq!(
            serde_json::to_string(&ServerEvent::Ready { modseq: 3 }).unwrap(),
            r#"{"type":"ready","modseq":3}"#
        );
        let changed = serde_json::to_value(ServerEvent::Changed(Change::default())).unwrap();
        assert_eq!(changed["type"], "changed");
    }

    #[test]
    fn a_misspelt_member_is_refused() {
        assert!(serde_json::from_str::<Patch>(r#"{"unred":true}"#).is_err());
        assert!(serde_json::from_str::<Compose>(r#"{"to":[{"email":"a@b.c"}],"subject":"x"}"#).is_ok());
    }
}
