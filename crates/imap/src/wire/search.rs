//! SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5032, RFC 7162, RFC 8474).

use types::Flags;

use super::cursor::{Cursor, Parsed, SyntaxError};
use super::date::Date;
use super::flag::Flag;
use super::set::{Bound, SequenceSet};

/// A search: what for, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `None`: the plain form, answered by SEARCH rather than ESEARCH.
    pub options: Option<Options>,
    /// As the client wrote it; that of all strings.
    pub charset: Option<String>,
    pub key: Key,
}

/// RFC 4731 §3.1, RFC 5182 §2: what is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
    /// RFC 9394 §3.1: `PARTIAL 1:100`, or from the end `-1:-100`.
    pub partial: Option<(i64, i64)>,
    /// RFC 5267 §4.3: what changes in the result is told from now on.
    pub update: bool,
}

/// What a message must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    All,
    /// Sequence numbers.
    Set(SequenceSet),
    Uid(SequenceSet),
    Flags(Flags),
    Keyword(String),
    /// What no message can be here, e.g. RECENT.
    Nothing,
    Field(Field, Vec<u8>),
    Header(String, Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
    Received(Order, Date),
    /// RFC 8514: by when it came into the mailbox.
    Saved(Order, Date),
    Sent(Order, Date),
    Larger(u64),
    Smaller(u64),
    /// RFC 5032, in seconds.
    Older(u32),
    Younger(u32),
    /// RFC 7162: changed by this modseq or later.
    ModSeq(u64),
    EmailId(String),
    ThreadId(String),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
}

/// A field of the header that has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Bcc,
    Cc,
    From,
    Subject,
    To,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Before,
    On,
    Since,
}

/// RFC 5256: a SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// Each with whether it is reversed.
    pub keys: Vec<(SortKey, bool)>,
    pub search: Search,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    /// RFC 5957
    DisplayFrom,
    DisplayTo,
}

/// RFC 5256: a THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub algorithm: ThreadAlgorithm,
    pub search: Search,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
    /// draft-ietf-morg-inthread
    Refs,
}

/// Keys of a search in all, however they are nested.
const MAX_KEYS: usize = 1_000;

impl Search {
    /// `"SEARCH" [search-return-opts] SP search-program`, after `"SEARCH"`.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let options = options(cursor)?;
        cursor.sp()?;
        let mut charset = None;
        if cursor.eat_text("CHARSET ") {
            charset = Some(cursor.astring_text()?);
            cursor.sp()?;
        }
        Ok(Self { options, charset, key: program(cursor)? })
    }

    /// `charset SP search-criteria` of SORT and THREAD.
    fn parse_with_charset(cursor: &mut Cursor<'_>, options: Option<Options>) -> Parsed<Self> {
        let charset = Some(cursor.astring_text()?);
        cursor.sp()?;
        Ok(Self { options, charset, key: program(cursor)? })
    }
}

impl Sort {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let options = options(cursor)?;
        cursor.sp()?;
        let keys = cursor.list(|cursor| {
            let reverse = cursor.eat_text("REVERSE ");
            let key = match cursor.word()?.as_str() {
                "ARRIVAL" => SortKey::Arrival,
                "CC" => SortKey::Cc,
                "DATE" => SortKey::Date,
                "FROM" => SortKey::From,
                "SIZE" => SortKey::Size,
                "SUBJECT" => SortKey::Subject,
                "TO" => SortKey::To,
                "DISPLAYFROM" => SortKey::DisplayFrom,
                "DISPLAYTO" => SortKey::DisplayTo,
                _ => return Err(SyntaxError("a sort key is not known")),
            };
            Ok((key, reverse))
        })?;
        if keys.is_empty() || keys.len() > MAX_SORT_KEYS {
            return Err(SyntaxError("there are too few or too many sort keys"));
        }
        cursor.sp()?;
        Ok(Self { keys, search: Search::parse_with_charset(cursor, options)? })
    }
}

/// There are nine; who names more has nothing to say by them.
const MAX_SORT_KEYS: usize = 20;

impl Thread {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.sp()?;
        let algorithm = match cursor.word()?.as_str() {
            "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
            "REFERENCES" => ThreadAlgorithm::References,
            "REFS" => ThreadAlgorithm::Refs,
            _ => return Err(SyntaxError("the threading algorithm is not known")),
        };
        cursor.sp()?;
        Ok(Self { algorithm, search: Search::parse_with_charset(cursor, None)? })
    }
}

