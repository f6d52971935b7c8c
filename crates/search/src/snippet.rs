//! The piece of a text that shows why it was found.

use std::ops::Range;

use types::query::Query;

use crate::{
    phrases::Phrases,
    words::{Wanted, tokens, wanted},
};

/// About how many characters of text a snippet shows.
const LENGTH: usize = 160;
/// How many of them stand before the first hit.
const LEAD: usize = 40;
/// How far into the text hits are looked for.
pub const SNIPPET_BYTES: usize = 1 << 20;
/// Hits after so many are not marked. Fewer decide where the snippet is.
const MAX_HITS: usize = 10_000;

/// The piece of `text` with the most of what the query looks for, as HTML: escaped, and the hits within `<mark>`.
/// White space becomes single spaces. `None` if the text has nothing of it.
#[must_use]
pub fn snippet(text: &str, query: &Query) -> Option<String> {
    let text = text.get(..text.floor_char_boundary(SNIPPET_BYTES))?;
    let phrases: Vec<Vec<Wanted>> =
        query.texts().into_iter().map(wanted).filter(|all| !all.is_empty()).collect();
    let mut marks = occurrences(text, &phrases);
    marks.sort_by_key(|(range, phrase)| (range.start, range.end, *phrase));
    let first = best(&marks)?;
    let window = window(text, first);
    Some(render(text, &window, marks.into_iter().map(|(range, _)| range)))
}

/// Where the words of each phrase follow each other as wanted.
fn occurrences(text: &str, phrases: &[Vec<Wanted>]) -> Vec<(Range<usize>, usize)> {
    let (mut marks, mut starts) = (Vec::new(), Vec::new());
    if phrases.is_empty() {
        return marks;
    }
    let mut sought = Phrases::new(phrases);
    sought.begin(|_| true);
    for token in tokens(text) {
        starts.push((token.position, token.range.start));
        if !sought.meets(&token) {
            continue;
        }
        for (phrase, before) in sought.ended() {
            let first = token.position - before;
            let Ok(at) = starts.binary_search_by_key(&first, |(position, _)| *position) else { continue };
            let Some((_, start)) = starts.get(at) else { continue };
            // A single character is found as the beginning of a pair, of which it alone is marked.
            let last = phrases.get(phrase).and_then(|words| words.last());
            let whole = last.is_none_or(|want| !want.prefix || want.word.chars().nth(1).is_some());
            marks.push((*start..if whole { token.range.end } else { token.first_end }, phrase));
        }
        if marks.len() >= MAX_HITS {
            break;
        }
    }
    marks
}

/// The start of the hit from which on a snippet's length has the most different phrases.
fn best(marks: &[(Range<usize>, usize)]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    // Texts with thousands of hits are not searched for a better place for long.
    for (index, (range, _)) in marks.iter().enumerate().take(1_000) {
        let mut seen: Vec<usize> = Vec::new();
        for (other, phrase) in marks.iter().skip(index).take(100) {
            if other.end > range.start + LENGTH {
                break;
            }
            if !seen.contains(phrase) {
                seen.push(*phrase);
            }
        }
        if best.is_none_or(|(count, _)| seen.len() > count) {
            best = Some((seen.len(), range.start));
        }
    }
    best.map(|(_, start)| start)
}

/// What to show around the hit at `hit`: whole words, where they are not too long.
fn window(text: &str, hit: usize) -> Range<usize> {
    let before = text.get(..hit).unwrap_or_default();
    let lead = before.char_indices().rev().take(LEAD).last().map_or(hit, |(at, _)| at);
    let start = match before.get(lead..) {
        Some(piece) if lead > 0 => piece.find(char::is_whitespace).map_or(lead, |space| lead + space),
        _ => lead,
    };
    let after = text.get(start..).unwrap_or_default();
    let Some((tail, _)) = after.char_indices().nth(LENGTH) else {
        return start..text.len();
    };
    let piece = after.get(..tail).unwrap_or_default();
    let end = piece.rfind(char::is_whitespace).filter(|end| start + end > hit + LENGTH / 2).unwrap_or(tail);
    start..start + end
}

fn render(text: &str, window: &Range<usize>, marks: impl Iterator<Item = Range<usize>>) -> String {
    let mut out = Html::default();
    if window.start > 0 {
        out.text("…");
    }
    let mut at = window.start;
    for mark in union(marks) {
        let (start, end) = (mark.start.max(window.start), mark.end.min(window.end));
        // A hit is shown whole or not at all, but for one that is longer than the snippet.
        if start >= end || start < at {
            continue;
        }
        out.text(text.get(at..start).unwrap_or_default());
        out.mark(text.get(start..end).unwrap_or_default());
        at = end;
    }
    out.text(text.get(at..window.end).unwrap_or_default());
    if window.end < text.len() {
        out.text("…");
    }
    out.0.trim().to_owned()
}

