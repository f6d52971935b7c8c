//! A pass over what is due: group by group, so that nobody's slow DNS holds up what is about others.

use std::{collections::BTreeMap, time::Duration};

use cluster::Quota;
use filter::dns::to_a_labels;
use futures::{StreamExt as _, stream};
use mail::Notice;
use storage::ReportKind;
use tokio::time::Instant;
use types::Timestamp;

use super::{DAY_SECONDS, MAX_ROWS, Reports, SETTLED_SECONDS, SPREAD_SECONDS, about::About, day_of};
use crate::causes::in_words;

/// A report that is due.
#[derive(Debug, Clone)]
struct Due {
    kind: ReportKind,
    day: i32,
    domain: String,
}

/// What became of a report.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// How often it was sent.
    pub(super) sent: usize,
    /// Why somebody who is to get it has to wait.
    pub(super) waits: Option<anyhow::Error>,
}

/// Who dies while sending loses the turn after this.
const TURN: Duration = Duration::from_secs(60);
/// Whose reports are made at the same time; who waits for DNS keeps a place and nothing else.
const GROUPS_AT_ONCE: usize = 8;
/// For all of a group in one pass; what is left waits for the next. Whoever has a zone makes as many names as there are
/// mails, and answers as slowly as they like.
const GROUP_TIME: Duration = Duration::from_secs(30);
/// For DNS and HTTPS about one report.
const ASKING_TIME: Duration = Duration::from_secs(10);
/// Reports of a kind about the names of a group.
const A_DAY: Quota = Quota { burst: 50, count: 50, period: Duration::from_secs(86_400) };
/// What could not be reported for so many days is not reported any more.
const LATEST_DAYS: i32 = 3;

impl Reports {
    /// Sends what is due by then, unless another node is at it; returns how many mails that made.
    pub(crate) async fn send_due(&self, by: Timestamp) -> anyhow::Result<usize> {
        let Some(turn) = self.mail.turn("reports", &self.holder, TURN).await? else { return Ok(0) };
        let sent = turn.keep(self.send_all(by)).await;
        turn.pass_on(Duration::ZERO).await;
        sent.unwrap_or(Ok(0))
    }

    async fn send_all(&self, by: Timestamp) -> anyhow::Result<usize> {
        let today = day_of(by);
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for kind in &self.wanted {
            let counted = self.directory.counted_before(*kind, today).await?;
            for (day, domain) in
                counted.into_iter().filter(|(day, name)| by.seconds() >= self.due(*day, name))
            {
                groups.entry(group_of(&domain)).or_default().push(Due { kind: *kind, day, domain });
            }
        }
        let passes =
            stream::iter(groups).map(|(group, due)| async move { self.pass(&group, due, today).await });
        let sent = passes.buffer_unordered(GROUPS_AT_ONCE).fold(0, async |sum, sent| sum + sent).await;
        metrics::counter!("magpie_reports_sent_total").increment(sent as u64);
        Ok(sent)
    }

    /// What is due about the names of a group; returns how many mails that made.
    async fn pass(&self, group: &str, mut due: Vec<Due>, today: i32) -> usize {
        // None is always the last one, which the others leave no time for.
        let first = usize::try_from(self.clock.now().seconds()).unwrap_or_default() % due.len().max(1);
        due.rotate_left(first);
        let until = Instant::now() + GROUP_TIME;
        let (mut sent, mut left) = (0, due.len());
        for report in due {
            if Instant::now() >= until {
                tracing::info!(group, left, "others are too slow: these reports wait for the next time");
                break;
            }
            left -= 1;
            let Due { kind, day, domain } = &report;
            let made = if day.saturating_add(LATEST_DAYS) < today {
                tracing::info!(domain, "reports that were not sent for days are dropped");
                Made::default()
            } else {
                self.within_quota(group, &report, until).await
            };
            sent += made.sent;
            let done = match made.waits {
                None => self.directory.forget_counts(*kind, *day, domain).await.map_err(Into::into),
                Some(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::info!(domain, error = in_words(&error), "the report has to wait");
            }
        }
        sent
    }

    /// Whether there may be another is asked before DNS is. None is counted where none was sent.
    async fn within_quota(&self, group: &str, report: &Due, until: Instant) -> Made {
        let Due { kind, day, domain } = report;
        if !self.may_send(*kind, group).await {
            return Made::default();
        }
        let asking = until.min(Instant::now() + ASKING_TIME);
        let made = self.send(*kind, *day, domain, asking).await;
        let made = made.unwrap_or_else(|error| Made { sent: 0, waits: Some(error) });
        if made.sent == 0 {
            self.mail.limits().give_back(&quota_key(*kind, group), A_DAY).await;
        }
        made
    }

    /// Counts one more report about the names of the group, if there may be another.
    pub(super) async fn may_send(&self, kind: ReportKind, group: &str) -> bool {
        let may = self.mail.limits().check(&quota_key(kind, group), A_DAY).await.is_allowed();
        if !may {
            tracing::info!(group, "too many reports for one day");
        }
        may
    }

    async fn send(&self, kind: ReportKind, day: i32, domain: &str, asking: Instant) -> anyhow::Result<Made> {
        let Some(reporter) = self.reporter().await? else { return Ok(Made::default()) };
        let counted = self.directory.counts(kind, day, domain, MAX_ROWS).await?;
        let Some(domain) = to_a_labels(domain) else { return Ok(Made::default()) };
        let about = About { reporter: &reporter, day, domain: &domain, counted: &counted, asking };
        match kind {
            ReportKind::Dmarc => Ok(Made { sent: self.send_dmarc(&about).await?, waits: None }),
            ReportKind::Tls => self.send_tls(&about).await,
        }
    }

    /// Queues what there is about the domain's day in one commit: a part that fails must not have the rest sent again.
    /// Returns how many mails that made.
    pub(super) async fn submit(&self, about: &About<'_>, mails: Vec<Notice>) -> anyhow::Result<usize> {
        let count = mails.len();
        if count == 0 || !self.mail.send_notices(&about.reporter.address, mails).await? {
            return Ok(0);
        }
        tracing::info!(domain = about.domain, day = about.day, mails = count, "reports leave");
        Ok(count)
    }

    /// When the day's report about the domain leaves, in seconds.
    fn due(&self, day: i32, domain: &str) -> i64 {
        let hash = blake3::hash(format!("{} {domain}", self.host).as_bytes());
        let [a, b, ..] = *hash.as_bytes();
        let spread = i64::from(u16::from_be_bytes([a, b])) * SPREAD_SECONDS / 0x1_0000;
        (i64::from(day) + 1) * DAY_SECONDS + SETTLED_SECONDS + spread
    }
}

pub(super) fn group_of(domain: &str) -> String {
    queue::way::group(&to_a_labels(domain).unwrap_or_else(|| domain.to_owned()))
}

fn quota_key(kind: ReportKind, group: &str) -> String {
    match kind {
        ReportKind::Dmarc => format!("report:{group}"),
        ReportKind::Tls => format!("tlsrpt:{group}"),
    }
}
