//! What ties mails into a thread: message-ids (RFC 5322 §3.6.4) and the base subject (RFC 5256 §2.1).

use serde::{Deserialize, Serialize};

/// A message-id as a number: stable for ever, as it is stored and looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefHash(pub i64);

impl RefHash {
    /// Of a message-id with or without its angle brackets.
    #[must_use]
    pub fn of(message_id: &str) -> Self {
        let bare = message_id.trim().trim_start_matches('<').trim_end_matches('>');
        let hash = blake3::hash(bare.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(hash.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        Self(i64::from_be_bytes(first))
    }
}

/// Which mail this is and which it follows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct References {
    pub own: Option<RefHash>,
    /// Of References and In-Reply-To: oldest first, each once, never the mail itself.
    pub others: Vec<RefHash>,
}

/// The most message-ids that are kept of a mail: the first and the last ones.
const MAX_IDS: usize = 100;

/// What RFC 5256 §3 threads a mail by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    pub own: Option<RefHash>,
    /// Those of References, oldest first; where there are none, the first of In-Reply-To.
    pub ancestors: Vec<RefHash>,
}

impl Links {
    pub(crate) fn of(header: &crate::header::Header<'_>) -> Self {
        let all = |name: &str| header.get(name).map(ids).unwrap_or_default();
        let mut ancestors = all("References");
        if ancestors.is_empty() {
            ancestors = all("In-Reply-To");
            ancestors.truncate(1);
        }
        Self {
            own: all("Message-ID").first().map(|id| RefHash::of(id)),
            ancestors: ancestors.iter().map(|id| RefHash::of(id)).collect(),
        }
    }
}

impl References {
    pub(crate) fn of(own: Option<&str>, others: &[String]) -> Self {
        let own = own.map(RefHash::of);
        let mut hashes = Vec::with_capacity(others.len());
        for hash in others.iter().map(|id| RefHash::of(id)) {
            if Some(hash) != own && !hashes.contains(&hash) {
                hashes.push(hash);
            }
        }
        Self { own, others: hashes }
    }
}

/// The message-ids in a value, without angle brackets, in order; those of old mailers without brackets too.
#[must_use]
pub fn ids(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let mut found: Vec<String> = Vec::new();
    let mut rest = text.as_ref();
    while let Some((_, after)) = rest.split_once('<') {
        let Some((id, behind)) = after.split_once('>') else { break };
        // `<a <b@c>`: the inner one is the id.
        found.extend(clean(id.rsplit('<').next().unwrap_or(id)));
        rest = behind;
        if found.len() > 2 * MAX_IDS {
            found.drain(MAX_IDS / 2..MAX_IDS * 3 / 2);
        }
    }
    if found.is_empty() && !text.contains('<') {
        found.extend(
            text.split_whitespace().filter(|word| word.contains('@')).take(MAX_IDS).filter_map(clean),
        );
    }
    if found.len() > MAX_IDS {
        let surplus = found.len() - MAX_IDS;
        found.drain(MAX_IDS / 2..MAX_IDS / 2 + surplus);
    }
    found
}

fn clean(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(998).collect();
    (!id.is_empty()).then_some(id)
}

/// Marks of replies and forwards in front of a colon, in lower case: English, Korean, Chinese, Japanese, German, Dutch,
/// Scandinavian, Finnish, French, Spanish, Italian, Portuguese, Polish, Turkish.
const PREFIXES: [&str; 43] = [
    "re",
    "fw",
    "fwd",
    "답장",
    "회신",
    "전달",
    "답신",
    "재전송",
    "回复",
    "回覆",
    "答复",
    "转发",
    "轉寄",
    "转寄",
    "返信",
    "転送",
    "antw",
    "antwort",
    "aw",
    "wg",
    "sv",
    "vs",
    "vl",
    "vb",
    "doorst",
    "ref",
    "réf",
    "rép",
    "tr",
    "rv",
    "enc",
    "res",
    "rif",
    "i",
    "r",
    "odp",
    "pd",
    "ynt",
    "ilt",
    "bls",
    "trs",
    "vá",
    "továbbítás",
];

/// RFC 5256 §2.1: the subject without what replying, forwarding and mailing lists put around it, white space made one.
/// In lower case, as it is compared.
#[must_use]
pub fn base_subject(subject: &str) -> String {
    bared_subject(subject).0
}

