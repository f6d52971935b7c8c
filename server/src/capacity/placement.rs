//! A simulation: accounts fall into buckets, buckets lie on shards, shards are added, buckets move.
//!
//! Accounts get ids one after the other, as the directory gives them, and their bucket by [`Bucket::of`]; the map is
//! the real one. Their sizes follow Pareto's law, cut off at the top: few people keep most of the mail. Where there are
//! more accounts than [`MOST`], so many are drawn, and the buckets' distances from their mean shrink as those of sums of
//! independent parts do, with the root of the number.

use storage::BucketMap;
use types::{AccountId, Bucket, ShardId};

use super::{
    figures::Figures,
    moves::{Plan, plan},
};

/// So many accounts are drawn one by one.
pub(super) const MOST: u64 = 4_000_000;

/// How evenly something is spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) count: usize,
    /// The fullest and the emptiest, in means.
    pub(super) most: f64,
    pub(super) least: f64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placement {
    pub(super) drawn: u64,
    pub(super) buckets: Spread,
    pub(super) before: Spread,
    /// With the new shards, after the move.
    pub(super) after: Spread,
    pub(super) total_bytes: u64,
    pub(super) plan: Plan,
    /// What dealing all buckets out anew would move.
    pub(super) redealt_bytes: u64,
}

/// Puts `users` with `mean_bytes` each onto `shards` shards, then adds `added`.
pub(super) fn simulate(users: u64, mean_bytes: f64, shards: u16, added: u16, figures: &Figures) -> Placement {
    let (bytes, drawn) = bucket_bytes(users, mean_bytes, figures);
    let ids: Vec<_> = (0..shards.saturating_add(added)).map(ShardId).collect();
    let old = ids.get(..usize::from(shards)).unwrap_or_default();
    let map = BucketMap::even(old);
    let plan = plan(&map, &bytes, &ids);
    let anew = BucketMap::even(&ids);
    let redealt = map.shards.iter().zip(&anew.shards).zip(&bytes).filter(|((old, new), _)| old != new);
    Placement {
        drawn,
        buckets: spread(&bytes),
        before: spread(&shard_bytes(&map, &bytes, old.len())),
        after: spread(&shard_bytes(&plan.applied(&map), &bytes, ids.len())),
        total_bytes: bytes.iter().sum(),
        redealt_bytes: redealt.map(|(_, bytes)| bytes).sum(),
        plan,
    }
}

/// The size of each bucket, and how many accounts were drawn for it.
fn bucket_bytes(users: u64, mean_bytes: f64, figures: &Figures) -> (Vec<u64>, u64) {
    let drawn = users.min(MOST);
    let mut sums = vec![0.0; usize::from(Bucket::COUNT)];
    let mut total = 0.0;
    for id in 1..=drawn {
        let account = AccountId(id.cast_signed());
        let size = size(id, figures.chosen.tail_exponent, figures.chosen.tail_cap);
        if let Some(sum) = sums.get_mut(usize::from(Bucket::of(account).0)) {
            *sum += size;
            total += size;
        }
    }
    let scale = real(users) / real(drawn.max(1));
    let mean = total / f64::from(Bucket::COUNT);
    let to_bytes = mean_bytes * real(drawn) / f64::max(total, 1.0);
    let whole = |sum: f64| truncated((mean * scale + (sum - mean) * scale.sqrt()) * to_bytes);
    (sums.into_iter().map(whole).collect(), drawn)
}

/// How much an account keeps, by Pareto's law from its id; the smallest keep 1, nobody more than `cap`.
fn size(id: u64, exponent: f64, cap: f64) -> f64 {
    // A uniform number in (0, 1] from 53 bits of the mixed id.
    let uniform = (real(mixed(id) >> 11) + 1.0) / real(1 << 53);
    uniform.powf(-1.0 / exponent).min(cap)
}

/// A SplitMix64 step, with a seed of its own, so that sizes know nothing of buckets.
fn mixed(id: u64) -> u64 {
    const SEED: u64 = 0x6d61_6770_6965; // "magpie"
    let mut x = (id ^ SEED.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(SEED);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn shard_bytes(map: &BucketMap, bytes: &[u64], count: usize) -> Vec<u64> {
    let mut sums = vec![0; count];
    for (shard, bytes) in map.shards.iter().zip(bytes) {
        if let Some(sum) = sums.get_mut(usize::from(shard.0)) {
            *sum += bytes;
        }
    }
    sums
}

fn spread(bytes: &[u64]) -> Spread {
    let total: u64 = bytes.iter().sum();
    let mean = real(total) / real(u64::try_from(bytes.len()).unwrap_or(u64::MAX)).max(1.0);
    let ratio = |bytes: Option<&u64>| real(bytes.copied().unwrap_or_default()) / mean.max(1.0);
    Spread { count: bytes.len(), most: ratio(bytes.iter().max()), least: ratio(bytes.iter().min()) }
}

/// Exact below 2^53, and near enough beyond.
pub(super) fn real(number: u64) -> f64 {
    number as f64
}

/// What is negative becomes nothing.
fn truncated(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_even_after_shards_came() {
        let figures = Figures::load().unwrap();
        let placement = simulate(200_000, 1e6, 8, 2, &figures);
        assert_eq!((placement.before.count, placement.after.count, placement.drawn), (8, 10, 200_000));
        assert!(placement.before.most < 1.2, "{:?}", placement.before);
        assert!(placement.after.most < 1.01 && placement.after.least > 0.98, "{:?}", placement.after);
        let moved = placement.plan.moved_bytes();
        assert!(real(moved) < 1.02 * real(placement.plan.least_bytes), "{moved}");
        assert!(moved < placement.redealt_bytes / 2);
        assert!((real(placement.total_bytes) / 2e11 - 1.0).abs() < 0.01, "{}", placement.total_bytes);
    }

    #[test]
    fn more_people_than_are_drawn_make_buckets_more_even() {
        let figures = Figures::load().unwrap();
        let few = spread(&bucket_bytes(MOST, 1e6, &figures).0);
        let (many, drawn) = bucket_bytes(100 * MOST, 1e6, &figures);
        let many = spread(&many);
        assert_eq!(drawn, MOST);
        let ratio = (few.most - 1.0) / (many.most - 1.0);
        assert!((ratio - 10.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn sizes_have_a_heavy_tail() {
        let mut sizes: Vec<_> = (1..=100_000).map(|id| size(id, 1.5, 1_000.0)).collect();
        sizes.sort_by(f64::total_cmp);
        let total: f64 = sizes.iter().sum();
        let top: f64 = sizes[90_000..].iter().sum();
        assert!(top / total > 0.4, "the largest tenth has {}", top / total);
        assert!(sizes[0] >= 1.0 && sizes[99_999] <= 1_000.0);
    }
}
