//! From a line to a command.
//!
//! ```text
//! mail = "MAIL FROM:" Reverse-path [SP Mail-parameters]      ; RFC 5321 §4.1.1.2
//! rcpt = "RCPT TO:" Forward-path [SP Rcpt-parameters]        ; RFC 5321 §4.1.1.3
//! bdat = "BDAT" SP chunk-size [SP "LAST"]                    ; RFC 3030 §2
//! auth = "AUTH" SP sasl-mech [SP initial-response]           ; RFC 4954 §8
//! ```
//! Verbs and keywords are case-insensitive (RFC 5321 §2.4). A space after the colon is let pass: it is common.

use sasl::Mechanism;
use types::{EmailAddress, Secret};

use super::command::{ClientName, Command, Mail, Rcpt, SyntaxError};
use super::parameters;
use super::path::{self, ForwardPath, ReversePath};

impl Command {
    /// Reads one line, without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, SyntaxError> {
        let line = std::str::from_utf8(line).map_err(|_| SyntaxError::NotText)?;
        if line.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(SyntaxError::NotText);
        }
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => client_name(rest).map(Self::Ehlo),
            "HELO" => client_name(rest).map(Self::Helo),
            "LHLO" => client_name(rest).map(Self::Lhlo),
            "MAIL" => mail(rest).map(Self::Mail),
            "RCPT" => rcpt(rest).map(Self::Rcpt),
            "DATA" => alone(rest, Self::Data),
            "BDAT" => bdat(rest),
            "RSET" => alone(rest, Self::Rset),
            "VRFY" => something(rest, Self::Vrfy),
            "EXPN" => something(rest, Self::Expn),
            "HELP" => Ok(Self::Help),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => alone(rest, Self::Quit),
            "STARTTLS" => alone(rest, Self::StartTls),
            "AUTH" => auth(rest),
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH"
            | "PRI" => Err(SyntaxError::Foreign),
            _ => Err(SyntaxError::Unknown),
        }
    }
}

fn alone(rest: &str, command: Command) -> Result<Command, SyntaxError> {
    if rest.is_empty() { Ok(command) } else { Err(SyntaxError::Arguments("This command has no arguments")) }
}

fn something(rest: &str, command: Command) -> Result<Command, SyntaxError> {
    if rest.is_empty() { Err(SyntaxError::Arguments("A name is needed")) } else { Ok(command) }
}

fn client_name(rest: &str) -> Result<ClientName, SyntaxError> {
    ClientName::new(rest).ok_or(SyntaxError::Arguments("A domain or address literal is needed"))
}

fn mail(rest: &str) -> Result<Mail, SyntaxError> {
    let path = after_keyword(rest, "FROM:").ok_or(SyntaxError::Arguments("MAIL FROM:<address> is needed"))?;
    let (path, parameters) = path::split(path).ok_or(SyntaxError::ReversePath)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        address => ReversePath::Mailbox(mailbox(address).ok_or(SyntaxError::ReversePath)?),
    };
    let mut mail = Mail::from(reverse_path);
    for parameter in split_parameters(parameters).ok_or(SyntaxError::ReversePath)? {
        parameters::mail(&mut mail, parameter)?;
    }
    if !mail.smtputf8 && mail.reverse_path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii()) {
        return Err(SyntaxError::NeedsUtf8);
    }
    Ok(mail)
}

fn rcpt(rest: &str) -> Result<Rcpt, SyntaxError> {
    let path = after_keyword(rest, "TO:").ok_or(SyntaxError::Arguments("RCPT TO:<address> is needed"))?;
    let (path, parameters) = path::split(path).ok_or(SyntaxError::ForwardPath)?;
    let forward_path = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Mailbox(mailbox(path).ok_or(SyntaxError::ForwardPath)?)
    };
    let mut rcpt = Rcpt::to(forward_path);
    for parameter in split_parameters(parameters).ok_or(SyntaxError::ForwardPath)? {
        parameters::rcpt(&mut rcpt, parameter)?;
    }
    Ok(rcpt)
}

fn bdat(rest: &str) -> Result<Command, SyntaxError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let size = words.next().and_then(number).ok_or(SyntaxError::ChunkSize)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { size, last: false }),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { size, last: true }),
        _ => Err(SyntaxError::ChunkSize),
    }
}

