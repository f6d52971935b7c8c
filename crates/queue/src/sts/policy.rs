//! A policy and the TXT record that announces it, RFC 8461 §3.1 and §3.2.

use std::time::Duration;

use types::address::fold;

/// What a domain says of its mail servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    /// Names and `*.` patterns of its hosts.
    pub mx: Vec<String>,
    pub max_age: Duration,
    /// Its text, as it is reported (RFC 8460 §4.4).
    pub lines: Vec<String>,
}

/// RFC 8461 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// What would have failed is only reported.
    Testing,
    None,
}

/// §3.2: about a year.
const LONGEST: u64 = 31_557_600;
/// More of a policy is not reported.
const MAX_LINES: usize = 50;
const MAX_CHARS: usize = 300;

impl Policy {
    /// Of the text at its well-known place; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(fold(value.trim_end_matches('.'))),
                _ => {}
            }
        }
        let mode = match mode? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        let max_age = max_age?.parse::<u64>().ok()?.min(LONGEST);
        let is_whole = version == Some("STSv1") && (mode == Mode::None || !mx.is_empty());
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_LINES);
        let lines = lines.map(|line| line.chars().take(MAX_CHARS).collect()).collect();
        is_whole.then_some(Self { mode, mx, max_age: Duration::from_secs(max_age), lines })
    }

    /// §4.1: a pattern's star stands for one label.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = fold(host.trim_end_matches('.'));
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            None => *pattern == host,
        })
    }
}

/// The `id` in `_mta-sts`' TXT records: there must be one that is of this kind, and no other (§3.1).
#[must_use]
pub(super) fn id_in(records: &[String]) -> Option<String> {
    let mut of_sts = records.iter().filter(|text| {
        let first = text.split(';').next().unwrap_or_default();
        first.split_once('=').is_some_and(|(key, value)| key.trim() == "v" && value.trim() == "STSv1")
    });
    let (record, None) = (of_sts.next()?, of_sts.next()) else { return None };
    let mut fields = record.split(';').filter_map(|field| field.split_once('='));
    let (_, id) = fields.find(|(key, _)| key.trim() == "id")?;
    let id = id.trim();
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age.as_secs()), (Mode::Enforce, 604_800));
        for (host, covered) in [
            ("mail.example.com", true),
            ("MAIL.Example.COM.", true),
            ("mx1.example.net", true),
            ("a.mx1.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("mail.example.com.evil.test", false),
        ] {
            assert_eq!(policy.covers(host), covered, "{host}");
        }
        for (text, mode) in [
            ("version: STSv1\nmode: none\nmax_age: 1\n", Some(Mode::None)),
            (
                "version: STSv1\nmode: testing\nmax_age: 99999999999\nmx: a.b\nextension: x",
                Some(Mode::Testing),
            ),
            ("version: STSv1\nmode: enforce\nmax_age: 1\n", None),
            ("version: STSv2\nmode: none\nmax_age: 1\n", None),
            ("version: STSv1\nmode: none\n", None),
            ("version: STSv1\nmode: none\nmax_age: soon\n", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(Policy::parse(text).map(|policy| policy.mode), mode, "{text:?}");
        }
    }

    #[test]
    fn records_name_one_version() {
        for (records, id) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=spf1 -all", "v=STSv1;id=1"], Some("1")),
            (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
            (&["v=STSv1; id=not-one"], None),
            (&["v=STSv1"], None),
            (&["v=STSv10; id=1"], None),
            (&[], None),
        ] {
            let records = records.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            assert_eq!(id_in(&records).as_deref(), id, "{records:?}");
        }
    }
}