/// The ranges, in order of their starts, with those that touch made one.
fn union(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => all.push(range),
        }
    }
    all
}

#[derive(Default)]
struct Html(String);

impl Html {
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_whitespace() || c.is_control() => {
                    if !self.0.ends_with(' ') {
                        self.0.push(' ');
                    }
                }
                c => self.0.push(c),
            }
        }
    }

    fn mark(&mut self, text: &str) {
        self.0.push_str("<mark>");
        self.text(text);
        self.0.push_str("</mark>");
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    fn check(text: &str, query: &str, expected: Option<&str>) {
        let query = Query::parse(query, Timestamp::default());
        assert_eq!(snippet(text, &query).as_deref(), expected, "{text}");
    }

    #[test]
    fn hits_are_marked_and_the_rest_is_escaped() {
        check(
            "See the <b>Meeting</b> notes & \"more\"",
            "meet",
            Some("See the &lt;b&gt;<mark>Meeting</mark>&lt;/b&gt; notes &amp; &quot;more&quot;"),
        );
        check("월간보고서를 보냅니다", "보고서", Some("월간<mark>보고서</mark>를 보냅니다"));
        check("월간보고서를 보냅니다", "서", Some("월간보고<mark>서</mark>를 보냅니다"));
        check("会議の資料です", "資料", Some("会議の<mark>資料</mark>です"));
        check("ＡＢＣ　ｶﾞｲﾄﾞ", "ガイド", Some("ＡＢＣ <mark>ｶﾞｲﾄﾞ</mark>"));
        check(
            "the annual\r\n  report, an annual fee",
            "\"annual report\"",
            Some("the <mark>annual report</mark>, an annual fee"),
        );
        check("mail bob@demo.test now", "bob@demo.test", Some("mail <mark>bob@demo.test</mark> now"));
        check("aaa bbb", "aaa OR bbb", Some("<mark>aaa</mark> <mark>bbb</mark>"));
        check("aaa bbb", "aaa -bbb is:unread", Some("<mark>aaa</mark> bbb"));
        check("aaa bbb", "ccc", None);
        check("aaa bbb", "is:unread", None);
        check("aaa bbb", "", None);
        check("", "a", None);
        check("가나 가 나", "\"가 나\"", Some("가나 <mark>가 나</mark>"));
        check("가나다라", "가나 나다", Some("<mark>가나다</mark>라"));
    }

    #[test]
    fn long_texts_are_cut_around_the_hits() {
        let filler = "lorem ipsum dolor ".repeat(100);
        let text = format!("{filler}alpha {filler}alpha and beta {filler}");
        let query = Query::parse("alpha beta", Timestamp::default());
        let shown = snippet(&text, &query).unwrap();
        assert!(shown.contains("<mark>alpha</mark> and <mark>beta</mark>"), "{shown}");
        assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.chars().count() < 220, "{shown}");
        let korean = "가".repeat(5_000) + "보고서" + &"나".repeat(5_000);
        let shown = snippet(&korean, &Query::parse("보고서", Timestamp::default())).unwrap();
        assert!(shown.contains("가<mark>보고서</mark>나"), "{shown}");
        assert!(shown.chars().count() < 220, "{shown}");
    }

    #[test]
    fn what_is_everywhere_is_marked_where_it_is_shown() {
        let query = Query::parse(&"a ".repeat(500), Timestamp::default());
        let shown = snippet(&"a ".repeat(SNIPPET_BYTES), &query).unwrap();
        assert!(shown.starts_with("<mark>a</mark> <mark>a</mark>"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_text_tags_are_ours_only(text in "[a-c<>&\" 가-다]{0,400}", word in "[a-c가-다]{1,2}") {
            let query = Query::Text(types::query::Field::Any, word);
            if let Some(shown) = snippet(&text, &query) {
                let rest = shown.replace("<mark>", "").replace("</mark>", "");
                proptest::prop_assert!(!rest.contains(['<', '>', '"']));
                proptest::prop_assert!(shown.contains("<mark>"));
                proptest::prop_assert_eq!(shown.matches("<mark>").count(), shown.matches("</mark>").count());
            }
        }
    }
}
