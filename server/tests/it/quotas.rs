//! What the accounts of a domain may have together, as its mail and its operator notice it.

use std::process::{Command, Stdio};

use crate::support::{PASSWORD, Plane, Server, eventually, on_both_planes};
use mail::Recipient;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use types::Secret;

on_both_planes!(a_domain_has_no_more_than_it_may, international_domains_have_limits_in_either_form);

/// The last reply to these lines.
async fn ask(server: &Server, lines: &[&str]) -> String {
    let mut stream = BufReader::new(TcpStream::connect(server.node.addresses.smtp.unwrap()).await.unwrap());
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        loop {
            reply.clear();
            stream.read_line(&mut reply).await.unwrap();
            if reply.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
    }
    reply
}

async fn a_domain_has_no_more_than_it_may(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (admin, mail) = (server.node.mail.admin(), &server.node.mail);
    admin.add_domain("other.test").await.unwrap();
    let other = "carol@other.test".parse().unwrap();
    admin.add_account(&other, "", Secret::new(PASSWORD.into()), None).await.unwrap();

    admin.set_domain_limits("demo.test", |limits| limits.max_accounts = Some(3)).await.unwrap();
    let add = async |name: &str| {
        let address = format!("{name}@demo.test").parse().unwrap();
        admin.add_account(&address, "", Secret::new(PASSWORD.into()), None).await
    };
    add("dave").await.unwrap();
    let refused = add("eve").await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "demo.test has as many accounts as it may have; `magpie domain set demo.test --accounts NUMBER` allows more"
    );

    let text = "x".repeat(60);
    let body =
        format!("From: x@elsewhere.example\r\nSubject: a\r\n\r\n{}\r\n.", format!("{text}\r\n").repeat(100));
    let to = |who: &str| format!("RCPT TO:<{who}>");
    let bring = async |size: &str, who: &str| {
        let from = format!("MAIL FROM:<x@elsewhere.example>{size}");
        ask(&server, &["EHLO client.test", &from, &to(who), "DATA", &body]).await
    };
    admin.set_domain_limits("demo.test", |limits| limits.max_bytes = Some(22_000)).await.unwrap();
    for who in ["alice@demo.test", "bob@demo.test", "dave@demo.test"] {
        assert!(bring("", who).await.starts_with("250 "), "they have one mail less than they may have");
    }
    mail.measure_domains().await.unwrap();
    let rcpt = async |size: &str, who: &str| {
        let from = format!("MAIL FROM:<x@elsewhere.example>{size}");
        ask(&server, &["EHLO client.test", &from, &to(who)]).await
    };
    assert!(rcpt(" SIZE=500", "alice@demo.test").await.starts_with("250 "), "there is room for that");
    assert!(rcpt(" SIZE=5000", "alice@demo.test").await.starts_with("452 4.2.2 "));
    assert!(bring("", "alice@demo.test").await.starts_with("452 4.2.2 "), "what was not said is seen");
    assert!(
        rcpt(" SIZE=5000", "carol@other.test").await.starts_with("250 "),
        "others have nothing to do with it"
    );
    // Who writes, or appends, needs room as well.
    let alice = server.login("alice").await;
    let long = serde_json::json!({ "to": [{ "email": "carol@other.test" }], "subject": "x", "text": text.repeat(200) });
    assert_eq!(alice.post("/v1/messages", &long).await.status(), 507);

    // Once somebody has gone, there is room again.
    admin.remove_account(&"dave@demo.test".parse().unwrap()).await.unwrap();
    mail.measure_domains().await.unwrap();
    assert!(rcpt(" SIZE=5000", "alice@demo.test").await.starts_with("250 "));
    add("frank").await.unwrap();
    admin.set_domain_limits("demo.test", |limits| limits.max_bytes = Some(10)).await.unwrap();
    let full = mail.recipient(&"alice@demo.test".parse().unwrap()).await.unwrap();
    assert_eq!(full, Recipient::Full, "a smaller limit counts at once");

    admin.limit_domain("demo.test", Some(1_000)).await.unwrap();
    admin.set_domain_limits("demo.test", |limits| limits.max_bytes = None).await.unwrap();
    assert!(rcpt(" SIZE=5000", "alice@demo.test").await.starts_with("552 5.3.4 "));
    assert!(bring("", "alice@demo.test").await.starts_with("552 5.3.4 "));
    server.stop().await;
}

