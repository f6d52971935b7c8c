//! What was found when a mail came in, read from the fields that this service put on top of it then.
//!
//! Of mail that came in there ([`types::Flags::RECEIVED`]) nobody else writes above our own `Received`, and what others
//! wrote in our name further down was removed: so these fields say the truth, or are not there.

use types::{Role, api};

/// The verdicts of SPF, DKIM and DMARC; none of mail that was not checked.
pub(crate) fn auth(headers: &[(String, String)], hostname: &str) -> Option<api::Auth> {
    let results = ours(headers, hostname)?;
    let results: Vec<(String, String)> = results.iter().filter_map(|info| method(info)).collect();
    let of = |method: &'static str| {
        results.iter().filter(move |(name, _)| name == method).map(|(_, outcome)| outcome.as_str())
    };
    let one = |method: &'static str, wanted: &str| {
        let chosen = of(method).find(|outcome| *outcome == wanted).or_else(|| of(method).next());
        chosen.unwrap_or("none").to_owned()
    };
    Some(api::Auth {
        // The first is of the sender's address, if there is one.
        spf: of("spf").next().unwrap_or("none").to_owned(),
        dkim: one("dkim", "pass"),
        // With several authors, each has to be the one it says.
        dmarc: of("dmarc").find(|outcome| *outcome == "fail").map_or_else(
            || {
                of("dmarc")
                    .find(|outcome| *outcome != "pass")
                    .or_else(|| of("dmarc").next())
                    .unwrap_or("none")
                    .to_owned()
            },
            str::to_owned,
        ),
    })
}

/// Whether a signature of DKIM that held when the mail came in covers all these fields.
pub(crate) fn is_signed(headers: &[(String, String)], hostname: &str, fields: &[&str]) -> bool {
    let infos = ours(headers, hostname).unwrap_or_default();
    let passed: Vec<_> =
        infos.iter().filter(|info| method(info) == Some(("dkim".into(), "pass".into()))).collect();
    let signatures: Vec<_> = (headers.iter())
        .filter(|(name, _)| name.eq_ignore_ascii_case("DKIM-Signature"))
        .map(|(_, value)| Tags(value))
        .collect();
    // Results name a signature by its domain and how it begins, which anybody can write on another.
    let is_only_one = |tags: &&Tags<'_>| {
        let same = |other: &&Tags<'_>| {
            other.get("d").eq_ignore_ascii_case(&tags.get("d"))
                && other.get("b").get(..NAMED_BY) == tags.get("b").get(..NAMED_BY)
        };
        signatures.iter().filter(same).count() == 1
    };
    signatures.iter().filter(is_only_one).any(|tags| {
        let held = passed.iter().any(|info| {
            let is_domain =
                property(info, "header.d").is_some_and(|d| d.eq_ignore_ascii_case(&tags.get("d")));
            let is_start =
                property(info, "header.b").is_some_and(|b| tags.get("b").get(..NAMED_BY) == Some(b));
            is_domain && is_start
        });
        let signed = tags.get("h");
        let covers = |field: &&str| signed.split(':').any(|name| name.eq_ignore_ascii_case(field));
        held && fields.iter().all(covers)
    })
}

/// So much of a signature is in our results (RFC 6008), in Base64.
const NAMED_BY: usize = 8;

/// The `tag=value` of a signature (RFC 6376 §3.2).
struct Tags<'a>(&'a str);

impl Tags<'_> {
    /// A tag's value without white space; nothing if it is not there.
    fn get(&self, wanted: &str) -> String {
        let mut tags = self.0.split(';').filter_map(|tag| tag.split_once('='));
        let value = tags.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value).unwrap_or_default();
        value.split_whitespace().collect()
    }
}

/// What we found, method by method (RFC 8601 §2.2 `resinfo`); none if we have not checked.
fn ours(headers: &[(String, String)], hostname: &str) -> Option<Vec<String>> {
    let on_top = headers.iter().take_while(|(name, _)| !name.eq_ignore_ascii_case("Received"));
    let mut on_top = on_top.filter(|(name, _)| name.eq_ignore_ascii_case("Authentication-Results"));
    on_top.find_map(|(_, value)| value.strip_prefix(hostname)?.strip_prefix(';')).map(infos)
}

/// Which mailbox the checks wanted an incoming mail in.
pub(crate) fn place(raw: &[u8]) -> Role {
    let mut lines = raw.split(|byte| *byte == b'\n').take(MAX_LINES);
    let found = lines.find(|line| {
        starts_with(line, b"Received:") || starts_with(line, b"X-Spam-Flag: YES") || line.len() <= 1
    });
    if found.is_some_and(|line| starts_with(line, b"X-Spam-Flag:")) { Role::Junk } else { Role::Inbox }
}

/// More lines than we ever put on top.
const MAX_LINES: usize = 200;

