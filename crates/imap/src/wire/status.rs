//! Status responses (RFC 9051 §7.1): how something went, with a code for programs and a text for people.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Ok,
    /// It could not be done.
    No,
    /// It was not understood, or not allowed now.
    Bad,
}

/// A response code (RFC 9051 §7.1, RFC 5530, and the extensions').
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    Alert,
    AlreadyExists,
    AppendUid {
        uid_validity: u32,
        uids: String,
    },
    AuthenticationFailed,
    BadCharset,
    /// RFC 5465: those that can be had.
    BadEvent,
    BadUrl(String),
    Cannot,
    Capability(String),
    ClientBug,
    Closed,
    CompressionActive,
    CopyUid {
        uid_validity: u32,
        from: String,
        to: String,
    },
    ExpungeIssued,
    HasChildren,
    HighestModSeq(u64),
    /// RFC 9585: the command goes on; how much is done, and of how much, where that is known.
    InProgress {
        tag: String,
        done: Option<u64>,
        of: Option<u64>,
    },
    InUse,
    Limit,
    MailboxId(String),
    /// RFC 9738: how many messages a command is carried out for, and the lowest UID that it got to.
    MessageLimit {
        limit: u32,
        lowest: Option<u32>,
    },
    /// RFC 5464: the longest that was left out.
    MetadataLongEntries(u64),
    /// The longest that is taken.
    MetadataMaxSize(u64),
    MetadataTooMany,
    Modified(String),
    NonExistent,
    NoPerm,
    NotSaved,
    /// RFC 5267: the search of this tag is not kept up to date.
    NoUpdate(String),
    OverQuota,
    Parse,
    PermanentFlags(String),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    /// RFC 9586
    UidRequired,
    UidValidity(u32),
    Unavailable,
    UnknownCte,
    Unseen(u32),
    UseAttr,
}

/// What a command is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub condition: Condition,
    pub code: Option<Code>,
    pub text: Cow<'static, str>,
}

impl Status {
    #[must_use]
    pub const fn ok(text: &'static str) -> Self {
        Self { condition: Condition::Ok, code: None, text: Cow::Borrowed(text) }
    }

    #[must_use]
    pub const fn no(text: &'static str) -> Self {
        Self { condition: Condition::No, code: None, text: Cow::Borrowed(text) }
    }

    #[must_use]
    pub const fn bad(text: &'static str) -> Self {
        Self { condition: Condition::Bad, code: None, text: Cow::Borrowed(text) }
    }

    #[must_use]
    pub fn with(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    #[must_use]
    pub fn with_text(mut self, text: String) -> Self {
        self.text = Cow::Owned(text);
        self
    }

    /// `OK [CODE] text`
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(match self.condition {
            Condition::Ok => "OK ",
            Condition::No => "NO ",
            Condition::Bad => "BAD ",
        });
        if let Some(code) = &self.code {
            out.push('[');
            code.write(out);
            out.push_str("] ");
        }
        // What a client sent may be in the text: it must stay one line.
        out.extend(self.text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        if self.text.is_empty() {
            out.push('.');
        }
    }
}

/// `resp-text-code` ends at a bracket, and stays on its line.
fn plain(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() && *c != ']' || *c == ' ';
    text.chars().filter(is_plain).take(1_000).collect()
}

impl Code {
    fn write(&self, out: &mut String) {
        let name = match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::BadEvent => {
                "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
                MailboxMetadataChange ServerMetadataChange)"
            }
            Self::Cannot => "CANNOT",
            Self::ClientBug => "CLIENTBUG",
            Self::Closed => "CLOSED",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::MetadataTooMany => "METADATA TOOMANY",
            Self::NonExistent => "NONEXISTENT",
            Self::NoPerm => "NOPERM",
            Self::NotSaved => "NOTSAVED",
            Self::OverQuota => "OVERQUOTA",
            Self::Parse => "PARSE",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::UidNotSticky => "UIDNOTSTICKY",
            Self::UidRequired => "UIDREQUIRED",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::UseAttr => "USEATTR",
            other => return other.write_with_value(out),
        };
        out.push_str(name);
    }

    fn write_with_value(&self, out: &mut String) {
        let _ = match self {
            Self::AppendUid { uid_validity, uids } => write!(out, "APPENDUID {uid_validity} {uids}"),
            Self::BadUrl(url) => write!(out, "BADURL {}", plain(url)),
            Self::Capability(all) => write!(out, "CAPABILITY {all}"),
            Self::CopyUid { uid_validity, from, to } => write!(out, "COPYUID {uid_validity} {from} {to}"),
            Self::HighestModSeq(modseq) => write!(out, "HIGHESTMODSEQ {modseq}"),
            Self::InProgress { tag, done, of } => {
                let number =
                    |number: &Option<u64>| number.map_or("NIL".to_owned(), |number| number.to_string());
                let of = of.filter(|of| *of > 0 && done.is_some());
                write!(out, "INPROGRESS (\"{tag}\" {} {})", number(done), number(&of))
            }
            Self::MailboxId(id) => write!(out, "MAILBOXID ({id})"),
            Self::MessageLimit { limit, lowest: None } => write!(out, "MESSAGELIMIT {limit}"),
            Self::MessageLimit { limit, lowest: Some(uid) } => write!(out, "MESSAGELIMIT {limit} {uid}"),
            Self::MetadataLongEntries(bytes) => write!(out, "METADATA LONGENTRIES {bytes}"),
            Self::MetadataMaxSize(bytes) => write!(out, "METADATA MAXSIZE {bytes}"),
            Self::Modified(set) => write!(out, "MODIFIED {set}"),
            Self::NoUpdate(tag) => write!(out, "NOUPDATE \"{tag}\""),
            Self::PermanentFlags(flags) => write!(out, "PERMANENTFLAGS ({flags})"),
            Self::UidNext(uid) => write!(out, "UIDNEXT {uid}"),
            Self::UidValidity(validity) => write!(out, "UIDVALIDITY {validity}"),
            Self::Unseen(number) => write!(out, "UNSEEN {number}"),
            _ => Ok(()),
        };
    }
}
