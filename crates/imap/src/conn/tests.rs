//! Properties of a whole conversation: whatever comes, in whatever pieces; and what is never taken.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn config() -> Arc<Config> {
    let limits = Limits { line: 2_000, literal: 500, unasked: 100, anonymous: 50, challenge: 200, errors: 5 };
    Arc::new(Config {
        starttls: true,
        allow_cleartext: true,
        before_tls: "IMAP4rev1 STARTTLS".into(),
        before_login: "IMAP4rev1".into(),
        after_login: "IMAP4rev1 IDLE".into(),
        limits,
    })
}

/// Runs a conversation that says yes to everything; gives the commands and all that was written.
fn run(input: &[u8], sizes: &[usize]) -> (Vec<Command>, String) {
    let mut connection = Connection::new(config(), false);
    let (mut commands, mut written) = (Vec::new(), Vec::new());
    let (mut rest, mut sizes) = (input, sizes.iter().cycle());
    loop {
        match connection.next() {
            Action::Read => {
                assert!(connection.input.len() <= 2_100, "{} bytes are kept", connection.input.len());
                let size = rest.len().min(*sizes.next().unwrap());
                if size == 0 {
                    return (commands, String::from_utf8_lossy(&written).into_owned());
                }
                connection.receive(&rest[..size]);
                rest = &rest[size..];
            }
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::StartTls => connection.tls_started(),
            Action::Close => return (commands, String::from_utf8_lossy(&written).into_owned()),
            Action::Event(Event::Command(command)) => {
                answer(&mut connection, &command);
                commands.push(command);
            }
            Action::Event(Event::Reserve(length)) => connection.admit(length < 400),
            Action::Event(Event::Response(_) | Event::Done) => connection.finish(&Status::ok("Done")),
        }
    }
}

fn answer(connection: &mut Connection, command: &Command) {
    match command {
        Command::Idle => return connection.idle(),
        Command::Authenticate { .. } => return connection.challenge(""),
        Command::Login { .. } => connection.enter(State::Authenticated),
        Command::Select(_) => connection.enter(State::Selected),
        Command::Close | Command::Unselect => connection.enter(State::Authenticated),
        _ => {}
    }
    connection.finish(&Status::ok("Done"));
}

/// Bytes with many of those that matter.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "\r\n",
        "\r",
        "\n",
        "a LOGIN b c\r\n",
        "a SELECT x\r\n",
        "a IDLE\r\n",
        "DONE\r\n",
        "{5+}\r\nabcde",
        "{3}\r\n",
        "abc",
        "a APPEND x {300}\r\n",
        "a APPEND x {450+}\r\n",
        " ",
        "a FETCH 1:* ALL\r\n",
        "(",
        ")",
        "\"",
        "\\",
        "a AUTHENTICATE PLAIN\r\n",
        "*\r\n",
        "a SEARCH OR SEEN NOT (1 2)\r\n",
        "a LOGOUT\r\n",
        "{",
        "}",
    ];
    let piece = prop_oneof![
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        4 => proptest::sample::select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec()),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_survived(input in telling_bytes(), sizes in vec(1..300_usize, 1..10)) {
        run(&input, &sizes);
    }

    #[test]
    fn pieces_make_no_difference(input in telling_bytes(), sizes in vec(1..9_usize, 1..10)) {
        prop_assert_eq!(run(&input, &sizes), run(&input, &[usize::MAX]));
    }
}

fn written(input: &str) -> String {
    let (_, written) = run(input.as_bytes(), &[usize::MAX]);
    written.split_once("\r\n").unwrap().1.to_owned()
}

#[test]
fn commands_are_legal_in_their_state() {
    assert_eq!(written("a NOOP\r\nb SELECT x\r\n"), "a OK Done\r\nb BAD Log in first\r\n");
    let logged_in = written("a LOGIN b c\r\nb FETCH 1 UID\r\nc LOGIN b c\r\nd LOGOUT\r\ne NOOP\r\n");
    assert_eq!(
        logged_in,
        "a OK Done\r\nb BAD Select a mailbox first\r\nc BAD You are logged in already\r\n* BYE See you\r\nd OK Logged out\r\n"
    );
}

#[test]
fn idle_ends_by_done() {
    assert_eq!(written("a LOGIN b c\r\nb IDLE\r\nDONE\r\n"), "a OK Done\r\n+ idling\r\nb OK Done\r\n");
    assert!(written("a LOGIN b c\r\nb IDLE\r\nc NOOP\r\n").ends_with("b BAD IDLE ends by DONE\r\n"));
}

#[test]
fn nothing_is_carried_over_into_tls() {
    let (commands, written) = run(b"a STARTTLS\r\nb LOGIN eve x\r\n", &[usize::MAX]);
    assert!(commands.is_empty() && written.contains("a BAD Nothing may follow"));
    let (_, written) = run(b"a STARTTLS\r\n", &[usize::MAX]);
    assert!(written.ends_with("a OK Begin the handshake\r\n"));
}

#[test]
fn attacks_end_soon() {
    let long_tag = "x".repeat(1 << 20);
    assert_eq!(written(&long_tag), "* BYE [TOOBIG] The line or the literal is too long\r\n");
    assert_eq!(written("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "");
    assert_eq!(written("\u{16}\u{3}\u{1}"), "");
    assert_eq!(
        written("a LOGIN {51}\r\nb NOOP\r\n"),
        "a NO [TOOBIG] The literal is larger than what is accepted\r\nb OK Done\r\n"
    );
    assert!(written("a LOGIN {51+}\r\nb NOOP\r\n").starts_with("* BYE [TOOBIG]"));
    assert!(written("a LOGIN b c\r\nb APPEND x {450}\r\n").contains("b NO [TOOBIG]"));
    assert!(written(&"?\r\n".repeat(7)).ends_with("* BYE Too many errors\r\n"));
    let nested = format!("a LOGIN b c\r\nb SELECT x\r\nc SEARCH {}\r\n", "(".repeat(900));
    assert!(written(&nested).ends_with("c BAD Not understood: it is nested too deep\r\n"));
}
