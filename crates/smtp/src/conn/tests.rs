//! Properties of a whole conversation: whatever comes, in whatever pieces.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn config() -> Arc<Config> {
    let limits =
        Limits { message: 2_000, command_line: 100, auth_line: 200, text_line: 50, recipients: 3, errors: 5 };
    Arc::new(Config { hostname: "mx.test".into(), starttls: true, limits, ..Config::default() })
}

/// Runs a conversation that says yes to everything; gives the mails and all that was written.
fn run(input: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut connection = Connection::new(config(), false);
    let (mut mails, mut mail, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rest, mut sizes) = (input, sizes.iter().cycle());
    loop {
        assert!(connection.output.len() < FLUSH_BYTES + 1_000);
        match connection.next() {
            Action::Read => {
                assert!(connection.input.len() <= 202, "{} bytes are kept", connection.input.len());
                let size = rest.len().min(*sizes.next().unwrap());
                if size == 0 {
                    return (mails, written);
                }
                connection.receive(&rest[..size]);
                rest = &rest[size..];
            }
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::StartTls => connection.tls_started(None),
            Action::Ask(Question::Finish) => {
                mails.push(std::mem::take(&mut mail));
                connection.reply(&Reply::new(250, (0, 0), "Ok"));
            }
            Action::Ask(_) => connection.reply(&Reply::new(250, (0, 0), "Ok")),
            Action::Content(bytes) => mail.extend_from_slice(&bytes),
            Action::Abandon => mail.clear(),
            Action::Close => return (mails, written),
        }
    }
}

/// Bytes with many of those that matter.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => any::<u8>().prop_map(|byte| vec![byte]),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n.\r\n".to_vec()),
        1 => Just(b".".to_vec()),
        1 => Just(b"EHLO x\r\n".to_vec()),
        1 => Just(b"MAIL FROM:<a@b.c>\r\n".to_vec()),
        1 => Just(b"RCPT TO:<a@b.c>\r\n".to_vec()),
        1 => Just(b"DATA\r\n".to_vec()),
        1 => Just(b"BDAT 9 LAST\r\n".to_vec()),
        1 => Just(b"BDAT 7\r\n".to_vec()),
        1 => Just(b"STARTTLS\r\n".to_vec()),
        1 => Just(b"RSET\r\n".to_vec()),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Lines of text, as a mail has them.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = vec(prop_oneof![Just(b'.'), 1..=9_u8, 11..=12_u8, 14..=255_u8], 0..40);
    vec(line, 0..30).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|mut line| {
                line.extend(b"\r\n");
                line
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_survived(input in telling_bytes(), sizes in vec(1..300_usize, 1..10)) {
        run(&input, &sizes);
    }

    #[test]
    fn pieces_make_no_difference(input in telling_bytes(), sizes in vec(1..9_usize, 1..10)) {
        // What follows STARTTLS at once is refused, what follows later is TLS.
        prop_assume!(!input.windows(8).any(|window| window == b"STARTTLS"));
        prop_assert_eq!(run(&input, &sizes), run(&input, &[usize::MAX]));
    }

    #[test]
    fn content_arrives_as_it_was_meant(text in text(), sizes in vec(1..300_usize, 1..10), split in 0..2_000_usize) {
        let mut input = b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n".to_vec();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                input.push(b'.');
            }
            input.extend_from_slice(line);
        }
        input.extend(b".\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\n");
        let (first, second) = text.split_at(split.min(text.len()));
        input.extend(format!("BDAT {}\r\n", first.len()).into_bytes());
        input.extend_from_slice(first);
        input.extend(format!("BDAT {} LAST\r\n", second.len()).into_bytes());
        input.extend_from_slice(second);
        input.extend(b"QUIT\r\n");
        let (mails, written) = run(&input, &sizes);
        prop_assert!(written.ends_with(b"221 2.0.0 Bye\r\n"));
        prop_assert_eq!(mails, [text.clone(), text]);
    }
}

/// Goes on until more input is needed; gives what was written.
fn settle(connection: &mut Connection) -> String {
    let mut written = Vec::new();
    loop {
        match connection.next() {
            Action::Read | Action::Close => return String::from_utf8(written).unwrap(),
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::Ask(_) => connection.reply(&Reply::new(250, (0, 0), "Ok")),
            Action::Content(_) | Action::Abandon | Action::StartTls => {}
        }
    }
}

#[test]
fn draining_ends_the_idle_at_once_and_lets_a_transaction_end() {
    const GOODBYE: &str = "421 4.3.2 Closing down, please come back\r\n";
    let mut connection = Connection::new(config(), false);
    settle(&mut connection);
    connection.drain();
    assert_eq!(settle(&mut connection), GOODBYE);

    let mut connection = Connection::new(config(), false);
    connection.receive(b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\nx\r\n");
    settle(&mut connection);
    connection.drain();
    assert_eq!(settle(&mut connection), "");
    connection.receive(b".\r\n");
    assert_eq!(settle(&mut connection), format!("250 2.0.0 Ok\r\n{GOODBYE}"));
    assert_eq!(connection.next(), Action::Close);
}