fn auth(rest: &str) -> Result<Command, SyntaxError> {
    let (name, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    if name.is_empty() {
        return Err(SyntaxError::Arguments("A mechanism is needed"));
    }
    let mechanism = Mechanism::parse(name).ok_or(SyntaxError::Mechanism)?;
    if initial.contains(' ') {
        return Err(SyntaxError::Arguments("Too many arguments"));
    }
    let initial = (!initial.is_empty()).then(|| Secret::new(initial.to_owned()));
    Ok(Command::Auth { mechanism, initial })
}

/// RFC 1870 §3 and RFC 3030 §2: up to 20 digits.
pub(super) fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u64::MAX))
}

fn after_keyword<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let (found, path) = rest.split_at_checked(keyword.len())?;
    found.eq_ignore_ascii_case(keyword).then(|| path.trim_start_matches(' '))
}

/// `None` if something follows the path without a space between.
fn split_parameters(text: &str) -> Option<impl Iterator<Item = &str>> {
    (text.is_empty() || text.starts_with(' ')).then(|| text.split(' ').filter(|word| !word.is_empty()))
}

fn mailbox(text: &str) -> Option<EmailAddress> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, SyntaxError> {
        Command::parse(line.as_bytes())
    }

    #[test]
    fn commands_round_trip() {
        for line in [
            "EHLO mx.example.com",
            "HELO [127.0.0.1]",
            "EHLO [IPv6:::1]",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b.c> SIZE=1000 BODY=8BITMIME SMTPUTF8",
            "MAIL FROM:<a@b.c> BODY=7BIT",
            "MAIL FROM:<한글@메일.한국> SMTPUTF8",
            "RCPT TO:<\"a b>\"@c.d>",
            "RCPT TO:<Postmaster>",
            "RCPT TO:<postmaster@b.c>",
            "RCPT TO:<a@[192.0.2.1]> NOTIFY=NEVER",
            "RCPT TO:<a@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.d",
            "RCPT TO:<한글@메일.한국> ORCPT=utf-8;한글@메일.한국",
            "MAIL FROM:<a@b.c> BODY=BINARYMIME RET=FULL ENVID=QQ+2B314159",
            "MAIL FROM:<> RET=HDRS REQUIRETLS MT-PRIORITY=-4",
            "MAIL FROM:<a@b.c> BY=120;RT",
            "MAIL FROM:<a@b.c> BY=-5;N HOLDFOR=3600",
            "MAIL FROM:<a@b.c> HOLDUNTIL=2026-11-22T09:30:00Z",
            "LHLO mx.example.com",
            "DATA",
            "BDAT 0 LAST",
            "BDAT 1000",
            "RSET",
            "NOOP",
            "QUIT",
            "HELP",
            "STARTTLS",
            "AUTH PLAIN",
            "AUTH LOGIN dXNlcg==",
            "AUTH PLAIN =",
            "AUTH SCRAM-SHA-256-PLUS",
            "AUTH OAUTHBEARER bixh",
        ] {
            let mut out = Vec::new();
            parse(line).unwrap().encode(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\r\n"));
        }
    }

    #[test]
    fn loose_spellings_are_understood() {
        for (loose, strict) in [
            ("mail from: <a@b.c>  size=5", "MAIL FROM:<a@b.c> SIZE=5"),
            ("RCPT  TO:<@relay.test:a@b.c> ", "RCPT TO:<a@b.c>"),
            ("rcpt to:<postMASTER>", "RCPT TO:<Postmaster>"),
            ("ehlo x", "EHLO x"),
            ("noop whatever", "NOOP"),
            ("bdat 7 last", "BDAT 7 LAST"),
            ("MAIL FROM:<a@b.c> AUTH=<>", "MAIL FROM:<a@b.c>"),
            ("vrfy someone", "VRFY postmaster"),
            (
                "MAIL FROM:<a@b.c> ret=hdrs envid=q mt-priority=3 by=+7;nt",
                "MAIL FROM:<a@b.c> RET=HDRS ENVID=q MT-PRIORITY=3 BY=7;NT",
            ),
            ("RCPT TO:<a@b.c> notify=delay,success", "RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY"),
        ] {
            assert_eq!(parse(loose), parse(strict), "{loose}");
        }
    }

    const NOTIFY: &str = "NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY";
    const ORCPT: &str = "ORCPT is a type, a semicolon and an address as xtext";
    const TWICE: &str = "The parameter is given twice";
    const PRIORITY: &str = "MT-PRIORITY is a number from -9 to 9";
    const BY: &str = "BY is seconds;N or seconds;R";
    const UNTIL: &str = "HOLDUNTIL is a time like 2026-11-22T09:30:00Z";

    #[test]
    fn what_is_wrong_is_named() {
        use SyntaxError as E;
        for (line, error) in [
            ("", E::Unknown),
            ("XYZZY", E::Unknown),
            ("GET / HTTP/1.1", E::Foreign),
            ("EHLO", E::Arguments("A domain or address literal is needed")),
            ("EHLO a b", E::Arguments("A domain or address literal is needed")),
            ("EHLO a(b)", E::Arguments("A domain or address literal is needed")),
            ("MAIL", E::Arguments("MAIL FROM:<address> is needed")),
            ("MAIL FROM:a@b.c", E::ReversePath),
            ("MAIL FROM:<a@b.c>SIZE=1", E::ReversePath),
            ("MAIL FROM:<a@b.c> SIZE=x", E::Arguments("SIZE is a number")),
            ("MAIL FROM:<a@b.c> BODY=9BIT", E::Arguments("BODY is 7BIT, 8BITMIME or BINARYMIME")),
            ("MAIL FROM:<a@b.c> FOO", E::Parameter),
            ("MAIL FROM:<é@b.c>", E::NeedsUtf8),
            ("RCPT TO:<>", E::ForwardPath),
            ("RCPT TO:<a@b.c> NOTIFY=SOMETIMES", E::Arguments(NOTIFY)),
            ("RCPT TO:<a@b.c> NOTIFY=NEVER,DELAY", E::Arguments(NOTIFY)),
            ("RCPT TO:<a@b.c> NOTIFY=", E::Arguments(NOTIFY)),
            ("RCPT TO:<a@b.c> NOTIFY", E::Arguments("The parameter needs a value")),
            ("RCPT TO:<a@b.c> NOTIFY=NEVER NOTIFY=DELAY", E::Arguments(TWICE)),
            ("RCPT TO:<a@b.c> ORCPT=a@b.c", E::Arguments(ORCPT)),
            ("RCPT TO:<a@b.c> ORCPT=rfc822;a=b", E::Arguments(ORCPT)),
            ("RCPT TO:<a@b.c> SIZE=1", E::Parameter),
            ("MAIL FROM:<a@b.c> RET=HALF", E::Arguments("RET is FULL or HDRS")),
            ("MAIL FROM:<a@b.c> RET=FULL RET=FULL", E::Arguments(TWICE)),
            ("MAIL FROM:<a@b.c> ENVID=+0A", E::Arguments("ENVID is not xtext of at most 100 letters")),
            ("MAIL FROM:<a@b.c> ENVID", E::Arguments("The parameter needs a value")),
            ("MAIL FROM:<a@b.c> REQUIRETLS=yes", E::Arguments("The parameter has no value")),
            ("MAIL FROM:<a@b.c> SMTPUTF8 SMTPUTF8", E::Arguments(TWICE)),
            ("MAIL FROM:<a@b.c> MT-PRIORITY=10", E::Arguments(PRIORITY)),
            ("MAIL FROM:<a@b.c> MT-PRIORITY=+1", E::Arguments(PRIORITY)),
            ("MAIL FROM:<a@b.c> MT-PRIORITY=-", E::Arguments(PRIORITY)),
            ("MAIL FROM:<a@b.c> BY=60", E::Arguments(BY)),
            ("MAIL FROM:<a@b.c> BY=0;R", E::Arguments(BY)),
            ("MAIL FROM:<a@b.c> BY=-1;RT", E::Arguments(BY)),
            ("MAIL FROM:<a@b.c> BY=1234567890;N", E::Arguments(BY)),
            ("MAIL FROM:<a@b.c> BY=60;X", E::Arguments(BY)),
            ("MAIL FROM:<a@b.c> HOLDFOR=soon", E::Arguments("HOLDFOR is a number of seconds")),
            ("MAIL FROM:<a@b.c> HOLDFOR=1 HOLDUNTIL=2026-11-22T09:30:00Z", E::Arguments(TWICE)),
            ("MAIL FROM:<a@b.c> HOLDUNTIL=noon", E::Arguments(UNTIL)),
            ("VRFY", E::Arguments("A name is needed")),
            ("RCPT TO:<a\t@b.c>", E::ForwardPath),
            ("DATA now", E::Arguments("This command has no arguments")),
            ("BDAT", E::ChunkSize),
            ("BDAT -1", E::ChunkSize),
            ("BDAT 5 LAST MORE", E::ChunkSize),
            ("AUTH", E::Arguments("A mechanism is needed")),
            ("AUTH CRAM-MD5", E::Mechanism),
            ("NOOP \u{1}", E::NotText),
        ] {
            assert_eq!(parse(line), Err(error), "{line}");
        }
        assert_eq!(Command::parse(b"NOOP \xff"), Err(E::NotText));
    }
}
