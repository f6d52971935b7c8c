//! Opaque cursors: where a page ended, as unreadable text that only we make, good for the list that it was made for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use types::{AccountId, MailboxId, MessageId};
use uuid::Uuid;

use crate::{Error, Result};

const VERSION: u8 = 3;

/// What a list is of, in a few bytes: enough to tell a mix-up, and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List([u8; 8]);

impl List {
    /// Whatever the page leaves out: a place in the folder is the same.
    pub(crate) fn folder(account: AccountId, folder: MailboxId) -> Self {
        Self::named(&format!("folder {account} {folder}"))
    }

    pub(crate) fn search(account: AccountId, text: &str) -> Self {
        Self::named(&format!("search {account} {text}"))
    }

    fn named(name: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(name.as_bytes()).as_bytes();
        Self([a, b, c, d, e, f, g, h])
    }
}

/// The cursor for everything of the list that is older than this message.
pub(crate) fn encode(list: List, last: MessageId) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&list.0);
    bytes.extend_from_slice(last.0.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The message that a cursor of this list stands for.
pub(crate) fn decode(list: List, cursor: &str) -> Result<MessageId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::Cursor)?;
    let id = bytes.strip_prefix(&[VERSION]).and_then(|rest| rest.strip_prefix(&list.0));
    id.and_then(|id| Uuid::from_slice(id).ok()).map(MessageId).ok_or(Error::Cursor)
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn only_our_own_cursors_are_read() {
        let id = MessageId::at(Timestamp::from_millis(5), [9; 10]);
        let list = List::search(AccountId(1), "lunch");
        let good = encode(list, id);
        assert_eq!(decode(list, &good).unwrap(), id);
        let old = URL_SAFE_NO_PAD.encode([&[1], id.0.as_bytes().as_slice()].concat());
        for bad in ["", "x", "AAAA", "!!", &good[1..], &format!("{good}A"), &old] {
            assert!(matches!(decode(list, bad), Err(Error::Cursor)), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let id = MessageId::at(Timestamp::from_millis(5), [9; 10]);
        let (one, other) = (MailboxId(1), MailboxId(2));
        let lists = [
            List::folder(AccountId(1), one),
            List::folder(AccountId(1), other),
            List::folder(AccountId(2), one),
            List::search(AccountId(1), "lunch"),
            List::search(AccountId(1), "dinner"),
        ];
        for (at, made_for) in lists.iter().enumerate() {
            for (number, list) in lists.iter().enumerate() {
                assert_eq!(decode(*list, &encode(*made_for, id)).is_ok(), at == number, "{at} {number}");
            }
        }
    }
}
