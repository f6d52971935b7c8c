//! Collecting the newest hits: ids are ordered by time, so the order is that of two columns.

use std::{cmp::Reverse, collections::BinaryHeap};

use tantivy::{
    DocAddress, DocId, Score, SegmentOrdinal, SegmentReader,
    collector::{Collector, SegmentCollector},
    columnar::Column,
};

/// The columns with an id's upper and lower half.
pub(crate) const ID_HIGH: &str = "id_high";
pub(crate) const ID_LOW: &str = "id_low";

/// Keeps the newest `limit` hits before `before`, and counts all.
pub(crate) struct Newest {
    pub(crate) before: Option<u128>,
    pub(crate) limit: usize,
}

/// What [`Newest`] found.
pub(crate) struct Found {
    /// All hits, also those that are not before `before`.
    pub(crate) total: u64,
    /// Newest first.
    pub(crate) newest: Vec<(u128, DocAddress)>,
}

pub(crate) struct SegmentNewest {
    ordinal: SegmentOrdinal,
    high: Column<u64>,
    low: Column<u64>,
    before: Option<u128>,
    limit: usize,
    total: u64,
    heap: BinaryHeap<Reverse<(u128, DocId)>>,
}

impl Collector for Newest {
    type Fruit = Found;
    type Child = SegmentNewest;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentNewest> {
        let columns = segment.fast_fields();
        let (high, low) = (columns.u64(ID_HIGH)?, columns.u64(ID_LOW)?);
        let heap = BinaryHeap::new();
        Ok(SegmentNewest { ordinal, high, low, before: self.before, limit: self.limit, total: 0, heap })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Found>) -> tantivy::Result<Found> {
        let mut all = Found { total: 0, newest: Vec::new() };
        for segment in segments {
            all.total += segment.total;
            all.newest.extend(segment.newest);
        }
        all.newest.sort_unstable_by(|one, other| other.cmp(one));
        all.newest.truncate(self.limit);
        Ok(all)
    }
}

impl SegmentCollector for SegmentNewest {
    type Fruit = Found;

    fn collect(&mut self, doc: DocId, _: Score) {
        self.total += 1;
        let half = |column: &Column<u64>| u128::from(column.first(doc).unwrap_or_default());
        let high = half(&self.high) << 64;
        let full = self.heap.len() >= self.limit;
        // Most hits are older than what is kept: one column says so.
        if full && self.heap.peek().is_none_or(|Reverse((oldest, _))| high >> 64 < oldest >> 64) {
            return;
        }
        let id = high | half(&self.low);
        if self.before.is_some_and(|before| id >= before) {
            return;
        }
        self.heap.push(Reverse((id, doc)));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    fn harvest(self) -> Found {
        let address = |doc| DocAddress::new(self.ordinal, doc);
        let newest = self.heap.into_iter().map(|Reverse((id, doc))| (id, address(doc))).collect();
        Found { total: self.total, newest }
    }
}
