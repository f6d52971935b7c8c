//! Cases that depend on how the bytes are cut, so that no transcript can tell them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use smtp::{Action, Config, Connection, Reply};

fn connection() -> Connection {
    let config = Config { hostname: "mx.test".into(), starttls: true, ..Config::default() };
    Connection::new(Arc::new(config), false)
}

fn check(said: &[u8], wanted: &str, last: &Action) {
    let mut connection = connection();
    connection.receive(said);
    let mut written = String::new();
    let end = loop {
        match connection.next() {
            Action::Write(bytes) => written.push_str(std::str::from_utf8(&bytes).unwrap()),
            other => break other,
        }
    };
    assert_eq!((written.as_str(), &end), (wanted, last), "{said:?}");
}

#[test]
fn what_is_said_in_clear_text_after_starttls_is_refused() {
    let greeting = "220 mx.test ESMTP Magpie\r\n";
    check(
        b"STARTTLS\r\nEHLO injected\r\n",
        &format!("{greeting}554 5.7.0 Nothing may follow STARTTLS before the handshake\r\n"),
        &Action::Close,
    );
    check(b"STARTTLS\r\n", &format!("{greeting}220 2.0.0 Ready to start TLS\r\n"), &Action::StartTls);
}

#[test]
fn what_arrives_while_the_handshake_is_awaited_is_thrown_away() {
    let mut connection = connection();
    connection.receive(b"STARTTLS\r\n");
    while let Action::Write(_) = connection.next() {}
    connection.receive(b"QUIT\r\n");
    assert_eq!(connection.next(), Action::StartTls);
    connection.tls_started(None);
    assert_eq!(connection.next(), Action::Read);
    assert!(connection.is_secure());
}

#[test]
fn a_tls_client_at_the_wrong_port_is_let_go() {
    check(&[22, 3, 1, 2, 0, 1], "220 mx.test ESMTP Magpie\r\n", &Action::Close);
}

#[test]
fn who_talks_before_the_greeting_is_told_so_instead_of_it() {
    let mut connection = connection();
    connection.receive(b"EHLO early\r\n");
    connection.turn_away(&Reply::new(554, (7, 1), "The greeting comes first"));
    let Action::Write(bytes) = connection.next() else { panic!("nothing was said") };
    assert_eq!(&bytes[..], b"554 5.7.1 The greeting comes first\r\n");
    assert_eq!(connection.next(), Action::Close);
}

#[test]
fn silence_is_ended_with_421() {
    let mut connection = connection();
    while let Action::Write(_) = connection.next() {}
    connection.time_out();
    let Action::Write(bytes) = connection.next() else { panic!("nothing was said") };
    assert_eq!(&bytes[..], b"421 4.4.2 Timeout, closing the connection\r\n");
    assert_eq!(connection.next(), Action::Close);
}

#[test]
fn a_burst_is_answered_by_one_write() {
    let mut connection = connection();
    connection.receive(b"NOOP\r\nNOOP\r\nRSET\r\nQUIT\r\n");
    let Action::Write(bytes) = connection.next() else { panic!("nothing was said") };
    assert_eq!(bytes.split(|&byte| byte == b'\n').count(), 6);
    assert_eq!(connection.next(), Action::Close);
}
