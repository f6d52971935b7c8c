//! Bytes to commands, by the rules of RFC 9051 §9 and of the extensions.

use types::Secret;

use super::command::{
    Append, CatPart, Command, Content, Enabled, Fetch, MailboxName, Qresync, Rights, Select, Store,
    StoreMode, Tag, status_items,
};
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::date::parse_internal_date;
use super::fetch;
use super::flag::Flag;
use super::list::{List, Pattern, SpecialUse};
use super::metadata::{self, Wanted};
use super::multi::MultiSearch;
use super::notify::Notify;
use super::search::{Search, Sort, Thread, partial};
use super::set::SequenceSet;

/// What is wrong with a command, and what it was tagged with, if that much could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub tag: Option<Tag>,
    /// `None`: there is no such command.
    pub syntax: Option<SyntaxError>,
}

/// Messages of an APPEND, and pairs of an ID.
const MAX_MESSAGES: usize = 1_000;
const MAX_ID: usize = 30;
/// Parts that a message is put together from; each may be a message that is read.
const MAX_PARTS: usize = 200;

/// Reads a whole command, its literals in it, without the line break at its end.
///
/// # Errors
/// What is wrong with it.
pub fn parse(bytes: &[u8], utf8: bool) -> Result<(Tag, Command), ParseError> {
    let mut cursor = Cursor::new(bytes, utf8);
    let tag = Tag::parse(&mut cursor).map_err(|error| ParseError { tag: None, syntax: Some(error) })?;
    let read = |cursor: &mut Cursor<'_>| -> Parsed<Option<Command>> {
        cursor.sp()?;
        let name = cursor.word()?;
        let command = command(&name, cursor)?;
        if command.is_some() {
            cursor.end()?;
        }
        Ok(command)
    };
    match read(&mut cursor) {
        Ok(Some(command)) => Ok((tag, command)),
        Ok(None) => Err(ParseError { tag: Some(tag), syntax: None }),
        Err(error) => Err(ParseError { tag: Some(tag), syntax: Some(error) }),
    }
}

