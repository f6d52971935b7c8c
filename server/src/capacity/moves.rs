//! Which buckets to move where, so that shards carry even load and few bytes move.

use std::collections::{BTreeMap, BinaryHeap};

use storage::BucketMap;
use types::{Bucket, ShardId};

/// One bucket's way to another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub bucket: Bucket,
    pub from: ShardId,
    pub to: ShardId,
    pub bytes: u64,
}

/// What [`plan`] proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each bucket at most once, straight to where it stays.
    pub moves: Vec<Move>,
    /// What has to move at least for the load to be the same everywhere: all that shards have beyond the mean.
    pub least_bytes: u64,
}

/// Evens out the load of `shards`, which carry it from now on; a shard of the map that is not among them is emptied.
///
/// `bytes` has the size of each bucket. Every shard above the mean gives away its largest buckets that fit into what
/// it has too much, to whoever has the most room; what remains then is smaller than one of its buckets, and one more
/// moves if that brings both closer to the mean. Empty buckets cost nothing to move and are where new accounts come, so
/// they are dealt out evenly by their number.
#[must_use]
pub fn plan(map: &BucketMap, bytes: &[u64], shards: &[ShardId]) -> Plan {
    let mut plan = even_out(map, bytes, shards);
    let empty: Vec<_> = bytes.iter().map(|bytes| u64::from(*bytes == 0)).collect();
    let empty = even_out(map, &empty, shards).moves.into_iter().map(|step| Move { bytes: 0, ..step });
    plan.moves.extend(empty);
    plan
}

/// The same for buckets that weigh something.
fn even_out(map: &BucketMap, weights: &[u64], shards: &[ShardId]) -> Plan {
    let mut sides: BTreeMap<ShardId, Side> = shards.iter().map(|shard| (*shard, Side::default())).collect();
    for ((bucket, shard), weight) in (0..).map(Bucket).zip(&map.shards).zip(weights) {
        if *weight > 0 {
            let side = sides.entry(*shard).or_default();
            side.weight += weight;
            side.buckets.push((*weight, bucket));
        }
    }
    let total: u64 = sides.values().map(|side| side.weight).sum();
    let mean = total.div_ceil(u64::try_from(shards.len()).unwrap_or(1).max(1));
    let room = |shard: &ShardId| Some((mean.checked_sub(sides.get(shard)?.weight)?, *shard));
    let rooms = shards.iter().filter_map(room).filter(|(room, _)| *room > 0).collect();
    let mut planner = Planner { rooms, plan: Plan { moves: Vec::new(), least_bytes: 0 } };
    for (shard, side) in sides {
        let stays = shards.contains(&shard);
        let excess = if stays { side.weight.saturating_sub(mean) } else { side.weight };
        planner.plan.least_bytes += excess;
        if stays {
            planner.relieve(shard, side.buckets, excess);
        } else {
            planner.empty(shard, side.buckets);
        }
    }
    planner.plan
}

#[derive(Default)]
struct Side {
    weight: u64,
    buckets: Vec<(u64, Bucket)>,
}

struct Planner {
    /// Shards below the mean, the one with the most room first.
    rooms: BinaryHeap<(u64, ShardId)>,
    plan: Plan,
}

impl Planner {
    fn relieve(&mut self, from: ShardId, mut buckets: Vec<(u64, Bucket)>, mut excess: u64) {
        buckets.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept = Vec::new();
        for (weight, bucket) in buckets {
            let fits = weight <= excess && self.rooms.peek().is_some_and(|(room, _)| weight <= *room);
            if fits {
                self.send(from, weight, bucket);
                excess -= weight;
            } else {
                kept.push((weight, bucket));
            }
        }
        // The smallest last: it may go beyond the mean by less than what it leaves.
        while let Some((weight, bucket)) = kept.pop() {
            let room = self.rooms.peek().map_or(0, |(room, _)| *room);
            if room == 0 || weight >= excess.saturating_mul(2) || weight.saturating_sub(room) >= excess {
                return;
            }
            self.send(from, weight, bucket);
            excess = excess.saturating_sub(weight);
        }
    }

    fn empty(&mut self, from: ShardId, mut buckets: Vec<(u64, Bucket)>) {
        buckets.sort_unstable_by(|a, b| b.cmp(a));
        for (weight, bucket) in buckets {
            self.send(from, weight, bucket);
        }
    }

    /// To the shard with the most room, if there is any shard.
    fn send(&mut self, from: ShardId, bytes: u64, bucket: Bucket) {
        if let Some((room, to)) = self.rooms.pop() {
            self.plan.moves.push(Move { bucket, from, to, bytes });
            self.rooms.push((room.saturating_sub(bytes), to));
        }
    }
}

