//! Sessions end when their password does, on every node; and who is at the other end of proxies is known.

use std::{net::SocketAddr, time::Duration};

use crate::support::{self, Client, PASSWORD, Plane, Server};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout},
};
use types::Secret;

support::on_both_planes!(
    a_new_password_ends_all_sessions,
    a_command_ends_sessions_in_a_moment,
    no_session_outlives_a_password_it_began_with,
    clients_are_known_through_several_proxies,
    open_connections_end_though_the_account_is_open_again,
);

async fn set_password(server: &Server, name: &str, password: &str) {
    let address = format!("{name}@demo.test").parse().unwrap();
    server.node.mail.admin().set_password(&address, Secret::new(password.into())).await.unwrap();
}

async fn status(client: &Client) -> StatusCode {
    client.get("/v1/folders").await.status()
}

async fn a_new_password_ends_all_sessions(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (desk, phone, bob) =
        (server.login("alice").await, server.login("alice").await, server.login("bob").await);
    // So that each node has seen them.
    for client in [&desk, &phone, &bob] {
        assert_eq!(status(client).await, StatusCode::OK);
    }
    set_password(&server, "alice", "a new one").await;
    for client in [&desk, &phone] {
        assert_eq!(status(client).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(status(&bob).await, StatusCode::OK, "others are not concerned");
    assert!(server.login_with("alice", PASSWORD).await.is_none());
    let again = server.login_with("alice", "a new one").await.unwrap();
    assert_eq!(status(&again).await, StatusCode::OK);
    server.stop().await;
}

/// Beside a running server, which is not asked.
async fn a_command_ends_sessions_in_a_moment(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    for client in [&alice, &bob] {
        assert_eq!(status(client).await, StatusCode::OK);
    }
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.args(["account", "disable", "alice@demo.test"]).envs(server.variables(plane));
    assert!(command.status().await.unwrap().success());
    let ended = Instant::now();
    let refused = async || (status(&alice).await == StatusCode::UNAUTHORIZED).then_some(());
    support::eventually("the end of the session", refused).await;
    assert!(ended.elapsed() < Duration::from_secs(8), "{:?}", ended.elapsed());
    assert_eq!(status(&bob).await, StatusCode::OK, "others are not concerned");
    server.stop().await;
}

/// People log in, on all nodes, while the password changes on one of them: whoever got in with the old password is
/// out once the change is acknowledged, though other nodes know the old one for a moment.
async fn no_session_outlives_a_password_it_began_with(plane: &Plane<'_>) {
    let many = [("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "100000")];
    let mut servers = vec![Server::start_with(plane, &many).await];
    if matches!(plane, Plane::Cluster(..)) {
        servers.push(Server::join(plane, &many).await);
    }
    let mut old = PASSWORD.to_owned();
    for round in 0..3 {
        let new = format!("password {round}");
        for server in &servers {
            assert_eq!(status(&server.login_with("alice", &old).await.unwrap()).await, StatusCode::OK);
        }
        let known = old.as_str();
        let logins = servers.iter().flat_map(|server| (0..4).map(move |_| server.login_with("alice", known)));
        let (during, ()) = tokio::join!(join_all(logins), set_password(&servers[0], "alice", &new));
        let mut after = Vec::new();
        for server in &servers {
            after.push(server.login_with("alice", &old).await);
        }
        for client in during.iter().chain(&after).flatten() {
            assert_eq!(status(client).await, StatusCode::UNAUTHORIZED, "round {round}");
        }
        for server in &servers {
            let client = server.login_with("alice", &new).await.unwrap();
            assert_eq!(status(&client).await, StatusCode::OK);
        }
        old = new;
    }
    for server in servers {
        server.stop().await;
    }
}

/// Limits count whoever the nearest address is that is no proxy of ours, over all lines of the header.
async fn clients_are_known_through_several_proxies(plane: &Plane<'_>) {
    let keys = [
        ("MAGPIE_HTTP__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8"),
        ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "2"),
    ];
    let server = Server::start_with(plane, &keys).await;
    let login = async |forwarded: &[&str], password: &str| {
        let mut request = server.nobody().request(Method::POST, "/v1/session");
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        let body = json!({ "email": "alice@demo.test", "password": password }).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        answer.status().as_u16()
    };
    // A client, two proxies of ours, and what the client made up before.
    let one: &[&[&str]] = &[
        &["203.0.113.7, 10.0.0.2, 10.0.0.3"],
        &["198.51.100.9, 203.0.113.7, 10.0.0.2, 10.0.0.3"],
        &["198.51.100.1", "203.0.113.7, 10.0.0.2", "10.0.0.3"],
        &["unknown, 203.0.113.7, 10.0.0.2"],
    ];
    for (forwarded, wanted) in one.iter().zip([401, 401, 429, 429]) {
        assert_eq!(login(forwarded, "wrong").await, wanted, "{forwarded:?}");
    }
    assert_eq!(login(one[0], PASSWORD).await, 429, "the right password waits as well");
    // Others are others, whatever stands before them; and without a header the proxy is the client.
    for other in [&["203.0.113.7, 192.0.2.44, 10.0.0.2"][..], &["203.0.113.7, 2001:db8::1"], &[]] {
        assert_eq!(login(other, PASSWORD).await, 200, "{other:?}");
    }
    server.stop().await;
}

/// A mail program's connection.
struct Program(BufReader<TcpStream>);

impl Program {
    async fn connect(address: Option<SocketAddr>) -> Self {
        let mut program = Self(BufReader::new(TcpStream::connect(address.unwrap()).await.unwrap()));
        program.line().await;
        program
    }

    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await.expect("nothing came").unwrap();
        line.trim_end().to_owned()
    }

    async fn say(&mut self, line: &str, wanted: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let said = self.line().await;
        assert!(said.starts_with(wanted), "{line}: {said}");
    }

    async fn is_over(&mut self) {
        assert_eq!(self.line().await, "");
    }
}

/// An account that is closed and opened again at once is let in anew, and nobody stays who was in before: neither in a
/// mailbox nor to send. Of others nobody notices.
async fn open_connections_end_though_the_account_is_open_again(plane: &Plane<'_>) {
    let keys = [("MAGPIE_AUTH__ALLOW_CLEARTEXT", "true"), ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "1000")];
    let server = Server::start_with(plane, &keys).await;
    let (addresses, admin) = (&server.node.addresses, server.node.mail.admin());
    let imap = async |name: &str| {
        let mut program = Program::connect(addresses.imap).await;
        program.say(&format!("a LOGIN {name}@demo.test \"{PASSWORD}\""), "a OK ").await;
        program
    };
    let pop3 = async |name: &str| {
        let mut program = Program::connect(addresses.pop3).await;
        program.say(&format!("USER {name}@demo.test"), "+OK").await;
        program.say(&format!("PASS {PASSWORD}"), "+OK").await;
        program
    };
    let submission = async |name: &str| {
        let mut program = Program::connect(addresses.submission).await;
        program.say("HELO laptop.test", "250").await;
        let secret = STANDARD.encode(format!("\0{name}@demo.test\0{PASSWORD}"));
        program.say(&format!("AUTH PLAIN {secret}"), "235").await;
        program
    };
    let (from_alice, from_bob) = ("MAIL FROM:<alice@demo.test>", "MAIL FROM:<bob@demo.test>");
    for own_process in [true, false] {
        let mut mailboxes = [imap("alice").await, imap("alice").await];
        let (mut inbox, mut idle, mut writing) =
            (pop3("alice").await, submission("alice").await, submission("alice").await);
        let mut others = (imap("bob").await, pop3("bob").await, submission("bob").await);
        for program in &mut mailboxes {
            program.say("b NOOP", "b OK").await;
        }
        inbox.say("NOOP", "+OK").await;
        writing.say(from_alice, "250").await;
        writing.say("RCPT TO:<bob@demo.test>", "250").await;
        let address = "alice@demo.test".parse().unwrap();
        if own_process {
            admin.set_enabled(&address, false).await.unwrap();
            admin.set_enabled(&address, true).await.unwrap();
        } else {
            // A node that shares nothing but the databases, which is how a command is.
            for what in ["disable", "enable"] {
                let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
                command.args(["account", what, "alice@demo.test"]).envs(server.variables(plane));
                assert!(command.status().await.unwrap().success());
            }
            let heard = async || {
                mailboxes[0].0.write_all(b"c NOOP\r\n").await.unwrap();
                (mailboxes[0].line().await == "* BYE Please log in again").then_some(())
            };
            support::eventually("the end of the session", heard).await;
        }
        if own_process {
            mailboxes[0].say("c NOOP", "* BYE Please log in again").await;
        }
        mailboxes[0].is_over().await;
        mailboxes[1].say("c SELECT INBOX", "* BYE Please log in again").await;
        mailboxes[1].is_over().await;
        inbox.say("STAT", "-ERR [AUTH] Please log in again").await;
        inbox.is_over().await;
        idle.say(from_alice, "421 4.7.0 ").await;
        idle.is_over().await;
        writing.say("DATA", "354").await;
        writing.say("Subject: x\r\n\r\ny\r\n.", "421 4.7.0 ").await;
        writing.is_over().await;

        others.0.say("c NOOP", "c OK").await;
        others.1.say("STAT", "+OK").await;
        others.2.say(from_bob, "250").await;
        for mut program in [others.1, pop3("alice").await] {
            program.say("QUIT", "+OK").await;
        }
        imap("alice").await.say("c NOOP", "c OK").await;
        submission("alice").await.say(from_alice, "250").await;
    }
    // Closed for good, the answer is the same.
    let mut sending = submission("alice").await;
    admin.set_enabled(&"alice@demo.test".parse().unwrap(), false).await.unwrap();
    sending.say(from_alice, "421 4.7.0 ").await;
    sending.is_over().await;
    server.stop().await;
}
