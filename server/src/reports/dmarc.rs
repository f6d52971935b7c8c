//! Aggregate reports on mail (RFC 7489 §7.2).

use std::{cmp::Reverse, collections::BTreeMap};

use filter::aggregate::{Destination, Row, destinations, report};
use mail::Notice;
use storage::ReportKind;
use types::{EmailAddress, Terms};

use super::{Reports, about::About, pass::group_of};

/// A domain that changes its policy more often has no more reports for the day.
const MAX_POLICIES: usize = 3;

impl Reports {
    /// One for each policy that the domain had that day; returns how many mails that made.
    pub(super) async fn send_dmarc(&self, about: &About<'_>) -> anyhow::Result<usize> {
        let rows = about.rows::<Row>();
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
        let group = group_of(about.domain);
        let mut mails: Vec<Notice> = Vec::new();
        for (record, rows) in policies.into_iter().take(MAX_POLICIES) {
            let to = about.ask(destinations(&self.dns, about.domain, &record)).await?;
            let Some(mail) = self.mail_about(about, &record, &rows, &to)? else { continue };
            // The first one is counted.
            if !mails.is_empty() && !self.may_send(ReportKind::Dmarc, &group).await {
                break;
            }
            mails.push(mail);
        }
        self.submit(about, mails).await
    }

    /// None if nobody takes it.
    fn mail_about(
        &self,
        about: &About<'_>,
        record: &str,
        rows: &[(Row, u64)],
        to: &[Destination],
    ) -> anyhow::Result<Option<Notice>> {
        let id = about.id(&rows)?;
        let make = |to: &[EmailAddress]| report(&about.feedback(&id, to, self.clock.now()), record, rows);
        let all = to.iter().map(|to| to.address.clone()).collect::<Vec<_>>();
        if all.is_empty() {
            return Ok(None);
        }
        let mut raw = make(&all);
        let fits = |to: &&Destination| to.max_bytes.is_none_or(|most| raw.len() as u64 <= most);
        let fitting = to.iter().filter(fits).map(|to| to.address.clone()).collect::<Vec<_>>();
        if fitting.is_empty() {
            let domain = about.domain;
            tracing::info!(domain, size_bytes = raw.len(), "the report is larger than the domain wants it");
            return Ok(None);
        }
        if fitting.len() < all.len() {
            raw = make(&fitting);
        }
        Ok(Some(Notice { to: fitting, terms: Terms::default(), raw: raw.into() }))
    }
}
