//! `Authentication-Results` (RFC 8601): ours is written, what others wrote in our name is found.

use std::ops::Range;

use crate::mail::split;
use crate::{AuthResult, Outcome};

/// The field that tells what was found, with its CRLF.
#[must_use]
pub fn field(hostname: &str, results: &[AuthResult]) -> String {
    let mut text = format!("Authentication-Results: {hostname}");
    if results.is_empty() {
        text.push_str("; none");
    }
    for result in results {
        text.push_str(&format!(";\r\n\t{}={}", result.method, result.outcome));
        if let Some(reason) = &result.reason {
            text.push_str(&format!(" reason={}", quoted(reason)));
        }
        for (property, value) in &result.properties {
            text.push_str(&format!("\r\n\t {property}={}", pvalue(value)));
        }
    }
    text.push_str("\r\n");
    text
}

/// Where the mail has fields that claim to be written by us (RFC 8601 §5).
#[must_use]
pub fn forged(raw: &[u8], hostname: &str) -> Vec<Range<usize>> {
    let (header, _) = split(raw);
    let is_forged = |range: &Range<usize>| {
        let field = header.get(range.clone()).unwrap_or_default();
        is_named(field, NAME) && author(field).eq_ignore_ascii_case(hostname)
    };
    fields(header).into_iter().filter(is_forged).collect()
}

const NAME: &str = "Authentication-Results";

/// The `authserv-id` of a field.
fn author(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let value = without_comments(text.split_once(':').map_or("", |(_, value)| value));
    let id = value.split([';', ' ', '\t', '\r', '\n']).find(|word| !word.is_empty()).unwrap_or_default();
    id.trim_matches('"').trim_end_matches('.').to_owned()
}

/// Whether the mail's header is larger than anybody's, so that it is only there to make work.
#[must_use]
pub fn is_bomb(raw: &[u8]) -> bool {
    let (header, _) = split(raw);
    let lines = memchr::memchr_iter(b'\n', header).take(MAX_FIELDS + 1).count();
    lines > MAX_FIELDS && fields(header).len() > MAX_FIELDS
}

/// Mailing lists and long chains of servers make some dozens.
const MAX_FIELDS: usize = 2_000;

/// The fields of a header, each with its folded lines.
pub(crate) fn fields(header: &[u8]) -> Vec<Range<usize>> {
    let mut fields: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while let Some(line) =
        header.get(start..).and_then(|rest| rest.split_inclusive(|byte| *byte == b'\n').next())
    {
        let end = start + line.len();
        match line {
            b"\r\n" | b"\n" => break,
            [b' ' | b'\t', ..] => {
                if let Some(open) = fields.last_mut() {
                    open.end = end;
                }
            }
            _ => fields.push(start..end),
        }
        start = end;
    }
    fields
}

pub(crate) fn is_named(field: &[u8], name: &str) -> bool {
    field.split_at_checked(name.len()).is_some_and(|(found, rest)| {
        found.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().starts_with(b":")
    })
}

/// The value without its comments (RFC 5322 §3.2.2), and with nothing that separates within quotes.
pub(crate) fn without_comments(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let (mut depth, mut in_quotes) = (0_u32, false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if depth > 0 => drop(chars.next()),
            '\\' if in_quotes => {
                if let Some(c) = chars.next() {
                    text.push(if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' });
                }
            }
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes && depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    text.push(' ');
                }
            }
            _ if depth > 0 => {}
            '"' => {
                in_quotes = !in_quotes;
                text.push('"');
            }
            ';' | ' ' | '\t' | '=' if in_quotes => text.push('_'),
            c => text.push(c),
        }
    }
    text
}

