//! Aggregate reports on mail (RFC 7489 §7.2).

use std::{cmp::Reverse, collections::BTreeMap};

use filter::aggregate::{Destination, Row, destinations, report};
use mail::Notice;
use message::{Feedback, Reporter};
use storage::ReportKind;
use tokio::time::Instant;
use types::{EmailAddress, Terms};

use super::{
    Reports,
    pass::{group_of, in_time},
    span,
};

/// A domain that changes its policy more often has no more reports for the day.
const MAX_POLICIES: usize = 3;

impl Reports {
    /// One for each policy that the domain had that day; returns how many mails that made.
    pub(super) async fn send_dmarc(
        &self,
        reporter: &Reporter,
        day: i32,
        domain: &str,
        counted: &[(String, u64)],
        asking: Instant,
    ) -> anyhow::Result<usize> {
        let read =
            |(detail, count): &(String, u64)| Some((serde_json::from_str::<Row>(detail).ok()?, *count));
        let rows = counted.iter().filter_map(read).collect::<Vec<_>>();
        // Two who report nothing but each other's reports would never end.
        if rows.iter().all(|(row, _)| row.is_report) {
            return Ok(0);
        }
        let mut policies = BTreeMap::<_, Vec<_>>::new();
        for (row, count) in rows {
            policies.entry(row.record.clone()).or_default().push((row, count));
        }
        let mut policies = policies.into_iter().collect::<Vec<_>>();
        policies.sort_by_key(|(_, rows)| Reverse(rows.iter().map(|(_, count)| *count).sum::<u64>()));
        let (mut sent, group) = (0, group_of(domain));
        // Asked before anything is sent: who cannot be asked now keeps all of it waiting, so that nothing goes twice.
        let mut asked = Vec::new();
        for (record, rows) in policies.into_iter().take(MAX_POLICIES) {
            let to = in_time(asking, destinations(&self.dns, domain, &record)).await?;
            asked.push((record, rows, to));
        }
        for (record, rows, to) in asked {
            // The first one is counted.
            if sent > 0 && !self.may_send(ReportKind::Dmarc, &group).await {
                break;
            }
            sent += usize::from(self.submit(reporter, day, domain, (&record, &rows), to).await?);
        }
        Ok(sent)
    }

    async fn submit(
        &self,
        reporter: &Reporter,
        day: i32,
        domain: &str,
        (record, rows): (&str, &[(Row, u64)]),
        to: Vec<Destination>,
    ) -> anyhow::Result<bool> {
        let (begin, end) = span(day);
        let id = id_of(domain, day, rows)?;
        let make = |to: &[EmailAddress]| {
            let (id, now) = (id.as_str(), self.clock.now());
            report(&Feedback { reporter, domain, id, begin, end, now, to }, record, rows)
        };
        let all = to.iter().map(|to| to.address.clone()).collect::<Vec<_>>();
        if all.is_empty() {
            return Ok(false);
        }
        let mut raw = make(&all);
        let fits = |to: &&Destination| to.max_bytes.is_none_or(|most| raw.len() as u64 <= most);
        let fitting = to.iter().filter(fits).map(|to| to.address.clone()).collect::<Vec<_>>();
        if fitting.is_empty() {
            tracing::info!(domain, size_bytes = raw.len(), "the report is larger than the domain wants it");
            return Ok(false);
        }
        if fitting.len() < all.len() {
            raw = make(&fitting);
        }
        let (from, terms) = (reporter.address.clone(), Terms::default());
        let sent = self.mail.send_notice(Notice { from, to: fitting, terms, raw: raw.into() }).await?;
        if sent {
            tracing::info!(domain, report = id, rows = rows.len(), "a DMARC report leaves");
        }
        Ok(sent)
    }
}

/// The same for the same: who sends it again after a crash is seen to.
fn id_of(domain: &str, day: i32, rows: &[(Row, u64)]) -> anyhow::Result<String> {
    let hash = blake3::hash(&serde_json::to_vec(&(domain, day, rows))?);
    Ok(hash.to_hex().chars().take(24).collect())
}
