//! What was found when a mail came in, read from the fields that this service put on top of it then.
//!
//! Nobody else writes above our own `Received`, and what others wrote in our name further down was removed at the door:
//! so these fields say the truth, or are not there.

use types::{Role, api};

/// The verdicts of SPF, DKIM and DMARC; none of mail that was not checked.
pub(crate) fn auth(headers: &[(String, String)], hostname: &str) -> Option<api::Auth> {
    let on_top = headers.iter().take_while(|(name, _)| !name.eq_ignore_ascii_case("Received"));
    let mut on_top = on_top.filter(|(name, _)| name.eq_ignore_ascii_case("Authentication-Results"));
    let value = on_top.find_map(|(_, value)| value.strip_prefix(hostname)?.strip_prefix(';'))?;
    let results: Vec<(String, String)> = infos(value).into_iter().filter_map(|info| method(&info)).collect();
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
    fn junk_is_what_the_door_says() {
        let check = |mail: &str, wanted| assert_eq!(place(mail.as_bytes()), wanted, "{mail:?}");
        check("Return-Path: <>\r\nX-Spam-Flag: YES\r\nReceived: x\r\n\r\n", Role::Junk);
        check("Return-Path: <>\r\nReceived: x\r\nX-Spam-Flag: YES\r\n\r\n", Role::Inbox);
        check("Return-Path: <>\r\nX-Spam-Flag: NO\r\nReceived: x\r\n\r\n", Role::Inbox);
        check("Subject: x\r\n\r\nX-Spam-Flag: YES\r\n", Role::Inbox);
        check("", Role::Inbox);
    }
}
