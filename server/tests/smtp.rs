//! SMTP in front of the real service.

#![cfg(test)]

mod support;

use support::{Plane, Server};
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
