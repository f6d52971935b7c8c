//! What there is to report about a domain's day.

use message::{Feedback, Reporter};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};
use types::{EmailAddress, Timestamp};

use super::DAY_SECONDS;

/// What was counted of a domain that day, and who tells it.
pub(super) struct About<'a> {
    pub(super) reporter: &'a Reporter,
    pub(super) day: i32,
    /// In A-labels.
    pub(super) domain: &'a str,
    pub(super) counted: &'a [(String, u64)],
    /// Nobody else is waited for beyond this.
    pub(super) asking: Instant,
}

impl About<'_> {
    /// As far as they can be read: another version of this program may have counted in another form.
    pub(super) fn rows<T: DeserializeOwned>(&self) -> Vec<(T, u64)> {
        let read = |(detail, count): &(String, u64)| Some((serde_json::from_str(detail).ok()?, *count));
        self.counted.iter().filter_map(read).collect()
    }

    /// What others say, if they say so in time.
    pub(super) async fn ask<T, E>(
        &self,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> anyhow::Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let answered = timeout_at(self.asking, answer).await;
        answered.map_err(|_| anyhow::anyhow!("there is no answer in time"))?.map_err(Into::into)
    }

    /// The same for the same rows: who gets a report again after a crash sees that.
    pub(super) fn id(&self, rows: &impl Serialize) -> anyhow::Result<String> {
        let hash = blake3::hash(&serde_json::to_vec(&(self.domain, self.day, rows))?);
        Ok(hash.to_hex().chars().take(24).collect())
    }

    /// The report of this id to these.
    pub(super) fn feedback<'b>(
        &'b self,
        id: &'b str,
        to: &'b [EmailAddress],
        now: Timestamp,
    ) -> Feedback<'b> {
        let (begin, end) = span(self.day);
        Feedback { reporter: self.reporter, domain: self.domain, id, begin, end, now, to }
    }
}

/// The first and the last second of the day.
fn span(day: i32) -> (Timestamp, Timestamp) {
    let begin = i64::from(day) * DAY_SECONDS;
    (Timestamp::from_seconds(begin), Timestamp::from_seconds(begin + DAY_SECONDS - 1))
}
