//! MIME: parse a mail once into its structure; compose, summarise, thread, and show it safely.
//!
//! **Invariant:** no I/O, no clock, no randomness. Every function takes any bytes, ends in linear time, and never panics.

mod address;
mod authors;
mod binary;
pub mod bounce;
mod charset;
pub mod compose;
mod css;
mod decoder;
pub mod dsn;
pub mod feedback;
pub mod filename;
mod header;
mod html;
mod html_text;
mod imap;
mod lines;
mod mailboxes;
mod overview;
mod params;
mod plain;
mod preview;
mod references;
pub mod reply;
mod search;
mod segments;
mod signature;
mod structure;
mod text;
mod text_html;
mod tree;
mod unsubscribe;
mod view;

#[cfg(test)]
mod tests;

pub use authors::{Authorship, NoMailboxes, authors, authorship};
pub use binary::{as_lines, as_short_lines};
pub use bounce::{Bounce, BounceAction, BouncedRecipient};
pub use compose::{Outgoing, OutgoingAttachment, compose};
pub use decoder::{Decoder, Encoding, decode, decoded_len};
pub use dsn::{Report, dsn, utf8_xtext};
pub use feedback::{Feedback, Reporter, feedback};
pub use header::{header_of, without_fields};
pub use html::{Images, Scheme, frame};
pub use imap::{MAX_ADDRESSES, subject_in};
pub use lines::{with_crlf, with_lf};
pub use mailboxes::Malformed;
pub use overview::{MAX_RECIPIENTS, Overview};
pub use params::Parametrised;
pub use plain::{NoText, Plain, TextPiece, charset_text, folded, text_pieces};
pub use references::{Links, RefHash, References, bared_subject, base_subject, ids as message_ids};
pub use search::{SearchText, search_text};
pub use segments::{ATTACHMENT_SIZE, Segment, SegmentKind, segments, segments_from};
pub use signature::{Grams, Section, Signature, signature, signed_text};
pub use structure::{DecodeError, MAX_DEPTH, MAX_PARTS, Part, Structure};
pub use text_html::text_to_html;
pub use unsubscribe::{MailTo, ONE_CLICK, Unsubscribe, is_one_click, unsubscribe};
pub use view::{Show, View, view};

/// Everything that is kept of a mail beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    pub structure: Structure,
    pub overview: Overview,
    pub refs: References,
}

/// Reads a mail. Whatever the bytes are, they are one: what cannot be understood is text.
#[must_use]
pub fn parse(raw: &[u8]) -> Parsed {
    let (structure, header) = tree::scan(raw);
    let overview = overview::overview(raw, &header, &structure);
    let refs = References::of(overview.message_id.as_deref(), &overview.references);
    Parsed { structure, overview, refs }
}
