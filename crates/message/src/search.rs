//! A mail's words for the index, and for whatever the index cannot decide.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use types::Address;

use crate::{
    Structure,
    header::{self, Header},
    html_text,
    overview::{MAX_SUBJECT, addresses},
    text::{self, Texts},
    view::MAX_TEXT,
};

/// A mail's words, plain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchText {
    pub subject: String,
    pub from: String,
    /// To, Cc and Bcc.
    pub to: String,
    /// What the mail says, then the files in it that are texts and the mails within it, with whom they are from and
    /// their subjects.
    pub body: String,
    pub filenames: String,
}

/// The words of a mail, at most `max` bytes of its body. `fetch` gives the mail's bytes in a range; what it cannot give
/// is left out. It is asked for three times `max` at the most, or for what a mail of a few words may have of markup.
pub fn search_text<'m>(
    structure: &Structure,
    max: usize,
    fetch: &mut dyn FnMut(Range<u64>) -> Option<Cow<'m, [u8]>>,
) -> SearchText {
    search_text_with(structure, max, HashMap::new(), fetch)
}

/// The same with texts that are known: whole parts, by their indices.
pub(crate) fn search_text_with<'m>(
    structure: &Structure,
    max: usize,
    known: HashMap<usize, String>,
    fetch: &mut dyn FnMut(Range<u64>) -> Option<Cow<'m, [u8]>>,
) -> SearchText {
    let Some(root) = structure.root() else { return SearchText::default() };
    let raw = fetch(root.header.start..root.header.end.min(root.header.start + MAX_TEXT)).unwrap_or_default();
    let header = Header::scan(&raw, 0, |_| false);
    let all = |name| addresses(&header, name).0;
    let filenames = structure.attachments().into_iter().map(|attachment| attachment.filename).collect();
    let budget = MAX_TEXT.max(u64::try_from(max).unwrap_or(u64::MAX).saturating_mul(3));
    let mut reader = Reader { structure, fetch, known, max, budget, body: String::new(), filenames };
    reader.mail(0);
    SearchText {
        subject: subject(&header),
        from: words(&all("From")),
        to: words(all("To").iter().chain(&all("Cc")).chain(&all("Bcc"))),
        body: reader.body,
        filenames: reader.filenames.join(" "),
    }
}

struct Reader<'r, 'm> {
    structure: &'r Structure,
    fetch: &'r mut dyn FnMut(Range<u64>) -> Option<Cow<'m, [u8]>>,
    /// Texts of whole parts, by their indices.
    known: HashMap<usize, String>,
    max: usize,
    /// How many bytes may still be asked for.
    budget: u64,
    body: String,
    filenames: Vec<String>,
}

impl<'m> Reader<'_, 'm> {
    /// The texts of the mail whose outermost part this is. Recursion is bounded by [`crate::MAX_DEPTH`].
    fn mail(&mut self, top: usize) {
        let Texts { pieces, attachments } = Texts::at(self.structure, top);
        for piece in pieces {
            if let Some(text) = self.text(piece.plain).or_else(|| self.text(piece.html)) {
                self.push(text);
            }
        }
        for (index, _) in attachments {
            self.attachment(index, top > 0);
        }
    }

    fn attachment(&mut self, index: usize, is_within: bool) {
        let Some(part) = self.structure.parts().get(index) else { return };
        if is_within {
            // The mail's own have their names already.
            self.filenames.extend(part.sent_filename());
        }
        let inner = self.structure.children(index).next().filter(|_| part.is_message());
        if let Some(top) = inner {
            let heading = self.heading(top);
            self.push(heading);
            self.mail(top);
        } else if part.is_text()
            && part.subtype() != "css"
            && let Some(text) = self.text(Some(index))
        {
            self.push(text);
        }
    }

    /// Whom a mail within this one is from, and its subject.
    fn heading(&mut self, top: usize) -> String {
        let Some(part) = self.structure.parts().get(top) else { return String::new() };
        let raw = self.read(&part.header, MAX_INNER_HEADER).unwrap_or_default();
        let header = Header::scan(&raw, 0, |_| false);
        let from = words(&addresses(&header, "From").0);
        format!("{from}\n{}", subject(&header)).trim().to_owned()
    }

    fn text(&mut self, index: Option<usize>) -> Option<String> {
        let index = index?;
        let part = self.structure.parts().get(index)?;
        let room = self.max.saturating_sub(self.body.len());
        if room == 0 {
            return None;
        }
        let known = self.known.remove(&index);
        let text = if part.subtype() == "html" {
            let html = match known {
                Some(html) => html,
                None => {
                    let encoded = self.read(&part.body, self.budget)?;
                    text::decoded(part, &encoded, encoded.len())
                }
            };
            html_text::to_text(&html, room)
        } else if let Some(text) = known {
            text
        } else {
            // A character more than there is room for, since the last may be torn; the largest encoding has three letters
            // for a byte.
            let room = room.saturating_add(4);
            let most = u64::try_from(room).unwrap_or(u64::MAX).saturating_mul(3);
            text::decoded(part, &self.read(&part.body, most)?, room)
        };
        Some(text).filter(|text| !text.trim().is_empty())
    }

    fn read(&mut self, range: &Range<u64>, most: u64) -> Option<Cow<'m, [u8]>> {
        let length = range.end.saturating_sub(range.start).min(most).min(self.budget);
        self.budget -= length;
        (self.fetch)(range.start..range.start + length)
    }

    fn push(&mut self, mut text: String) {
        let between = if self.body.is_empty() { "" } else { "\n\n" };
        let room = self.max.saturating_sub(self.body.len() + between.len());
        text.truncate(text.floor_char_boundary(room));
        if self.body.is_empty() {
            // Often it is all there is.
            self.body = text;
        } else if !text.is_empty() {
            self.body.push_str(between);
            self.body.push_str(&text);
        }
    }
}

