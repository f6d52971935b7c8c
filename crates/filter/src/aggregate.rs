//! What we report to others of mail that claims to be theirs: DMARC aggregate reports (RFC 7489 §7.2, RFC 9990).
//!
//! A mail that was checked becomes a [`Row`] for each of its authors' domains that wants reports; whoever keeps the
//! [`Ledger`] counts equal ones. A day's rows become a report.

mod destinations;
mod report;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dns::to_a_labels;
use crate::mail::split;
use crate::results::{fields, is_named};
use crate::{AuthResult, Mail, Outcome, Verdict};

pub use destinations::{Destination, destinations};
pub use report::report;

/// Counts rows.
pub trait Ledger: Send + Sync {
    /// One more mail of this kind, for the domain that has the policy.
    fn note(&self, domain: &str, row: &Row);
}

/// What DMARC found of an author's domain whose policy asks for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Where the policy is.
    pub domain: String,
    /// The policy, as it is in DNS.
    pub record: String,
    /// In A-labels.
    pub author: String,
    /// Whether they pass and are aligned.
    pub spf: bool,
    pub dkim: bool,
    pub disposition: Disposition,
    pub because: Option<Because>,
}

/// What was done with a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    None,
    Quarantine,
    Reject,
}

/// Why less was done than the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    TrustedForwarder,
    LocalPolicy,
    /// `pct` or `t`.
    Tested,
}

/// All that is told of a mail: domains and addresses of servers, nobody's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    pub record: String,
    pub client: IpAddr,
    pub disposition: Disposition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    pub dkim: bool,
    pub spf: bool,
    pub header_from: String,
    /// Of the return path; none for the null one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_from: Option<String>,
    /// Domain, selector and result of its signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<(String, String, Outcome)>,
    /// Domain and result of SPF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<(String, Outcome)>,
    /// It is a report itself, and proven to be theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_report: bool,
}

/// More signatures than this are not told of.
const MAX_SIGNATURES: usize = 4;
/// Longer policies are not kept: nobody has one.
const MAX_RECORD: usize = 1_024;
/// A longer selector is cut.
const MAX_SELECTOR: usize = 128;

/// Notes what is to be reported of a mail that was checked. One that is to come again is none yet.
pub fn note(ledger: &dyn Ledger, mail: &Mail, verdict: &Verdict) {
    if matches!(verdict.action, crate::Action::Defer(_)) {
        return;
    }
    for evaluation in &verdict.evaluations {
        if evaluation.record.len() <= MAX_RECORD {
            ledger.note(&evaluation.domain, &Row::of(mail, verdict, evaluation));
        }
    }
}

impl Row {
    fn of(mail: &Mail, verdict: &Verdict, evaluation: &Evaluation) -> Self {
        let proven = evaluation.spf || evaluation.dkim;
        Self {
            record: evaluation.record.clone(),
            client: mail.client,
            disposition: evaluation.disposition,
            because: evaluation.because,
            dkim: evaluation.dkim,
            spf: evaluation.spf,
            header_from: evaluation.author.clone(),
            envelope_from: mail.sender.as_ref().and_then(|sender| to_a_labels(sender.domain())),
            signatures: signatures(&verdict.results),
            path: path(mail, &verdict.results),
            is_report: proven && is_report(&mail.raw),
        }
    }
}

fn signatures(results: &[AuthResult]) -> Vec<(String, String, Outcome)> {
    let signed = results.iter().filter(|result| result.method == "dkim").filter_map(|result| {
        let domain = to_a_labels(result.property("header.d")?)?;
        let selector = result.property("header.s").unwrap_or_default().chars().take(MAX_SELECTOR).collect();
        Some((domain, selector, result.outcome))
    });
    signed.take(MAX_SIGNATURES).collect()
}

/// RFC 7208 §2.4: of the null return path HELO stands for the domain.
fn path(mail: &Mail, results: &[AuthResult]) -> Option<(String, Outcome)> {
    let (property, domain) = match &mail.sender {
        Some(sender) => ("smtp.mailfrom", to_a_labels(sender.domain())),
        None => ("smtp.helo", mail.hello.as_deref().and_then(to_a_labels)),
    };
    let mut of_spf = results.iter().filter(|result| result.method == "spf");
    let result = of_spf.find(|result| result.property(property).is_some() || result.properties.is_empty())?;
    Some((domain?, result.outcome))
}

/// By the subject that all reports have (RFC 7489 §7.2.1.1, RFC 8460 §5.3).
fn is_report(raw: &[u8]) -> bool {
    let (header, _) = split(raw);
    let subject = fields(header).into_iter().filter_map(|range| header.get(range));
    let mut subject = subject.filter(|field| is_named(field, "Subject"));
    let value = subject.next().and_then(|field| field.splitn(2, |byte| *byte == b':').nth(1));
    value.map(<[u8]>::trim_ascii).is_some_and(|value| {
        value.get(..REPORT.len()).is_some_and(|start| start.eq_ignore_ascii_case(REPORT))
    })
}

const REPORT: &[u8] = b"report domain:";
