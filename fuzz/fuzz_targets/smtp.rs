//! Any bytes, in pieces of any size, are a conversation: no panic, bounded memory, the same outcome as all at once.
//!
//! The first byte says how large the pieces are and how the server answers.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use smtp::{Action, Auth, BodyType, Config, Connection, Limits, Question, Reply};

fn run(input: &[u8], piece: usize, refusing: bool) -> (Vec<Vec<u8>>, Vec<u8>) {
    let limits = Limits {
        message: 5_000,
        command_line: 200,
        auth_line: 300,
        text_line: 100,
        recipients: 5,
        errors: 50,
    };
    let config = Config { hostname: "mx.test".into(), auth: Auth::Always, limits, ..Config::default() };
    let mut connection = Connection::new(Arc::new(config), false);
    let (mut mails, mut mail, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let mut pieces = input.chunks(piece);
    let (mut asked, mut binary) = (0, false);
    loop {
        match connection.next() {
            Action::Read => match pieces.next() {
                Some(piece) => connection.receive(piece),
                None => return (mails, written),
            },
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::StartTls => unreachable!("it was not offered"),
            Action::Close => return (mails, written),
            Action::Content(bytes) => {
                mail.extend_from_slice(&bytes);
                assert!(mail.len() <= 5_000);
            }
            Action::Abandon => mail.clear(),
            Action::Ask(question) => {
                asked += 1;
                let no = refusing && asked % 3 == 0;
                if let Question::Mail(mail) = &question {
                    binary = mail.body == Some(BodyType::BinaryMime);
                }
                if matches!(question, Question::Finish) {
                    let mail = std::mem::take(&mut mail);
                    for (at, _) in mail.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                        assert!(binary || at > 0 && mail.get(at - 1) == Some(&b'\r'), "a bare LF was accepted");
                    }
                    mails.push(mail);
                }
                let reply = if no { Reply::new(451, (3, 0), "No") } else { Reply::new(250, (0, 0), "Yes") };
                connection.reply(&reply);
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, input)) = input.split_first() else {
        return;
    };
    let (piece, refusing) = (usize::from(first & 0x3f) + 1, first & 0x40 != 0);
    assert_eq!(run(input, piece, refusing), run(input, usize::MAX, refusing));
});
