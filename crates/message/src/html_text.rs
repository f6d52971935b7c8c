//! HTML to plain text: one pass, linear, whatever the markup.

use memchr::{memchr, memchr3, memmem};

/// Elements whose content is no text.
const SKIPPED: [&str; 8] = ["script", "style", "title", "template", "noscript", "svg", "math", "object"];

/// The text of an HTML document: blocks on lines of their own, quotes marked with `> `, at most `max` bytes.
pub(crate) fn to_text(html: &str, max: usize) -> String {
    let mut writer = Writer { max, ..Writer::default() };
    let mut rest = html;
    while !rest.is_empty() && writer.out.len() < writer.max {
        let (text, after) = rest.split_at(memchr(b'<', rest.as_bytes()).unwrap_or(rest.len()));
        writer.text(text);
        rest = markup(after, &mut writer);
    }
    let end = writer.out.trim_end().len();
    writer.out.truncate(end);
    writer.out
}

/// The charset that a `<meta>` names in the first bytes.
pub(crate) fn charset(html: &[u8]) -> Option<String> {
    let head = html.get(..html.len().min(2_048))?.to_ascii_lowercase();
    let meta = memmem::find(&head, b"<meta")?;
    let rest = head.get(meta..)?;
    let rest = rest.get(memmem::find(rest, b"charset=")? + 8..)?;
    let name: Vec<u8> = (rest.iter().copied())
        .skip_while(|byte| matches!(byte, b'"' | b'\''))
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        .collect();
    String::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.starts_with("utf-16"))
}

/// Reads what begins at a `<`, and gives what follows it.
fn markup<'h>(rest: &'h str, writer: &mut Writer) -> &'h str {
    let Some(inner) = rest.strip_prefix('<') else { return rest };
    if let Some(comment) = inner.strip_prefix("!--") {
        return memmem::find(comment.as_bytes(), b"-->")
            .and_then(|end| comment.get(end + 3..))
            .unwrap_or_default();
    }
    let closing = inner.starts_with('/');
    let tag = inner.strip_prefix('/').unwrap_or(inner);
    let length =
        tag.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-')).count();
    if !tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
        writer.text("<");
        return inner;
    }
    let name = tag.get(..length).unwrap_or_default().to_ascii_lowercase();
    let after = behind_tag(tag.get(length..).unwrap_or_default());
    if SKIPPED.contains(&name.as_str()) && !closing {
        return behind_element(after, &name);
    }
    writer.tag(&name, closing);
    after
}

/// What follows the `>` of a tag, quoted attribute values respected.
fn behind_tag(mut rest: &str) -> &str {
    loop {
        let bytes = rest.as_bytes();
        let Some(at) = memchr3(b'>', b'"', b'\'', bytes) else { return "" };
        let behind = rest.get(at + 1..).unwrap_or_default();
        match bytes.get(at) {
            Some(&mark @ (b'"' | b'\'')) => match memchr(mark, behind.as_bytes()) {
                Some(close) => rest = behind.get(close + 1..).unwrap_or_default(),
                // A quote that never closes: the tag ends at its `>`.
                None => {
                    return memchr(b'>', behind.as_bytes())
                        .and_then(|n| behind.get(n + 1..))
                        .unwrap_or_default();
                }
            },
            _ => return behind,
        }
    }
}

/// What follows `</name>`.
fn behind_element<'h>(rest: &'h str, name: &str) -> &'h str {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| memmem::find(rest.as_bytes(), b"</")) {
        at += found + 2;
        let tag = rest.as_bytes().get(at..at + name.len()).unwrap_or_default();
        if tag.eq_ignore_ascii_case(name.as_bytes()) {
            return behind_tag(rest.get(at + name.len()..).unwrap_or_default());
        }
    }
    ""
}

#[derive(Default)]
struct Writer {
    out: String,
    max: usize,
    /// White space is wanted before the next word: nothing, a blank, a line break, an empty line.
    gap: Gap,
    quotes: usize,
    pre: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Blank,
    Line,
    Paragraph,
}

impl Writer {
    fn tag(&mut self, name: &str, closing: bool) {
        match name {
            "br" => {
                if self.gap >= Gap::Line {
                    self.widen(Gap::Paragraph);
                }
                self.widen(Gap::Line);
            }
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "table" | "hr" => {
                self.widen(Gap::Paragraph);
            }
            "blockquote" => {
                self.widen(Gap::Paragraph);
                self.quotes = if closing { self.quotes.saturating_sub(1) } else { (self.quotes + 1).min(20) };
            }
            "pre" | "textarea" => {
                self.widen(Gap::Paragraph);
                self.pre = if closing { self.pre.saturating_sub(1) } else { self.pre + 1 };
            }
            "li" => {
                self.widen(Gap::Line);
                if !closing {
                    self.word("- ");
                }
            }
            "div" | "tr" | "dt" | "dd" | "section" | "article" | "header" | "footer" | "main" | "center"
            | "body" | "head" | "html" | "form" | "fieldset" | "address" | "option" => self.widen(Gap::Line),
            "td" | "th" => self.widen(Gap::Blank),
            _ => {}
        }
    }