async fn international_domains_have_limits_in_either_form(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (admin, mail) = (server.node.mail.admin(), &server.node.mail);
    admin.add_domain("한국.test").await.unwrap();
    let kim = "kim@한국.test".parse().unwrap();
    admin.add_account(&kim, "", Secret::new(PASSWORD.into()), None).await.unwrap();
    let forms = ["한국.test", "xn--3e0b707e.test"];
    let rcpt = async |domain: &str| {
        let from = "MAIL FROM:<x@elsewhere.example> SIZE=5000 SMTPUTF8";
        ask(&server, &["EHLO client.test", from, &format!("RCPT TO:<kim@{domain}>")]).await
    };
    for set in forms {
        admin
            .set_domain_limits(set, |limits| (limits.max_bytes, limits.max_accounts) = (Some(1_000), Some(1)))
            .await
            .unwrap();
        for form in forms {
            let refused = rcpt(form).await;
            assert!(refused.starts_with("452 4.2.2 "), "set for {set}: {form}: {refused}");
            let another = format!("lee@{form}").parse().unwrap();
            let another = admin.add_account(&another, "", Secret::new(PASSWORD.into()), None).await;
            assert!(another.is_err(), "set for {set}: {form}");
        }
        let said = shown(&server, plane).await;
        assert!(said.contains("한국.test\t1 of 1 accounts, 0 bytes of 1000 bytes"), "set for {set}: {said}");
        admin
            .set_domain_limits(set, |limits| (limits.max_bytes, limits.max_accounts) = (None, None))
            .await
            .unwrap();
        admin.limit_domain(set, Some(2_000)).await.unwrap();
        for form in forms {
            assert!(rcpt(form).await.starts_with("552 5.3.4 "), "set for {set}: {form}");
        }
        assert!(shown(&server, plane).await.contains("mails of at most 2 KB"), "set for {set}");
        admin.limit_domain(set, None).await.unwrap();
        for form in forms {
            assert!(rcpt(form).await.starts_with("250 "), "there is no limit any more: {form}");
        }
    }
    mail.measure_domains().await.unwrap();
    server.stop().await;
}

/// What `magpie domain list` says. The test's own parts, such as S3, answer it meanwhile.
async fn shown(server: &Server, plane: &Plane<'_>) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(server.folder()).args(["domain", "list"]).stdin(Stdio::null());
    let output = command.envs(server.variables(plane)).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn operators_set_and_see_limits() {
    let server = Server::start(&Plane::Embedded).await;
    let magpie = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.current_dir(server.folder()).args(args).stdin(Stdio::null());
        command.envs(server.variables(&Plane::Embedded));
        let output = command.output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (set, said) =
        magpie(&["domain", "set", "demo.test", "--accounts", "2", "--storage", "1MB", "--message", "64KB"]);
    assert!(set && said.starts_with("demo.test\t2 of 2 accounts, "), "{said}");
    assert!(said.ends_with(" of 1 MB, mails of at most 64 KB\n"), "{said}");
    let (added, said) = magpie(&["account", "add", "carol@demo.test"]);
    assert!(!added && said.contains("demo.test has as many accounts as it may have"), "{said}");
    let (added, said) = magpie(&["domain", "add", "new.test", "--accounts", "0"]);
    assert!(added && said.contains("new.test\t0 of 0 accounts\n"), "{said}");
    let (_, said) = magpie(&["domain", "set", "demo.test", "--accounts", "none", "--storage", "none"]);
    assert_eq!(said, "demo.test\tmails of at most 64 KB\n");
    let (_, said) = magpie(&["domain", "list"]);
    assert_eq!(said, "demo.test\tmails of at most 64 KB\nnew.test\t0 of 0 accounts\n");
    for nothing in [
        ["account", "limit", "alice@demo.test", "0"].as_slice(),
        &["domain", "limit", "demo.test", "0KB"],
        &["domain", "set", "demo.test", "--message", "0"],
        &["domain", "set", "demo.test", "--storage", "0"],
    ] {
        let (done, said) = magpie(nothing);
        assert!(!done && said.contains("write \"none\""), "{nothing:?}: {said}");
    }
    let (done, said) = magpie(&["domain", "set", "demo.test"]);
    assert!(!done && said.contains("--storage, --accounts or --message"), "{said}");
    let (done, said) = magpie(&["domain", "set", "nowhere.test", "--accounts", "1"]);
    assert!(!done && said.contains("nowhere.test is not a domain here"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn an_account_has_what_all_have_or_a_quota_of_its_own() {
    // Alice was added before anybody set her own.
    let server = Server::start_with(&Plane::Embedded, &[("MAGPIE_LIMITS__QUOTA", "2KB")]).await;
    let magpie = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.current_dir(server.folder()).args(args).stdin(Stdio::null());
        let output = command.envs(server.variables(&Plane::Embedded)).output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let rcpt = async || {
        let lines = ["EHLO client.test", "MAIL FROM:<x@far.test> SIZE=3000", "RCPT TO:<alice@demo.test>"];
        ask(&server, &lines).await
    };
    let becomes = async |wanted: &str| {
        eventually(wanted, async || rcpt().await.starts_with(wanted).then_some(())).await;
    };
    assert!(rcpt().await.starts_with("452 4.2.2 "));
    assert_eq!(server.login("alice").await.read("/v1/session").await["account"]["quota_bytes"], 2_048);
    let listed = |own: &str| {
        let (_, said) = magpie(&["account", "list"]);
        assert_eq!(said, format!("1\talice@demo.test\talice{own}\n2\tbob@demo.test\tbob\n"));
    };
    listed("");
    for (size, said, own, reply) in [
        ("1MB", "may take at most 1 MB.", "  (at most 1 MB)", "250 "),
        ("1KB", "may take at most 1 KB.", "  (at most 1 KB)", "452 4.2.2 "),
        ("none", "may take as much as there is room for.", "  (as much as there is room for)", "250 "),
        ("default", "may take as much as limits.quota says.", "", "452 4.2.2 "),
    ] {
        let (done, told) = magpie(&["account", "quota", "alice@demo.test", size]);
        assert!(done && told == format!("The mail of alice@demo.test {said}\n"), "{told}");
        listed(own);
        becomes(reply).await;
    }
    let (done, said) = magpie(&["account", "quota", "alice@demo.test", "0"]);
    assert!(!done && said.contains("write \"none\""), "{said}");
    server.stop().await;
}
