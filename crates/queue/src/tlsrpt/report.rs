//! A day's sessions as a report: JSON (RFC 8460 §4), packed, in a mail (§5.3) or as it is (§5.4).

use std::collections::BTreeMap;

use message::feedback::{Contents, Feedback, feedback, packed};
use serde_json::{Value, json};

use super::Session;

/// What a packed report is called (RFC 8460 §6.4).
pub const FILE_TYPE: &str = "application/tlsrpt+gzip";

/// The packed file alone, for who takes it over HTTPS.
#[must_use]
pub fn file(about: &Feedback<'_>, sessions: &[(Session, u64)]) -> Vec<u8> {
    packed(json(about, sessions).to_string().as_bytes())
}

/// The mail. It is the same whenever it is made of the same.
#[must_use]
pub fn report(about: &Feedback<'_>, sessions: &[(Session, u64)]) -> Vec<u8> {
    let Feedback { reporter, domain, begin, end, .. } = *about;
    let host = &reporter.host;
    let text = format!(
        "This is an aggregate report of {host} (TLS-RPT) on its connections to the mail servers of {domain}, from \
         {begin} to {end}.\nThe domain's record at _smtp._tls.{domain} asks for it.\n"
    );
    let contents = Contents {
        text,
        file: json(about, sessions).to_string(),
        ending: "json",
        content_type: FILE_TYPE,
        report_type: Some("tlsrpt"),
        headers: vec![
            ("TLS-Report-Domain", domain),
            ("TLS-Report-Submitter", host),
            // RFC 8460 §3: it is to arrive where the domain's own demands are what fails.
            ("TLS-Required", "No"),
        ],
    };
    feedback(about, contents)
}

fn json(about: &Feedback<'_>, sessions: &[(Session, u64)]) -> Value {
    let Feedback { reporter, domain, id, begin, end, .. } = *about;
    let mut policies = BTreeMap::<_, (u64, u64, Vec<Value>)>::new();
    for (Session { policy, failure }, count) in sessions {
        let (succeeded, failed, details) = policies.entry(policy).or_default();
        let Some(failure) = failure else {
            *succeeded += count;
            continue;
        };
        *failed += count;
        let mut detail = json!(failure);
        if let Some(fields) = detail.as_object_mut() {
            fields.insert("failed-session-count".to_owned(), json!(count));
        }
        details.push(detail);
    }
    let policies = policies.into_iter().map(|(policy, (succeeded, failed, details))| {
        let mut policy = json!(policy);
        if let Some(fields) = policy.as_object_mut() {
            fields.insert("policy-domain".to_owned(), json!(domain));
        }
        let summary =
            json!({ "total-successful-session-count": succeeded, "total-failure-session-count": failed });
        let mut whole = json!({ "policy": policy, "summary": summary });
        if let (Some(fields), false) = (whole.as_object_mut(), details.is_empty()) {
            fields.insert("failure-details".to_owned(), Value::Array(details));
        }
        whole
    });
    json!({
        "organization-name": reporter.organisation,
        "date-range": { "start-datetime": begin, "end-datetime": end },
        "contact-info": reporter.address,
        "report-id": id,
        "policies": policies.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlsrpt::{Applied, Failure, PolicyType, ResultType};
    use filter::report::{Failure as Read, Findings, Sessions, read};
    use message::Reporter;
    use types::Timestamp;

    #[test]
    fn what_we_report_we_could_read() {
        let reporter = Reporter {
            organisation: "Near & Co".to_owned(),
            address: "postmaster@near.test".parse().unwrap(),
            host: "mx.near.test".to_owned(),
        };
        let to = ["tls@demo.test".parse().unwrap()];
        let about = Feedback {
            reporter: &reporter,
            domain: "demo.test",
            id: "42",
            begin: Timestamp::from_seconds(1_795_046_400),
            end: Timestamp::from_seconds(1_795_132_799),
            now: Timestamp::from_seconds(1_795_140_000),
            to: &to,
        };
        let policy = Applied {
            policy_type: PolicyType::Sts,
            policy_string: vec!["version: STSv1".to_owned(), "mode: testing".to_owned()],
            mx_host: vec!["*.demo.test".to_owned()],
        };
        let failed = |result_type, ip: &str| Session {
            policy: policy.clone(),
            failure: Some(Failure {
                result_type,
                receiving_mx_hostname: Some("mx.demo.test".to_owned()),
                receiving_ip: Some(ip.parse().unwrap()),
            }),
        };
        let none = Session { policy: Applied::of(PolicyType::NoPolicyFound), failure: None };
        let sessions = [
            (Session { policy: policy.clone(), failure: None }, 40),
            (failed(ResultType::CertificateExpired, "192.0.2.1"), 2),
            (failed(ResultType::StarttlsNotSupported, "2001:db8::1"), 1),
            (none, 5),
        ];
        let mail = report(&about, &sessions);
        let [of_policy, of_none] = &read(&mail).unwrap()[..] else {
            panic!("two policies: {}", String::from_utf8_lossy(&mail))
        };
        assert_eq!((of_policy.from.as_str(), of_policy.id.as_str()), ("Near & Co", "42"));
        assert_eq!((of_policy.begin, of_policy.end), (about.begin, about.end));
        let told =
            |kind: &str, sessions| Read { kind: kind.to_owned(), host: "mx.demo.test".to_owned(), sessions };
        let failures = vec![told("certificate-expired", 2), told("starttls-not-supported", 1)];
        let sts = Sessions { policy: "sts".to_owned(), succeeded: 40, failed: 3, failures };
        assert_eq!(of_policy.findings, Findings::Tls(sts));
        let none = Sessions { policy: "no-policy-found".to_owned(), succeeded: 5, ..Sessions::default() };
        assert_eq!(of_none.findings, Findings::Tls(none));

        let text = String::from_utf8(mail).unwrap().replace("\r\n ", " ");
        for wanted in [
            "TLS-Report-Domain: demo.test\r\n",
            "TLS-Report-Submitter: mx.near.test\r\n",
            "TLS-Required: No\r\n",
            "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=",
            "filename=\"mx.near.test!demo.test!1795046400!1795132799!42.json.gz\"\r\n",
            "Content-Type: application/tlsrpt+gzip;",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let json = json(&about, &sessions);
        assert_eq!(json["policies"][0]["policy"]["policy-string"][1], "mode: testing");
        assert_eq!(json["date-range"]["start-datetime"], "2026-11-19T00:00:00Z");
    }
}
