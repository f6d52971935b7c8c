//! Answering and passing on: subjects, recipients, and the words that are quoted.

use types::{Address, EmailAddress, Timestamp};

use crate::{Overview, compose};

/// The most characters a subject made here has.
const MAX_SUBJECT: usize = 500;

/// `Re: subject`, once.
#[must_use]
pub fn subject_for_reply(subject: &str) -> String {
    prefixed("Re", &["re", "답장", "회신", "回复", "返信"], subject)
}

/// `Fwd: subject`, once.
#[must_use]
pub fn subject_for_forward(subject: &str) -> String {
    prefixed("Fwd", &["fwd", "fw", "전달", "转发"], subject)
}

fn prefixed(prefix: &str, known: &[&str], subject: &str) -> String {
    let subject = crate::header::tidy(subject, MAX_SUBJECT * 4);
    let has = subject
        .split_once([':', '：'])
        .is_some_and(|(first, _)| known.contains(&first.trim().to_lowercase().as_str()));
    let subject = if has { subject } else { format!("{prefix}: {subject}") };
    subject.chars().take(MAX_SUBJECT).collect::<String>().trim_end().to_owned()
}

/// Who gets an answer to all: the author in To, everybody else in Cc, each once, oneself never (unless one wrote it).
#[must_use]
pub fn recipients_for_reply_all(mail: &Overview, own: &EmailAddress) -> (Vec<Address>, Vec<Address>) {
    let mut seen = vec![own.key()];
    let mut once = |address: &&Address| {
        let key = key(address);
        let new = !key.is_empty() && !seen.contains(&key);
        if new {
            seen.push(key);
        }
        new
    };
    let authors = if mail.reply_to.is_empty() { std::slice::from_ref(&mail.from) } else { &mail.reply_to };
    let mut to: Vec<Address> = authors.iter().filter(&mut once).cloned().collect();
    if to.is_empty() {
        // A mail of one's own is followed up to whom it was sent.
        to = mail.to.iter().filter(&mut once).cloned().collect();
    }
    let cc = mail.to.iter().chain(&mail.cc).filter(&mut once).cloned().collect();
    (to, cc)
}

fn key(address: &Address) -> String {
    address.email.parse::<EmailAddress>().map(|email| email.key()).unwrap_or_default()
}

/// The text quoted below a line that says whose it is.
#[must_use]
pub fn quote(text: &str, from: &Address, sent_at: Option<Timestamp>) -> String {
    let when = sent_at.map(|at| format!("On {}, ", compose::date(at))).unwrap_or_default();
    let mut out = format!("{when}{} wrote:\n", from.display());
    for line in text.trim_end().lines() {
        out.push_str(if line.starts_with('>') { ">" } else { "> " });
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(email: &str) -> Address {
        Address { name: String::new(), email: email.into() }
    }

    #[test]
    fn subjects() {
        assert_eq!(subject_for_reply("Hi"), "Re: Hi");
        assert_eq!(subject_for_reply("RE: Hi"), "RE: Hi");
        assert_eq!(subject_for_reply("답장: 회의"), "답장: 회의");
        assert_eq!(subject_for_forward("Re: Hi"), "Fwd: Re: Hi");
        assert_eq!(subject_for_forward("Fwd: Hi\r\nBcc: x"), "Fwd: Hi Bcc: x");
    }

    #[test]
    fn everybody_else_once() {
        let own: EmailAddress = "me@x.y".parse().unwrap();
        let mail = Overview {
            from: address("a@x.y"),
            to: vec![address("Me@x.y"), address("b@x.y")],
            cc: vec![address("A@X.Y"), address("c@x.y"), address("b@x.y")],
            ..Overview::default()
        };
        let (to, cc) = recipients_for_reply_all(&mail, &own);
        assert_eq!((to, cc), (vec![address("a@x.y")], vec![address("b@x.y"), address("c@x.y")]));
        let mine = Overview { from: address("me@x.y"), to: vec![address("b@x.y")], ..Overview::default() };
        assert_eq!(recipients_for_reply_all(&mine, &own), (vec![address("b@x.y")], vec![]));
    }

    #[test]
    fn quotes() {
        let from = Address { name: "Alice".into(), email: "a@x.y".into() };
        assert_eq!(quote("one\n> two\n", &from, None), "Alice wrote:\n> one\n>> two\n");
    }
}
