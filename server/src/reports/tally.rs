//! What a node has counted and not yet written down: no write for each mail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use filter::aggregate::{Ledger, Row};
use queue::tlsrpt;
use serde::Serialize;
use storage::{Counted, Directory, ReportKind};
use types::Clock;

use super::day_of;

/// Counts in memory.
pub(super) struct Tally {
    clock: Arc<dyn Clock>,
    counts: Mutex<HashMap<Key, u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: ReportKind,
    day: i32,
    domain: String,
    detail: String,
}

/// Different rows in memory; one that is new beyond this is not counted.
const IN_MEMORY: usize = 20_000;
/// Different rows of a kind and day in the directory: whoever sends mail in many names must not fill it.
const A_DAY: u64 = 500_000;
const AT_ONCE: usize = 1_000;

impl Tally {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Mutex::default() }
    }

    pub(super) fn count(&self, kind: ReportKind, domain: &str, detail: &impl Serialize) {
        let Ok(detail) = serde_json::to_string(detail) else { return };
        self.add(Key { kind, day: day_of(self.clock.now()), domain: domain.to_owned(), detail }, 1);
    }

    fn add(&self, key: Key, count: u64) {
        let mut counts = self.counts();
        if counts.len() >= IN_MEMORY && !counts.contains_key(&key) {
            metrics::counter!("magpie_reports_left_out_total").increment(count);
            return;
        }
        let known = counts.entry(key).or_default();
        *known = known.saturating_add(count);
    }

    /// Adds everything to the directory. What it does not take stays.
    pub(super) async fn write_down(&self, directory: &dyn Directory) -> storage::Result<()> {
        let mut counts = std::mem::take(&mut *self.counts()).into_iter();
        loop {
            let some = counts.by_ref().take(AT_ONCE).collect::<Vec<_>>();
            if some.is_empty() {
                return Ok(());
            }
            let counted = some.iter().map(|(key, count)| counted(key, *count)).collect::<Vec<_>>();
            match directory.add_counts(&counted, A_DAY).await {
                Ok(left_out) => metrics::counter!("magpie_reports_left_out_total").increment(left_out),
                Err(error) => {
                    some.into_iter().chain(counts).for_each(|(key, count)| self.add(key, count));
                    return Err(error);
                }
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