impl Plan {
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.moves.iter().map(|step| step.bytes).sum()
    }

    /// The map as it is when everything was moved.
    #[must_use]
    pub fn applied(&self, map: &BucketMap) -> BucketMap {
        let mut map = map.clone();
        for step in &self.moves {
            if let Some(shard) = map.shards.get_mut(usize::from(step.bucket.0)) {
                *shard = step.to;
            }
        }
        map
    }

    /// The commands that carry it out, one for each pair of shards.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let mut pairs: BTreeMap<(ShardId, ShardId), Vec<Bucket>> = BTreeMap::new();
        for step in &self.moves {
            pairs.entry((step.from, step.to)).or_default().push(step.bucket);
        }
        let command = |((_, to), mut buckets): (_, Vec<Bucket>)| {
            buckets.sort_unstable();
            format!("magpie shard move --buckets {} --to {to}", Bucket::ranges(&buckets))
        };
        pairs.into_iter().map(command).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u16) -> Vec<ShardId> {
        (0..count).map(ShardId).collect()
    }

    fn loads(map: &BucketMap, bytes: &[u64]) -> BTreeMap<ShardId, u64> {
        let mut loads = BTreeMap::new();
        for (shard, bytes) in map.shards.iter().zip(bytes) {
            *loads.entry(*shard).or_default() += bytes;
        }
        loads
    }

    /// Moves from `before` shards onto `after`, and says how far the fullest is from the mean and how much moved.
    fn check(bytes: &[u64], before: &[ShardId], after: &[ShardId], fullest: f64, moved: f64) {
        let map = BucketMap::even(before);
        let plan = plan(&map, bytes, after);
        let moved_buckets: std::collections::HashSet<_> = plan.moves.iter().map(|step| step.bucket).collect();
        assert_eq!(moved_buckets.len(), plan.moves.len(), "a bucket moves once");
        for step in &plan.moves {
            assert_eq!(map.shards[usize::from(step.bucket.0)], step.from);
            assert!(after.contains(&step.to));
        }
        let loads = loads(&plan.applied(&map), bytes);
        assert!(loads.keys().all(|shard| after.contains(shard)), "{loads:?}");
        let mean = bytes.iter().sum::<u64>() as f64 / after.len() as f64;
        let most = *loads.values().max().unwrap() as f64 / mean;
        assert!(most <= fullest, "the fullest has {most} times the mean");
        let ratio = plan.moved_bytes() as f64 / plan.least_bytes.max(1) as f64;
        assert!(ratio <= moved, "{ratio} times what must move");
    }

    #[test]
    fn load_is_evened_out_and_little_moves() {
        let count = u64::from(Bucket::COUNT);
        let same: Vec<u64> = (0..count).map(|_| 1_000).collect();
        let skewed: Vec<u64> = (0..count).map(|i| 1_000 + 40_000 / (i * 7 % 97 + 1)).collect();
        for bytes in [&same, &skewed] {
            check(bytes, &shards(2), &shards(3), 1.001, 1.001);
            check(bytes, &shards(8), &shards(10), 1.001, 1.001);
            check(bytes, &shards(100), &shards(125), 1.02, 1.01);
            check(bytes, &shards(3), &shards(3)[1..], 1.001, 1.001);
        }
    }

    #[test]
    fn what_is_even_stays_where_it_is() {
        let bytes = vec![7; usize::from(Bucket::COUNT)];
        assert!(plan(&BucketMap::even(&shards(4)), &bytes, &shards(4)).moves.is_empty());
        assert!(plan(&BucketMap::even(&shards(4)), &bytes, &[]).moves.is_empty());
    }

    #[test]
    fn empty_buckets_are_dealt_out_by_number() {
        let bytes: Vec<u64> =
            (0..u64::from(Bucket::COUNT)).map(|i| if i % 3 == 0 { 900_000 + i } else { 0 }).collect();
        check(&bytes, &shards(2), &shards(3), 1.001, 1.001);
        let map = BucketMap::even(&shards(2));
        let after = plan(&map, &bytes, &shards(3)).applied(&map);
        for shard in shards(3) {
            let buckets = after.shards.iter().zip(&bytes).filter(|(of, bytes)| **of == shard && **bytes == 0);
            let wanted = bytes.iter().filter(|bytes| **bytes == 0).count() / 3;
            assert!(buckets.count().abs_diff(wanted) <= 1, "{shard}");
        }
    }

    #[test]
    fn a_bucket_larger_than_a_fair_share_goes_nowhere_twice() {
        let mut bytes = vec![0; usize::from(Bucket::COUNT)];
        bytes[5] = 1_000_000_000;
        let map = BucketMap::even(&shards(2));
        let plan = plan(&map, &bytes, &shards(3));
        assert!(plan.moves.iter().all(|step| step.bucket != Bucket(5)), "the others go, not the giant");
    }

    #[test]
    fn commands_name_runs_of_buckets() {
        let step = |bucket, to| Move { bucket: Bucket(bucket), from: ShardId(0), to: ShardId(to), bytes: 1 };
        let plan = Plan { moves: vec![step(4, 2), step(3, 2), step(9, 1)], least_bytes: 3 };
        let commands = ["magpie shard move --buckets 9 --to 1", "magpie shard move --buckets 3-4 --to 2"];
        assert_eq!(plan.commands(), commands);
    }
}