fn command(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Option<Command>> {
    Ok(Some(match name {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "UNAUTHENTICATE" => Command::Unauthenticate,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge,
        "SEARCH" | "SORT" | "THREAD" | "FETCH" | "STORE" | "COPY" | "MOVE" | "REPLACE" => {
            message_command(name, cursor, false)?
        }
        "ESEARCH" => Command::MultiSearch(MultiSearch::parse(cursor)?),
        "UID" => {
            cursor.sp()?;
            let name = cursor.word()?;
            if name == "EXPUNGE" {
                cursor.sp()?;
                Command::UidExpunge(SequenceSet::parse(cursor)?)
            } else {
                message_command(&name, cursor, true)?
            }
        }
        _ => {
            let mut ahead = cursor.clone();
            let Some(command) = with_arguments(name, &mut ahead)? else { return Ok(None) };
            *cursor = ahead;
            command
        }
    }))
}

/// Commands with arguments that need no message.
const NAMES: [&str; 29] = [
    "CANCELUPDATE",
    "NOTIFY",
    "GETMETADATA",
    "SETMETADATA",
    "ID",
    "COMPRESS",
    "AUTHENTICATE",
    "LOGIN",
    "ENABLE",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "APPEND",
    "GETQUOTA",
    "GETQUOTAROOT",
    "SETQUOTA",
    "MYRIGHTS",
    "GETACL",
    "LISTRIGHTS",
    "SETACL",
    "DELETEACL",
    "XLIST",
];

/// Commands of an account.
fn with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Option<Command>> {
    if !NAMES.contains(&name) {
        return Ok(None);
    }
    cursor.sp()?;
    let mailbox = MailboxName::parse;
    Ok(Some(match name {
        "ID" => Command::Id(id(cursor)?),
        "AUTHENTICATE" => authenticate(cursor)?,
        "COMPRESS" => match cursor.word()?.as_str() {
            "DEFLATE" => Command::Compress,
            _ => return Err(SyntaxError("the only compression is DEFLATE")),
        },
        "LOGIN" => {
            let user = cursor.astring_text()?;
            cursor.sp()?;
            Command::Login { user, password: Secret::new(cursor.astring_text()?) }
        }
        "ENABLE" => Command::Enable(enable(cursor)?),
        "SELECT" => Command::Select(select(cursor, false)?),
        "EXAMINE" => Command::Select(select(cursor, true)?),
        "CREATE" => create(cursor)?,
        "DELETE" => Command::Delete(mailbox(cursor)?),
        "RENAME" => {
            let from = mailbox(cursor)?;
            cursor.sp()?;
            Command::Rename { from, to: mailbox(cursor)? }
        }
        "SUBSCRIBE" => Command::Subscribe(mailbox(cursor)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox(cursor)?),
        "LIST" => Command::List(List::parse(cursor)?),
        "LSUB" => {
            let reference = Pattern::parse(cursor)?;
            cursor.sp()?;
            Command::Lsub { reference, pattern: Pattern::parse(cursor)? }
        }
        "STATUS" => {
            let mailbox = mailbox(cursor)?;
            cursor.sp()?;
            Command::Status { mailbox, items: status_items(cursor)? }
        }
        "APPEND" => append(cursor)?,
        "NOTIFY" => Command::Notify(Notify::parse(cursor)?),
        "CANCELUPDATE" => Command::CancelUpdate(tags(cursor)?),
        "GETMETADATA" => {
            let (mailbox, wanted) = Wanted::parse_command(cursor)?;
            Command::GetMetadata { mailbox, wanted }
        }
        "SETMETADATA" => {
            let (mailbox, entries) = metadata::set(cursor)?;
            Command::SetMetadata { mailbox, entries }
        }
        "GETQUOTA" => Command::GetQuota(cursor.astring_text()?),
        "GETQUOTAROOT" => Command::GetQuotaRoot(mailbox(cursor)?),
        "SETQUOTA" => set_quota(cursor)?,
        "MYRIGHTS" => Command::MyRights(mailbox(cursor)?),
        "GETACL" => Command::GetAcl(mailbox(cursor)?),
        "LISTRIGHTS" | "DELETEACL" => {
            let mailbox = mailbox(cursor)?;
            cursor.sp()?;
            let identifier = cursor.astring_text()?;
            match name {
                "LISTRIGHTS" => Command::ListRights { mailbox, identifier },
                _ => Command::DeleteAcl { mailbox, identifier },
            }
        }
        "SETACL" => {
            let mailbox = mailbox(cursor)?;
            cursor.sp()?;
            let identifier = cursor.astring_text()?;
            cursor.sp()?;
            Command::SetAcl(Rights { mailbox, identifier, rights: cursor.astring_text()? })
        }
        _ => return Ok(None),
    }))
}

/// RFC 5267 §5: `1*(SP quoted)`, after the first space.
fn tags(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    let mut tags = Vec::new();
    loop {
        tags.push(super::cursor::into_text(cursor.string()?)?);
        if !cursor.eat(b' ') {
            return Ok(tags);
        }
    }
}

/// RFC 2971: `"ID" SP id_params_list`
fn id(cursor: &mut Cursor<'_>) -> Parsed<Vec<(String, Option<String>)>> {
    if cursor.eat_text("NIL") {
        return Ok(Vec::new());
    }
    let pairs = cursor.list(|cursor| {
        let field = super::cursor::into_text(cursor.string()?)?;
        cursor.sp()?;
        Ok((field, cursor.nstring()?.map(|value| String::from_utf8_lossy(&value).into_owned())))
    })?;
    if pairs.len() > MAX_ID { Err(SyntaxError("an ID has at most 30 fields")) } else { Ok(pairs) }
}

/// `"AUTHENTICATE" SP auth-type [SP initial-resp]`
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mechanism = cursor.word().map_err(|_| SyntaxError("the name of the mechanism is missing"))?;
    let initial = if cursor.eat(b' ') {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        Some(Secret::new(cursor.chars(is_base64, "the initial response is not Base64")?.to_owned()))
    } else {
        None
    };
    Ok(Command::Authenticate { mechanism, initial })
}

