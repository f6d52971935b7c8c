//! What a node has counted and not yet written down: no write for each mail.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use filter::aggregate::{Ledger, Row};
use queue::tlsrpt;
use serde::Serialize;
use storage::{Counted, Directory, ReportKind};
use types::{Clock, Timestamp};

use super::{DAY_SECONDS, LATE_SECONDS, day_of, pass::group_of};

/// Counts in memory.
pub(super) struct Tally {
    clock: Arc<dyn Clock>,
    /// What the directory takes of a kind and day.
    day_bytes: u64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: ReportKind,
    day: i32,
    domain: String,
    detail: String,
}

#[derive(Default)]
struct Counts {
    rows: HashMap<Key, u64>,
    bytes: u64,
    /// What was counted of a kind and day, written down or not.
    days: HashMap<(ReportKind, i32), Day>,
}

#[derive(Default)]
struct Day {
    bytes: u64,
    groups: HashMap<String, Group>,
}

/// Of the names of one registered domain.
#[derive(Default)]
struct Group {
    bytes: u64,
    /// Hashes of its rows: those that come again take no more room.
    rows: HashSet<u64>,
}

/// Rows in memory until they are written down; what is new beyond this is not counted.
const IN_MEMORY_BYTES: u64 = 16 << 20;
/// A longer one is of nobody who means it: see `filter::aggregate` and `queue::tlsrpt`, which keep them short.
const MAX_ROW_BYTES: u64 = 16 << 10;
/// Of what there may be of a day, so much is the share of one registered domain: whoever sends mail in many names below
/// their own must not be all that is counted.
const SHARES: u64 = 32;
const AT_ONCE: usize = 1_000;

impl Tally {
    pub(super) fn new(clock: Arc<dyn Clock>, day_bytes: u64) -> Self {
        Self { clock, day_bytes, counts: Mutex::default() }
    }

    pub(super) fn count(&self, kind: ReportKind, domain: &str, detail: &impl Serialize) {
        let Ok(detail) = serde_json::to_string(detail) else { return };
        self.add(Key { kind, day: day_of(self.clock.now()), domain: domain.to_owned(), detail }, 1);
    }

    fn add(&self, key: Key, count: u64) {
        let mut counts = self.counts();
        if !counts.has_room(&key, self.day_bytes) {
            metrics::counter!("magpie_reports_left_out_total").increment(count);
            return;
        }
        let known = counts.rows.entry(key).or_default();
        *known = known.saturating_add(count);
    }

