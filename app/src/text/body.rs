//! Plain text of a message: what is quoted, what is a link, and how a reply quotes it.

/// Consecutive lines that are all quoted, or all not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) quoted: bool,
    pub(crate) text: String,
}

/// A run of text, or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Link { text: String, href: String },
}

/// Splits a text into what was written and what it quotes.
pub(crate) fn sections(text: &str) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    for line in text.trim_end().lines() {
        let quoted = line.trim_start().starts_with('>');
        match out.last_mut() {
            // An empty line belongs to what is before it.
            Some(last) if last.quoted == quoted || line.trim().is_empty() => {
                last.text.push('\n');
                last.text.push_str(line);
            }
            _ => out.push(Section { quoted, text: line.to_owned() }),
        }
    }
    out
}

/// Finds addresses of pages and mailboxes in a text.
pub(crate) fn linkify(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut plain = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let body = word.trim_end();
        let start = body.find(|c: char| !"(<[\"'“‘«「『".contains(c)).unwrap_or(body.len());
        let (before, rest) = body.split_at(start);
        let (core, _) = rest.split_at(link_end(rest));
        let after = word.get(before.len() + core.len()..).unwrap_or_default();
        if let Some(href) = href(core) {
            plain.push_str(before);
            if !plain.is_empty() {
                out.push(Piece::Text(std::mem::take(&mut plain)));
            }
            out.push(Piece::Link { text: core.to_owned(), href });
            plain.push_str(after);
        } else {
            plain.push_str(word);
        }
    }
    if !plain.is_empty() {
        out.push(Piece::Text(plain));
    }
    out
}

/// Where a link ends: before the marks that end a sentence, and before a bracket that it did not open.
fn link_end(word: &str) -> usize {
    let mut end = word.len();
    while let Some(last) = word.get(..end).and_then(|rest| rest.chars().next_back()) {
        let count = |bracket: char| word.get(..end).map_or(0, |rest| rest.matches(bracket).count());
        if ".,;:!?>\"'”’»」』]…。、".contains(last) || (last == ')' && count(')') > count('(')) {
            end -= last.len_utf8();
        } else {
            break;
        }
    }
    end
}

fn href(word: &str) -> Option<String> {
    let lower = word.get(..8.min(word.len())).unwrap_or_default().to_ascii_lowercase();
    if (lower.starts_with("https://") && word.len() > 8) || (lower.starts_with("http://") && word.len() > 7) {
        return Some(word.to_owned());
    }
    if lower.starts_with("www.") && word.len() > 6 {
        return Some(format!("https://{word}"));
    }
    let address = word.parse::<types::EmailAddress>().ok()?;
    address.domain().contains('.').then(|| format!("mailto:{word}"))
}

/// A subject with `Re: ` or `Fwd: ` before it, once.
pub(crate) fn prefixed(prefix: &str, subject: &str) -> String {
    let subject = subject.trim();
    let has = subject.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if has { subject.to_owned() } else { format!("{prefix} {subject}") }
}

/// A text as a reply quotes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.trim_end().lines() {
        out.push_str(if line.starts_with('>') { ">" } else { "> " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_end_where_they_should() {
        let cases = [
            ("see https://a.b/c.", vec![("https://a.b/c", "https://a.b/c")]),
            ("(www.example.com/x_(y))", vec![("www.example.com/x_(y)", "https://www.example.com/x_(y)")]),
            ("<mail@example.com>, x", vec![("mail@example.com", "mailto:mail@example.com")]),
            ("javascript:alert(1) http:// a@b", vec![]),
            ("「https://한국.kr/소식」 그리고", vec![("https://한국.kr/소식", "https://한국.kr/소식")]),
        ];
        for (text, links) in cases {
            let found = linkify(text);
            let whole: String = found
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) | Piece::Link { text, .. } => text.as_str(),
                })
                .collect();
            assert_eq!(whole, text);
            let found: Vec<_> = found
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Link { text, href } => Some((text.as_str(), href.as_str())),
                    Piece::Text(_) => None,
                })
                .collect();
            assert_eq!(found, links);
        }
    }

    #[test]
    fn quotes_are_kept_together() {
        let found = sections("Hi\n\n> a\n>> b\n\nBye\n");
        let shape: Vec<_> = found.iter().map(|section| (section.quoted, section.text.trim())).collect();
        assert_eq!(shape, [(false, "Hi"), (true, "> a\n>> b"), (false, "Bye")]);
        assert_eq!(quote("a\n> b\n"), "> a\n>> b\n");
        assert_eq!(prefixed("Re:", "RE: x"), "RE: x");
        assert_eq!(prefixed("Re:", "회의"), "Re: 회의");
    }
}