fn enable(cursor: &mut Cursor<'_>) -> Parsed<Vec<Enabled>> {
    let mut all = Vec::new();
    loop {
        all.push(match cursor.word()?.as_str() {
            "IMAP4REV2" => Enabled::Imap4Rev2,
            "CONDSTORE" => Enabled::CondStore,
            "QRESYNC" => Enabled::QResync,
            "UTF8=ACCEPT" => Enabled::Utf8Accept,
            "UIDONLY" => Enabled::UidOnly,
            _ => Enabled::Unknown,
        });
        if !cursor.eat(b' ') {
            return Ok(all);
        }
    }
}

/// `("SELECT" / "EXAMINE") SP mailbox [SP "(" select-param *(SP select-param) ")"]`
fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<Select> {
    let mut select =
        Select { mailbox: MailboxName::parse(cursor)?, read_only, condstore: false, qresync: None };
    if cursor.eat(b' ') {
        cursor.list(|cursor| {
            match cursor.word()?.as_str() {
                "CONDSTORE" => select.condstore = true,
                "QRESYNC" => {
                    cursor.sp()?;
                    select.qresync = Some(qresync(cursor)?);
                }
                _ => return Err(SyntaxError("a parameter is not known")),
            }
            Ok(())
        })?;
    }
    Ok(select)
}

/// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP "(" seq-set SP uid-set ")"] ")"`
fn qresync(cursor: &mut Cursor<'_>) -> Parsed<Qresync> {
    cursor.byte(b'(', "a parenthesis is missing")?;
    let uid_validity = cursor.nz_number()?;
    cursor.sp()?;
    let modseq = cursor.number64()?;
    let (mut known, mut pairs) = (None, None);
    while cursor.eat(b' ') {
        if cursor.eat(b'(') {
            let numbers = SequenceSet::parse(cursor)?;
            cursor.sp()?;
            pairs = Some((numbers, SequenceSet::parse(cursor)?));
            cursor.byte(b')', "a parenthesis is missing")?;
        } else if known.is_none() && pairs.is_none() {
            known = Some(SequenceSet::parse(cursor)?);
        } else {
            return Err(SyntaxError("a parameter of QRESYNC is one too many"));
        }
    }
    cursor.byte(b')', "a parenthesis is missing")?;
    Ok(Qresync { uid_validity, modseq, known, pairs })
}

/// `"CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`
fn create(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mailbox = MailboxName::parse(cursor)?;
    let mut uses = Vec::new();
    if cursor.eat(b' ') {
        cursor.list(|cursor| {
            cursor.text("USE", "a parameter is not known")?;
            cursor.sp()?;
            uses = cursor.list(SpecialUse::parse)?;
            Ok(())
        })?;
    }
    Ok(Command::Create { mailbox, uses })
}

/// RFC 9208 §4.1.3; the limits themselves are the operator's, so what is wished for is not kept.
fn set_quota(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.astring()?;
    cursor.sp()?;
    cursor.list(|cursor| {
        cursor.atom()?;
        cursor.sp()?;
        cursor.number64()
    })?;
    Ok(Command::SetQuota)
}

/// RFC 3502: `"APPEND" SP mailbox 1*append-message`
fn append(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mailbox = MailboxName::parse(cursor)?;
    let mut messages = Vec::new();
    loop {
        cursor.sp()?;
        messages.push(append_message(cursor)?);
        if messages.len() > MAX_MESSAGES {
            return Err(SyntaxError("these are too many messages at once"));
        }
        if cursor.is_at_end() {
            return Ok(Command::Append { mailbox, messages });
        }
    }
}

/// `[flag-list SP] [date-time SP] append-data`
fn append_message(cursor: &mut Cursor<'_>) -> Parsed<Append> {
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = Flag::parse_list(cursor)?;
        cursor.sp()?;
    }
    let mut received_at = None;
    if cursor.peek() == Some(b'"') {
        let date = cursor.string()?;
        let quoted: Vec<u8> = [b"\"", &*date, b"\""].concat();
        received_at = Some(parse_internal_date(&quoted)?);
        cursor.sp()?;
    }
    if cursor.eat_text("CATENATE ") {
        let content = Content::Catenate(catenate(cursor)?);
        return Ok(Append { flags, received_at, content });
    }
    // RFC 6855 §4
    let bytes = if cursor.eat_text("UTF8 (") {
        let bytes = cursor.literal()?;
        cursor.byte(b')', "a parenthesis is missing")?;
        bytes
    } else {
        cursor.literal()?
    };
    Ok(Append { flags, received_at, content: Content::Bytes(bytes.to_vec()) })
}

