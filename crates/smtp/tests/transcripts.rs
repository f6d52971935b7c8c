//! Runs `tests/transcripts/*.txt`: line by line, byte by byte, and all at once.
//!
//! ```text
//! # a comment
//! ! starttls auth=always size=1000        (options of the listener, before the first line)
//! ! lmtp                                  (RFC 2033)
//! ! secure                                (TLS from the first byte; `bound`: also something to bind logins to)
//! C: a line of the client, CRLF is added; \r \n \0 \t \\ are escapes, a final \ leaves CRLF away
//! S: a line of the server
//! M: <sender> -> <recipient>,...: content (a mail that was accepted)
//! TLS                                     (the server asks for the handshake)
//! CLOSE                                   (the server hangs up)
//! ```
//! The mail store behind: mail from `bad@` is refused, recipients `unknown@` and `later@` too; content from `full@` is
//! not wanted, and mail from `disk@` fails in the end. `alice` logs in with `secret`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;

use bytes::BytesMut;
use sasl::{Binding, Keys};
use smtp::{Action, Auth, Command, Config, Connection, ForwardPath, Limits, Protocol, Question, Reply};
use types::Timestamp;

#[derive(Debug)]
struct Script {
    config: Config,
    secure: bool,
    binding: Option<Binding>,
    steps: Vec<Step>,
}

/// Something is said, and this is what comes of it.
#[derive(Debug, Default, Clone)]
struct Step {
    said: Vec<u8>,
    wanted: Seen,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    written: String,
    mails: Vec<String>,
    tls: bool,
    closed: bool,
}

fn parse(text: &str) -> Script {
    let mut config = Config {
        hostname: "mx.test".into(),
        limits: Limits { message: 1_000_000, ..Limits::default() },
        ..Config::default()
    };
    let (mut secure, mut binding) = (false, None);
    let mut steps = vec![Step::default()];
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let step = steps.last_mut().unwrap();
        if let Some(options) = line.strip_prefix("! ") {
            for option in options.split(' ') {
                match option {
                    "secure" => secure = true,
                    "bound" => binding = Some(Binding([7; 32])),
                    other => set(&mut config, other),
                }
            }
        } else if let Some(said) = line.strip_prefix("C: ").or_else(|| line.strip_prefix("C:")) {
            let said = unescape(said);
            if step.wanted == Seen::default() {
                step.said.extend(said);
            } else {
                steps.push(Step { said, wanted: Seen::default() });
            }
        } else if let Some(reply) = line.strip_prefix("S: ") {
            step.wanted.written.push_str(reply);
            step.wanted.written.push_str("\r\n");
        } else if let Some(mail) = line.strip_prefix("M: ") {
            step.wanted.mails.push(mail.to_owned());
        } else if line == "TLS" {
            step.wanted.tls = true;
        } else if line == "CLOSE" {
            step.wanted.closed = true;
        } else {
            panic!("not understood: {line}");
        }
    }
    Script { config, secure, binding, steps }
}