/// More of the header of a mail within a mail is not read.
const MAX_INNER_HEADER: u64 = 64 << 10;

fn subject(header: &Header<'_>) -> String {
    header.get("Subject").map(|value| header::text(value, MAX_SUBJECT)).unwrap_or_default()
}

fn words<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    let mut out = String::new();
    for address in addresses {
        for word in [&address.name, &address.email] {
            if !word.is_empty() {
                out.push_str(if out.is_empty() { "" } else { " " });
                out.push_str(word);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(raw: &str, max: usize) -> SearchText {
        let raw = raw.replace('\n', "\r\n");
        let structure = crate::parse(raw.as_bytes()).structure;
        let mut asked = 0;
        let text = search_text(&structure, max, &mut |range| {
            asked += range.end - range.start;
            Some(crate::tree::slice(raw.as_bytes(), &range).into())
        });
        let header = structure.root().map_or(0, |root| root.header.end);
        assert!(asked <= header + MAX_TEXT.max(3 * max as u64), "{asked} bytes");
        assert!(text.body.len() <= max, "{} bytes", text.body.len());
        text
    }

    const MAIL: &str = "From: Ann <ann@a.test>\nTo: bob@b.test\nSubject: Outer\n\
        Content-Type: multipart/mixed; boundary=o\n\n\
        --o\nContent-Type: multipart/alternative; boundary=i\n\n\
        --i\n\nHello.\n--i\nContent-Type: text/html\n\n<p>Hello, <b>dear</b></p>\n\
        --i\nContent-Type: text/calendar\n\nSUMMARY:Standup\n--i--\n\
        --o\nContent-Type: text/csv\nContent-Disposition: attachment; filename=list.csv\n\
        Content-Transfer-Encoding: base64\n\nbmFtZSxhZ2UKxYFvZMW6LDQyCg==\n\
        --o\nContent-Type: text/html; name=page.html\nContent-Disposition: attachment\n\n<style>x</style><p>Page\n\
        --o\nContent-Type: text/css\nContent-Disposition: attachment\n\nbody{color:red}\n\
        --o\nContent-Type: image/png; name=p.png\n\nPNG\n\
        --o\nContent-Type: message/rfc822\n\n\
        From: =?utf-8?B?6rmA?= <kim@k.test>\nTo: nobody@n.test\nSubject: Inner\nContent-Type: multipart/mixed; boundary=m\n\n\
        --m\n\nDeep words.\n--m\nContent-Type: text/markdown; name=notes.md\n\n# Notes\n\
        --m\nContent-Type: message/rfc822\n\nSubject: Innermost\n\nDeepest.\n--m--\n\
        --o--\n";

    #[test]
    fn texts_in_files_and_in_mails_within_are_found() {
        let text = texts(MAIL, 1_000);
        assert_eq!(
            (text.subject.as_str(), text.from.as_str(), text.to.as_str()),
            ("Outer", "Ann ann@a.test", "bob@b.test")
        );
        let pieces: Vec<_> = text.body.split("\n\n").map(str::trim).collect();
        assert_eq!(
            pieces,
            [
                "Hello.",
                "SUMMARY:Standup",
                "name,age\nŁodź,42",
                "Page",
                "김 kim@k.test\nInner",
                "Deep words.",
                "# Notes",
                "Innermost",
                "Deepest.",
            ]
        );
        for name in ["list.csv", "page.html", "p.png", "notes.md"] {
            assert!(text.filenames.contains(name), "{name}: {}", text.filenames);
        }
    }

    #[test]
    fn long_texts_are_cut_within_the_bound() {
        let long =
            "Content-Type: text/plain; charset=utf-8\n\n".to_owned() + &"보고 ".repeat(400_000) + "end";
        let all = texts(&long, 4 << 20);
        assert!(all.body.ends_with("end") && all.body.len() > 2 << 20, "{}", all.body.len());
        let cut = texts(&long, 1_000);
        assert!(cut.body.len() > 990 && all.body.starts_with(&cut.body));
        assert_eq!(texts(MAIL, 12).body, "Hello.\n\nSUMM");
        // What has no room is left out, and so is an inner mail's heading that is empty.
        let two = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n안녕\n\
            --b\n\nyes\n--b\nContent-Type: message/rfc822\n\n\nwithin\n--b--\n";
        assert_eq!(texts(two, 2).body, "ye");
        assert_eq!(texts(two, 100).body.split_whitespace().collect::<Vec<_>>(), ["안녕", "yes", "within"]);
        assert_eq!(texts(MAIL, 0).body, "");
    }

    #[test]
    fn what_cannot_be_given_is_left_out() {
        let raw = MAIL.replace('\n', "\r\n");
        let structure = crate::parse(raw.as_bytes()).structure;
        let text = search_text(&structure, 1_000, &mut |range| {
            let bytes = crate::tree::slice(raw.as_bytes(), &range);
            (!bytes.starts_with(b"bmFt")).then(|| bytes.into())
        });
        assert!(!text.body.contains("name,age") && text.body.contains("Deepest."), "{}", text.body);
    }
}
