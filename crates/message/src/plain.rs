//! Text to search in, whole and exact: header fields and parts, decoded, with nothing left out or made pretty.

use crate::header::{Header, decode_words, unfold};
use crate::{Part, charset, text};

/// The fields of a header in order, each unfolded, with encoded words decoded.
#[must_use]
pub fn fields(header: &[u8]) -> Vec<(String, String)> {
    let header = Header::scan(header, 0, |_| false);
    let field = |field: &crate::header::Field<'_>| {
        (field.name.to_owned(), decode_words(&unfold(field.value, usize::MAX)))
    };
    header.fields.iter().map(field).collect()
}

/// The text of a part from its encoded bytes.
#[must_use]
pub fn part_text(part: &Part, encoded: &[u8]) -> String {
    text::decoded(part, encoded, usize::MAX)
}

/// The text of bytes in the charset of this name; `None` if it is not known.
#[must_use]
pub fn charset_text(label: &str, bytes: &[u8]) -> Option<String> {
    charset::is_known(label).then(|| charset::decode(Some(label), bytes))
}
