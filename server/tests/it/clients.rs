//! Programs of others that send mail, against the real server: Python's smtplib, msmtp, swaks, and lettre.

use std::{path::PathBuf, process::Output, process::Stdio};

use crate::support::{self, PASSWORD, Plane, Server, eventually};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{Attachment, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{Certificate, Tls, TlsParameters},
    },
};
use serde_json::Value;
use testkit::{Script, Sink};
use tokio::process::Command;
use types::Secret;

support::on_both_planes!(python_sends, msmtp_sends, swaks_sends, lettre_sends);

const KOREAN: &str = "사용자@demo.test";
const LARGE: usize = 5 << 20;
/// What the server for other domains takes.
const EXTENSIONS: &[&str] =
    &["PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"];

/// A server whose mail for others goes to a sink.
struct Site {
    server: Server,
    sink: Sink,
}

impl Site {
    async fn start(plane: &Plane<'_>) -> Self {
        let sink = Sink::start(Script::default().extensions(EXTENSIONS)).await.unwrap();
        let relay = sink.address().to_string();
        let keys = [("MAGPIE_SMTP__RELAY", relay.as_str()), ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "1000")];
        let server = Server::start_with(plane, &keys).await;
        let password = Secret::new(PASSWORD.into());
        server.node.mail.admin().add_account(&KOREAN.parse().unwrap(), "", password, None).await.unwrap();
        Self { server, sink }
    }

    /// What the server's certificate is trusted by.
    fn certificate(&self) -> PathBuf {
        self.server.folder().join("data/tls/cert.pem")
    }

    fn submission(&self) -> u16 {
        self.server.node.addresses.submission.unwrap().port()
    }

    fn submissions(&self) -> u16 {
        self.server.node.addresses.submissions.unwrap().port()
    }

    /// The mail of this subject in the account's inbox, once it is there.
    async fn arrives(&self, name: &str, subject: &str) -> Value {
        let client = self.server.login(name).await;
        let found = eventually(subject, async || {
            client.messages("inbox").await.into_iter().find(|mail| mail["subject"] == subject)
        });
        let id = found.await["id"].as_str().unwrap().to_owned();
        client.read(&format!("/v1/messages/{id}")).await
    }

    /// That 5 MB came as they were sent.
    async fn arrives_large(&self, subject: &str) {
        let mail = self.arrives("bob", subject).await;
        let (id, attachment) = (mail["id"].as_str().unwrap(), &mail["attachments"][0]);
        assert_eq!(attachment["size"], LARGE, "{attachment}");
        let part = attachment["id"].as_str().unwrap();
        let client = self.server.login("bob").await;
        let bytes = client.get(&format!("/v1/messages/{id}/attachments/{part}")).await.bytes().await.unwrap();
        assert!(bytes == large(), "the attachment of {subject} is another");
    }

    /// That what DSN asks for came to the other server.
    async fn goes_out_with(&self, subject: &str, mail_parameters: &[&str], recipient_parameters: &[&str]) {
        let mail = eventually(subject, async || {
            let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
            self.sink.received().into_iter().find(|mail| text(&mail.data).contains(subject))
        });
        let mail = mail.await;
        for parameter in mail_parameters {
            assert!(mail.from.contains(parameter), "{parameter}: {}", mail.from);
        }
        for parameter in recipient_parameters {
            assert!(mail.recipients[0].contains(parameter), "{parameter}: {:?}", mail.recipients);
        }
    }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

/// Runs a program to its end; `None`, and a word to the tester, where it is not installed.
async fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<Output> {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: {program}: {error} (cargo xtask test installs it)");
            return None;
        }
    };
    // One that gives up does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input).await;
    Some(child.wait_with_output().await.unwrap())
}

fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

fn letter(to: &str, subject: &str) -> Vec<u8> {
    format!(
        "From: Alice <alice@demo.test>\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.\r\n안녕하세요\r\n"
    )
    .into_bytes()
}

