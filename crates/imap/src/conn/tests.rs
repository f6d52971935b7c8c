//! Properties of a whole conversation: whatever comes, in whatever pieces; and what is never taken.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::MAX_LITERALS;

fn config() -> Arc<Config> {
    let limits = Limits { line: 2_000, literal: 500, unasked: 100, anonymous: 50, challenge: 200, errors: 5 };
    Arc::new(Config {
        starttls: true,
        allow_cleartext: true,
        before_tls: "IMAP4rev1 STARTTLS".into(),
        before_login: "IMAP4rev1".into(),
        before_login_bound: "IMAP4rev1 AUTH=BOUND".into(),
        after_login: "IMAP4rev1 IDLE".into(),
        limits,
    })
}

/// Runs a conversation that says yes to everything; gives the commands and all that was written.
fn run(input: &[u8], sizes: &[usize]) -> (Vec<Command>, String) {
    run_as(config(), input, sizes)
}

fn run_as(config: Arc<Config>, input: &[u8], sizes: &[usize]) -> (Vec<Command>, String) {
    let mut connection = Connection::new(config, false);
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
fn a_command_has_at_most_a_thousand_literals() {
    let mut wide = Arc::unwrap_or_clone(config());
    wide.limits.line = 10_000;
    let wide = Arc::new(wide);
    let said = |literal: &str| {
        let input = format!("a LOGIN b c\r\nb X{}", literal.repeat(MAX_LITERALS + 1));
        run_as(Arc::clone(&wide), input.as_bytes(), &[100]).1
    };
    let text = "A command has at most 1000 literals: send several commands\r\n";
    assert!(said(" {0}\r\n").ends_with(&format!("b NO [LIMIT] {text}")));
    assert!(said(" {0+}\r\n").ends_with(&format!("* BYE [LIMIT] {text}")));
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
    assert!(written("a LOGIN b c\r\nb APPEND x {450}\r\n").contains("b NO [UNAVAILABLE]"));
    assert!(written(&"?\r\n".repeat(7)).ends_with("* BYE Too many errors\r\n"));
    let nested = format!("a LOGIN b c\r\nb SELECT x\r\nc SEARCH {}\r\n", "(".repeat(900));
    assert!(written(&nested).ends_with("c BAD Not understood: it is nested too deep\r\n"));
}

/// A client's side of compression: raw DEFLATE, flushed.
fn packed(text: &str) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut out = Vec::with_capacity(text.len() + 64);
    deflate.compress_vec(text.as_bytes(), &mut out, flate2::FlushCompress::Sync).unwrap();
    assert_eq!(deflate.total_in(), text.len() as u64);
    out
}

fn unpacked(bytes: &[u8]) -> String {
    let mut inflate = flate2::Decompress::new(false);
    let mut out = Vec::with_capacity(1 << 20);
    inflate.decompress_vec(bytes, &mut out, flate2::FlushDecompress::Sync).unwrap();
    assert_eq!(inflate.total_in(), bytes.len() as u64);
    String::from_utf8(out).unwrap()
}

const LOGIN: &str = "a LOGIN b c\r\n";
const COMPRESS: &str = "b COMPRESS DEFLATE\r\n";
const COMPRESSED: &str = "b OK From here on everything is compressed\r\n";

/// What is said compressed, in pieces of these sizes; gives what was answered compressed.
fn compressed(said: &str, sizes: &[usize]) -> String {
    let input = [LOGIN.as_bytes(), COMPRESS.as_bytes(), &packed(said)].concat();
    let mut connection = Connection::new(config(), false);
    let (mut written, mut rest, mut sizes) = (Vec::new(), &input[..], sizes.iter().cycle());
    loop {
        match connection.next() {
            Action::Read => {
                assert!(
                    connection.input.len() <= 2_000 + 16 * 1024,
                    "{} bytes are kept",
                    connection.input.len()
                );
                let size = rest.len().min(*sizes.next().unwrap());
                if size == 0 {
                    break;
                }
                connection.receive(&rest[..size]);
                rest = &rest[size..];
            }
            Action::Write(bytes) => written.extend_from_slice(&bytes),
            Action::StartTls => panic!("TLS within compression"),
            Action::Close => break,
            Action::Event(Event::Command(command)) => answer(&mut connection, &command),
            Action::Event(Event::Reserve(length)) => connection.admit(length < 400),
            Action::Event(Event::Response(_) | Event::Done) => connection.finish(&Status::ok("Done")),
        }
    }
    behind(&written)
}

/// What was answered behind COMPRESS.
fn behind(written: &[u8]) -> String {
    let end = written.windows(COMPRESSED.len()).position(|window| window == COMPRESSED.as_bytes()).unwrap();
    unpacked(&written[end + COMPRESSED.len()..])
}

