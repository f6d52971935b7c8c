//! A day's rows as a report: XML (RFC 7489 appendix C, RFC 9990), packed, in a mail.

use mail_auth::dmarc::{Alignment as Mode, Policy};
use mail_auth::report::{
    ActionDisposition, Alignment, DKIMAuthResult, Discovery, Disposition as Wanted, DkimResult, DmarcResult,
    PolicyOverride, PolicyOverrideReason, PolicyPublished, Record, Report, SPFAuthResult, SPFDomainScope,
    SpfResult,
};
use message::feedback::{Contents, Feedback, feedback};
use types::Timestamp;

use super::{Because, Disposition, Row};
use crate::{Outcome, dmarc};

/// The mail about a domain with this policy. It is the same whenever it is made of the same.
#[must_use]
pub fn report(about: &Feedback<'_>, record: &str, rows: &[(Row, u64)]) -> Vec<u8> {
    let Feedback { reporter, domain, begin, end, .. } = *about;
    let host = &reporter.host;
    let text = format!(
        "This is an aggregate report of {host} (DMARC) on mail from {domain}, from {begin} to {end}.\n\
         The domain's DMARC record asks for it (rua).\n"
    );
    let contents = Contents {
        text,
        file: xml(about, record, rows),
        ending: "xml",
        content_type: "application/gzip",
        report_type: None,
        headers: Vec::new(),
    };
    feedback(about, contents)
}

fn xml(about: &Feedback<'_>, record: &str, rows: &[(Row, u64)]) -> String {
    let Feedback { reporter, begin, end, .. } = *about;
    let seconds = |at: Timestamp| u64::try_from(at.seconds()).unwrap_or_default();
    let mut report = Report::new()
        .with_version(1.0)
        .with_org_name(&reporter.organisation)
        .with_email(reporter.address.to_string())
        .with_report_id(about.id)
        .with_date_range_begin(seconds(begin))
        .with_date_range_end(seconds(end))
        .with_policy_published(published(about.domain, record));
    for (row, count) in rows {
        report = report.with_record(reported(row, *count));
    }
    report.to_xml()
}

fn published(domain: &str, record: &str) -> PolicyPublished {
    let mut published = PolicyPublished {
        domain: domain.to_owned(),
        discovery_method: Discovery::Treewalk,
        ..PolicyPublished::default()
    };
    let Ok(policy) = dmarc::parse(record.as_bytes()) else { return published };
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

fn reported(row: &Row, count: u64) -> Record {
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
            Outcome::None => DkimResult::None,
            Outcome::Pass => DkimResult::Pass,
            Outcome::Fail | Outcome::SoftFail => DkimResult::Fail,
            Outcome::Policy => DkimResult::Policy,
            Outcome::Neutral => DkimResult::Neutral,
            Outcome::TempError => DkimResult::TempError,
            Outcome::PermError => DkimResult::PermError,
        };
        let signature = DKIMAuthResult::new().with_domain(domain).with_selector(selector).with_result(result);
        record = record.with_dkim_auth_result(signature);
    }
    if let Some((domain, word)) = &row.path {
        let result = match word {
            Outcome::None => SpfResult::None,
            Outcome::Pass => SpfResult::Pass,
            Outcome::Fail | Outcome::Policy => SpfResult::Fail,
            Outcome::SoftFail => SpfResult::SoftFail,
            Outcome::Neutral => SpfResult::Neutral,
            Outcome::TempError => SpfResult::TempError,
            Outcome::PermError => SpfResult::PermError,
        };
        let path =
            SPFAuthResult::new().with_domain(domain).with_scope(SPFDomainScope::MailFrom).with_result(result);
        record = record.with_spf_auth_result(path);
    }
    record
}

#[cfg(test)]
mod tests {
    use message::Reporter;

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
            signatures: vec![("demo.test".to_owned(), "s1".to_owned(), Outcome::Pass)],
            path: Some(("bounce.demo.test".to_owned(), Outcome::SoftFail)),
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
        // Read as it is judged by: what is no `aspf` is passed over.
        let policy = "v=DMARC1; p=reject; sp=quarantine; adkim=s; aspf=relaxed!; rua=mailto:d@demo.test";
        let about = Feedback {
            reporter: &reporter,
            domain: "demo.test",
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
        let mail = report(&about, policy, &rows);
        assert_eq!(mail, report(&about, policy, &rows), "the same of the same");
        let [read] = &read(&mail).unwrap()[..] else { panic!("one report") };
        assert_eq!(
            (read.from.as_str(), read.id.as_str(), read.domain.as_str()),
            ("Near Co.", "42", "demo.test")
        );
        assert_eq!((read.begin, read.end), (about.begin, about.end));
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
        let xml = xml(&about, policy, &rows);
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
        let odd = super::xml(&Feedback { reporter: &odd, ..about }, policy, &rows);
        assert!(odd.contains("&lt;Near &amp; Co&gt;"), "{odd}");
    }
}
