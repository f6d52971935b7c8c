//! Opaque cursors: where a page ended, as unreadable text that only we make.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use types::MessageId;
use uuid::Uuid;

use crate::{Error, Result};

const VERSION: u8 = 1;

/// The cursor for everything older than this message.
pub(crate) fn encode(last: MessageId) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(last.0.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The message that a cursor stands for.
pub(crate) fn decode(cursor: &str) -> Result<MessageId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::Cursor)?;
    match bytes.split_first() {
        Some((&VERSION, id)) => Uuid::from_slice(id).map(MessageId).map_err(|_| Error::Cursor),
        _ => Err(Error::Cursor),
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn only_our_own_cursors_are_read() {
        let id = MessageId::at(Timestamp::from_millis(5), [9; 10]);
        assert_eq!(decode(&encode(id)).unwrap(), id);
        for bad in ["", "x", "AAAA", "!!", &encode(id)[1..], &format!("{}A", encode(id))] {
            assert!(matches!(decode(bad), Err(Error::Cursor)), "{bad}");
        }
    }
}
