//! NOTIFY (RFC 5465): of which mailboxes a client wants to hear what, without asking.

use super::cursor::{Cursor, Parsed, SyntaxError};
use super::fetch::{self, Item};
use super::multi::{Source, source};

/// A NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    None,
    Set {
        /// How the mailboxes are is told at once.
        status: bool,
        groups: Vec<Group>,
    },
}

/// Of a mailbox that several name, the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub filter: Filter,
    pub events: Events,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Whichever is selected; `delayed`: messages vanish only where a command allows it.
    Selected {
        delayed: bool,
    },
    In(Source),
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// That messages came and went.
    pub messages: bool,
    /// What is told of a message that came, in the selected mailbox.
    pub items: Vec<Item>,
    pub flags: bool,
    pub names: bool,
    pub subscriptions: bool,
    /// What programs note with the mailbox, and with the account (RFC 5464).
    pub metadata: bool,
    pub server_metadata: bool,
    /// Something that is not to be had here.
    pub unknown: bool,
}

const MAX_GROUPS: usize = 50;
/// It is kept as long as the connection lasts, and held against every mailbox.
const MAX_BYTES: usize = 8 << 10;

impl Notify {
    /// `"NOTIFY" SP ("SET" [SP "STATUS"] 1*(SP event-group) / "NONE")`, after the first space
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        match cursor.word()?.as_str() {
            "NONE" => return Ok(Self::None),
            "SET" => {}
            _ => return Err(SyntaxError("that is neither SET nor NONE")),
        }
        cursor.sp()?;
        if cursor.len() > MAX_BYTES {
            return Err(SyntaxError("that is too much to watch"));
        }
        let status = cursor.eat_text("STATUS ");
        let mut groups = vec![group(cursor)?];
        while cursor.eat(b' ') {
            groups.push(group(cursor)?);
        }
        let of_selected =
            groups.iter().filter(|group| matches!(group.filter, Filter::Selected { .. })).count();
        if groups.len() > MAX_GROUPS || of_selected > 1 {
            return Err(SyntaxError("there are too many groups"));
        }
        Ok(Self::Set { status, groups })
    }
}

/// `"(" filter-mailboxes SP events ")"`
fn group(cursor: &mut Cursor<'_>) -> Parsed<Group> {
    cursor.byte(b'(', "a parenthesis is missing")?;
    let filter = if cursor.eat_text("SELECTED-DELAYED ") {
        Filter::Selected { delayed: true }
    } else {
        let source = source(cursor)?;
        cursor.sp()?;
        match source {
            Source::Selected => Filter::Selected { delayed: false },
            source => Filter::In(source),
        }
    };
    let events = if cursor.eat_text("NONE") { Events::default() } else { events(cursor)? };
    cursor.byte(b')', "a parenthesis is missing")?;
    let Events { names, subscriptions, metadata, server_metadata, .. } = events;
    if matches!(filter, Filter::Selected { .. }) && (names || subscriptions || metadata || server_metadata) {
        // RFC 5465 §6.1
        return Err(SyntaxError("of the selected mailbox only its messages are told"));
    }
    Ok(Group { filter, events })
}

/// `"(" event *(SP event) ")"`
fn events(cursor: &mut Cursor<'_>) -> Parsed<Events> {
    let mut events = Events::default();
    let (mut new, mut expunge) = (false, false);
    cursor.list(|cursor| {
        match cursor.word()?.as_str() {
            "MESSAGENEW" => {
                new = true;
                let mut ahead = cursor.clone();
                if ahead.eat(b' ') && ahead.peek() == Some(b'(') {
                    *cursor = ahead;
                    events.items = fetch::items(cursor)?;
                }
            }
            "MESSAGEEXPUNGE" => expunge = true,
            "FLAGCHANGE" => events.flags = true,
            "MAILBOXNAME" => events.names = true,
            "SUBSCRIPTIONCHANGE" => events.subscriptions = true,
            "MAILBOXMETADATACHANGE" => events.metadata = true,
            "SERVERMETADATACHANGE" => events.server_metadata = true,
            _ => events.unknown = true,
        }
        Ok(())
    })?;
    events.messages = new && expunge;
    if new != expunge || events.flags && !events.messages {
        // RFC 5465 §5
        return Err(SyntaxError("MessageNew and MessageExpunge go together, and FlagChange with both"));
    }
    Ok(events)
}
