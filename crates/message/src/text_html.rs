//! Plain text as safe HTML: escaped, links made, quotes nested.

use std::fmt::Write as _;

/// How deep quotes are nested; deeper ones stay at this level.
const MAX_QUOTES: usize = 20;

/// A longer address stays text.
const MAX_URL: usize = 2_000;

/// `text` as HTML: `<blockquote>` for each level of `>`, `<br>` for line breaks, links for addresses of the web and mail.
#[must_use]
pub fn text_to_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4 + 16);
    let mut level = 0;
    let mut first = true;
    for line in text.lines() {
        let (depth, content) = quoted(line);
        if depth != level {
            for _ in depth..level {
                out.push_str("</blockquote>");
            }
            for _ in level..depth {
                out.push_str("<blockquote>");
            }
            level = depth;
        } else if !first {
            out.push_str("<br>");
        }
        first = false;
        linked(&mut out, content);
    }
    for _ in 0..level {
        out.push_str("</blockquote>");
    }
    out
}

/// The quote level of a line, and what is behind the marks: `>`, `> >`, `>>`.
fn quoted(line: &str) -> (usize, &str) {
    let mut depth = 0;
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('>').or_else(|| rest.strip_prefix(" >").filter(|_| depth > 0)) {
        depth += 1;
        rest = inner;
    }
    (depth.min(MAX_QUOTES), if depth > 0 { rest.strip_prefix(' ').unwrap_or(rest) } else { rest })
}

fn linked(out: &mut String, line: &str) {
    let mut rest = line;
    while let Some(end) = rest.find(|c: char| !c.is_whitespace()) {
        let (blank, after) = rest.split_at(end);
        blanks(out, blank, rest.len() == line.len());
        let (word, after) = after.split_at(after.find(char::is_whitespace).unwrap_or(after.len()));
        self::word(out, word);
        rest = after;
    }
}

/// Runs of blanks keep their width.
fn blanks(out: &mut String, blank: &str, at_start: bool) {
    let width: usize = blank.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum();
    for nth in 0..width.min(200) {
        out.push_str(if nth == 0 && !at_start { " " } else { "&nbsp;" });
    }
}

/// A word, with the link in it if there is one.
fn word(out: &mut String, word: &str) {
    let start =
        ["https://", "http://", "www."].iter().filter_map(|mark| find_ignoring_case(word, mark)).min();
    let Some((before, url)) = start.and_then(|start| word.split_at_checked(start)) else {
        return address(out, word);
    };
    if url.len() > MAX_URL {
        return escape(out, word);
    }
    let end = url.find(['<', '>', '"', '`', '{', '}', '|', '\\', '^']).unwrap_or(url.len());
    let url = trimmed(url.get(..end).unwrap_or_default());
    let after = word.get(before.len() + url.len()..).unwrap_or_default();
    let host = url.rsplit("//").next().unwrap_or(url);
    if !host.contains(|c: char| c.is_alphanumeric()) || url.len() < 8 {
        return escape(out, word);
    }
    escape(out, before);
    let scheme =
        if url.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("http")) { "" } else { "https://" };
    anchor(out, scheme, url);
    escape(out, after);
}

fn address(out: &mut String, word: &str) {
    let bare = word.trim_matches(|c: char| "<>()[]{},.;:!?'\"".contains(c));
    let looks_right = bare.contains('@')
        && bare.len() < 255
        && bare.is_ascii()
        && !bare.contains(['<', '>', ':', '"', '&', '?', '%']);
    match word.find(bare) {
        Some(start)
            if looks_right && bare.parse::<types::EmailAddress>().is_ok_and(|a| a.domain().contains('.')) =>
        {
            escape(out, word.get(..start).unwrap_or_default());
            anchor(out, "mailto:", bare);
            escape(out, word.get(start + bare.len()..).unwrap_or_default());
        }
        _ => escape(out, word),
    }
}

fn anchor(out: &mut String, scheme: &str, text: &str) {
    let _ = write!(out, "<a href=\"{scheme}");
    escape(out, text);
    out.push_str("\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">");
    escape(out, text);
    out.push_str("</a>");
}

/// Without the punctuation that ends a sentence rather than an address; a closing bracket stays if it was opened.
fn trimmed(mut url: &str) -> &str {
    loop {
        let Some(last) = url.chars().next_back() else { return url };
        let cut = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '…' | '。' | '、' | '，' | '」' => true,
            ')' => url.matches('(').count() < url.matches(')').count(),
            ']' => url.matches('[').count() < url.matches(']').count(),
            _ => false,
        };
        if !cut {
            return url;
        }
        url = url.get(..url.len() - last.len_utf8()).unwrap_or_default();
    }
}

fn find_ignoring_case(text: &str, mark: &str) -> Option<usize> {
    text.as_bytes().windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark.as_bytes()))
}

/// HTML-escapes `text`; control characters are dropped.
pub(crate) fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REL: &str = "\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">";

    fn check(text: &str, html: &str) {
        assert_eq!(text_to_html(text), html, "{text}");
    }

    #[test]
    fn escaped_linked_and_nested() {
        check("a <b> & \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;");
        check("a\nb", "a<br>b");
        check("> q\n>> r\nme", "<blockquote>q<blockquote>r</blockquote></blockquote>me");
        check("> a\n> b", "<blockquote>a<br>b</blockquote>");
        check("a  b", "a &nbsp;b");
        check("https://x.y/z.", &format!("<a href=\"https://x.y/z{REL}https://x.y/z</a>."));
        check("(see www.x.y/a_(b))", &format!("(see <a href=\"https://www.x.y/a_(b){REL}www.x.y/a_(b)</a>)"));
        check("<https://x.y>", &format!("&lt;<a href=\"https://x.y{REL}https://x.y</a>&gt;"));
        check(
            "https://x.y/\"onload=\"1",
            &format!("<a href=\"https://x.y/{REL}https://x.y/</a>&quot;onload=&quot;1"),
        );
        check("to a@b.example,", &format!("to <a href=\"mailto:a@b.example{REL}a@b.example</a>,"));
        check("javascript:alert(1)", "javascript:alert(1)");
        check("", "");
        assert!(text_to_html(&">".repeat(100_000)).len() < 1_000);
        let _ = text_to_html(&format!("http://x{}", ")".repeat(2_000)));
    }
}