fn starts_with(line: &[u8], start: &[u8]) -> bool {
    line.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// The parts between semicolons that are not quoted.
fn infos(value: &str) -> Vec<String> {
    let mut infos = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        if c == ';' && !quoted {
            infos.push(String::new());
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        if let Some(last) = infos.last_mut() {
            last.push(c);
        }
    }
    infos
}

/// The value of `name=value` among the properties.
fn property<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut words = info.split_ascii_whitespace().skip(1);
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(|value| value.trim_matches('"'))
}

/// `method=result` at its beginning.
fn method(info: &str) -> Option<(String, String)> {
    let (method, outcome) = info.split_ascii_whitespace().next()?.split_once('=')?;
    Some((method.to_ascii_lowercase(), outcome.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_top_is_believed() {
        let check = |headers: &[(&str, &str)], wanted: Option<[&str; 3]>| {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let found = auth(&headers, "mx.test").map(|auth| [auth.spf, auth.dkim, auth.dmarc]);
            assert_eq!(found, wanted.map(|wanted| wanted.map(str::to_owned)), "{headers:?}");
        };
        let ours = "mx.test; spf=pass smtp.mailfrom=a@b.test; spf=fail smtp.helo=x; dkim=fail reason=\"; dkim=pass\"; dmarc=pass header.from=b.test";
        let received = ("Received", "from x");
        check(
            &[("Return-Path", "<a@b.test>"), ("Authentication-Results", ours), received],
            Some(["pass", "fail", "pass"]),
        );
        check(&[received, ("Authentication-Results", ours)], None);
        check(&[("Authentication-Results", "other.test; spf=pass"), received], None);
        check(&[("Authentication-Results", "mx.test.evil; spf=pass"), received], None);
        check(&[("Authentication-Results", "mx.test; none"), received], Some(["none", "none", "none"]));
        let two = "mx.test; dkim=fail; dkim=pass; dmarc=pass; dmarc=fail";
        check(&[("Authentication-Results", two), received], Some(["none", "pass", "fail"]));
        let unsure = "mx.test; dmarc=pass; dmarc=temperror";
        check(&[("Authentication-Results", unsure), received], Some(["none", "none", "temperror"]));
        check(&[], None);
    }

    #[test]
    fn a_signature_is_told_by_its_domain_and_its_beginning() {
        let check = |results: &str, signature: &str, wanted: bool| {
            let headers: Vec<_> = [
                ("Authentication-Results", results),
                ("Received", "from x"),
                ("DKIM-Signature", "v=1; d=other.test; h=From:List-Unsubscribe; b=CCCCCCCCCC"),
                ("DKIM-Signature", signature),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            let fields = ["List-Unsubscribe", "List-Unsubscribe-Post"];
            assert_eq!(is_signed(&headers, "mx.test", &fields), wanted, "{results} {signature}");
        };
        let passed = "mx.test; dkim=pass header.d=list.test header.s=k header.b=\"ab+/ab+/\"; dmarc=pass";
        let both = "v=1; a=x; d=List.test; h=From : list-unsubscribe: List-Unsubscribe-Post; b=ab+/ ab+/xyz=";
        check(passed, both, true);
        check("mx.test; dkim=pass header.d=list.test header.b=ab+/ab+/", both, true);
        check("mx.test; dkim=fail header.d=list.test header.b=ab+/ab+/", both, false);
        check("mx.test; dkim=pass header.d=evil.test header.b=ab+/ab+/", both, false);
        check("mx.test; dkim=pass header.d=list.test header.b=ab+/ab+x", both, false);
        check("mx.test; dkim=pass header.d=list.test header.b=\"\"", both, false);
        check("mx.test; dkim=pass header.d=list.test", both, false);
        check("mx.test; dkim=fail reason=\"dkim=pass header.d=list.test header.b=ab+/ab+/\"", both, false);
        check("other.test; dkim=pass header.d=list.test header.b=ab+/ab+/", both, false);
        check(passed, "v=1; d=list.test; h=From:List-Unsubscribe; b=ab+/ab+/xyz=", false);
        check(passed, "", false);

        // A copy of its beginning on a signature of anybody's.
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let copied = [
            field("Authentication-Results", passed),
            field("Received", "from x"),
            field("DKIM-Signature", both),
            field("DKIM-Signature", "v=1; d=list.test; h=From:Subject; b=ab+/ab+/real="),
        ];
        assert!(!is_signed(&copied, "mx.test", &["List-Unsubscribe"]));
    }

    #[test]
    fn junk_is_what_the_door_says() {
        let check = |mail: &str, wanted| assert_eq!(place(mail.as_bytes()), wanted, "{mail:?}");
        check("Return-Path: <>\r\nX-Spam-Flag: YES\r\nReceived: x\r\n\r\n", Role::Junk);
        check("Return-Path: <>\r\nReceived: x\r\nX-Spam-Flag: YES\r\n\r\n", Role::Inbox);
        check("Return-Path: <>\r\nX-Spam-Flag: NO\r\nReceived: x\r\n\r\n", Role::Inbox);
        check("Subject: x\r\n\r\nX-Spam-Flag: YES\r\n", Role::Inbox);
        check("", Role::Inbox);
    }
}
