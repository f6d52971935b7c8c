//! The messages of a part as bytes: about thirty for each, of which sixteen are its id.

use std::{collections::HashMap, sync::Arc};

use sea_orm::prelude::Uuid;
use serde::{Deserialize, Serialize};
use storage::Listed;
use types::{MessageId, ModSeq, Timestamp, Uid};

use crate::rows;

/// The version, [`ID`] bytes for each message, the different sets of keywords, and how many messages follow.
type Head<'a> = (u8, &'a [u8], Vec<Vec<String>>, usize);

/// Why a part cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Another version of this program has written it.
    OtherVersion,
    Damaged(&'static str),
}

const VERSION: u8 = 2;
const ID: usize = 16;

/// Steps are from the message before; the first UID's is from where the part begins.
#[derive(Serialize, Deserialize)]
struct PackedMessage {
    uid_step: u32,
    modseq_step: i64,
    flags: i32,
    /// Which of the sets.
    keywords: u32,
    received_step: i64,
    /// Milliseconds after it was received.
    sent_step: Option<i64>,
    size_bytes: u64,
}

/// In order of UIDs, none of which is before `first`.
pub(super) fn pack(first: u32, part: &[Listed]) -> Vec<u8> {
    let mut places: HashMap<&[String], u32> = HashMap::new();
    let mut keywords = Vec::new();
    let (mut uid, mut modseq, mut received) = (first, 0, 0);
    let mut messages = Vec::with_capacity(part.len());
    for message in part {
        let place = *places.entry(&message.keywords).or_insert_with_key(|set| {
            keywords.push(set.to_vec());
            u32::try_from(keywords.len() - 1).unwrap_or(u32::MAX)
        });
        let received_at = message.received_at.millis();
        messages.push(PackedMessage {
            uid_step: message.uid.0.wrapping_sub(uid),
            modseq_step: message.modseq.0.wrapping_sub(modseq),
            flags: rows::stored_flags(message.flags),
            keywords: place,
            received_step: received_at.wrapping_sub(received),
            sent_step: message.sent_at.map(|sent| sent.millis().wrapping_sub(received_at)),
            size_bytes: message.size_bytes,
        });
        (uid, modseq, received) = (message.uid.0, message.modseq.0, received_at);
    }
    let ids: Vec<u8> = part.iter().flat_map(|message| *message.id.0.as_bytes()).collect();
    // A list is its length with what is in it behind: see [`Head`].
    postcard::to_stdvec(&(VERSION, ids, keywords, messages)).unwrap_or_default()
}

/// Adds the messages.
pub(super) fn unpack(first: u32, bytes: &[u8], to: &mut Vec<Listed>) -> Result<(), Unreadable> {
    if bytes.first() != Some(&VERSION) {
        return Err(Unreadable::OtherVersion);
    }
    let damaged = |_| Unreadable::Damaged("it ends too soon, or has something else");
    let (head, mut rest): (Head<'_>, _) = postcard::take_from_bytes(bytes).map_err(damaged)?;
    let (_, ids, keywords, count) = head;
    let ids = ids.chunks_exact(ID);
    if ids.len() != count || !ids.remainder().is_empty() {
        return Err(Unreadable::Damaged("it has another number of ids than of messages"));
    }
    let keywords: Vec<Arc<[String]>> = keywords.into_iter().map(Arc::from).collect();
    let (mut uid, mut modseq, mut received) = (first, 0_i64, 0_i64);
    for id in ids {
        let message: PackedMessage;
        (message, rest) = postcard::take_from_bytes(rest).map_err(damaged)?;
        uid = uid.wrapping_add(message.uid_step);
        modseq = modseq.wrapping_add(message.modseq_step);
        received = received.wrapping_add(message.received_step);
        if to.last().is_some_and(|before| before.uid.0 >= uid) {
            return Err(Unreadable::Damaged("its messages are not in order"));
        }
        let set = usize::try_from(message.keywords).ok().and_then(|place| keywords.get(place));
        to.push(Listed {
            id: MessageId(Uuid::from_slice(id).unwrap_or_default()),
            uid: Uid(uid),
            modseq: ModSeq(modseq),
            flags: rows::flags(message.flags),
            keywords: Arc::clone(set.ok_or(Unreadable::Damaged("it names keywords that it does not have"))?),
            received_at: Timestamp::from_millis(received),
            sent_at: message.sent_step.map(|step| Timestamp::from_millis(received.wrapping_add(step))),
            size_bytes: message.size_bytes,
        });
    }
    if rest.is_empty() { Ok(()) } else { Err(Unreadable::Damaged("something is behind its messages")) }
}

#[cfg(test)]
pub(super) fn listed(uid: u32, modseq: i64, keywords: &[&str], sent_at: Option<i64>) -> Listed {
    Listed {
        id: MessageId(Uuid::from_u128(u128::from(uid) << 64 | 0xABCD)),
        uid: Uid(uid),
        modseq: ModSeq(modseq),
        flags: if uid.is_multiple_of(2) { types::Flags::SEEN } else { types::Flags::NONE },
        keywords: keywords.iter().map(ToString::to_string).collect(),
        received_at: Timestamp::from_millis(1_700_000_000_000 - i64::from(uid)),
        sent_at: sent_at.map(Timestamp::from_millis),
        size_bytes: u64::from(uid) * 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_as_it_was() {
        let all = [
            listed(32_768, 9, &[], Some(1_700_000_000_000)),
            listed(32_769, 3, &["일", "work"], None),
            listed(40_000, i64::MAX, &["work"], Some(-62_000_000_000_000)),
            listed(49_151, 4, &["일", "work"], Some(0)),
        ];
        let bytes = pack(32_768, &all);
        let mut read = vec![listed(1, 1, &[], None)];
        unpack(32_768, &bytes, &mut read).unwrap();
        assert_eq!(read[1..], all);
        assert!(Arc::ptr_eq(&read[2].keywords, &read[4].keywords), "the same sets are shared");
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = pack(0, &[listed(1, 1, &["a"], None), listed(2, 2, &[], None)]);
        for cut in 0..bytes.len() {
            assert!(unpack(0, &bytes[..cut], &mut Vec::new()).is_err(), "{cut}");
        }
        assert!(unpack(0, &bytes, &mut vec![listed(1, 1, &[], None)]).is_err(), "UIDs ascend");
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(unpack(0, &longer, &mut Vec::new()), Err(Unreadable::Damaged(_))));
        let mut newer = bytes;
        newer[0] = VERSION + 1;
        assert_eq!(unpack(0, &newer, &mut Vec::new()), Err(Unreadable::OtherVersion));
    }
}
