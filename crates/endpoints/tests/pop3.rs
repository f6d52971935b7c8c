//! POP3 over the real service: what is deleted, and when; who has the mailbox.

#![cfg(test)]

use std::sync::Arc;

use endpoints::net::{Config, Proxies, Server, Socket};
use endpoints::pop3::{Kind, Sessions, listen};
use testkit::{House, fixtures};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use types::Role;

const ALICE: &str = "alice@demo.test";

struct Site {
    house: House,
    address: std::net::SocketAddr,
    _server: Server,
}

impl Site {
    async fn start(mails: usize) -> Self {
        let raw = |number| fixtures::mail("x@y.test", ALICE, &format!("n{number}"), ".\n..\ntext");
        Self::with((0..mails).map(raw).collect()).await
    }

    async fn with(mails: Vec<Vec<u8>>) -> Self {
        let house = House::open().await.unwrap();
        let to = house.access(ALICE).await.unwrap().id();
        for raw in mails {
            let incoming = mail::Incoming {
                id: house.mail.new_id(),
                return_path: None,
                recipients: vec![(ALICE.parse::<types::EmailAddress>().unwrap(), to).into()],
                terms: types::Terms::default(),
                raw: raw.into(),
            };
            house.mail.deliver(incoming).await.unwrap();
        }
        let server = Server::new(Config::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket { listener, proxies: Proxies::default() };
        let sessions = Arc::<Sessions>::default();
        listen(&server, socket, Kind::Pop3, None, house.mail.clone(), sessions, true).unwrap();
        Self { house, address, _server: server }
    }

    async fn client(&self) -> Client {
        let mut client = Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()));
        assert_eq!(client.line().await, "+OK Magpie is ready");
        client
    }

    async fn alice(&self) -> Client {
        let mut client = self.client().await;
        client.say("AUTH PLAIN AGFsaWNlQGRlbW8udGVzdABtYWdwaWUtZGVtbw==", "+OK Welcome").await;
        client
    }

    async fn left(&self) -> usize {
        self.house.list(ALICE, Role::Inbox).await.unwrap().len()
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    async fn say(&mut self, line: &str, beginning: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let reply = self.line().await;
        assert!(reply.starts_with(beginning), "{line}: {reply:?} instead of {beginning:?}");
        reply
    }

    /// The lines up to the dot.
    async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line == "." => return lines,
                line => lines.push(line),
            }
        }
    }
}

