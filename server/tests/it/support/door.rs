//! Mail from anywhere, brought to the door as through a load balancer.

use std::process::Command;

use testkit::{Sink, Zone};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{Plane, Server};

/// Has the server believe this machine's PROXY headers where mail comes in.
const BEHIND_PROXY: [(&str, &str); 2] =
    [("MAGPIE_PROXY_PROTOCOL__FROM", "[\"127.0.0.1\"]"), ("MAGPIE_PROXY_PROTOCOL__LISTENERS", "[\"smtp\"]")];

/// A server that asks this zone, behind a load balancer that tells of any client.
pub(crate) async fn behind_proxy(plane: &Plane<'_>, zone: &Zone, keys: &[(&str, &str)]) -> Server {
    let resolver = zone.address().to_string();
    let mut all =
        vec![("MAGPIE_DNS__RESOLVER", resolver.as_str()), ("MAGPIE_SMTP__HOSTNAME", "mx.demo.test")];
    all.extend(BEHIND_PROXY);
    all.extend(keys);
    Server::start_with(plane, &all).await
}

/// The same, which finds other domains' mail servers at the sink.
pub(crate) async fn with_sink(plane: &Plane<'_>, zone: &Zone, sink: &Sink, keys: &[(&str, &str)]) -> Server {
    let port = sink.address().port().to_string();
    let mut all =
        vec![("MAGPIE_QUEUE__PORT", port.as_str()), ("MAGPIE_QUEUE__ALLOW_PRIVATE_TARGETS", "true")];
    all.extend(keys);
    behind_proxy(plane, zone, &all).await
}

/// What a command prints beside the running server on the embedded plane, and whether it succeeded.
pub(crate) fn command(server: &Server, zone: &Zone, args: &[&str]) -> (bool, String) {
    command_at("mx.demo.test", server, zone, args)
}

/// The same beside a server of this name.
pub(crate) fn command_at(host: &str, server: &Server, zone: &Zone, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_magpie"))
        .args(args)
        .current_dir(server.folder())
        .env("MAGPIE_DATA_DIR", server.folder().join("data"))
        .env("MAGPIE_DNS__RESOLVER", zone.address().to_string())
        .env("MAGPIE_SMTP__HOSTNAME", host)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

pub(crate) const FRIEND: [u8; 4] = [192, 0, 2, 1];
pub(crate) const STRANGER: [u8; 4] = [203, 0, 113, 9];

/// The header of a connection of this client.
pub(crate) fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let from_to = [&client[..], &[127, 0, 0, 1], &4321_u16.to_be_bytes(), &25_u16.to_be_bytes()].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &from_to].concat()
}

/// Brings a mail for Alice as this client, and gives the reply to its end.
pub(crate) async fn bring(server: &Server, client: [u8; 4], sender: &str, mail: &str) -> String {
    bring_to(server, client, sender, "alice@demo.test", mail).await
}

pub(crate) async fn bring_to(
    server: &Server,
    client: [u8; 4],
    sender: &str,
    recipient: &str,
    mail: &str,
) -> String {
    let mut stream = BufReader::new(TcpStream::connect(server.node.addresses.smtp.unwrap()).await.unwrap());
    stream.write_all(&proxy_header(client)).await.unwrap();
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    let (from, to) = (format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"));
    let data = format!("{mail}\r\n.");
    for line in ["HELO client.test", &from, &to, "DATA", &data] {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        reply.clear();
        stream.read_line(&mut reply).await.unwrap();
    }
    reply
}

pub(crate) fn mail(from: &str, subject: &str) -> String {
    format!("From: {from}\r\nTo: alice@demo.test\r\nSubject: {subject}\r\n\r\nHello\r\n")
}