#[test]
fn after_compress_both_sides_are_compressed() {
    for sizes in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        let said =
            compressed("c CAPABILITY\r\nd IDLE\r\nDONE\r\ne COMPRESS DEFLATE\r\nf STARTTLS\r\n", sizes);
        assert_eq!(
            said,
            "c OK Done\r\n+ idling\r\nd OK Done\r\n\
             e NO [COMPRESSIONACTIVE] Everything is compressed already\r\nf BAD You are logged in already\r\n"
        );
        let literals = compressed("c APPEND x {3+}\r\nabc\r\nd SELECT {1}\r\nx\r\ne LOGOUT\r\n", sizes);
        assert_eq!(literals, "c OK Done\r\n+ go on\r\nd OK Done\r\n* BYE See you\r\ne OK Logged out\r\n");
        // After UNAUTHENTICATE the compression stays, and TLS cannot begin within it.
        let anew = compressed("c UNAUTHENTICATE\r\n", sizes);
        assert_eq!(anew, "c OK Done\r\n");
    }
    assert_eq!(written("a COMPRESS DEFLATE\r\n"), "a BAD Log in first\r\n");
    assert!(
        written("a LOGIN b c\r\nb COMPRESS LZ4\r\n")
            .ends_with("b BAD Not understood: the only compression is DEFLATE\r\n")
    );
}

#[test]
fn compression_is_offered_until_it_is_on() {
    let mut connection = Connection::new(config(), false);
    assert_eq!(connection.capabilities(), "IMAP4rev1 STARTTLS");
    connection.enter(State::Authenticated);
    assert_eq!(connection.capabilities(), "IMAP4rev1 IDLE COMPRESS=DEFLATE");
    connection.receive(COMPRESS.as_bytes());
    while !matches!(connection.next(), Action::Read) {}
    assert_eq!(connection.capabilities(), "IMAP4rev1 IDLE");
}

/// A few kilobytes that stand for many megabytes cost no more memory than a piece, and meet the same limits.
#[test]
fn bombs_fizzle() {
    let line = compressed(&"x".repeat(20 << 20), &[usize::MAX]);
    assert_eq!(line, "* BYE [TOOBIG] The line or the literal is too long\r\n");
    let literal = compressed(&format!("c APPEND x {{1000000+}}\r\n{}", "x".repeat(1_000_000)), &[usize::MAX]);
    assert_eq!(literal, "* BYE [TOOBIG] The line or the literal is too long\r\n");
    // Many small ones are a large one, and a literal is no way around the piece-by-piece reading.
    let small = format!("{{90+}}\r\n{}", "x".repeat(90));
    let many = compressed(&format!("c X {}\r\n", small.repeat(100_000)), &[usize::MAX]);
    assert_eq!(many, "* BYE [TOOBIG] The line or the literal is too long\r\n");
    let good = compressed(&format!("c APPEND x {{300+}}\r\n{}\r\n", "x".repeat(300)), &[usize::MAX]);
    assert_eq!(good, "c OK Done\r\n");
    let errors = compressed(&"?\r\n".repeat(1 << 20), &[usize::MAX]);
    assert!(errors.ends_with("* BYE Too many errors\r\n"), "{errors}");
    // What is legal is answered, however much a few bytes stand for.
    let many = compressed(&"n NOOP\r\n".repeat(20_000), &[usize::MAX]);
    assert_eq!(many.len(), "n OK Done\r\n".len() * 20_000);
}

#[test]
fn what_is_not_compressed_ends_the_conversation() {
    let input = [LOGIN.as_bytes(), COMPRESS.as_bytes(), b"\xff\xff\xff\xff no"].concat();
    let (_, written) = run(&input, &[usize::MAX]);
    assert!(written.contains(COMPRESSED), "{written}");
    let mut ended = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut out = Vec::with_capacity(100);
    ended.compress_vec(b"c NOOP\r\n", &mut out, flate2::FlushCompress::Finish).unwrap();
    let mut connection = Connection::new(config(), false);
    connection.enter(State::Authenticated);
    connection.receive(&[COMPRESS.as_bytes(), &out].concat());
    while !matches!(connection.next(), Action::Close) {}
}

proptest! {
    #[test]
    fn any_bytes_behind_compress_are_survived(input in vec(any::<u8>(), 0..600), sizes in vec(1..300_usize, 1..10)) {
        run(&[LOGIN.as_bytes(), COMPRESS.as_bytes(), &input].concat(), &sizes);
    }

    #[test]
    fn compression_makes_no_difference(
        lines in vec(
            prop_oneof![
                Just("a NOOP\r\n"), Just("b SELECT {1}\r\n"), Just("x\r\n"), Just("c IDLE\r\n"), Just("DONE\r\n"),
                Just("d APPEND x {300+}\r\n"), Just("?\r\n"), Just("\n"), Just("e LOGOUT\r\n"),
            ],
            0..30,
        ),
        sizes in vec(1..40_usize, 1..10),
    ) {
        let said = lines.concat();
        let plain = written(&format!("{LOGIN}{said}"));
        prop_assert_eq!(compressed(&said, &sizes), plain.strip_prefix("a OK Done\r\n").unwrap());
    }
}

/// The compressor is given up while a client idles; what is written afterwards can be read all the same.
#[test]
fn idle_clients_hold_little() {
    let mut connection = Connection::new(config(), false);
    connection.enter(State::Selected);
    connection.receive(&[COMPRESS.as_bytes(), &packed("c IDLE\r\n")].concat());
    let mut all = Vec::new();
    let mut news = 0;
    loop {
        match connection.next() {
            Action::Read if news < 3 => {
                news += 1;
                connection.write(b"* 23 EXISTS\r\n");
            }
            Action::Read => break,
            Action::Write(bytes) => all.extend_from_slice(&bytes),
            Action::Event(Event::Command(Command::Idle)) => connection.idle(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(behind(&all), "+ idling\r\n* 23 EXISTS\r\n* 23 EXISTS\r\n* 23 EXISTS\r\n");
}