async fn python_sends(plane: &Plane<'_>) {
    let site = Site::start(plane).await;
    let script = format!(
        "SUBMISSION, SUBMISSIONS, CERTIFICATE, PASSWORD = {}, {}, '{}', '{PASSWORD}'\n{}",
        site.submission(),
        site.submissions(),
        site.certificate().display(),
        include_str!("programs/smtp.py")
    );
    if let Some(output) = run("python3", &["-"], script.as_bytes()).await {
        assert!(output.status.success(), "{}", text(&output));
        let mail = site.arrives("bob", "python starttls").await;
        assert_eq!(mail["text"].as_str().unwrap().trim(), "A line\n.\n..two dots\n안녕하세요");
        site.arrives("bob", "python both").await;
        site.arrives("alice", "python both").await;
        site.arrives("사용자", "python utf8 제목").await;
        site.arrives_large("python large").await;
        let asked = ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;Carol@far.test"];
        site.goes_out_with("python dsn", &["RET=HDRS", "ENVID=QQ+3D31"], &asked).await;
    }
    site.server.stop().await;
}

async fn msmtp_sends(plane: &Plane<'_>) {
    let site = Site::start(plane).await;
    let mut config = format!(
        "defaults\nhost localhost\ntls on\ntls_trust_file {}\nuser alice@demo.test\nfrom alice@demo.test\n\
         passwordeval \"echo '{PASSWORD}'\"\ndsn_return headers\ndsn_notify failure,delay\n",
        site.certificate().display()
    );
    let ports = [("starttls", site.submission(), "on"), ("tls", site.submissions(), "off")];
    let methods = ["plain", "login", "scram-sha-256"];
    for (name, port, starttls) in ports {
        for method in methods {
            config +=
                &format!("account {name}-{method}\nport {port}\ntls_starttls {starttls}\nauth {method}\n");
        }
    }
    let file = site.server.folder().join("msmtprc");
    std::fs::write(&file, config).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let file = format!("--file={}", file.display());
    let send = async |account: &str, to: &str, mail: &[u8]| {
        let account = format!("--account={account}");
        run("msmtp", &[&file, &account, "--", to], mail).await
    };
    for (name, ..) in ports {
        for method in methods {
            let (account, subject) = (format!("{name}-{method}"), format!("msmtp {name} {method}"));
            let Some(sent) = send(&account, "bob@demo.test", &letter("bob@demo.test", &subject)).await else {
                return site.server.stop().await;
            };
            assert!(sent.status.success(), "{subject}: {}", text(&sent));
            let mail = site.arrives("bob", &subject).await;
            assert_eq!(mail["text"].as_str().unwrap().trim(), ".\n안녕하세요");
        }
    }
    let out = send("starttls-plain", "carol@far.test", &letter("carol@far.test", "msmtp dsn")).await.unwrap();
    assert!(out.status.success(), "{}", text(&out));
    site.goes_out_with("msmtp dsn", &["RET=HDRS"], &["NOTIFY=FAILURE,DELAY"]).await;
    let mut mail = letter("bob@demo.test", "msmtp large");
    mail.extend(std::iter::repeat_n(*b"0123456789012345678901234567890123456789\r\n", LARGE / 42).flatten());
    let sent = send("tls-plain", "bob@demo.test", &mail).await.unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    assert!(site.arrives("bob", "msmtp large").await["size"].as_u64().unwrap() > 5_000_000);
    // A sender that is not the account's.
    let arguments = [file.as_str(), "--account=tls-plain", "--from=bob@demo.test", "--", "bob@demo.test"];
    let others = run("msmtp", &arguments, &letter("bob@demo.test", "msmtp other")).await.unwrap();
    assert!(!others.status.success() && text(&others).contains("553"), "{}", text(&others));
    site.server.stop().await;
}

