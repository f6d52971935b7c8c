//! Items that need no part of the message itself.

use imap::Writer;
use imap::wire::{Item, SectionKind, write_internal_date};
use mail::Listed;

use super::Known;

/// What has to be read to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    pub(super) rows: bool,
    pub(super) portraits: bool,
    pub(super) structures: bool,
    pub(super) headers: bool,
    pub(super) letters: bool,
}

pub(super) fn needs(items: &[Item]) -> Needs {
    let mut needs = Needs::default();
    for item in items {
        match item {
            Item::Uid | Item::Flags | Item::InternalDate | Item::Rfc822Size | Item::ModSeq => {}
            Item::EmailId | Item::ThreadId | Item::SaveDate | Item::Preview { .. } => needs.rows = true,
            Item::Envelope | Item::BodyStructure => needs.portraits = true,
            Item::Body => needs.structures = true,
            Item::Section { section, .. }
                if section.part.is_empty()
                    && matches!(section.kind, SectionKind::Header | SectionKind::HeaderFields { .. }) =>
            {
                needs.headers = true;
            }
            Item::Rfc822Header => needs.headers = true,
            Item::Section { .. }
            | Item::Binary { .. }
            | Item::BinarySize { .. }
            | Item::Rfc822
            | Item::Rfc822Text => needs.letters = true,
        }
    }
    // A letter has all of them.
    needs.portraits &= !needs.letters;
    needs.structures &= !needs.letters;
    needs.headers &= !needs.letters;
    needs
}

/// Whether fetching it marks a message as read.
pub(super) fn marks_seen(item: &Item) -> bool {
    match item {
        Item::Section { peek, .. } | Item::Binary { peek, .. } => !peek,
        Item::Rfc822 | Item::Rfc822Text => true,
        Item::Uid
        | Item::Flags
        | Item::InternalDate
        | Item::SaveDate
        | Item::Rfc822Size
        | Item::ModSeq
        | Item::EmailId
        | Item::ThreadId
        | Item::Preview { .. }
        | Item::Envelope
        | Item::Body
        | Item::BodyStructure
        | Item::BinarySize { .. }
        | Item::Rfc822Header => false,
    }
}

/// Whether it is drawn from the structure of the message.
pub(super) const fn is_drawn(item: &Item) -> bool {
    matches!(item, Item::Envelope | Item::Body | Item::BodyStructure)
}

/// The items in order without those that came before.
pub(super) fn each_once(items: Vec<Item>) -> Vec<Item> {
    let mut once: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

/// Writes an item, if it is one of these.
pub(super) fn write(out: &mut Writer, item: &Item, message: &Listed, known: &Known) -> bool {
    let structure = || {
        let of_letter = known.letters.get(&message.id).and_then(|letter| letter.structure().ok());
        of_letter.or_else(|| known.structures.get(&message.id))
    };
    let portrait = known.portraits.get(&message.id);
    let row = || known.rows.get(&message.id);
    match item {
        Item::Uid => out.text("UID ").number(message.uid.0.into()),
        Item::Flags => out.text("FLAGS ").flags(message.flags, &message.keywords),
        Item::InternalDate => {
            out.format(format_args!("INTERNALDATE {}", write_internal_date(message.received_at)))
        }
        Item::SaveDate => match row().and_then(|row| row.saved_at) {
            Some(at) => out.format(format_args!("SAVEDATE {}", write_internal_date(at))),
            None => out.text("SAVEDATE NIL"),
        },
        Item::Rfc822Size => out.text("RFC822.SIZE ").number(message.size_bytes),
        Item::ModSeq => out.format(format_args!("MODSEQ ({})", message.modseq)),
        Item::EmailId => match row() {
            // Copies have the same content, and so the same id (RFC 8474 §5.1).
            Some(row) => out.format(format_args!("EMAILID (M{})", row.body)),
            None => out.text("EMAILID (M)"),
        },
        Item::ThreadId => match row() {
            Some(row) => out.format(format_args!("THREADID (T{})", row.thread)),
            None => out.text("THREADID NIL"),
        },
        Item::Preview { .. } => {
            let preview =
                row().map(|row| row.summary.preview.chars().take(PREVIEW_CHARS).collect::<String>());
            out.text("PREVIEW ").nstring(preview.as_deref().map(str::as_bytes))
        }
        Item::Envelope => match (portrait, structure()) {
            (Some(portrait), _) => out.text("ENVELOPE ").raw(portrait.envelope()),
            (None, Some(structure)) => out.text("ENVELOPE ").raw(structure.envelope()),
            (None, None) => out.text("ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        },
        Item::Body => out.text("BODY ").raw(&structure().map(message::Structure::body).unwrap_or_default()),
        Item::BodyStructure => {
            out.text("BODYSTRUCTURE ");
            match portrait {
                Some(portrait) => out.raw(portrait.body_structure()),
                None => out.raw(&structure().map(message::Structure::body_structure).unwrap_or_default()),
            }
        }
        Item::Section { .. }
        | Item::Binary { .. }
        | Item::BinarySize { .. }
        | Item::Rfc822
        | Item::Rfc822Header
        | Item::Rfc822Text => return false,
    };
    true
}

/// RFC 8970 §3: at most 200 characters, 256 at the very most.
const PREVIEW_CHARS: usize = 200;