/// `search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`
fn options(cursor: &mut Cursor<'_>) -> Parsed<Option<Options>> {
    if !cursor.eat_text(" RETURN ") {
        return Ok(None);
    }
    let mut options = Options::default();
    cursor.list(|cursor| {
        match cursor.word()?.as_str() {
            "MIN" => options.min = true,
            "MAX" => options.max = true,
            "ALL" => options.all = true,
            "COUNT" => options.count = true,
            "SAVE" => options.save = true,
            "UPDATE" => options.update = true,
            // RFC 5267 §4.2: that more will be asked of the same result; each is found anew.
            "CONTEXT" => {}
            "PARTIAL" => {
                cursor.sp()?;
                options.partial = Some(partial(cursor)?);
            }
            _ => return Err(SyntaxError("a return option is not known")),
        }
        Ok(())
    })?;
    let Options { min, max, all, count, save, partial, update: _ } = options;
    if partial.is_some() && all {
        // RFC 9394 §3.1
        return Err(SyntaxError("PARTIAL and ALL exclude each other"));
    }
    // RFC 9051 §6.4.4: an empty list asks for ALL.
    options.all |= !(min || max || count || save || partial.is_some());
    Ok(Some(options))
}

/// RFC 9394: `partial-range-first = nz-number ":" nz-number`, and both with a minus for the end.
pub(super) fn partial(cursor: &mut Cursor<'_>) -> Parsed<(i64, i64)> {
    let from_end = cursor.peek() == Some(b'-');
    let mut bound = || {
        if from_end {
            cursor.byte(b'-', "both ends of a range count from the same side")?;
        }
        let number = i64::from(cursor.nz_number()?);
        Ok((if from_end { -number } else { number }, cursor.eat(b':')))
    };
    let (start, _) = bound()?;
    let (end, _) = bound()?;
    Ok(if start.abs() <= end.abs() { (start, end) } else { (end, start) })
}

/// `search-key *(SP search-key)`
fn program(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    let mut left = MAX_KEYS;
    keys(cursor, &mut left)
}

fn keys(cursor: &mut Cursor<'_>, left: &mut usize) -> Parsed<Key> {
    let mut keys = vec![key(cursor, left)?];
    while cursor.eat(b' ') {
        keys.push(key(cursor, left)?);
    }
    Ok(match keys.len() {
        1 => keys.remove(0),
        _ => Key::And(keys),
    })
}