async fn swaks_sends(plane: &Plane<'_>) {
    let site = Site::start(plane).await;
    let support = run("swaks", &["--support"], b"").await;
    let Some(support) = support.as_ref().map(text) else { return site.server.stop().await };
    if support.contains("TLS not available") {
        eprintln!("SKIPPED: swaks without Net::SSLeay (cargo xtask test installs it)");
        return site.server.stop().await;
    }
    let attached = site.server.folder().join("large.bin");
    std::fs::write(&attached, large()).unwrap();
    let attached = format!("@{}", attached.display());
    let ca = site.certificate().display().to_string();
    let (submission, submissions) = (site.submission().to_string(), site.submissions().to_string());
    let to_all = ["--server", "localhost", "--from", "alice@demo.test", "--tls-verify", "--tls-ca-path", &ca];
    let login = ["--auth-user", "alice@demo.test", "--auth-password", PASSWORD];
    for (way, port, method) in [
        ("--tls", &submission, "PLAIN"),
        ("--tls", &submission, "LOGIN"),
        ("--tls-on-connect", &submissions, "PLAIN"),
    ] {
        let subject = format!("Subject: swaks {way} {method}");
        let particular =
            [way, "--port", port, "--auth", method, "--to", "bob@demo.test", "--header", &subject];
        let sent = run("swaks", &[&to_all[..], &login, &particular].concat(), b"").await.unwrap();
        assert!(sent.status.success(), "{}", text(&sent));
        site.arrives("bob", subject.trim_start_matches("Subject: ")).await;
    }
    let particular = ["--tls-on-connect", "--port", &submissions, "--auth", "PLAIN", "--to", "bob@demo.test"];
    let large = ["--header", "Subject: swaks large", "--attach", &attached, "--suppress-data"];
    let sent = run("swaks", &[&to_all[..], &login, &particular, &large].concat(), b"").await.unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    site.arrives_large("swaks large").await;

    // Another server's mail, at the port for it.
    let port = site.server.node.addresses.smtp.unwrap().port().to_string();
    let incoming =
        ["--server", "localhost", "--port", &port, "--from", "x@far.test", "--to", "bob@demo.test"];
    let particular = ["--tls", "--header", "Subject: swaks incoming"];
    let sent = run("swaks", &[&incoming[..], &particular].concat(), b"").await.unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    site.arrives("bob", "swaks incoming").await;
    let relayed = ["--server", "localhost", "--port", &port, "--from", "x@far.test", "--to", "y@far.test"];
    let refused = run("swaks", &relayed, b"").await.unwrap();
    assert!(!refused.status.success() && text(&refused).contains("550"), "{}", text(&refused));
    site.server.stop().await;
}

async fn lettre_sends(plane: &Plane<'_>) {
    let site = Site::start(plane).await;
    let certificate = Certificate::from_pem(&std::fs::read(site.certificate()).unwrap()).unwrap();
    let tls = TlsParameters::builder("localhost".to_owned()).add_root_certificate(certificate);
    let tls = tls.build_rustls().unwrap();
    let ways =
        [(site.submission(), Tls::Required(tls.clone())), (site.submissions(), Tls::Wrapper(tls.clone()))];
    for (number, (port, tls)) in ways.into_iter().enumerate() {
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let transport: AsyncSmtpTransport<Tokio1Executor> =
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
                    .port(port)
                    .tls(tls.clone())
                    .credentials(Credentials::new("alice@demo.test".to_owned(), PASSWORD.to_owned()))
                    .authentication(vec![mechanism])
                    .build();
            let subject = format!("lettre {number} {mechanism} 제목");
            let mail = lettre::Message::builder()
                .from("Alice <alice@demo.test>".parse().unwrap())
                .to("bob@demo.test".parse().unwrap())
                .subject(&subject);
            let file = Attachment::new("large.bin".to_owned())
                .body(large(), ContentType::parse("application/octet-stream").unwrap());
            let parts =
                MultiPart::mixed().singlepart(SinglePart::plain("안녕하세요".to_owned())).singlepart(file);
            transport.send(mail.multipart(parts).unwrap()).await.unwrap();
            site.arrives_large(&subject).await;
        }
    }
    let wrong: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
            .port(site.submissions())
            .tls(Tls::Wrapper(tls))
            .credentials(Credentials::new("alice@demo.test".to_owned(), "wrong".to_owned()))
            .build();
    let refused = wrong.test_connection().await;
    assert!(!matches!(refused, Ok(true)), "a wrong password lets nobody in");
    site.server.stop().await;
}
