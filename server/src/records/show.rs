//! Records for people, for a name server, and for programs.

use serde::Serialize;

use super::{Data, Need, State, Wanted};

/// One line for each record, and below it what to do.
pub(crate) fn as_lines(records: &[(Wanted, State)]) -> String {
    let mut text = String::new();
    for (wanted, state) in records {
        let mark = match (state, wanted.need) {
            (State::Right, _) => "ok  ",
            (State::Unanswered(_), _) => "??  ",
            (_, Need::Needed) => "MISS",
            (_, Need::Advised) => "hint",
        };
        text.push_str(&format!("{mark} {} {}: {}\n", wanted.name, kind(&wanted.data), wanted.why));
        match state {
            State::Right => continue,
            State::Missing => {}
            State::Different(found) => {
                found.iter().for_each(|found| text.push_str(&format!("       it says: {}\n", cut(found))));
            }
            State::Unanswered(reason) => text.push_str(&format!("       DNS does not answer: {reason}\n")),
        }
        match &wanted.data {
            Data::Address => text.push_str("       give it the address of this server (A, AAAA)\n"),
            Data::Ptr { address, .. } => {
                text.push_str(&format!(
                    "       ask whoever gave you {address}: {}\n",
                    line(wanted).unwrap_or_default()
                ));
            }
            _ => text.push_str(&format!("       {}\n", line(wanted).unwrap_or_default())),
        }
    }
    text
}

/// All records that have a value, as lines of a zone file (RFC 1035 §5).
pub(crate) fn as_zone(records: &[Wanted]) -> String {
    let lines = records.iter().filter(|wanted| !matches!(wanted.data, Data::Ptr { .. }));
    lines.filter_map(line).map(|line| format!("{line}\n")).collect()
}

/// For programs.
pub(crate) fn as_json(records: &[(Wanted, State)]) -> String {
    let records: Vec<_> = records.iter().map(record).collect();
    serde_json::to_string_pretty(&records).unwrap_or_default()
}

#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Option<String>,
    needed: bool,
    state: &'static str,
    found: &'a [String],
    why: &'static str,
}

fn record((wanted, state): &(Wanted, State)) -> Record<'_> {
    Record {
        name: &wanted.name,
        kind: kind(&wanted.data),
        value: value(&wanted.data),
        needed: wanted.need == Need::Needed,
        state: match state {
            State::Right => "right",
            State::Missing => "missing",
            State::Different(_) => "different",
            State::Unanswered(_) => "unanswered",
        },
        found: if let State::Different(found) = state { found } else { &[] },
        why: wanted.why,
    }
}

fn line(wanted: &Wanted) -> Option<String> {
    let value = match &wanted.data {
        Data::Dkim { text, .. } | Data::MtaSts { text, .. } => strings(text),
        Data::Spf(text) | Data::Dmarc(text) | Data::TlsRpt(text) => strings(text),
        data => value(data)?,
    };
    Some(format!("{}. 3600 IN {} {value}", wanted.name, kind(&wanted.data)))
}

const fn kind(data: &Data) -> &'static str {
    match data {
        Data::Mx(_) => "MX",
        Data::Address => "A",
        Data::Spf(_) | Data::Dkim { .. } | Data::Dmarc(_) | Data::MtaSts { .. } | Data::TlsRpt(_) => "TXT",
        Data::Tlsa(_) => "TLSA",
        Data::Srv { .. } => "SRV",
        Data::Ptr { .. } => "PTR",
    }
}

/// What the record says.
fn value(data: &Data) -> Option<String> {
    match data {
        Data::Address => None,
        Data::Mx(host) => Some(format!("10 {host}.")),
        Data::Spf(text) | Data::Dmarc(text) | Data::TlsRpt(text) => Some(text.clone()),
        Data::Dkim { text, .. } | Data::MtaSts { text, .. } => Some(text.clone()),
        Data::Tlsa(hash) => Some(format!("3 1 1 {hash}")),
        Data::Srv { port, host } => Some(format!("0 1 {port} {host}.")),
        Data::Ptr { host, .. } => Some(format!("{host}.")),
    }
}

/// A text in strings of at most 255 bytes, as a zone file has them. Ours are ASCII without quotes.
fn strings(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let strings: Vec<_> =
        characters.chunks(255).map(|string| format!("\"{}\"", string.iter().collect::<String>())).collect();
    strings.join(" ")
}

fn cut(text: &str) -> String {
    if text.chars().count() > 100 {
        text.chars().take(100).chain("...".chars()).collect()
    } else {
        text.to_owned()
    }
}