/// What TOP shows ends where IMAP's header does, also before a line that is no field.
#[tokio::test(flavor = "multi_thread")]
async fn the_top_ends_where_the_header_does() {
    let mails = ["A: b\r\n \r\nno field\r\n\r\n1\r\n2\r\n", "A: b\r\n\r\n1\r\n2\r\n", "1\r\n2\r\n"];
    let site = Site::with(mails.iter().map(|mail| mail.as_bytes().to_vec()).collect()).await;
    let mut client = site.alice().await;
    for (command, wanted) in [
        ("TOP 1 0", &["A: b", " "][..]),
        ("TOP 1 2", &["A: b", " ", "no field", ""]),
        ("TOP 2 0", &["A: b", ""]),
        ("TOP 2 1", &["A: b", "", "1"]),
        ("TOP 3 0", &[]),
        ("TOP 3 1", &["1"]),
        ("TOP 3 9", &["1", "2"]),
    ] {
        client.say(command, "+OK").await;
        assert_eq!(client.rest().await, wanted, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_is_deleted_at_quit_and_nothing_before() {
    let site = Site::start(3).await;
    let mut client = site.alice().await;
    client.say("STAT", "+OK 3 ").await;
    client.say("UIDL", "+OK").await;
    let ids = client.rest().await;
    assert_eq!(ids.len(), 3);
    client.say("TOP 1 2", "+OK").await;
    let top = client.rest().await;
    assert_eq!(top[top.len() - 3..], ["", "..", "..."]);
    client.say("RETR 2", "+OK").await;
    let mail = client.rest().await;
    assert!(
        mail.contains(&"Subject: n1".to_owned())
            && mail.ends_with(&["..".into(), "...".into(), "text".into()])
    );
    client.say("DELE 1", "+OK").await;
    client.say("DELE 1", "-ERR").await;
    client.say("RSET", "+OK").await;
    client.say("DELE 2", "+OK").await;
    client.say("LIST 2", "-ERR").await;
    client.say("LIST", "+OK").await;
    assert_eq!(client.rest().await.len(), 2);
    assert_eq!(site.left().await, 3);
    client.say("QUIT", "+OK").await;
    assert_eq!(client.line().await, "", "and hangs up");
    assert_eq!(site.left().await, 2);

    let mut client = site.alice().await;
    client.say("UIDL", "+OK").await;
    let again: Vec<_> = client.rest().await;
    let id = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), [id(&ids[0]), id(&ids[2])], "an id never changes");
    client.say("DELE 1", "+OK").await;
    drop(client);
    assert_eq!(site.left().await, 2, "who only hangs up deletes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_session_was_ended_deletes_nothing_and_hears_of_it() {
    let site = Site::start(2).await;
    for (end, old, password) in
        [("QUIT", "magpie-demo", "another one"), ("NOOP", "another one", "the third one")]
    {
        let mut client = site.client().await;
        client.say(&format!("USER {ALICE}"), "+OK").await;
        client.say(&format!("PASS {old}"), "+OK Welcome").await;
        client.say("DELE 1", "+OK").await;
        let admin = site.house.mail.admin();
        admin.set_password(&ALICE.parse().unwrap(), types::Secret::new(password.into())).await.unwrap();
        client.say(end, "-ERR [AUTH] Please log in again").await;
        assert_eq!(client.line().await, "", "and hangs up");
        assert_eq!(site.left().await, 2);
    }
}

#[tokio::test]
async fn one_session_has_the_mailbox() {
    let site = Site::start(0).await;
    let mut first = site.alice().await;
    let mut second = site.client().await;
    second.say("USER alice@demo.test", "+OK").await;
    second.say("PASS magpie-demo", "-ERR [IN-USE]").await;
    first.say("QUIT", "+OK").await;
    assert_eq!(first.line().await, "");
    second.say("USER alice@demo.test", "+OK").await;
    second.say("PASS magpie-demo", "+OK").await;
}

#[tokio::test]
async fn nobody_learns_who_is_here() {
    let site = Site::start(0).await;
    for user in [ALICE, "nobody@demo.test", "x"] {
        let mut client = site.client().await;
        client.say("STAT", "-ERR Log in first").await;
        client.say("PASS x", "-ERR USER comes first").await;
        client.say(&format!("USER {user}"), "+OK And the password?").await;
        client.say("PASS wrong", "-ERR [AUTH] Wrong user or password").await;
        client.say("APOP x c4c9334bac560ecc979e58001b3e22fb", "-ERR APOP").await;
        client.say("CAPA", "+OK").await;
        assert!(
            client.rest().await.contains(&"SASL SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2".to_owned())
        );
    }
}

#[tokio::test]
async fn replies_are_in_the_language_that_was_chosen() {
    let site = Site::start(1).await;
    let mut client = site.client().await;
    client.say("CAPA", "+OK").await;
    let capabilities = client.rest().await;
    assert!(capabilities.contains(&"UTF8 USER".to_owned()) && capabilities.contains(&"LANG".to_owned()));
    client.say("LANG", "+OK Languages").await;
    assert_eq!(client.rest().await, ["en English", "ko 한국어"]);
    client.say("LANG uga", "-ERR That language is not spoken here").await;
    client.say("UTF8", "+OK UTF-8 it is").await;
    client.say("LANG ko-KR", "+OK ko 한국어").await;
    client.say("STAT", "-ERR 먼저 로그인하세요").await;
    client.say("USER alice@demo.test", "+OK 비밀번호를 보내 주세요").await;
    client.say("PASS wrong", "-ERR [AUTH] 사용자 또는 비밀번호가 맞지 않습니다").await;
    client
        .say("AUTH PLAIN AGFsaWNlQGRlbW8udGVzdABtYWdwaWUtZGVtbw==", "+OK 어서 오세요. 메일이 1통 있습니다")
        .await;
    client.say("UTF8", "-ERR 이미 로그인했습니다").await;
    client.say("LIST", "+OK 목록입니다").await;
    assert_eq!(client.rest().await.len(), 1);
    client.say("LANG *", "+OK en English").await;
    client.say("QUIT", "+OK See you").await;
}