/// RFC 4469 §5: `"CATENATE" SP "(" cat-part *(SP cat-part) ")"`
fn catenate(cursor: &mut Cursor<'_>) -> Parsed<Vec<CatPart>> {
    let parts = cursor.list(|cursor| match cursor.word()?.as_str() {
        "TEXT" => {
            cursor.sp()?;
            cursor.literal().map(|text| CatPart::Text(text.to_vec()))
        }
        "URL" => {
            cursor.sp()?;
            cursor.astring_text().map(CatPart::Url)
        }
        _ => Err(SyntaxError("a part to be put together is not known")),
    })?;
    if parts.len() > MAX_PARTS { Err(SyntaxError("these are too many parts")) } else { Ok(parts) }
}

/// Commands about messages, by sequence numbers or by UIDs.
fn message_command(name: &str, cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    match name {
        "SEARCH" => return Ok(Command::Search { search: Search::parse(cursor)?, uid }),
        "SORT" => return Ok(Command::Sort { sort: Sort::parse(cursor)?, uid }),
        "THREAD" => return Ok(Command::Thread { thread: Thread::parse(cursor)?, uid }),
        _ => {}
    }
    cursor.sp()?;
    if name == "REPLACE" {
        let message = cursor.nz_number()?;
        cursor.sp()?;
        let mailbox = MailboxName::parse(cursor)?;
        cursor.sp()?;
        return Ok(Command::Replace { message, mailbox, with: append_message(cursor)?, uid });
    }
    let set = SequenceSet::parse(cursor)?;
    cursor.sp()?;
    Ok(match name {
        "FETCH" => Command::Fetch { fetch: fetch(cursor, set)?, uid },
        "STORE" => Command::Store { store: store(cursor, set)?, uid },
        "COPY" => Command::Copy { set, mailbox: MailboxName::parse(cursor)?, uid },
        "MOVE" => Command::Move { set, mailbox: MailboxName::parse(cursor)?, uid },
        _ => return Err(SyntaxError("there is no such command by UIDs")),
    })
}

/// `fetch-items [SP "(" fetch-modifier *(SP fetch-modifier) ")"]`
fn fetch(cursor: &mut Cursor<'_>, set: SequenceSet) -> Parsed<Fetch> {
    let items = fetch::items(cursor)?;
    let mut fetch = Fetch { set, items, changed_since: None, vanished: false, partial: None };
    if cursor.eat(b' ') {
        cursor.list(|cursor| {
            match cursor.word()?.as_str() {
                "CHANGEDSINCE" => {
                    cursor.sp()?;
                    fetch.changed_since = Some(cursor.number64()?);
                }
                "VANISHED" => fetch.vanished = true,
                "PARTIAL" => {
                    cursor.sp()?;
                    fetch.partial = Some(partial(cursor)?);
                }
                _ => return Err(SyntaxError("a modifier is not known")),
            }
            Ok(())
        })?;
        if fetch.vanished && fetch.changed_since.is_none() {
            // RFC 7162 §3.2.6
            return Err(SyntaxError("VANISHED goes with CHANGEDSINCE"));
        }
    }
    Ok(fetch)
}

/// `[store-modifiers SP] (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))`
fn store(cursor: &mut Cursor<'_>, set: SequenceSet) -> Parsed<Store> {
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        cursor.list(|cursor| {
            cursor.text("UNCHANGEDSINCE ", "a modifier is not known")?;
            unchanged_since = Some(cursor.number64()?);
            Ok(())
        })?;
        cursor.sp()?;
    }
    let mode = if cursor.eat(b'+') {
        StoreMode::Add
    } else if cursor.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    cursor.text("FLAGS", "flags are the only thing that can be stored")?;
    let silent = cursor.eat_text(".SILENT");
    cursor.sp()?;
    let flags = if cursor.peek() == Some(b'(') {
        Flag::parse_list(cursor)?
    } else {
        let mut flags = vec![Flag::parse(cursor)?];
        while cursor.eat(b' ') {
            flags.push(Flag::parse(cursor)?);
        }
        flags
    };
    Ok(Store { set, unchanged_since, mode, silent, flags })
}
