//! The node among the others: its name, which it holds by renewing a claim; its clock, compared with the directory's;
//! and which shards are a worker's own to index.
//!
//! **Invariant:** nothing that matters for mail hangs on the claims: queue entries are leased one by one under names of
//! their own, and indexing a shard twice changes nothing. So whoever cannot reach the directory goes on as before.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use storage::Directory;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use types::{Clock, ShardId, Timestamp};

use crate::parts;

/// How long a name stays taken when its node dies.
const CLAIM: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_secs(3);
/// How often to look whether a name has become free.
const LOOK: Duration = Duration::from_millis(500);
/// How far the clocks of nodes may be apart: leases and sessions end by them.
const MOST_SKEW: Duration = Duration::from_secs(5);
const COMPARE_CLOCKS: Duration = Duration::from_secs(60);
/// What a worker claims beside its name begins with this, which no name does.
const WORKER: &str = "worker:";

/// What is not as it should be, though the node works; by what it is about. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Warnings {
    pub(crate) fn set(&self, about: &'static str, text: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => {
                tracing::error!(warning = text, "something needs an operator");
                all.insert(about, text);
            }
            None => drop(all.remove(about)),
        }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// A node that has its name. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Member {
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    name: String,
    /// Tells the node from one of the same name.
    instance: String,
    is_worker: bool,
    warnings: Warnings,
    /// The names of the workers that live.
    workers: Arc<Mutex<Vec<String>>>,
}

impl Member {
    /// Takes the name; waits for the claim of a dead predecessor to end.
    ///
    /// # Errors
    /// Another node lives under the name, the clocks are too far apart, or the directory does not answer.
    pub(crate) async fn join(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        name: String,
        is_worker: bool,
        warnings: Warnings,
    ) -> anyhow::Result<Self> {
        let instance = format!("{:032x}", u128::from_le_bytes(parts::random()));
        let member = Self { directory, clock, name, instance, is_worker, warnings, workers: Arc::default() };
        if let Some(skewed) = member.skewed().await.context("directory.url")? {
            bail!("directory.url: {skewed}; set the clocks (NTP) and start again");
        }
        member.take_name().await?;
        member.beat().await.context("directory.url")?;
        Ok(member)
    }

    async fn take_name(&self) -> anyhow::Result<()> {
        let mut known = None;
        while !self.claim(&self.name).await.context("directory.url")? {
            let nodes = self.directory.nodes().await.context("directory.url")?;
            let other = nodes.into_iter().find(|node| node.name == self.name);
            let other = other.map(|node| (node.instance, node.expires_at));
            if let (Some((before, ends)), Some((instance, later))) = (&known, &other)
                && before == instance
                && later > ends
            {
                bail!(
                    "node.name: another running node is called `{}`; give each its own, or none",
                    self.name
                );
            }
            if known.is_none() {
                tracing::info!(name = self.name, "waiting for the claim of a node of the same name to end");
            }
            known = known.or(other);
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn claim(&self, name: &str) -> storage::Result<bool> {
        self.directory.claim_node(name, &self.instance, CLAIM).await
    }

    /// Renews the claims, and looks who else works.
    async fn beat(&self) -> storage::Result<()> {
        let lost = !self.claim(&self.name).await?;
        let text = || format!("another node took the name `{}` while this one could not renew it", self.name);
        self.warnings.set("name", lost.then(text));
        if self.is_worker {
            self.claim(&format!("{WORKER}{}", self.name)).await?;
            let nodes = self.directory.nodes().await?;
            let workers = nodes.iter().filter_map(|node| node.name.strip_prefix(WORKER));
            let workers = workers.map(str::to_owned).collect();
            *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = workers;
        }
        Ok(())
    }

    /// Renews until told to stop, then gives the name back.
    pub(crate) async fn stay(self, stop: CancellationToken) {
        let mut compared = Instant::now();
        while stop.run_until_cancelled(sleep(BEAT)).await.is_some() {
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "the node's name is not renewed this time");
            }
            if compared.elapsed() >= COMPARE_CLOCKS {
                compared = Instant::now();
                match self.skewed().await {
                    Ok(skewed) => self.warnings.set("clock", skewed),
                    Err(error) => tracing::warn!(%error, "the clocks cannot be compared"),
                }
            }
        }
        for name in [self.name.clone(), format!("{WORKER}{}", self.name)] {
            if let Err(error) = self.directory.release_node(&name, &self.instance).await {
                tracing::warn!(%error, "the node's name is left to end by itself");
            }
        }
    }

