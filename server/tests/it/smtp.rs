//! SMTP in front of the real service.

use crate::support::{self, Plane, Server};
use mail::Recipient;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use types::{EmailAddress, Secret};

support::on_both_planes!(
    postmaster_is_the_admin_of_a_domain_of_ours,
    operators_read_what_is_for_a_postmaster_who_is_nobody,
);

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

async fn operators_read_what_is_for_a_postmaster_who_is_nobody(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_SMTP__HOSTNAME", "mx.demo.test")]).await;
    let admin = server.node.mail.admin();
    admin.add_domain("aaa.test").await.unwrap();
    let said = async |to: &str| {
        let rcpt = format!("RCPT TO:<{to}>");
        last_reply(&server, &["HELO client.test", "MAIL FROM:<>", &rcpt]).await
    };
    let reads = async |to: &str| server.node.mail.recipient(&to.parse().unwrap()).await.unwrap();
    let id = async |name: &str| Recipient::Local(server.access(name).await.id());
    let roles = ["Postmaster@demo.test", "postmaster@aaa.test", "ABUSE@demo.test"];
    for to in roles.iter().chain(&["postmaster"]) {
        let nobody = said(to).await;
        assert!(nobody.starts_with("550 5.1.1"), "there is no operator: {to}: {nobody}");
    }
    let (alice, bob) = ("alice@demo.test".parse().unwrap(), "bob@demo.test".parse().unwrap());
    admin.set_admin(&bob, true).await.unwrap();
    for to in roles.iter().chain(&["postmaster"]) {
        let taken = said(to).await;
        assert!(taken.starts_with("250"), "{to}: {taken}");
    }
    assert_eq!(reads("postmaster@aaa.test").await, id("bob").await);
    let refused = said("webmaster@demo.test").await;
    assert!(refused.starts_with("550 5.1.1"), "{refused}");
    let elsewhere = said("postmaster@far.test").await;
    assert!(elsewhere.starts_with("550 5.7.1"), "not one of ours: {elsewhere}");

    // An operator of the domain goes before others, and whoever was given the address before all of them.
    let of_domain: EmailAddress = "zoe@aaa.test".parse().unwrap();
    let zoe =
        admin.add_account(&of_domain, "", Secret::new(support::PASSWORD.into()), None).await.unwrap().id;
    admin.set_admin(&of_domain, true).await.unwrap();
    assert_eq!(reads("postmaster@aaa.test").await, Recipient::Local(zoe));
    assert_eq!(reads("postmaster@demo.test").await, id("bob").await);
    admin.add_alias(&"*@aaa.test".parse().unwrap(), &alice).await.unwrap();
    assert_eq!(reads("postmaster@aaa.test").await, id("alice").await);
    admin.add_alias(&"postmaster@demo.test".parse().unwrap(), &alice).await.unwrap();
    assert_eq!(reads("postmaster@demo.test").await, id("alice").await);

    admin.set_enabled(&of_domain, false).await.unwrap();
    admin.set_enabled(&bob, false).await.unwrap();
    let nobody = said("abuse@demo.test").await;
    assert!(nobody.starts_with("550 5.1.1"), "operators who cannot log in read nothing: {nobody}");
    server.stop().await;
}

#[tokio::test]
async fn lines_may_be_long() {
    let keys = [("MAGPIE_LIMITS__LINE_SIZE", "64KB")];
    for (keys, longest) in [(&[][..], 1 << 20), (&keys[..], 64 << 10)] {
        let server = Server::start_with(&Plane::Embedded, keys).await;
        for (length, wanted) in
            [(longest, "250 "), (longest + 1, "554 5.6.0 The mail has a line longer than")]
        {
            let mail = format!("From: x@far.test\r\nSubject: long\r\n\r\n{}\r\n.", "x".repeat(length));
            let lines =
                ["HELO client.test", "MAIL FROM:<x@far.test>", "RCPT TO:<alice@demo.test>", "DATA", &mail];
            let reply = last_reply(&server, &lines).await;
            assert!(reply.starts_with(wanted), "{length}: {reply}");
        }
        server.stop().await;
    }
}

/// RFC 5321 §4.1.2: quotes that need not be are another form of the same address.
#[tokio::test]
async fn a_name_may_be_in_quotes() {
    let server = Server::start(&Plane::Embedded).await;
    for to in ["\"alice\"@demo.test", "\"ALI\\ce+tag\"@demo.test"] {
        let rcpt = format!("RCPT TO:<{to}>");
        let taken = last_reply(&server, &["HELO client.test", "MAIL FROM:<>", &rcpt]).await;
        assert!(taken.starts_with("250"), "{to}: {taken}");
    }
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

/// What comes back has no sender; a sender of somebody else's would go on from here as if it were ours.
#[tokio::test]
async fn the_address_for_what_comes_back_takes_nothing_else() {
    // Nobody answers there: what goes elsewhere waits in the queue.
    let keys = [("MAGPIE_QUEUE__PORT", "1"), ("MAGPIE_DNS__RESOLVER", "127.0.0.1:1")];
    let server = Server::start_with(&Plane::Embedded, &keys).await;
    let (team, alice) = ("team@demo.test".parse().unwrap(), "alice@demo.test".parse().unwrap());
    let admin = server.node.mail.admin();
    admin.set_group(&team, &alice, &["x@elsewhere.test".parse().unwrap()]).await.unwrap();
    let lines =
        ["HELO x", "MAIL FROM:<a@far.test>", "RCPT TO:<team@demo.test>", "DATA", "Subject: all\r\n\r\n."];
    let taken = last_reply(&server, &lines).await;
    assert!(taken.starts_with("250"), "{taken}");
    let path = admin.queue(10).await.unwrap().remove(0).return_path.unwrap();
    assert!(path.local().starts_with("SRS0="), "{path}");

    let rcpt = format!("RCPT TO:<{path}>");
    let refused = last_reply(&server, &["HELO x", "MAIL FROM:<b@far.test>", &rcpt]).await;
    assert!(refused.starts_with("550 5.7.1 This address takes only notifications"), "{refused}");
    let lines = ["HELO x", "MAIL FROM:<>", &rcpt, "DATA", "Subject: back\r\n\r\n."];
    let taken = last_reply(&server, &lines).await;
    assert!(taken.starts_with("250"), "{taken}");
    let back = admin.queue(10).await.unwrap().into_iter().filter(|entry| entry.return_path.is_none());
    assert_eq!(back.map(|entry| entry.recipients[0].address.to_string()).collect::<Vec<_>>(), ["a@far.test"]);
    server.stop().await;
}
