//! A day's rows as a report: XML (RFC 7489 appendix C, RFC 9990), packed, in a mail.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::dmarc::{Alignment as Mode, Dmarc, Policy};
use mail_auth::report::{
    ActionDisposition, Alignment, DKIMAuthResult, Discovery, Disposition as Wanted, DkimResult, DmarcResult,
    PolicyOverride, PolicyOverrideReason, PolicyPublished, Record, Report, SPFAuthResult, SPFDomainScope,
    SpfResult,
};
use message::{Outgoing, OutgoingAttachment, compose};
use types::{Address, EmailAddress, Timestamp};

use super::{Because, Disposition, Row, Word};

/// Who reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// In words for people.
    pub organisation: String,
    /// Who sends reports, and may be asked about them.
    pub address: EmailAddress,
    /// The name of this server.
    pub host: String,
}

/// A report to be made: of a domain with one policy.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    pub reporter: &'a Reporter,
    pub domain: &'a str,
    pub record: &'a str,
    pub id: &'a str,
    pub begin: Timestamp,
    pub end: Timestamp,
    pub now: Timestamp,
    pub to: &'a [EmailAddress],
}

/// The mail. It is the same whenever it is made of the same.
#[must_use]
pub fn report(submission: &Submission<'_>, rows: &[(Row, u64)]) -> Vec<u8> {
    let Submission { reporter, domain, id, begin, end, .. } = *submission;
    let host = &reporter.host;
    let subject = format!("Report Domain: {domain} Submitter: {host} Report-ID: <{id}>");
    let text = format!(
        "This is an aggregate report of {host} (DMARC) on mail from {domain}, from {begin} to {end}.\n\
         The domain's DMARC record asks for it (rua).\n"
    );
    let file = OutgoingAttachment {
        // RFC 7489 §7.2.1.1.
        filename: format!("{host}!{domain}!{}!{}!{id}.xml.gz", begin.seconds(), end.seconds()),
        content_type: "application/gzip".to_owned(),
        bytes: packed(xml(submission, rows).as_bytes()),
        content_id: None,
    };
    let address = |address: &EmailAddress| Address { name: String::new(), email: address.to_string() };
    compose(&Outgoing {
        from: Address { name: reporter.organisation.clone(), email: reporter.address.to_string() },
        to: submission.to.iter().map(address).collect(),
        subject,
        date: submission.now,
        message_id: format!("{id}@{host}"),
        text: Some(text),
        attachments: vec![file],
        headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
        ..Outgoing::default()
    })
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A vector takes all there is.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

fn xml(submission: &Submission<'_>, rows: &[(Row, u64)]) -> String {
    let Submission { reporter, begin, end, .. } = *submission;
    let seconds = |at: Timestamp| u64::try_from(at.seconds()).unwrap_or_default();
    let mut report = Report::new()
        .with_version(1.0)
        .with_org_name(&reporter.organisation)
        .with_email(reporter.address.to_string())
        .with_report_id(submission.id)
        .with_date_range_begin(seconds(begin))
        .with_date_range_end(seconds(end))
        .with_policy_published(published(submission.domain, submission.record));
    for (row, count) in rows {
        report = report.with_record(record(row, *count));
    }
    report.to_xml()
}

fn published(domain: &str, record: &str) -> PolicyPublished {
    let mut published = PolicyPublished {
        domain: domain.to_owned(),
        discovery_method: Discovery::Treewalk,
        ..PolicyPublished::default()
    };
    let Ok(policy) = Dmarc::parse(record.as_bytes()) else { return published };
    let alignment = |mode| match mode {
        Mode::Relaxed => Alignment::Relaxed,
        Mode::Strict => Alignment::Strict,
    };
    let wanted = |policy| match policy {
        Policy::None | Policy::Unspecified => Wanted::None,
        Policy::Quarantine => Wanted::Quarantine,
        Policy::Reject => Wanted::Reject,
    };
    published.adkim = alignment(policy.adkim);
    published.aspf = alignment(policy.aspf);
    published.p = wanted(policy.p);
    published.sp = wanted(policy.sp);
    published.np = wanted(policy.np);
    published.testing = policy.t;
    published
}

fn record(row: &Row, count: u64) -> Record {
    let passed = |passed| if passed { DmarcResult::Pass } else { DmarcResult::Fail };
    let mut record = Record::new()
        .with_source_ip(row.client)
        .with_count(u32::try_from(count).unwrap_or(u32::MAX))
        .with_dmarc_dkim_result(passed(row.dkim))
        .with_dmarc_spf_result(passed(row.spf))
        .with_action_disposition(match row.disposition {
            Disposition::None => ActionDisposition::None,
            Disposition::Quarantine => ActionDisposition::Quarantine,
            Disposition::Reject => ActionDisposition::Reject,
        })
        .with_header_from(&row.header_from)
        .with_envelope_from(row.envelope_from.as_deref().unwrap_or_default());
    if let Some(because) = row.because {
        let kind = match because {
            Because::TrustedForwarder => PolicyOverride::TrustedForwarder,
            Because::LocalPolicy => PolicyOverride::LocalPolicy,
            Because::Tested => PolicyOverride::PolicyTestMode,
        };
        record = record.with_policy_override_reason(PolicyOverrideReason { type_: kind, comment: None });
    }
    for (domain, selector, word) in &row.signatures {
        let result = match word {
            Word::None => DkimResult::None,
            Word::Pass => DkimResult::Pass,
            Word::Fail | Word::SoftFail => DkimResult::Fail,
            Word::Policy => DkimResult::Policy,
            Word::Neutral => DkimResult::Neutral,
            Word::TempError => DkimResult::TempError,
            Word::PermError => DkimResult::PermError,
        };
        let signature = DKIMAuthResult::new().with_domain(domain).with_selector(selector).with_result(result);
        record = record.with_dkim_auth_result(signature);
    }
    if let Some((domain, word)) = &row.path {
        let result = match word {
            Word::None => SpfResult::None,
            Word::Pass => SpfResult::Pass,
            Word::Fail | Word::Policy => SpfResult::Fail,
            Word::SoftFail => SpfResult::SoftFail,
            Word::Neutral => SpfResult::Neutral,
            Word::TempError => SpfResult::TempError,
            Word::PermError => SpfResult::PermError,
        };
        let path =
            SPFAuthResult::new().with_domain(domain).with_scope(SPFDomainScope::MailFrom).with_result(result);
        record = record.with_spf_auth_result(path);
    }
    record
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::report::{Findings, Source, read};

    fn row(client: &str, disposition: Disposition, spf: bool, dkim: bool) -> Row {
        Row {
            record: String::new(),
            client: client.parse().unwrap(),
            disposition,
            because: (disposition == Disposition::None && !spf && !dkim).then_some(Because::LocalPolicy),
            dkim,
            spf,
            header_from: "demo.test".to_owned(),
            envelope_from: Some("bounce.demo.test".to_owned()),
            signatures: vec![("demo.test".to_owned(), "s1".to_owned(), Word::Pass)],
            path: Some(("bounce.demo.test".to_owned(), Word::SoftFail)),
            is_report: false,
        }
    }

    #[test]
    fn what_we_report_we_could_read() {
        let reporter = Reporter {
            organisation: "Near Co.".to_owned(),
            address: "postmaster@near.test".parse().unwrap(),
            host: "mx.near.test".to_owned(),
        };
        let to = ["d@demo.test".parse().unwrap(), "d@other.test".parse().unwrap()];
        let submission = Submission {
            reporter: &reporter,
            domain: "demo.test",
            record: "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:d@demo.test",
            id: "42",
            begin: Timestamp::from_seconds(1_795_046_400),
            end: Timestamp::from_seconds(1_795_132_799),
            now: Timestamp::from_seconds(1_795_140_000),
            to: &to,
        };
        let rows = [
            (row("192.0.2.1", Disposition::Reject, false, false), 3),
            (row("2001:db8::1", Disposition::None, true, true), 70_000),
        ];
        let mail = report(&submission, &rows);
        assert_eq!(mail, report(&submission, &rows), "the same of the same");
        let [read] = &read(&mail).unwrap()[..] else { panic!("one report") };
        assert_eq!(
            (read.from.as_str(), read.id.as_str(), read.domain.as_str()),
            ("Near Co.", "42", "demo.test")
        );
        assert_eq!((read.begin, read.end), (submission.begin, submission.end));
        let source = |address: &str, mails, passed, done| Source {
            address: Some(address.parse().unwrap()),
            mails,
            spf: passed,
            dkim: passed,
            done,
        };
        let sources =
            vec![source("192.0.2.1", 3, false, "reject"), source("2001:db8::1", 70_000, true, "none")];
        assert_eq!(read.findings, Findings::Dmarc(sources));
        let text = String::from_utf8(mail).unwrap();
        for wanted in [
            "From: \"Near Co.\" <postmaster@near.test>\r\n",
            "To: d@demo.test, d@other.test\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "filename=\"mx.near.test!demo.test!1795046400!1795132799!42.xml.gz\"\r\n",
            "Content-Type: application/gzip;\r\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(
            text.replace("\r\n ", " ")
                .contains("Subject: Report Domain: demo.test Submitter: mx.near.test Report-ID: <42>"),
            "{text}"
        );
        let xml = xml(&submission, &rows);
        for wanted in [
            "<p>reject</p>",
            "<sp>quarantine</sp>",
            "<adkim>s</adkim>",
            "<aspf>r</aspf>",
            "<scope>mfrom</scope>",
            "<selector>s1</selector>",
            "<envelope_from>bounce.demo.test</envelope_from>",
        ] {
            assert!(xml.contains(wanted), "{wanted}: {xml}");
        }
        let odd = Reporter { organisation: "<Near & Co>".to_owned(), ..reporter.clone() };
        assert!(
            super::xml(&Submission { reporter: &odd, ..submission }, &rows).contains("&lt;Near &amp; Co&gt;")
        );
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed(xml.as_bytes())[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, xml);
    }
}
