//! Reports of other servers, as they come by mail: on mail that claims to be a domain's (DMARC aggregate reports, RFC 7489
//! §7.2), and on connections to its servers (TLS-RPT, RFC 8460).
//!
//! Anybody may send one: every text in it is a stranger's, and is cut to one short line.

use std::net::IpAddr;

use mail_auth::report::{ActionDisposition, DmarcResult, Error as Unread, tlsrpt::TlsReport};
use mail_parser::{MessageParser, PartType};
use serde::Serialize;
use types::{Timestamp, address::domain_key};

/// What a mail reports of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who reports, in their own words.
    pub from: String,
    pub id: String,
    /// In the form of [`types::EmailAddress::domain_key`].
    pub domain: String,
    pub begin: Timestamp,
    pub end: Timestamp,
    pub findings: Findings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Findings {
    Dmarc(Vec<Source>),
    Tls(Sessions),
}

/// Mail that came from one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub address: Option<IpAddr>,
    pub mails: u32,
    /// Whether SPF, and whether DKIM, told that it was the domain's.
    pub spf: bool,
    pub dkim: bool,
    /// What was done with it: `none`, `quarantine`, `reject`, `pass`.
    pub done: &'static str,
}

/// Connections to a domain's servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// `sts`, `tlsa`, `no-policy-found`.
    pub policy: String,
    pub succeeded: u32,
    pub failed: u32,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In the words of RFC 8460 §4.3.
    pub kind: String,
    pub host: String,
    pub sessions: u32,
}

/// A mail has more to unpack than any report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what it has packed is larger than any report")]
pub struct TooLarge;

/// A report that unpacks to more is too large.
const MAX_BYTES: usize = 16 << 20;
/// What comes packed, all of it together.
const MAX_PACKED_BYTES: usize = 8 << 20;
/// Each may unpack to [`MAX_BYTES`]; a report is one file in one archive.
const MAX_ARCHIVES: usize = 4;
const MAX_FILES: usize = 4;
/// Sources, policies and failures beyond this are not looked at.
const MAX_LINES: usize = 10_000;
const MAX_CHARS: usize = 200;

/// What a mail reports; nothing if it is no report.
///
/// # Errors
/// Reading it would take too much.
pub fn read(mail: &[u8]) -> Result<Vec<Report>, TooLarge> {
    check_packed(mail)?;
    match mail_auth::report::Report::parse_rfc5322(mail, MAX_BYTES) {
        Ok(report) => return Ok(vec![dmarc(&report)]),
        Err(Unread::ReportTooLarge) => return Err(TooLarge),
        Err(_) => {}
    }
    match TlsReport::parse_rfc5322(mail, MAX_BYTES) {
        Ok(report) => Ok(tls(&report)),
        Err(Unread::ReportTooLarge) => Err(TooLarge),
        Err(_) => Ok(Vec::new()),
    }
}

/// The library bounds what each file unpacks to, but not how many there are.
fn check_packed(mail: &[u8]) -> Result<(), TooLarge> {
    let Some(message) = MessageParser::new().parse(mail) else { return Ok(()) };
    let packed = message.parts.iter().filter_map(|part| match &part.body {
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => Some(bytes.as_ref()),
        _ => None,
    });
    let packed: Vec<&[u8]> = packed.filter(|bytes| bytes.starts_with(GZIP) || is_zip(bytes)).collect();
    let total: usize = packed.iter().map(|bytes| bytes.len()).sum();
    if packed.len() > MAX_ARCHIVES
        || total > MAX_PACKED_BYTES
        || packed.iter().any(|bytes| files(bytes) > MAX_FILES)
    {
        return Err(TooLarge);
    }
    Ok(())
}

/// RFC 1952 §2.3.1, and the signatures of a ZIP file: of a file in it, and of its entry in the list at the end.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZIP_FILE: &[u8] = b"PK\x03\x04";
const ZIP_ENTRY: &[u8] = b"PK\x01\x02";

fn is_zip(bytes: &[u8]) -> bool {
    // It is read from its end, so something else may come first.
    memchr::memmem::find(bytes, ZIP_FILE).is_some()
}

/// How many files a reader may find in it, at most.
fn files(bytes: &[u8]) -> usize {
    memchr::memmem::find_iter(bytes, ZIP_ENTRY).count()
}

fn dmarc(report: &mail_auth::report::Report) -> Report {
    let source = |record: &mail_auth::report::Record| Source {
        address: record.source_ip(),
        mails: record.count(),
        spf: record.dmarc_spf_result() == DmarcResult::Pass,
        dkim: record.dmarc_dkim_result() == DmarcResult::Pass,
        done: match record.action_disposition() {
            ActionDisposition::Pass => "pass",
            ActionDisposition::Quarantine => "quarantine",
            ActionDisposition::Reject => "reject",
            ActionDisposition::None | ActionDisposition::Unspecified => "none",
        },
    };
    Report {
        from: line(report.org_name()),
        id: line(report.report_id()),
        domain: domain_key(&line(report.domain())),
        begin: seconds(report.date_range_begin()),
        end: seconds(report.date_range_end()),
        findings: Findings::Dmarc(report.records().iter().take(MAX_LINES).map(source).collect()),
    }
}