    fn widen(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn text(&mut self, text: &str) {
        if self.pre > 0 {
            for (index, line) in text.split('\n').enumerate() {
                if index > 0 {
                    self.widen(Gap::Line);
                }
                if !line.trim().is_empty() {
                    self.word(&entities(line));
                }
            }
            return;
        }
        let mut words = text.split([' ', '\t', '\n', '\r', '\u{0C}']);
        if let Some(first) = words.next().filter(|first| !first.is_empty()) {
            self.word(&entities(first));
        }
        for word in words {
            self.widen(Gap::Blank);
            if !word.is_empty() {
                self.word(&entities(word));
            }
        }
    }

    fn word(&mut self, word: &str) {
        let room = self.max.saturating_sub(self.out.len());
        let fits = word.get(..word.floor_char_boundary(room)).unwrap_or_default();
        let is_last = fits.len() < word.len();
        if !fits.is_empty() {
            self.put(fits);
        }
        if is_last {
            // Reaching the limit ends the loop.
            self.max = self.max.min(self.out.len());
        }
    }

    fn put(&mut self, word: &str) {
        let first = self.out.is_empty();
        match std::mem::take(&mut self.gap) {
            _ if first => self.begin_line(),
            Gap::None => {}
            Gap::Blank => self.out.push(' '),
            Gap::Line => {
                self.out.push('\n');
                self.begin_line();
            }
            Gap::Paragraph => {
                self.out.push_str("\n\n");
                self.begin_line();
            }
        }
        self.out.push_str(word);
    }

    fn begin_line(&mut self) {
        for _ in 0..self.quotes {
            self.out.push_str("> ");
        }
    }
}

/// Character references replaced.
fn entities(text: &str) -> std::borrow::Cow<'_, str> {
    let Some(first) = memchr(b'&', text.as_bytes()) else { return text.into() };
    let (head, mut rest) = text.split_at(first);
    let mut out = head.to_owned();
    while let Some(start) = memchr(b'&', rest.as_bytes()) {
        let (before, reference) = rest.split_at(start);
        out.push_str(before);
        let end = reference.bytes().take(32).position(|byte| byte == b';');
        match end.and_then(|end| Some((reference.get(..=end)?, reference.get(end + 1..)?))) {
            Some((reference, after)) if reference.is_ascii() && reference.len() > 2 => {
                mail_parser::decoders::html::add_html_token(&mut out, reference.as_bytes(), false);
                rest = after;
            }
            _ => {
                out.push('&');
                rest = reference.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, expected: &str) {
        assert_eq!(to_text(html, 10_000), expected, "{html}");
    }

    #[test]
    fn readable_text() {
        check("<p>One</p><p>Two</p>", "One\n\nTwo");
        check("a<br>b<br><br>c", "a\nb\n\nc");
        check("<b>bo</b>ld  and\n <i>it</i>", "bold and it");
        check("<ul><li>x</li><li>y</li></ul>", "- x\n- y");
        check("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc");
        check("<style>p{}</style><script>x<y</script>t", "t");
        check("<head><title>T</title></head><body>b", "b");
        check("&lt;b&gt; &amp; &#50504;&#xB155; &copy; &nope; & x", "<b> & 안녕 © &nope; & x");
        check("<blockquote>q<blockquote>r</blockquote></blockquote>mine", "> q\n\n> > r\n\nmine");
        check("<!-- a > b -->x<!-- never", "x");
        check("<a title=\"a>b\" href='x'>link</a>", "link");
        check("1 < 2 and <3", "1 < 2 and <3");
        check("<pre>a  b\n  c</pre>", "a  b\n  c");
        check("<style>never ends", "");
        check("<", "<");
        check("<p title=\"x>y</p>z", "y\n\nz");
    }

    #[test]
    fn text_ends_where_the_room_does() {
        // White space is not counted.
        assert_eq!(to_text("<p>one two</p><p>three", 5), "one tw");
        // Without blanks all of it is one word.
        assert_eq!(to_text(&format!("<p>{}", "你好".repeat(3_000)), 3_000), "你好".repeat(500));
        assert_eq!(to_text("<pre>안녕", 4), "안");
        assert_eq!(to_text("안", 2), "");
    }

    #[test]
    fn hostile_markup_is_linear() {
        for piece in ["<", "<a ", "<!--", "<style>", "</", "&", "<a b='", "<blockquote>", "&#", "<a \"'"] {
            let _ = to_text(&piece.repeat(200_000), 1 << 20);
        }
    }
}