    /// What is to be said of the clocks, if they are too far apart.
    async fn skewed(&self) -> storage::Result<Option<String>> {
        let before = self.clock.now();
        let theirs = self.directory.server_time().await?;
        let ahead_ms = ahead_ms(before, theirs, self.clock.now());
        #[expect(clippy::cast_precision_loss, reason = "for people to look at")]
        metrics::gauge!("magpie_clock_ahead_seconds").set(ahead_ms as f64 / 1_000.0);
        Ok((ahead_ms.unsigned_abs() > MOST_SKEW.as_millis().try_into().unwrap_or(u64::MAX)).then(|| {
            let which = if ahead_ms > 0 { "ahead of" } else { "behind" };
            format!(
                "this node's clock is {} s {which} that of the directory's server",
                ahead_ms.unsigned_abs() / 1_000
            )
        }))
    }

    /// Whether the shard is for this worker to index: each is for one of those that live, and few change hands when one
    /// comes or goes.
    pub(crate) fn has(&self, shard: ShardId) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        chosen(shard, &workers).is_none_or(|chosen| *chosen == self.name)
    }
}

/// By how much our clock is ahead of theirs, which was read at some moment between two of ours: the least that fits.
fn ahead_ms(before: Timestamp, theirs: Timestamp, after: Timestamp) -> i64 {
    let (before, theirs, after) = (before.millis(), theirs.millis(), after.millis());
    if theirs < before { before - theirs } else { (after - theirs).min(0) }
}

/// Rendezvous hashing: the one whose name goes best with the shard.
fn chosen(shard: ShardId, workers: &[String]) -> Option<&String> {
    workers.iter().max_by_key(|name| {
        // FNV-1a, its bits stirred.
        let bytes = name.bytes().chain(shard.0.to_be_bytes());
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        let hash = bytes.fold(0xCBF2_9CE4_8422_2325, step);
        let hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^ (hash >> 32)
    })
}

#[cfg(test)]
mod tests {
    use storage_sql::{DatabaseUrl, Options, SqlDirectory};

    use super::*;
    use crate::clock::SystemClock;

    /// The system's, and so many milliseconds.
    struct Off(i64);

    impl Clock for Off {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(SystemClock.now().millis() + self.0)
        }
    }

    async fn join(directory: &Arc<dyn Directory>, name: &str, off_ms: i64) -> anyhow::Result<Member> {
        let warnings = Warnings::default();
        Member::join(Arc::clone(directory), Arc::new(Off(off_ms)), name.to_owned(), true, warnings).await
    }

    #[tokio::test]
    async fn a_name_is_one_nodes_and_clocks_must_agree() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(folder.path().join("directory.db"));
        let directory: Arc<dyn Directory> =
            Arc::new(SqlDirectory::open(&url, &Options::default()).await.unwrap());
        for (off_ms, wanted) in [(8_900, "8 s ahead of"), (-8_500, "8 s behind")] {
            let said = format!("{:#}", join(&directory, "one", off_ms).await.err().unwrap());
            assert!(
                said.contains(&format!("this node's clock is {wanted} that of the directory's server")),
                "{said}"
            );
        }
        let stop = CancellationToken::new();
        let tasks = tokio_util::task::TaskTracker::new();
        let one = join(&directory, "one", 2_000).await.unwrap();
        tasks.spawn(one.clone().stay(stop.clone()));
        let said = join(&directory, "one", 0).await.err().unwrap().to_string();
        assert!(said.contains("node.name: another running node is called `one`"), "{said}");

        let two = join(&directory, "two", 0).await.unwrap();
        one.beat().await.unwrap();
        for shard in (0..20).map(ShardId) {
            assert!(one.has(shard) != two.has(shard), "each shard is one worker's");
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        two.beat().await.unwrap();
        assert!((0..20).map(ShardId).all(|shard| two.has(shard)), "the other one left");
        join(&directory, "one", 0).await.unwrap();
    }

    #[test]
    fn clocks_are_compared_without_the_time_on_the_way() {
        let at = Timestamp::from_millis;
        let check =
            |before, theirs, after, wanted| assert_eq!(ahead_ms(at(before), at(theirs), at(after)), wanted);
        check(1_000, 1_000, 1_000, 0);
        check(1_000, 5_000, 9_000, 0);
        check(9_000, 1_000, 10_000, 8_000);
        check(1_000, 9_000, 2_000, -7_000);
    }

    #[test]
    fn shards_are_spread_and_few_change_hands() {
        let workers: Vec<_> = (0..4).map(|number| format!("node-{number}")).collect();
        let of = |workers: &[String]| {
            (0..400).map(|shard| chosen(ShardId(shard), workers).cloned()).collect::<Vec<_>>()
        };
        let all = of(&workers);
        for worker in &workers {
            let count = all.iter().filter(|chosen| chosen.as_ref() == Some(worker)).count();
            assert!((60..140).contains(&count), "{worker} has {count} of 400");
        }
        let fewer = of(&workers[..3]);
        for (before, after) in all.iter().zip(&fewer) {
            assert!(before == after || before.as_ref() == Some(&workers[3]), "{before:?} {after:?}");
        }
        assert_eq!(chosen(ShardId(0), &[]), None);
    }
}
