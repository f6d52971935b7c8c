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
        let group = group_of(domain);
        let mut mails: Vec<Notice> = Vec::new();
        for (record, rows) in policies.into_iter().take(MAX_POLICIES) {
            let to = in_time(asking, destinations(&self.dns, domain, &record)).await?;
            let Some(mail) = self.mail_about(reporter, day, domain, (&record, &rows), to)? else { continue };
            // The first one is counted.
            if !mails.is_empty() && !self.may_send(ReportKind::Dmarc, &group).await {
                break;
            }
            mails.push(mail);
        }
        self.submit(reporter, domain, mails).await
    }

    /// None if nobody takes it.
    fn mail_about(
        &self,
        reporter: &Reporter,
        day: i32,
        domain: &str,
        (record, rows): (&str, &[(Row, u64)]),
        to: Vec<Destination>,
    ) -> anyhow::Result<Option<Notice>> {
        let (begin, end) = span(day);
        let id = id_of(domain, day, rows)?;
        let make = |to: &[EmailAddress]| {
            let (id, now) = (id.as_str(), self.clock.now());
            report(&Feedback { reporter, domain, id, begin, end, now, to }, record, rows)
        };
        let all = to.iter().map(|to| to.address.clone()).collect::<Vec<_>>();
        if all.is_empty() {
            return Ok(None);
        }
        let mut raw = make(&all);
        let fits = |to: &&Destination| to.max_bytes.is_none_or(|most| raw.len() as u64 <= most);
        let fitting = to.iter().filter(fits).map(|to| to.address.clone()).collect::<Vec<_>>();
        if fitting.is_empty() {
            tracing::info!(domain, size_bytes = raw.len(), "the report is larger than the domain wants it");
            return Ok(None);
        }
        if fitting.len() < all.len() {
            raw = make(&fitting);
        }
        tracing::debug!(domain, report = id, rows = rows.len(), "a DMARC report is made");
        Ok(Some(Notice { to: fitting, terms: Terms::default(), raw: raw.into() }))
    }
}

/// The same for the same: who sends it again after a crash is seen to.
fn id_of(domain: &str, day: i32, rows: &[(Row, u64)]) -> anyhow::Result<String> {
    let hash = blake3::hash(&serde_json::to_vec(&(domain, day, rows))?);
    Ok(hash.to_hex().chars().take(24).collect())
}