    /// Adds everything to the directory. What it does not take stays.
    pub(super) async fn write_down(&self, directory: &dyn Directory) -> storage::Result<()> {
        let mut counts = self.counts().taken(self.clock.now()).into_iter();
        loop {
            let some = counts.by_ref().take(AT_ONCE).collect::<Vec<_>>();
            if some.is_empty() {
                return Ok(());
            }
            let counted = some.iter().map(|(key, count)| counted(key, *count)).collect::<Vec<_>>();
            match directory.add_counts(&counted, self.day_bytes).await {
                Ok(left_out) => metrics::counter!("magpie_reports_left_out_total").increment(left_out),
                Err(error) => {
                    some.into_iter().chain(counts).for_each(|(key, count)| self.add(key, count));
                    return Err(error);
                }
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Whether the row may be counted; if so, room is taken for it.
    fn has_room(&mut self, key: &Key, day_bytes: u64) -> bool {
        if self.rows.contains_key(key) {
            return true;
        }
        let size = (key.domain.len() + key.detail.len()) as u64;
        if size > MAX_ROW_BYTES || self.bytes + size > IN_MEMORY_BYTES {
            return false;
        }
        let day = self.days.entry((key.kind, key.day)).or_default();
        let (name, hash) = (group_of(&key.domain), hash_of(key));
        let known = day.groups.get(&name);
        if !known.is_some_and(|group| group.rows.contains(&hash)) {
            let taken = known.map_or(0, |group| group.bytes);
            if day.bytes + size > day_bytes || taken + size > day_bytes / SHARES {
                return false;
            }
            let group = day.groups.entry(name).or_default();
            day.bytes += size;
            group.bytes += size;
            group.rows.insert(hash);
        }
        self.bytes += size;
        true
    }

    /// All rows, as of the days that they are written down for; what is known of days long over is forgotten.
    fn taken(&mut self, now: Timestamp) -> HashMap<Key, u64> {
        let today = day_of(now);
        self.days.retain(|(_, day), _| day.saturating_add(1) >= today);
        self.bytes = 0;
        let mut taken = HashMap::with_capacity(self.rows.len());
        for (mut key, count) in self.rows.drain() {
            key.day = written_for(key.day, now);
            let known = taken.entry(key).or_default();
            *known = count.saturating_add(*known);
        }
        taken
    }
}

/// The directory was away until the day was settled: what happened then is told with today. A second report of that day
/// would be taken for another one in place of the first, and none at all would hide what somebody sent meanwhile.
fn written_for(day: i32, now: Timestamp) -> i32 {
    let is_late = now.seconds() >= (i64::from(day) + 1) * DAY_SECONDS + LATE_SECONDS;
    if is_late { day_of(now) } else { day }
}

fn hash_of(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Ledger for Tally {
    fn note(&self, domain: &str, row: &Row) {
        self.count(ReportKind::Dmarc, domain, row);
    }
}

impl tlsrpt::Ledger for Tally {
    fn note(&self, domain: &str, session: &tlsrpt::Session) {
        self.count(ReportKind::Tls, domain, session);
    }
}

fn counted(key: &Key, count: u64) -> Counted {
    let Key { kind, day, domain, detail } = key.clone();
    let hash = blake3::hash(detail.as_bytes());
    let mut digest = [0; 16];
    digest.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    Counted { kind, day, domain, detail, digest, count }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::TurnedClock;

    use super::*;

    fn tally(day_bytes: u64) -> Tally {
        Tally::new(Arc::new(TurnedClock::default()), day_bytes)
    }

    fn rows(tally: &Tally) -> usize {
        tally.counts().rows.len()
    }

    #[test]
    fn names_below_one_that_was_registered_share_their_room() {
        let tally = tally(SHARES * 1_000);
        for n in 0..1_000 {
            tally.count(ReportKind::Dmarc, &format!("a{n}.crawl.test"), &"x".repeat(80));
        }
        assert!((1..20).contains(&rows(&tally)), "{}", rows(&tally));
        let before = rows(&tally);
        tally.count(ReportKind::Dmarc, "far.test", &"y");
        tally.count(ReportKind::Tls, "a0.crawl.test", &"z");
        assert_eq!(rows(&tally), before + 2, "others, and other kinds, have their own");
        // Written down, it takes its room still; what comes again takes no more.
        drop(tally.counts().taken(tally.clock.now()));
        tally.count(ReportKind::Dmarc, "a999.crawl.test", &"x".repeat(80));
        assert_eq!(rows(&tally), 0);
        tally.count(ReportKind::Dmarc, "a0.crawl.test", &"x".repeat(80));
        assert_eq!(rows(&tally), 1);
    }

    #[test]
    fn what_comes_late_is_told_with_the_next_day() {
        let clock = Arc::new(TurnedClock::default());
        let tally = Tally::new(Arc::clone(&clock) as Arc<dyn Clock>, u64::MAX);
        let taken = || {
            let taken = tally.counts().taken(clock.now());
            let mut rows =
                taken.into_iter().map(|(key, count)| (key.day, key.domain, count)).collect::<Vec<_>>();
            rows.sort_unstable();
            rows
        };
        let today = day_of(clock.now());
        let midnight = Timestamp::from_seconds((i64::from(today) + 1) * DAY_SECONDS);
        let note = |domain: &str| tally.count(ReportKind::Dmarc, domain, &"x");
        note("a.test");
        clock.set(midnight.plus(Duration::from_secs(899)));
        note("a.test");
        assert_eq!(taken(), [(today, "a.test".to_owned(), 1), (today + 1, "a.test".to_owned(), 1)]);
        clock.set(midnight.minus(Duration::from_secs(1)));
        note("a.test");
        note("b.test");
        clock.set(midnight.plus(Duration::from_secs(900)));
        note("a.test");
        assert_eq!(taken(), [(today + 1, "a.test".to_owned(), 2), (today + 1, "b.test".to_owned(), 1)]);
    }

    #[test]
    fn rows_take_no_more_than_their_bytes() {
        let whole_day = tally(10_000);
        for n in 0..1_000 {
            whole_day.count(ReportKind::Dmarc, &format!("a{n}.test"), &"x".repeat(100));
        }
        assert!((50..100).contains(&rows(&whole_day)), "{}", rows(&whole_day));
        let memory = tally(u64::MAX);
        let long = "x".repeat(15 << 10);
        for n in 0..2_000 {
            memory.count(ReportKind::Tls, &format!("a{n}.test"), &long);
        }
        assert!(rows(&memory) as u64 * (15 << 10) <= IN_MEMORY_BYTES && rows(&memory) > 1_000);
        memory.count(ReportKind::Dmarc, "b.test", &"x".repeat(17 << 10));
        let longest = memory.counts().rows.keys().map(|key| key.detail.len()).max();
        assert!(longest < Some(16 << 10), "{longest:?}");
    }
}
