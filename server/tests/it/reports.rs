//! What other servers report, as the operator sees it.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn magpie(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join("data"));
    command.stdin(Stdio::null()).output().unwrap()
}

fn told(folder: &Path, args: &[&str]) -> String {
    let output = magpie(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A mail with a report attached.
fn mail(subject: &str, kind: &str, name: &str, report: &str) -> String {
    format!(
        "From reports@far.test Sat Jan  3 01:05:34 2026\nFrom: Far <reports@far.test>\n\
         To: postmaster@demo.test\nSubject: {subject}\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nA report.\n--b\n\
         Content-Type: {kind}\nContent-Disposition: attachment; filename={name}\n\n{report}\n--b--\n\n"
    )
}

fn dmarc(id: &str, domain: &str) -> String {
    let report = format!(
        "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>Far Inc.</org_name>\
         <email>reports@far.test</email><report_id>{id}</report_id><date_range><begin>1767312000</begin>\
         <end>1767398400</end></date_range></report_metadata><policy_published><domain>{domain}</domain>\
         <p>quarantine</p></policy_published><record><row><source_ip>192.0.2.9</source_ip><count>7</count>\
         <policy_evaluated><disposition>quarantine</disposition><dkim>fail</dkim><spf>pass</spf>\
         </policy_evaluated></row><identifiers><header_from>{domain}</header_from></identifiers>\
         <auth_results></auth_results></record></feedback>"
    );
    mail(&format!("Report Domain: {domain} Submitter: far.test"), "application/xml", "report.xml", &report)
}

fn tls() -> String {
    let report = "{\"organization-name\":\"Far Inc.\",\"report-id\":\"1\",\"contact-info\":\"x@far.test\",\
        \"date-range\":{\"start-datetime\":\"2026-01-01T00:00:00Z\",\"end-datetime\":\"2026-01-02T00:00:00Z\"},\
        \"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-domain\":\"demo.test\"},\
        \"summary\":{\"total-successful-session-count\":40,\"total-failure-session-count\":2},\
        \"failure-details\":[{\"result-type\":\"certificate-expired\",\
        \"receiving-mx-hostname\":\"mx.demo.test\",\"failed-session-count\":2}]}]}";
    mail("Report Domain: demo.test", "application/tlsrpt+json", "report.json", report)
}

#[test]
fn reports_that_came_in_are_shown() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"]);
    let nobody = magpie(folder, &["domain", "reports", "demo.test"]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        !nobody.status.success() && said.contains("nobody here gets mail for postmaster@demo.test"),
        "{said}"
    );
    told(folder, &["account", "add", "admin@demo.test"]);
    let none = told(folder, &["domain", "reports", "demo.test"]);
    assert_eq!(none, "No reports of demo.test have come in the last 14 days.\n");

    let other = mail("Report Domain: demo.test", "application/xml", "report.xml", "<feedback>");
    // One that is sent again, one of another domain, and one that is none.
    let again = dmarc("1", "demo.test").replace("A report.", "The report again.");
    let all = [
        dmarc("1", "demo.test"),
        again,
        dmarc("2", "other.test"),
        other,
        tls(),
        tls().replace("A report.", "The report again."),
    ];
    fs::write(folder.join("reports.mbox"), all.concat()).unwrap();
    told(folder, &["import", "admin@demo.test", "--format", "mbox", "reports.mbox"]);
    let shown = told(folder, &["domain", "reports", "demo.test", "--days", "36500"]);
    assert_eq!(
        shown.matches("DMARC  Far Inc. (reports@far.test, not proven to be theirs)").count(),
        1,
        "{shown}"
    );
    assert!(shown.contains("192.0.2.9  7 mails  SPF pass  DKIM fail  quarantine\n"), "{shown}");
    assert_eq!(shown.matches("sts  40 connections succeeded, 2 failed\n").count(), 1, "{shown}");
    assert!(shown.contains("2 failed at mx.demo.test: certificate-expired\n"), "{shown}");
    assert!(!shown.contains("other.test"), "{shown}");
    assert!(!told(folder, &["domain", "reports", "demo.test"]).contains("DMARC"), "they are old");
}
