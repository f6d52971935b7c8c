//! `magpie domain reports`: what other servers report of a domain, from the mailbox that its records name.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use anyhow::{Context as _, bail};
use filter::report::{Findings, Report};
use mail::{Access, PageQuery, Recipient};
use types::{
    EmailAddress, MessageId, Role, Timestamp,
    address::{domain_key, shown_domain},
};

use crate::{
    cli::out::{self, say},
    parts::Parts,
};

/// A mail with a report that is larger is not read.
const MAX_BYTES: u64 = 25 << 20;
const PAGE: u32 = 100;

/// Prints the reports of so many days, the newest first.
pub(super) async fn show(parts: &Parts, name: &str, days: u32) -> anyhow::Result<()> {
    let domain = super::ours(parts, name).await?;
    let access = mailbox(parts, &domain.name).await?;
    let key = domain_key(&domain.name);
    let since = parts.clock.now().minus(Duration::from_secs(u64::from(days) * 86_400));
    let (mut seen, mut shown) = (HashSet::new(), 0);
    for (message, sender) in candidates(&access, since).await? {
        let opened = access.message(message).await?;
        let proven = opened.auth.is_some_and(|auth| auth.dmarc == "pass");
        let raw = access.raw(message).await?.content.collect(MAX_BYTES).await?;
        let reports = match tokio::task::spawn_blocking(move || filter::report::read(&raw)).await? {
            Ok(reports) => reports,
            Err(error) => {
                out::aside(format_args!(
                    "A mail from {sender} of {} is not read: {error}.",
                    opened.summary.received_at
                ));
                continue;
            }
        };
        for report in reports.into_iter().filter(|report| report.domain == key) {
            // Some are sent again.
            let what = match &report.findings {
                Findings::Tls(sessions) => Some(sessions.policy.clone()),
                _ => None,
            };
            if seen.insert((report.from.clone(), report.id.clone(), what, sender.clone(), proven)) {
                print(&report, &sender, proven)?;
                shown += 1;
            }
        }
    }
    if shown == 0 {
        say!("No reports of {} have come in the last {days} days.", shown_domain(&domain.name))?;
    }
    Ok(())
}

/// The mailbox of whoever gets the mail for the domain's postmaster.
async fn mailbox(parts: &Parts, domain: &str) -> anyhow::Result<Access> {
    let postmaster: EmailAddress = format!("postmaster@{domain}").parse()?;
    let account = match parts.mail.recipient(&postmaster).await? {
        Recipient::Local(account) => Some(account),
        Recipient::Group(group) => group.accounts.first().map(|(_, account)| *account),
        Recipient::Crowd => bail!("{postmaster} is a group of more members than limits.group_members"),
        Recipient::Full => bail!("the mailbox of {postmaster} is full"),
        Recipient::Unknown | Recipient::Changing | Recipient::Back(_) | Recipient::Elsewhere => None,
    };
    let account = account.with_context(|| {
        format!("nobody here gets mail for {postmaster}; `magpie alias add {postmaster} ADDRESS`")
    })?;
    let account = parts.directory.account(account).await?.context("the account is gone")?;
    Ok(parts.mail.admin().open(&account.email).await?)
}

/// Mail whose subject is that of a report (RFC 7489 §7.2.1.1, RFC 8460 §5.3), and who sent it; the newest first.
async fn candidates(access: &Access, since: Timestamp) -> anyhow::Result<Vec<(MessageId, String)>> {
    let filter = storage::Filter { attachments: Some(true), ..storage::Filter::default() };
    let mut found = Vec::new();
    for folder in access.folders().await?.folders {
        if matches!(folder.role, Some(Role::Sent | Role::Drafts | Role::Trash | Role::Junk)) {
            continue;
        }
        let mut cursor = None;
        loop {
            let page = access.page(folder.id, &PageQuery { filter, cursor, limit: Some(PAGE) }).await?;
            let recent = page.messages.iter().take_while(|mail| mail.received_at >= since);
            let reports = recent.clone().filter(|mail| {
                mail.size <= MAX_BYTES && mail.subject.to_lowercase().contains("report domain")
            });
            found.extend(reports.map(|mail| (mail.id, harmless(&mail.from.email))));
            let is_over = recent.count() < page.messages.len();
            match page.next {
                Some(next) if !is_over => cursor = Some(next),
                _ => break,
            }
        }
    }
    found.sort_by_key(|(id, _)| Reverse(*id));
    Ok(found)
}

/// For terminals.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn print(report: &Report, sender: &str, proven: bool) -> anyhow::Result<()> {
    let proven = if proven { "" } else { ", not proven to be theirs" };
    let Report { from, begin, end, .. } = report;
    match &report.findings {
        Findings::Dmarc(sources) => {
            say!("DMARC  {from} ({sender}{proven})  {begin} to {end}")?;
            for source in sources {
                let address = source.address.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
                let (spf, dkim) = (passed(source.spf), passed(source.dkim));
                say!("       {address}  {} mails  SPF {spf}  DKIM {dkim}  {}", source.mails, source.done)?;
            }
        }
        Findings::Tls(sessions) => {
            say!("TLS    {from} ({sender}{proven})  {begin} to {end}")?;
            let (policy, succeeded) = (&sessions.policy, sessions.succeeded);
            say!("       {policy}  {succeeded} connections succeeded, {} failed", sessions.failed)?;
            for failure in &sessions.failures {
                say!("       {} failed at {}: {}", failure.sessions, failure.host, failure.kind)?;
            }
        }
    }
    Ok(())
}

const fn passed(passed: bool) -> &'static str {
    if passed { "pass" } else { "fail" }
}
