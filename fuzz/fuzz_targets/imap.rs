//! Any bytes, in pieces of any size, are a conversation: no panic, bounded memory, the same outcome as all at once.
//!
//! The first byte says how large the pieces are and in which state the client begins.
#![no_main]

use std::sync::Arc;

use imap::{Action, Command, Config, Connection, Event, Limits, State, Status};
use libfuzzer_sys::fuzz_target;

fn run(input: &[u8], piece: usize, state: State) -> (Vec<Command>, Vec<u8>) {
    let limits = Limits { line: 2_000, literal: 5_000, unasked: 100, anonymous: 50, challenge: 200, errors: 50 };
    let config = Config {
        starttls: false,
        allow_cleartext: true,
        before_tls: "IMAP4rev1".into(),
        before_login: "IMAP4rev1".into(),
        before_login_bound: "IMAP4rev1".into(),
        after_login: "IMAP4rev1".into(),
        limits,
    };
    let mut connection = Connection::new(Arc::new(config), false);
    connection.enter(state);
    let (mut commands, mut written) = (Vec::new(), Vec::new());
    let mut pieces = input.chunks(piece);
    loop {
        match connection.next() {
            Action::Read => match pieces.next() {
                Some(piece) => connection.receive(piece),
                None => return (commands, written),
            },
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::StartTls | Action::Close => return (commands, written),
            Action::Event(Event::Command(command)) => {
                match &command {
                    Command::Idle => connection.idle(),
                    Command::Authenticate { .. } => connection.challenge(""),
                    _ => connection.finish(&Status::ok("Done")),
                }
                commands.push(command);
            }
            Action::Event(Event::Reserve(length)) => connection.admit(length < 4_000),
            Action::Event(Event::Response(_) | Event::Done) => connection.finish(&Status::ok("Done")),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, input)) = data.split_first() else { return };
    let state = [State::NotAuthenticated, State::Authenticated, State::Selected][usize::from(first % 3)];
    let pieces = run(input, usize::from(first / 3) + 1, state);
    assert_eq!(pieces, run(input, input.len().max(1), state));
});
