//! SMTP in front of the real service.

use crate::support::{self, Plane, Server};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use types::Secret;

support::on_both_planes!(postmaster_is_the_admin_of_a_domain_of_ours,);

/// Says these lines, each after the reply to the one before, and gives what the last one got.
async fn last_reply(server: &Server, lines: &[&str]) -> String {
    let mut stream = BufReader::new(TcpStream::connect(server.node.addresses.smtp.unwrap()).await.unwrap());
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        reply.clear();
        stream.read_line(&mut reply).await.unwrap();
    }
    reply
}

async fn postmaster_is_the_admin_of_a_domain_of_ours(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_SMTP__HOSTNAME", "mx.demo.test")]).await;
    server.node.mail.admin().add_domain("aaa.test").await.unwrap();
    let lines = ["HELO client.test", "MAIL FROM:<>", "RCPT TO:<Postmaster>"];
    let nobody = last_reply(&server, &lines).await;
    assert!(nobody.starts_with("550 5.1.1"), "{nobody}");
    let address = "admin@demo.test".parse().unwrap();
    let password = Secret::new(support::PASSWORD.into());
    server.node.mail.admin().add_account(&address, "admin", password, None).await.unwrap();
    let admin = last_reply(&server, &lines).await;
    assert!(admin.starts_with("250"), "{admin}");
    server.stop().await;
}

#[tokio::test]
async fn listed_servers_reach_the_postmaster_only() {
    let zone = testkit::Zone::start().await.unwrap();
    zone.host("1.0.0.127.block.test", "127.0.0.2".parse().unwrap()).unwrap();
    let resolver = zone.address().to_string();
    let keys = [
        ("MAGPIE_DNS__RESOLVER", resolver.as_str()),
        ("MAGPIE_SMTP__HOSTNAME", "mx.demo.test"),
        ("MAGPIE_SMTP__DNSBL", "[\"block.test\"]"),
    ];
    let server = Server::start_with(&Plane::Embedded, &keys).await;
    let said = async |to: &str| {
        let rcpt = format!("RCPT TO:<{to}>");
        last_reply(&server, &["HELO client.test", "MAIL FROM:<a@far.test>", &rcpt]).await
    };
    let refused = said("alice@demo.test").await;
    assert!(refused.starts_with("550 5.7.1 Your address is on the list block.test"), "{refused}");
    let postmaster = said("postmaster@demo.test").await;
    assert!(postmaster.starts_with("550 5.1.1"), "there is none, and that is all: {postmaster}");
    server.stop().await;
}

#[tokio::test]
async fn a_group_takes_mail_and_passes_it_on() {
    let server = Server::start_with(&Plane::Embedded, &[("MAGPIE_QUEUE__PORT", "1")]).await;
    let (team, alice) = ("team@demo.test".parse().unwrap(), "alice@demo.test".parse().unwrap());
    let members = ["alice@demo.test".parse().unwrap(), "bob@demo.test".parse().unwrap()];
    server.node.mail.admin().set_group(&team, &alice, &members).await.unwrap();
    let lines =
        ["HELO x", "MAIL FROM:<a@far.test>", "RCPT TO:<Team@demo.test>", "DATA", "Subject: all\r\n\r\n."];
    let taken = last_reply(&server, &lines).await;
    assert!(taken.starts_with("250"), "{taken}");
    for name in ["alice", "bob"] {
        let access = server.access(name).await;
        let inbox = access.folders().await.unwrap().folders.remove(0).id;
        let query = mail::PageQuery::default();
        // Who lives on another shard gets it through the queue.
        while access.page(inbox, &query).await.unwrap().messages.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    server.stop().await;
}