/// RFC 8601 §2.2 `pvalue`: a token, an address, or quoted.
fn pvalue(value: &str) -> String {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-._`{|}~@/=".contains(c) || !c.is_ascii() && !c.is_control()
    };
    let shown: String = value.chars().take(MAX_CHARS).collect();
    if !shown.is_empty() && shown.chars().all(is_plain) && !shown.starts_with(['@', '=']) {
        shown
    } else {
        quoted(&shown)
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()).take(MAX_CHARS) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

const MAX_CHARS: usize = 320;

/// The outcome of a method that stands for the mail: what passed, or else the first.
#[must_use]
pub fn of_method<'a>(results: &'a [AuthResult], method: &str) -> Option<&'a AuthResult> {
    let mut of_method = results.iter().filter(|result| result.method == method);
    let first = of_method.clone().next();
    of_method.find(|result| result.outcome == Outcome::Pass).or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_written_as_the_grammar_wants() {
        assert_eq!(field("mx.test", &[]), "Authentication-Results: mx.test; none\r\n");
        let results = [
            AuthResult::new("spf", Outcome::Pass).with("smtp.mailfrom", "a@b.test"),
            AuthResult::new("dkim", Outcome::Fail)
                .because("a \"b\"\r\nBcc: x")
                .with("header.d", "b.test; dmarc=pass")
                .with("header.b", "ab+/c="),
        ];
        assert_eq!(
            field("mx.test", &results),
            "Authentication-Results: mx.test;\r\n\tspf=pass\r\n\t smtp.mailfrom=a@b.test;\r\n\t\
             dkim=fail reason=\"a \\\"b\\\"Bcc: x\"\r\n\t header.d=\"b.test; dmarc=pass\"\r\n\t header.b=ab+/c=\r\n"
        );
    }

    #[test]
    fn what_claims_to_be_ours_is_found() {
        let check = |mail: &str, wanted: &[&str]| {
            let found = forged(mail.as_bytes(), "mx.test");
            assert_eq!(found.into_iter().map(|range| &mail[range]).collect::<Vec<_>>(), wanted, "{mail:?}");
        };
        check(
            "A: b\r\nAuthentication-Results: mx.test; none\r\nC: d\r\n\r\n",
            &["Authentication-Results: mx.test; none\r\n"],
        );
        check(
            "authentication-results : (x;) MX.test. 1;\r\n\tspf=pass\r\nC: d\r\n\r\n",
            &["authentication-results : (x;) MX.test. 1;\r\n\tspf=pass\r\n"],
        );
        check(
            "Authentication-Results:\r\n \"mx.test\"; none\r\n\r\n",
            &["Authentication-Results:\r\n \"mx.test\"; none\r\n"],
        );
        check("Authentication-Results: mx.test.evil; none\r\n\r\n", &[]);
        check(
            "Authentication-Results: \"mx\\.test\"; none\r\n\r\n",
            &["Authentication-Results: \"mx\\.test\"; none\r\n"],
        );
        check("Authentication-Results: other (mx.test); none\r\n\r\n", &[]);
        check("A: b\r\n\r\nAuthentication-Results: mx.test; none\r\n", &[]);
        check("Authentication-Results: mx.test; none", &["Authentication-Results: mx.test; none"]);
        check("", &[]);
    }

    #[test]
    fn a_header_has_so_many_fields() {
        let header = |count: usize| format!("{}\r\nHello\r\n", "a: b\r\n".repeat(count));
        assert!(!is_bomb(header(MAX_FIELDS).as_bytes()));
        assert!(is_bomb(header(MAX_FIELDS + 1).as_bytes()));
        let long = format!("To: a@b.test{}\r\n\r\n", ",\r\n a@b.test".repeat(100_000));
        assert!(!is_bomb(long.as_bytes()), "one long field is one field");
        assert!(!is_bomb(format!("\r\n{}", "a: b\r\n".repeat(MAX_FIELDS + 1)).as_bytes()), "a body");
    }

    #[test]
    fn comments_go_and_quotes_separate_nothing() {
        let check = |value: &str, wanted: &str| assert_eq!(without_comments(value), wanted);
        check("a (b (c) d) e", "a   e");
        check("a (b \\) c) d", "a   d");
        check("r=\"x; y\" z", "r=\"x__y\" z");
        check("r=\"x\\\"; y\"", "r=\"x___y\"");
        check("(never ends", "");
    }
}
