//! What nodes tell each other: a version byte, then the hints of a moment.

use serde::{Deserialize, Serialize};
use types::{AccountId, ModSeq, ShardId};

/// Hints of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packet {
    /// Who says it.
    pub(super) node: u64,
    /// Whether there were others, which nobody will hear.
    pub(super) lost: bool,
    pub(super) changes: Vec<(u16, i64, i64)>,
    pub(super) queued: Vec<u16>,
}

const VERSION: u8 = 1;

impl Packet {
    pub(super) fn changes(&self) -> impl Iterator<Item = (ShardId, AccountId, ModSeq)> {
        let changes = self.changes.iter();
        changes.map(|(shard, account, modseq)| (ShardId(*shard), AccountId(*account), ModSeq(*modseq)))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing plain numbers into memory cannot fail; if it did, the empty packet would say that hints were lost.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// The packet; `None` for what another version says.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&VERSION, packet)) => postcard::from_bytes(packet).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_as_they_were_and_are_small() {
        let packet = Packet {
            node: u64::MAX,
            lost: false,
            changes: (0..100).map(|number| (3, 1_000_000 + number, 5_000)).collect(),
            queued: vec![0, 7],
        };
        let bytes = packet.encode();
        assert_eq!(Packet::decode(&bytes), Some(packet));
        assert!(bytes.len() < 100 * 7, "{}", bytes.len());
        for end in 0..bytes.len() {
            assert_eq!(Packet::decode(&bytes[..end]), None);
        }
        assert_eq!(Packet::decode(&[2, 0, 0, 0, 0]), None, "another version");
    }
}
