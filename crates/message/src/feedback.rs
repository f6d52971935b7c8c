//! Reports that domains ask for, DMARC's and TLS-RPT's: a packed file in a mail (RFC 7489 §7.2.1, RFC 8460 §5).

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use types::{Address, EmailAddress, Timestamp};

use crate::{Outgoing, OutgoingAttachment, compose};

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

/// A report to be made: about whom, of which time, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    pub reporter: &'a Reporter,
    /// In A-labels.
    pub domain: &'a str,
    pub id: &'a str,
    pub begin: Timestamp,
    pub end: Timestamp,
    pub now: Timestamp,
    pub to: &'a [EmailAddress],
}

/// What the mail of a report is made of.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// What a person reads.
    pub text: String,
    /// The file, not yet packed.
    pub file: String,
    /// How the file's name ends before `.gz`.
    pub ending: &'a str,
    /// Of the packed file.
    pub content_type: &'a str,
    /// That of `multipart/report`.
    pub report_type: Option<&'static str>,
    /// Fields of the header that this kind of report has beside those that all have.
    pub headers: Vec<(&'a str, &'a str)>,
}

/// The mail. It is the same whenever it is made of the same.
#[must_use]
pub fn feedback(feedback: &Feedback<'_>, contents: Contents<'_>) -> Vec<u8> {
    let Feedback { reporter, domain, id, begin, end, now, to } = *feedback;
    let Contents { text, file, ending, content_type, report_type, headers } = contents;
    let host = &reporter.host;
    let file = OutgoingAttachment {
        filename: format!("{host}!{domain}!{}!{}!{id}.{ending}.gz", begin.seconds(), end.seconds()),
        content_type: content_type.to_owned(),
        bytes: packed(file.as_bytes()),
        content_id: None,
    };
    let address = |address: &EmailAddress| Address { name: String::new(), email: address.to_string() };
    let headers = headers.into_iter().chain([("Auto-Submitted", "auto-generated")]);
    compose(&Outgoing {
        from: Address { name: reporter.organisation.clone(), email: reporter.address.to_string() },
        to: to.iter().map(address).collect(),
        subject: format!("Report Domain: {domain} Submitter: {host} Report-ID: <{id}>"),
        date: now,
        message_id: format!("{id}@{host}"),
        text: Some(text),
        attachments: vec![file],
        report_type,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..Outgoing::default()
    })
}

/// The bytes, compressed as files of reports are (gzip).
#[must_use]
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A vector takes all there is.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_report_is_a_packed_file_in_a_mail() {
        let reporter = Reporter {
            organisation: "Near Co.".to_owned(),
            address: "postmaster@near.test".parse().unwrap(),
            host: "mx.near.test".to_owned(),
        };
        let to = ["d@demo.test".parse().unwrap(), "d@other.test".parse().unwrap()];
        let about = Feedback {
            reporter: &reporter,
            domain: "demo.test",
            id: "42",
            begin: Timestamp::from_seconds(1_795_046_400),
            end: Timestamp::from_seconds(1_795_132_799),
            now: Timestamp::from_seconds(1_795_140_000),
            to: &to,
        };
        let contents = Contents {
            text: "A report.\n".to_owned(),
            file: "<feedback/>".to_owned(),
            ending: "xml",
            content_type: "application/gzip",
            report_type: None,
            headers: vec![("TLS-Required", "No")],
        };
        let mail = feedback(&about, contents.clone());
        assert_eq!(mail, feedback(&about, contents), "the same of the same");
        let text = String::from_utf8(mail.clone()).unwrap().replace("\r\n ", " ");
        for wanted in [
            "From: \"Near Co.\" <postmaster@near.test>\r\n",
            "To: d@demo.test, d@other.test\r\n",
            "Subject: Report Domain: demo.test Submitter: mx.near.test Report-ID: <42>\r\n",
            "TLS-Required: No\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: application/gzip;",
            "filename=\"mx.near.test!demo.test!1795046400!1795132799!42.xml.gz\"\r\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed(b"<feedback/>")[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, "<feedback/>");
    }
}
