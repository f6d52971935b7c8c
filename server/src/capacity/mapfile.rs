//! A bucket map with the size of each bucket, as text: `bucket shard bytes` on each line.

use storage::BucketMap;
use types::{Bucket, ShardId};

/// What [`super::plan`] begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFile {
    pub map: BucketMap,
    /// One for each bucket.
    pub bytes: Vec<u64>,
}

/// Why a text is no map.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMap {
    #[error("line {0}: it must be `bucket shard bytes`, three numbers, with a bucket below {max}", max = Bucket::COUNT)]
    Line(usize),
    #[error("line {line}: bucket {bucket} stands there a second time")]
    Twice { line: usize, bucket: u16 },
    #[error("bucket {0} is missing; all {max} must be there", max = Bucket::COUNT)]
    Missing(usize),
}

impl std::str::FromStr for MapFile {
    type Err = BadMap;

    /// Empty lines and lines that begin with `#` mean nothing.
    fn from_str(text: &str) -> Result<Self, BadMap> {
        let mut buckets: Vec<Option<(ShardId, u64)>> = vec![None; usize::from(Bucket::COUNT)];
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let (bucket, shard, bytes) = numbers(text).ok_or(BadMap::Line(line))?;
            let place = buckets.get_mut(usize::from(bucket)).ok_or(BadMap::Line(line))?;
            if place.replace((ShardId(shard), bytes)).is_some() {
                return Err(BadMap::Twice { line, bucket });
            }
        }
        let all: Option<Vec<_>> = buckets.iter().copied().collect();
        let Some(all) = all else {
            return Err(BadMap::Missing(buckets.iter().position(Option::is_none).unwrap_or_default()));
        };
        let (shards, bytes) = all.into_iter().unzip();
        Ok(Self { map: BucketMap { shards }, bytes })
    }
}

fn numbers(line: &str) -> Option<(u16, u16, u64)> {
    let mut words = line.split_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(buckets: std::ops::Range<u16>) -> String {
        buckets.map(|bucket| format!("{bucket} {} {}\n", bucket % 2, u64::from(bucket) * 10)).collect()
    }

    #[test]
    fn a_map_is_read_or_the_line_named() {
        let all = 0..Bucket::COUNT;
        let read: MapFile = format!("# bucket shard bytes\n\n{}", text(all.clone())).parse().unwrap();
        assert_eq!((read.map.shards[3], read.bytes[3]), (ShardId(1), 30));
        let check = |text: String, error| assert_eq!(text.parse::<MapFile>(), Err(error));
        check(text(1..Bucket::COUNT), BadMap::Missing(0));
        check(format!("{}7 0 0\n", text(0..9)), BadMap::Twice { line: 10, bucket: 7 });
        check("1 2\n".into(), BadMap::Line(1));
        check("1 2 3 4\n".into(), BadMap::Line(1));
        check("16384 0 0\n".into(), BadMap::Line(1));
        check("0 x 0\n".into(), BadMap::Line(1));
    }
}
