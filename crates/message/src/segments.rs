//! How a mail's bytes are divided for storing: large attachments apart, everything else together.

use std::ops::Range;

use crate::{Part, Structure};

/// Encoded bodies from this size on are stored as blobs of their own.
pub const ATTACHMENT_SIZE: u64 = 64 * 1_024;

/// A run of a mail's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub range: Range<u64>,
    pub kind: SegmentKind,
}

/// What a [`Segment`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Headers, texts, small attachments.
    Inline,
    /// The encoded body of one large attachment.
    Attachment,
}

/// Divides a mail of `len` bytes: the segments cover every byte once, in order.
#[must_use]
pub fn segments(structure: &Structure, len: u64) -> Vec<Segment> {
    segments_from(structure, len, ATTACHMENT_SIZE)
}

/// [`segments`] with another size from which a body is an attachment.
#[must_use]
pub fn segments_from(structure: &Structure, len: u64, attachment_size: u64) -> Vec<Segment> {
    let mut out = Vec::new();
    let mut at = 0;
    for (index, part) in structure.parts().iter().enumerate() {
        let Range { start, end } = part.body;
        let large = start >= at && end <= len && end > start && end - start >= attachment_size.max(1);
        if large && !structure.has_children(index) && is_blob(part) {
            if start > at {
                out.push(Segment { range: at..start, kind: SegmentKind::Inline });
            }
            out.push(Segment { range: start..end, kind: SegmentKind::Attachment });
            at = end;
        }
    }
    if at < len {
        out.push(Segment { range: at..len, kind: SegmentKind::Inline });
    }
    out
}

/// Texts stay with the message, unless they are files.
fn is_blob(part: &Part) -> bool {
    part.is_attachment() || !matches!(part.kind(), "text" | "multipart")
}
