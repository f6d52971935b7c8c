//! Hints on their way to other nodes: the last of each account, so that a moment's commits become few packets.

use std::collections::{HashMap, HashSet};

use storage::Committed;
use types::{AccountId, ModSeq, ShardId};

use super::packet::Packet;
use crate::local_bus::stripe;

/// What other nodes have not been told yet; bounded.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    changes: HashMap<AccountId, (ShardId, ModSeq)>,
    queued: HashSet<ShardId>,
    lost: bool,
}

/// Some 2 MB, kept while Redis is away: what was not lost need not be asked for.
const MOST: usize = 50_000;

impl Outbox {
    pub(super) fn add(&mut self, committed: &Committed) {
        for (account, modseq) in &committed.accounts {
            self.change(committed.shard, *account, *modseq);
        }
        if committed.queued {
            self.queued.insert(committed.shard);
        }
    }

    /// Takes back what could not be sent.
    pub(super) fn merge(&mut self, other: Self) {
        for (account, (shard, modseq)) in other.changes {
            self.change(shard, account, modseq);
        }
        self.queued.extend(other.queued);
        self.lost |= other.lost;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.queued.is_empty() && !self.lost
    }

    /// One packet for each stripe that has changes, and one for everybody (`None`) if there is anything for all.
    pub(super) fn packets(&self, node: u64) -> HashMap<Option<usize>, Packet> {
        let empty = || Packet { node, lost: false, changes: Vec::new(), queued: Vec::new() };
        let mut packets: HashMap<_, Packet> = HashMap::new();
        for (account, (shard, modseq)) in &self.changes {
            let packet = packets.entry(Some(stripe(*account))).or_insert_with(empty);
            packet.changes.push((shard.0, account.0, modseq.0));
        }
        if self.lost || !self.queued.is_empty() {
            let queued = self.queued.iter().map(|shard| shard.0).collect();
            packets.insert(None, Packet { lost: self.lost, queued, ..empty() });
        }
        packets
    }

    fn change(&mut self, shard: ShardId, account: AccountId, modseq: ModSeq) {
        if self.changes.len() >= MOST && !self.changes.contains_key(&account) {
            metrics::counter!("magpie_bus_hints_dropped_total").increment(1);
            self.lost = true;
            return;
        }
        let known = self.changes.entry(account).or_insert((shard, modseq));
        if known.1 <= modseq {
            *known = (shard, modseq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(shard: u16, account: i64, modseq: i64, queued: bool) -> Committed {
        Committed::hint(ShardId(shard), vec![(AccountId(account), ModSeq(modseq))], queued)
    }

    #[test]
    fn many_commits_of_an_account_are_one_hint() {
        let mut outbox = Outbox::default();
        for modseq in [4, 9, 7] {
            outbox.add(&committed(2, 1, modseq, modseq == 4));
        }
        let mut older = Outbox::default();
        older.add(&committed(2, 1, 3, false));
        outbox.merge(older);
        let packets = outbox.packets(5);
        assert_eq!(packets.len(), 2);
        assert_eq!(packets[&Some(stripe(AccountId(1)))].changes, [(2, 1, 9)]);
        assert_eq!((&packets[&None].queued[..], packets[&None].lost), (&[2][..], false));
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut outbox = Outbox::default();
        for account in 0..100_000 {
            outbox.add(&committed(0, account, 1, false));
        }
        assert_eq!(outbox.changes.len(), MOST);
        assert!(outbox.packets(5)[&None].lost);
    }
}
