//! The commands, each with arguments that were checked.

use types::{Secret, Timestamp};

use super::cursor::{Cursor, Parsed, SyntaxError, is_atom_char};
use super::fetch::Item;
use super::flag::Flag;
use super::list::{List, Pattern, SpecialUse};
use super::metadata::{Entries, Wanted};
use super::multi::MultiSearch;
use super::notify::Notify;
use super::search::{Search, Sort, Thread};
use super::set::SequenceSet;
use super::utf7;

/// What a command and its answer are paired by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(String);

/// A mailbox by its whole name, in UTF-8; the inbox is always `INBOX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxName(pub String);

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    // In any state.
    Capability,
    Noop,
    Logout,
    /// RFC 2971: what the client calls itself.
    Id(Vec<(String, Option<String>)>),
    // Before logging in.
    StartTls,
    Authenticate {
        mechanism: String,
        initial: Option<Secret>,
    },
    Login {
        user: String,
        password: Secret,
    },
    // Once logged in.
    Enable(Vec<Enabled>),
    Select(Select),
    Create {
        mailbox: MailboxName,
        uses: Vec<SpecialUse>,
    },
    Delete(MailboxName),
    Rename {
        from: MailboxName,
        to: MailboxName,
    },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(List),
    Lsub {
        reference: Pattern,
        pattern: Pattern,
    },
    Namespace,
    Status {
        mailbox: MailboxName,
        items: Vec<StatusItem>,
    },
    Append {
        mailbox: MailboxName,
        messages: Vec<Append>,
    },
    Idle,
    /// RFC 5464; without a name: of the account.
    GetMetadata {
        mailbox: MailboxName,
        wanted: Wanted,
    },
    SetMetadata {
        mailbox: MailboxName,
        entries: Entries,
    },
    GetQuota(String),
    GetQuotaRoot(MailboxName),
    SetQuota,
    /// RFC 4314
    MyRights(MailboxName),
    GetAcl(MailboxName),
    ListRights {
        mailbox: MailboxName,
        identifier: String,
    },
    SetAcl(Rights),
    DeleteAcl {
        mailbox: MailboxName,
        identifier: String,
    },
    /// RFC 8437
    Unauthenticate,
    /// RFC 4978: by DEFLATE.
    Compress,
    /// RFC 5465
    Notify(Notify),
    /// RFC 5267: of the searches with these tags no more is told.
    CancelUpdate(Vec<String>),
    /// RFC 7377
    MultiSearch(MultiSearch),
    // With a mailbox selected.
    Check,
    Close,
    Unselect,
    Expunge,
    UidExpunge(SequenceSet),
    Search {
        search: Search,
        uid: bool,
    },
    Sort {
        sort: Sort,
        uid: bool,
    },
    Thread {
        thread: Thread,
        uid: bool,
    },
    Fetch {
        fetch: Fetch,
        uid: bool,
    },
    Store {
        store: Store,
        uid: bool,
    },
    Copy {
        set: SequenceSet,
        mailbox: MailboxName,
        uid: bool,
    },
    Move {
        set: SequenceSet,
        mailbox: MailboxName,
        uid: bool,
    },
    /// RFC 8508
    Replace {
        message: u32,
        mailbox: MailboxName,
        with: Append,
        uid: bool,
    },
}

/// RFC 5161: what can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    Imap4Rev2,
    CondStore,
    QResync,
    Utf8Accept,
    /// RFC 9586
    UidOnly,
    Unknown,
}

/// SELECT or EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    pub mailbox: MailboxName,
    pub read_only: bool,
    pub condstore: bool,
    pub qresync: Option<Qresync>,
}

/// RFC 7162 §3.2.5: what the client knows of the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    pub uid_validity: u32,
    pub modseq: u64,
    pub known: Option<SequenceSet>,
    /// Sequence numbers and the UIDs that they had.
    pub pairs: Option<(SequenceSet, SequenceSet)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    HighestModSeq,
    MailboxId,
    AppendLimit,
}

/// A message of an APPEND.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    pub flags: Vec<Flag>,
    pub received_at: Option<Timestamp>,
    pub content: Content,
}

/// Where the bytes of a message come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// From the command. Whether as a `literal8` makes no difference here.
    Bytes(Vec<u8>),
    /// RFC 4469
    Catenate(Vec<CatPart>),
}

/// A part that a message is put together from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatPart {
    Text(Vec<u8>),
    /// As it was written: what is wrong with it is told by a code.
    Url(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub set: SequenceSet,
    pub items: Vec<Item>,
    pub changed_since: Option<u64>,
    /// RFC 7162 §3.2.6
    pub vanished: bool,
    /// RFC 9394 §3.3: of what is asked for, as in [`super::Options::partial`].
    pub partial: Option<(i64, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub set: SequenceSet,
    pub unchanged_since: Option<u64>,
    pub mode: StoreMode,
    pub silent: bool,
    pub flags: Vec<Flag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    Replace,
    Add,
    Remove,
}

/// RFC 4314: who is given which rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub mailbox: MailboxName,
    pub identifier: String,
    pub rights: String,
}

/// Longer tags only waste what they are echoed with.
const MAX_TAG: usize = 256;

impl Tag {
    /// `tag = 1*<any ASTRING-CHAR except "+">`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let is_tag_char = |byte: u8| (is_atom_char(byte) || byte == b']') && byte != b'+';
        let tag = cursor.chars(is_tag_char, "a command begins with a tag")?;
        if tag.len() > MAX_TAG { Err(SyntaxError("the tag is too long")) } else { Ok(Self(tag.to_owned())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MailboxName {
    /// `mailbox = "INBOX" / astring`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let text = cursor.astring_text()?;
        // RFC 6855 §3, RFC 9051 §5.1: clients that have not said so may write UTF-8, too, and UTF-7 has no such bytes.
        let name = if cursor.utf8 || !text.is_ascii() {
            text
        } else {
            utf7::decode(&text).ok_or(SyntaxError("the name of the mailbox is not modified UTF-7"))?
        };
        Ok(Self::new(name))
    }

    /// The name, with the inbox in capitals, also as the first level (RFC 9051 §5.1).
    #[must_use]
    pub fn new(name: String) -> Self {
        match name.split_once('/') {
            _ if name.eq_ignore_ascii_case("INBOX") => Self("INBOX".to_owned()),
            Some((first, rest)) if first.eq_ignore_ascii_case("INBOX") => Self(format!("INBOX/{rest}")),
            Some(_) | None => Self(name),
        }
    }
}

/// There are ten.
const MAX_STATUS_ITEMS: usize = 20;

/// `"(" status-att *(SP status-att) ")"`
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let items = cursor.list(|cursor| {
        Ok(match cursor.word()?.as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "MAILBOXID" => StatusItem::MailboxId,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            _ => return Err(SyntaxError("a status item is not known")),
        })
    })?;
    match items.len() {
        0 => Err(SyntaxError("nothing is asked for")),
        1..=MAX_STATUS_ITEMS => Ok(items),
        _ => Err(SyntaxError("too much is asked for at once")),
    }
}