/// The same, and whether it said that it is a reply or a forward.
#[must_use]
pub fn bared_subject(subject: &str) -> (String, bool) {
    let joined = subject.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut base = joined.as_str();
    let mut is_reply = false;
    loop {
        let before = base;
        base = without_trailer(base);
        is_reply |= base != before;
        while let Some(rest) = without_prefix(base) {
            base = rest;
            is_reply = true;
        }
        // A blob in front is dropped only if something is left: `[urgent]` is a subject.
        if let Some(rest) = blob(base).filter(|rest| !rest.is_empty()) {
            base = rest;
        }
        // `[fwd: subject]`
        if let Some(inner) = base.strip_prefix("[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            base = inner.trim();
            is_reply = true;
        }
        if base == before {
            return (base.to_owned(), is_reply);
        }
    }
}

/// `subj-trailer = "(fwd)" / WSP`
fn without_trailer(mut text: &str) -> &str {
    while let Some(rest) = text.strip_suffix("(fwd)") {
        text = rest.trim_end();
    }
    text.trim()
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`, also with a count: `Re[2]:`, `Re(2):`, `Re^2:`.
fn without_prefix(text: &str) -> Option<&str> {
    // Longer is no prefix; not looking further keeps many colons cheap.
    let head = text.get(..text.floor_char_boundary(40)).unwrap_or(text);
    let (at, colon) = head.char_indices().find(|(_, c)| matches!(c, ':' | '：'))?;
    let prefix = head.get(..at)?.trim_end();
    let word = prefix.trim_end_matches([']', ')']).trim_end_matches(|c: char| c.is_ascii_digit());
    let word = word.trim_end_matches(['[', '(', '^', ' ']).trim();
    let rest = text.get(at + colon.len_utf8()..)?.trim_start();
    let known = PREFIXES.contains(&word) || blob(word).is_some_and(|inner| PREFIXES.contains(&inner));
    // One letter and nothing behind it is a subject.
    (known && (!rest.is_empty() || word.chars().count() > 1)).then_some(rest)
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn blob(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    (!inside.contains('[')).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subjects() {
        for (subject, base) in [
            ("Hello", "hello"),
            ("Re: Hello", "hello"),
            ("RE:   re: Fwd:  Hello (fwd)", "hello"),
            ("[list] Re: Hello", "hello"),
            ("Re: [list] Hello", "hello"),
            ("Re[2]: Hello", "hello"),
            ("[Fwd: Hello]", "hello"),
            ("답장: 회의", "회의"),
            ("회신: 전달: 회의", "회의"),
            ("回复：会议", "会议"),
            ("转发: 会议", "会议"),
            ("AW: WG: Termin", "termin"),
            ("Antw: Vs: x", "x"),
            ("[urgent]", "[urgent]"),
            ("Reminder: rent", "reminder: rent"),
            ("Re:", ""),
            ("", ""),
        ] {
            assert_eq!(base_subject(subject), base, "{subject}");
        }
        for (subject, is_reply) in [("Re: a", true), ("a (fwd)", true), ("[Fwd: a]", true), ("[x] a", false)]
        {
            assert_eq!(bared_subject(subject), ("a".to_owned(), is_reply), "{subject}");
        }
        let _ = base_subject(&"re:".repeat(100_000));
        let _ = base_subject(&"[a]".repeat(100_000));
    }

    #[test]
    fn message_ids() {
        assert_eq!(ids(b"<a@b> <c@d>"), ["a@b", "c@d"]);
        assert_eq!(ids(b"<a@b>\r\n\t<c @d>"), ["a@b", "c@d"]);
        assert_eq!(ids(b"a@b"), ["a@b"]);
        assert_eq!(ids(b"Your message of Monday <a@b>"), ["a@b"]);
        assert_eq!(ids(b"<never ends"), Vec::<String>::new());
        assert_eq!(ids("<a@b>".repeat(50_000).as_bytes()).len(), MAX_IDS);
        assert_eq!(RefHash::of("<a@b>"), RefHash::of("a@b"));
        // Stored: must never change.
        assert_eq!(RefHash::of(" <a@b> ").0, -2_816_464_347_982_557_142);
    }
}