fn tls(report: &TlsReport) -> Vec<Report> {
    let from = line(report.organization_name.as_deref().unwrap_or_default());
    let policies = report.policies.iter().take(MAX_LINES).map(|policy| Report {
        from: from.clone(),
        id: line(&report.report_id),
        domain: domain_key(&line(&policy.policy.policy_domain)),
        begin: Timestamp::from_seconds(report.date_range.start_datetime.to_timestamp()),
        end: Timestamp::from_seconds(report.date_range.end_datetime.to_timestamp()),
        findings: Findings::Tls(Sessions {
            policy: word(&policy.policy.policy_type),
            succeeded: policy.summary.total_success,
            failed: policy.summary.total_failure,
            failures: policy.failure_details.iter().take(MAX_LINES).map(failure).collect(),
        }),
    });
    policies.collect()
}

fn failure(details: &mail_auth::report::tlsrpt::FailureDetails) -> Failure {
    Failure {
        kind: word(&details.result_type),
        host: line(details.receiving_mx_hostname.as_deref().unwrap_or_default()),
        sessions: details.failed_session_count,
    }
}

/// What the report calls it.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(|value| value.as_str()).unwrap_or("other").to_ascii_lowercase()
}

fn line(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use mail_auth::report::{Record, Report as Dmarc};

    use super::*;

    const TLS: &str = r#"{"organization-name":"Far\u001b[31m Inc.","report-id":"7","contact-info":"x@far.test",
        "date-range":{"start-datetime":"2026-11-20T00:00:00Z","end-datetime":"2026-11-21T00:00:00Z"},
        "policies":[{"policy":{"policy-type":"sts","policy-domain":"Demo.test"},
        "summary":{"total-successful-session-count":40,"total-failure-session-count":2},
        "failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx.demo.test",
        "failed-session-count":2}]}]}"#;

    #[test]
    fn dmarc_reports_are_read() {
        let record = Record::new()
            .with_source_ip("192.0.2.1".parse().unwrap())
            .with_count(3)
            .with_dmarc_spf_result(DmarcResult::Pass)
            .with_dmarc_dkim_result(DmarcResult::Fail)
            .with_action_disposition(ActionDisposition::Quarantine);
        let mail = Dmarc::new()
            .with_org_name("Far Inc.")
            .with_report_id("42")
            .with_domain("Demo.test")
            .with_date_range_begin(1_795_000_000)
            .with_date_range_end(1_795_086_400)
            .with_record(record)
            .to_rfc5322("far.test", ("Far", "noreply@far.test"), ["postmaster@demo.test"].into_iter())
            .unwrap();
        let source = Source {
            address: Some("192.0.2.1".parse().unwrap()),
            mails: 3,
            spf: true,
            dkim: false,
            done: "quarantine",
        };
        let wanted = Report {
            from: "Far Inc.".into(),
            id: "42".into(),
            domain: "demo.test".into(),
            begin: Timestamp::from_seconds(1_795_000_000),
            end: Timestamp::from_seconds(1_795_086_400),
            findings: Findings::Dmarc(vec![source]),
        };
        assert_eq!(read(mail.as_bytes()).unwrap(), [wanted]);
    }

    #[test]
    fn reports_on_tls_are_read_and_their_texts_are_harmless() {
        let mail = format!(
            "Subject: Report Domain: demo.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; \
             report-type=tlsrpt; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA report\r\n--b\r\n\
             Content-Type: application/tlsrpt+json\r\nContent-Disposition: attachment; filename=r.json\r\n\r\n\
             {TLS}\r\n--b--\r\n"
        );
        let [report] = &read(mail.as_bytes()).unwrap()[..] else { panic!("one report") };
        assert_eq!((report.from.as_str(), report.domain.as_str()), ("Far[31m Inc.", "demo.test"));
        let failure =
            Failure { kind: "certificate-expired".into(), host: "mx.demo.test".into(), sessions: 2 };
        let sessions = Sessions { policy: "sts".into(), succeeded: 40, failed: 2, failures: vec![failure] };
        assert_eq!(report.findings, Findings::Tls(sessions));
    }

    #[test]
    fn what_is_no_report_is_none() {
        for mail in [
            "",
            "Subject: Report Domain: demo.test\r\n\r\nNothing\r\n",
            "Content-Type: application/xml\r\n\r\n<feedback><record></feedback>\r\n",
            "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
            "Content-Type: application/tlsrpt+json\r\n\r\n{}\r\n",
        ] {
            assert_eq!(read(mail.as_bytes()), Ok(vec![]), "{mail}");
        }
    }

    fn packed(kind: &str, files: &[&[u8]]) -> String {
        let part = |bytes: &&[u8]| {
            let text = STANDARD.encode(bytes);
            format!(
                "--b\r\nContent-Type: application/{kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n"
            )
        };
        let parts: String = files.iter().map(part).collect();
        format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bombs_are_not_unpacked() {
        let check = |mail: &str, wanted: Result<Vec<Report>, TooLarge>, what| {
            assert_eq!(read(mail.as_bytes()), wanted, "{what}");
        };
        let bomb = gzip(&vec![b' '; MAX_BYTES + 1]);
        assert!(bomb.len() < 100_000);
        check(&packed("gzip", &[&bomb]), Err(TooLarge), "more than there may be");
        check(&packed("gzip", &[&gzip(b"<feedback>")]), Ok(vec![]), "no report");
        let small = gzip(b"x");
        check(&packed("gzip", &[small.as_slice(); MAX_ARCHIVES + 1]), Err(TooLarge), "many archives");
        let mut large = GZIP.to_vec();
        large.resize(MAX_PACKED_BYTES + 1, 7);
        check(&packed("gzip", &[&large]), Err(TooLarge), "much that is packed");
        let many = [ZIP_FILE, &[0; 26][..], &ZIP_ENTRY.repeat(MAX_FILES + 1)[..]].concat();
        check(&packed("zip", &[&many]), Err(TooLarge), "many files");
    }
}
