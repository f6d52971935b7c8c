//! Reports to others, once a day: what came in under their names (DMARC), and how connections to them began (TLS-RPT).
//!
//! Each node counts in memory, adds that to the directory every few minutes and when it stops, and so loses a few
//! counts in a crash: they are statistics. One node at a time makes the mails of the days that are over.

mod about;
mod dmarc;
mod pass;
mod tally;
mod tls;

use std::{sync::Arc, time::Duration};

use filter::{Dns, aggregate::Ledger};
use message::Reporter;
use queue::{https::Https, tlsrpt};
use storage::{Directory, ReportKind};
use tokio_util::sync::CancellationToken;
use types::{Clock, EmailAddress, Timestamp};

use crate::{
    config::Config,
    parts::{self, Parts},
};
use tally::Tally;

/// Counts, and tells others.
pub(crate) struct Reports {
    mail: mail::Service,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    dns: Dns,
    https: Https,
    tally: Arc<Tally>,
    wanted: Vec<ReportKind>,
    host: String,
    from: Option<EmailAddress>,
    organisation: String,
    /// This node, when turns are taken.
    holder: String,
}

const WRITE_DOWN_EVERY: Duration = Duration::from_secs(300);
const SEND_EVERY: Duration = Duration::from_secs(600);
const DAY_SECONDS: i64 = 86_400;
/// What a node writes down later than this after midnight counts as of the next day.
const LATE_SECONDS: i64 = 900;
/// After midnight every node has written down what it knows of the day, and whoever began in time has ended.
const SETTLED_SECONDS: i64 = 2 * LATE_SECONDS;
/// So that not everybody reports at the same time (RFC 8460 §5): within four hours.
const SPREAD_SECONDS: i64 = 4 * 3_600;
/// Rows of a report, the most frequent first.
const MAX_ROWS: u32 = 10_000;

impl Reports {
    pub(crate) fn new(config: &Config, parts: &Parts, dns: &Dns) -> anyhow::Result<Self> {
        let host = parts::hostname(config);
        // Who has no name of the Internet cannot be asked back.
        let is_known = host.contains('.');
        let wanted = [(ReportKind::Dmarc, config.reports.dmarc), (ReportKind::Tls, config.reports.tls)];
        let wanted =
            wanted.into_iter().filter(|(_, wanted)| *wanted && is_known).map(|(kind, _)| kind).collect();
        let https = Https::to_whoever_answers(dns.resolver(), config.queue.allow_private_targets)?;
        Ok(Self {
            mail: parts.mail.clone(),
            https,
            directory: Arc::clone(&parts.directory),
            clock: Arc::clone(&parts.clock),
            dns: dns.clone(),
            tally: Arc::new(Tally::new(Arc::clone(&parts.clock), config.reports.day_size.0)),
            wanted,
            organisation: config.reports.organization.clone().unwrap_or_else(|| host.clone()),
            from: config.reports.from.as_deref().and_then(|from| from.parse().ok()),
            holder: format!("{host}/{:016x}", u64::from_le_bytes(parts::random())),
            host,
        })
    }

    /// Who counts mail at the door, if that is reported.
    pub(crate) fn of_mail(&self) -> Option<Arc<dyn Ledger>> {
        self.wanted.contains(&ReportKind::Dmarc).then(|| Arc::clone(&self.tally) as Arc<dyn Ledger>)
    }

    /// Who counts sessions with other servers, if they are reported.
    pub(crate) fn of_sessions(&self) -> Option<Arc<dyn tlsrpt::Ledger>> {
        self.wanted.contains(&ReportKind::Tls).then(|| Arc::clone(&self.tally) as Arc<dyn tlsrpt::Ledger>)
    }

    /// Writes down what was counted, and if it `sends`, sends what is due, until told to stop.
    pub(crate) async fn run(&self, sends: bool, stop: CancellationToken) {
        if self.wanted.is_empty() {
            return;
        }
        let writing = async {
            loop {
                tokio::time::sleep(WRITE_DOWN_EVERY).await;
                self.write_down().await;
            }
        };
        let sending = async {
            loop {
                if sends && let Err(error) = self.send_due(self.clock.now()).await {
                    tracing::warn!(%error, "reports to others have to wait");
                }
                tokio::time::sleep(SEND_EVERY).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = writing => {}
            () = sending => {}
        }
    }

    /// Adds what was counted here to what all nodes know.
    pub(crate) async fn write_down(&self) {
        if let Err(error) = self.tally.write_down(&*self.directory).await {
            tracing::warn!(%error, "what is to be reported to others is kept in memory for now");
        }
    }

    /// None if no domain of ours could vouch for a report.
    async fn reporter(&self) -> anyhow::Result<Option<Reporter>> {
        let address = match &self.from {
            Some(from) => Some(from.clone()),
            None => self.postmaster().await?,
        };
        let (organisation, host) = (self.organisation.clone(), self.host.clone());
        Ok(address.map(|address| Reporter { organisation, address, host }))
    }

    /// Of the domain that this server is in, or of the oldest one.
    async fn postmaster(&self) -> anyhow::Result<Option<EmailAddress>> {
        let mut domains = self.directory.domains().await?;
        let host = types::address::fold(&self.host);
        let is_in =
            |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        domains.sort_by_key(|domain| {
            (
                !is_in(&domain.name),
                std::cmp::Reverse(is_in(&domain.name).then_some(domain.name.len())),
                domain.id,
            )
        });
        Ok(domains.first().and_then(|domain| format!("postmaster@{}", domain.name).parse().ok()))
    }
}

/// In UTC, since 1970-01-01.
fn day_of(at: Timestamp) -> i32 {
    i32::try_from(at.seconds().div_euclid(DAY_SECONDS)).unwrap_or_default()
}