fn set(config: &mut Config, option: &str) {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let number = || value.parse::<usize>().unwrap();
    match name {
        "starttls" => config.starttls = true,
        "lmtp" => config.protocol = Protocol::Lmtp,
        "hold" => config.hold_seconds = Some(u32::try_from(number()).unwrap()),
        "auth" => config.auth = if value == "always" { Auth::Always } else { Auth::OverTls },
        "size" => config.limits.message = number() as u64,
        "command_line" => config.limits.command_line = number(),
        "auth_line" => config.limits.auth_line = number(),
        "text_line" => config.limits.text_line = number(),
        "recipients" => config.limits.recipients = number(),
        "errors" => config.limits.errors = u32::try_from(number()).unwrap(),
        _ => panic!("unknown option {option}"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (text, end) = match text.strip_suffix('\\') {
        Some(open) if !open.ends_with('\\') => (open, ""),
        _ => (text, "\r\n"),
    };
    let text = text.replace("\\\\", "\u{1}").replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
    let text = text.replace("\\t", "\t").replace('\u{1}', "\\");
    let long = text.split_once("{x*").and_then(|(before, rest)| {
        let (count, after) = rest.split_once('}')?;
        Some(format!("{before}{}{after}", "x".repeat(count.parse().ok()?)))
    });
    (long.unwrap_or(text) + end).into_bytes()
}

/// What LMTP says for each recipient.
fn answer(recipient: &str) -> Reply {
    if recipient.starts_with("<full") {
        Reply::new(452, (2, 2), "Mailbox full").with_text(format!("{recipient} is full"))
    } else {
        Reply::new(250, (0, 0), "").with_text(format!("{recipient} has it"))
    }
}

#[derive(Default)]
struct Store {
    /// LMTP: an answer for each recipient.
    each: bool,
    sender: String,
    recipients: Vec<String>,
    content: Vec<u8>,
}

impl Store {
    fn decide(&mut self, question: Question, mails: &mut Vec<String>) -> Reply {
        match question {
            Question::Authenticate(asked) => {
                let right = match asked {
                    sasl::Question::Password { user, password } => {
                        user == "alice" && password.expose() == "secret"
                    }
                    sasl::Question::Token { token, .. } => token.expose() == "t0ken",
                    sasl::Question::Proven { .. } => true,
                    sasl::Question::Keys { .. } | sasl::Question::Certificate { .. } => false,
                };
                if right {
                    Reply::new(235, (7, 0), "Welcome")
                } else {
                    Reply::new(535, (7, 8), "Wrong user or password")
                }
            }
            Question::Mail(mail) if mail.reverse_path.to_string().starts_with("<bad@") => {
                Reply::new(550, (7, 1), "Not from you")
            }
            Question::Mail(mail) => {
                self.forget();
                self.sender = said(&Command::Mail(mail), "MAIL FROM:");
                Reply::new(250, (1, 0), "Sender ok")
            }
            Question::Rcpt(rcpt) => match &rcpt.forward_path {
                ForwardPath::Mailbox(to) if to.local() == "unknown" => {
                    Reply::new(550, (1, 1), "No such mailbox")
                }
                ForwardPath::Mailbox(to) if to.local() == "later" => Reply::new(450, (2, 0), "Not now"),
                ForwardPath::Mailbox(_) | ForwardPath::Postmaster => {
                    self.recipients.push(said(&Command::Rcpt(rcpt), "RCPT TO:"));
                    Reply::new(250, (1, 5), "Recipient ok")
                }
            },
            Question::Begin if self.sender.starts_with("<full@") => Reply::new(452, (3, 1), "No room"),
            Question::Begin => Reply::new(250, (0, 0), "Ok"),
            Question::Finish if self.sender.starts_with("<disk@") => Reply::new(452, (3, 1), "Disk full"),
            Question::Finish => {
                let content = String::from_utf8_lossy(&self.content).replace('\r', "\\r");
                let content = content.replace('\n', "\\n").replace('\0', "\\0");
                mails.push(format!("{} -> {}: {content}", self.sender, self.recipients.join(",")));
                self.forget();
                Reply::new(250, (0, 0), "Accepted")
            }
        }
    }

    fn forget(&mut self) {
        *self = Self { each: self.each, ..Self::default() };
    }
}

/// What follows the verb.
fn said(command: &Command, verb: &str) -> String {
    let mut line = BytesMut::new();
    command.encode(&mut line);
    std::str::from_utf8(&line).unwrap().trim_end().strip_prefix(verb).unwrap().to_owned()
}

/// Those of `user` with the password `pencil`, from RFC 7677 §3.
fn keys() -> Keys {
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        .parse()
        .unwrap()
}

/// Lets the conversation go on as far as it can.
fn pump(connection: &mut Connection, store: &mut Store) -> Seen {
    let mut seen = Seen::default();
    loop {
        match connection.next() {
            Action::Read => return seen,
            Action::Close => {
                seen.closed = true;
                return seen;
            }
            Action::StartTls => {
                seen.tls = true;
                connection.tls_started(None);
            }
            Action::Write(bytes) => seen.written.push_str(std::str::from_utf8(&bytes).unwrap()),
            Action::Ask(Question::Authenticate(sasl::Question::Keys { user })) if user == "user" => {
                connection.keys(vec![keys()], "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
            }
            Action::Ask(Question::Finish) if store.recipients.len() > 1 && store.each => {
                let replies: Vec<_> = store.recipients.iter().map(|to| answer(to)).collect();
                store.decide(Question::Finish, &mut seen.mails);
                connection.reply_each(&replies);
            }
            Action::Ask(question) => {
                let reply = store.decide(question, &mut seen.mails);
                connection.reply(&reply);
            }
            Action::Content(bytes) => store.content.extend_from_slice(&bytes),
            Action::Abandon => store.forget(),
        }
    }
}

fn run(script: &Script, steps: &[Step], piece: usize, name: &str) {
    let Script { config, secure, binding, .. } = script;
    let mut connection = Connection::new(Arc::new(config.clone()), *secure)
        .opened_at(Timestamp::from_seconds(1_795_350_000))
        .bound(binding.clone());
    let mut store = Store { each: config.protocol == Protocol::Lmtp, ..Store::default() };
    for Step { said, wanted } in steps {
        let mut seen = Seen::default();
        for piece in said.chunks(piece).chain(said.is_empty().then_some(&[][..])) {
            connection.receive(piece);
            let more = pump(&mut connection, &mut store);
            seen.written.push_str(&more.written);
            seen.mails.extend(more.mails);
            seen.tls |= more.tls;
            seen.closed |= more.closed;
        }
        assert_eq!(seen, *wanted, "{name}: {:?} in pieces of {piece}", String::from_utf8_lossy(said));
    }
}

/// All that is said up to a handshake becomes one step.
fn joined(steps: &[Step]) -> Vec<Step> {
    let mut joined = vec![Step::default()];
    for step in steps {
        let last = joined.last_mut().unwrap();
        last.said.extend(&step.said);
        last.wanted.written.push_str(&step.wanted.written);
        last.wanted.mails.extend(step.wanted.mails.clone());
        last.wanted.tls |= step.wanted.tls;
        last.wanted.closed |= step.wanted.closed;
        if step.wanted.tls {
            joined.push(Step::default());
        }
    }
    joined.retain(|step| !step.said.is_empty());
    joined
}

#[test]
fn transcripts() {
    let mut count = 0;
    for entry in fs::read_dir("tests/transcripts").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Blank-line separated "---" starts a fresh connection with the same options form.
        for text in fs::read_to_string(&path).unwrap().split("\n---\n") {
            let script = parse(text);
            for piece in [usize::MAX, 1, 7] {
                run(&script, &script.steps, piece, &name);
            }
            run(&script, &joined(&script.steps), usize::MAX, &name);
            count += 1;
        }
    }
    assert!(count > 20, "{count} transcripts");
}
