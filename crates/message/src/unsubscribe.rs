//! How a mail says that its list is left: List-Unsubscribe (RFC 2369 §3.2), and by one click (RFC 8058).

use types::{EmailAddress, Url};

use crate::html::percent_decoded;

/// A way to leave a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsubscribe {
    /// An address of HTTPS: a page for people, or what is asked for it by one click.
    Https(Url),
    /// A page for people that is not encrypted.
    Http(String),
    Mail(MailTo),
}

/// A mail that is asked for (RFC 6068), to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTo {
    pub to: EmailAddress,
    pub subject: String,
    pub body: String,
}

/// What is posted for one click (RFC 8058 §3.2).
pub const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

const MAX_WAYS: usize = 8;
const MAX_BYTES: usize = 2_048;
const MAX_SUBJECT: usize = 500;
const MAX_BODY: usize = 2_000;

/// The ways that the value of a `List-Unsubscribe` names, the list's favourite first. What is no way is left out.
#[must_use]
pub fn unsubscribe(value: &str) -> Vec<Unsubscribe> {
    let value = without_comments(value);
    let named = value.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    // White space that folding has put in is no part of it.
    let named = named.map(|(uri, _)| uri.split_whitespace().collect::<String>());
    named.filter_map(|uri| way(&uri)).take(MAX_WAYS).collect()
}

/// What is in parentheses outside of angle brackets says nothing (RFC 2369 §2).
fn without_comments(value: &str) -> String {
    let (mut depth, mut is_named) = (0_usize, false);
    let is_kept = |c: &char| {
        match c {
            '<' if depth == 0 => is_named = true,
            '>' if depth == 0 => is_named = false,
            '(' if !is_named => depth += 1,
            ')' if !is_named && depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    value.chars().filter(is_kept).collect()
}

/// Whether the value of a `List-Unsubscribe-Post` promises that one request is enough.
#[must_use]
pub fn is_one_click(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case(ONE_CLICK)
}

fn way(uri: &str) -> Option<Unsubscribe> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_plain = uri.len() <= MAX_BYTES && uri.bytes().all(|byte| byte.is_ascii_graphic());
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Url::parse(uri).map(Unsubscribe::Https),
        "http" if is_plain && rest.starts_with("//") => Some(Unsubscribe::Http(uri.to_owned())),
        "mailto" if is_plain => mail_to(rest).map(Unsubscribe::Mail),
        _ => None,
    }
}

/// Only a subject and a text are taken from strangers (RFC 6068 §4).
fn mail_to(rest: &str) -> Option<MailTo> {
    let (to, fields) = rest.split_once('?').unwrap_or((rest, ""));
    let mut mail =
        MailTo { to: percent_decoded(to).parse().ok()?, subject: String::new(), body: String::new() };
    for (name, value) in fields.split('&').filter_map(|field| field.split_once('=')) {
        let value = percent_decoded(value);
        match name.to_ascii_lowercase().as_str() {
            "subject" => mail.subject = crate::header::tidy(&value, MAX_SUBJECT),
            "body" => {
                mail.body = value.chars().filter(|c| *c == '\n' || !c.is_control()).take(MAX_BODY).collect()
            }
            _ => {}
        }
    }
    Some(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_in_their_order() {
        let check = |value: &str, wanted: &[&str]| {
            let shown = |way: &Unsubscribe| match way {
                Unsubscribe::Https(url) => url.to_string(),
                Unsubscribe::Http(url) => url.clone(),
                Unsubscribe::Mail(MailTo { to, subject, body }) => format!("{to} [{subject}] [{body}]"),
            };
            let found: Vec<_> = unsubscribe(value).iter().map(shown).collect();
            assert_eq!(found, wanted, "{value:?}");
        };
        check("<https://list.test/u?id=1&x=%20>", &["https://list.test/u?id=1&x=%20"]);
        check(
            "(by mail) <mailto:leave@list.test?subject=leave%20a&body=x%0D%0Ay>, <HTTPS://List.test/>",
            &["leave@list.test [leave a] [x\ny]", "https://list.test/"],
        );
        check("<https://list.test/\t very/ long>", &["https://list.test/very/long"]);
        check("(hi <https://no.test/> (x)) <https://list.test/(u)>", &["https://list.test/(u)"]);
        check("<http://list.test/u>", &["http://list.test/u"]);
        check(
            "<mailto:leave@list.test?subject=a%0D%0ABcc:%20x@y.test>",
            &["leave@list.test [a Bcc: x@y.test] []"],
        );
        check("<mailto:leave@list.test?cc=x@y.test&bcc=x@y.test&to=z@y.test>", &["leave@list.test [] []"]);
        check("<mailto:leave%2Ba@list.test>", &["leave+a@list.test [] []"]);
        for nothing in [
            "",
            "https://list.test/",
            "<>",
            "<https://127.0.0.1/>",
            "<https://localhost/>",
            "<javascript:alert(1)>",
            "<data:text/html,x>",
            "<mailto:>",
            "<mailto:a@list.test,b@list.test>",
            "<mailto:a@list.test%0D%0ABcc:x@y.test>",
            "<ftp://list.test/u>",
            "<https://list.test/",
        ] {
            check(nothing, &[]);
        }
        let many = "<https://list.test/>".repeat(10_000);
        assert_eq!(unsubscribe(&many).len(), MAX_WAYS);
    }

    #[test]
    fn one_click_is_promised_in_so_many_words() {
        for (value, wanted) in [
            ("List-Unsubscribe=One-Click", true),
            (" list-unsubscribe=one-click ", true),
            ("List-Unsubscribe=Two-Clicks", false),
            ("", false),
        ] {
            assert_eq!(is_one_click(value), wanted, "{value:?}");
        }
    }
}