fn key(cursor: &mut Cursor<'_>, left: &mut usize) -> Parsed<Key> {
    *left = left.checked_sub(1).ok_or(SyntaxError("the search has too many keys"))?;
    match cursor.peek() {
        Some(b'(') => {
            cursor.byte(b'(', "a parenthesis is missing")?;
            let inner = cursor.nested(|cursor| keys(cursor, left))?;
            cursor.byte(b')', "a parenthesis is missing")?;
            return Ok(inner);
        }
        Some(b'0'..=b'9' | b'*' | b'$') => return SequenceSet::parse(cursor).map(Key::Set),
        _ => {}
    }
    let name = cursor.word()?;
    if let Some(key) = flag_key(&name) {
        return Ok(key);
    }
    cursor.sp()?;
    match name.as_str() {
        "NOT" => Ok(not(cursor.nested(|cursor| key(cursor, left))?)),
        "OR" => {
            let one = cursor.nested(|cursor| key(cursor, left))?;
            cursor.sp()?;
            let other = cursor.nested(|cursor| key(cursor, left))?;
            Ok(Key::Or(Box::new(one), Box::new(other)))
        }
        // RFC 6203: an exact search is a fuzzy one that finds nothing more.
        "FUZZY" => cursor.nested(|cursor| key(cursor, left)),
        name => argument_key(name, cursor),
    }
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

/// Keys without arguments.
fn flag_key(name: &str) -> Option<Key> {
    let without = |flag| not(Key::Flags(flag));
    Some(match name {
        // RFC 8514 §4.3: it is kept for every mailbox.
        "ALL" | "OLD" | "SAVEDATESUPPORTED" => Key::All,
        "ANSWERED" => Key::Flags(Flags::ANSWERED),
        "DELETED" => Key::Flags(Flags::DELETED),
        "DRAFT" => Key::Flags(Flags::DRAFT),
        "FLAGGED" => Key::Flags(Flags::FLAGGED),
        "SEEN" => Key::Flags(Flags::SEEN),
        "UNANSWERED" => without(Flags::ANSWERED),
        "UNDELETED" => without(Flags::DELETED),
        "UNDRAFT" => without(Flags::DRAFT),
        "UNFLAGGED" => without(Flags::FLAGGED),
        "UNSEEN" => without(Flags::SEEN),
        // RFC 9051 appendix A: no message is \Recent any more.
        "RECENT" | "NEW" => Key::Nothing,
        _ => return None,
    })
}

fn argument_key(name: &str, cursor: &mut Cursor<'_>) -> Parsed<Key> {
    let text = |cursor: &mut Cursor<'_>| Ok(cursor.astring()?.into_owned());
    Ok(match name {
        "BCC" => Key::Field(Field::Bcc, text(cursor)?),
        "CC" => Key::Field(Field::Cc, text(cursor)?),
        "FROM" => Key::Field(Field::From, text(cursor)?),
        "SUBJECT" => Key::Field(Field::Subject, text(cursor)?),
        "TO" => Key::Field(Field::To, text(cursor)?),
        "BODY" => Key::Body(text(cursor)?),
        "TEXT" => Key::Text(text(cursor)?),
        "HEADER" => {
            let field = cursor.astring_text()?;
            cursor.sp()?;
            Key::Header(field, text(cursor)?)
        }
        "KEYWORD" => flag(cursor)?,
        "UNKEYWORD" => not(flag(cursor)?),
        "BEFORE" => Key::Received(Order::Before, Date::parse(cursor)?),
        "ON" => Key::Received(Order::On, Date::parse(cursor)?),
        "SINCE" => Key::Received(Order::Since, Date::parse(cursor)?),
        "SAVEDBEFORE" => Key::Saved(Order::Before, Date::parse(cursor)?),
        "SAVEDON" => Key::Saved(Order::On, Date::parse(cursor)?),
        "SAVEDSINCE" => Key::Saved(Order::Since, Date::parse(cursor)?),
        "SENTBEFORE" => Key::Sent(Order::Before, Date::parse(cursor)?),
        "SENTON" => Key::Sent(Order::On, Date::parse(cursor)?),
        "SENTSINCE" => Key::Sent(Order::Since, Date::parse(cursor)?),
        "LARGER" => Key::Larger(cursor.number64()?),
        "SMALLER" => Key::Smaller(cursor.number64()?),
        "OLDER" => Key::Older(cursor.nz_number()?),
        "YOUNGER" => Key::Younger(cursor.nz_number()?),
        "UID" => Key::Uid(SequenceSet::parse(cursor)?),
        // RFC 9738 §4
        "UIDAFTER" => uids(cursor.nz_number()?.checked_add(1), Some(u32::MAX)),
        "UIDBEFORE" => uids(Some(1), cursor.nz_number()?.checked_sub(1)),
        "MODSEQ" => Key::ModSeq(mod_sequence(cursor)?),
        "EMAILID" => Key::EmailId(cursor.atom()?.to_owned()),
        "THREADID" => Key::ThreadId(cursor.atom()?.to_owned()),
        _ => return Err(SyntaxError("a search key is not known")),
    })
}

fn uids(start: Option<u32>, end: Option<u32>) -> Key {
    match (start, end) {
        (Some(start), Some(end)) if start <= end => {
            Key::Uid(SequenceSet::Ranges(vec![(Bound::Number(start), Bound::Number(end))]))
        }
        _ => Key::Nothing,
    }
}

fn flag(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    Ok(match Flag::parse_keyword(cursor)? {
        Flag::System(flags) => Key::Flags(flags),
        Flag::Keyword(name) => Key::Keyword(name),
        Flag::Unknown => Key::Nothing,
    })
}

/// RFC 7162 §3.1.5: `"MODSEQ" [search-modseq-ext] SP mod-sequence-valzer`. There is one modseq for all flags of a
/// message, so which flag is meant makes no difference.
fn mod_sequence(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    if cursor.peek() == Some(b'"') {
        cursor.string()?;
        cursor.sp()?;
        cursor.word()?;
        cursor.sp()?;
    }
    cursor.number64()
}
