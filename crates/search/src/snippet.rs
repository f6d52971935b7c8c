//! The piece of a text that shows why it was found.

use std::ops::Range;

use types::query::Query;

use crate::words::{Token, Wanted, tokens, wanted};

/// About how many characters of text a snippet shows.
const LENGTH: usize = 160;
/// How many of them stand before the first hit.
const LEAD: usize = 40;
/// How far into the text hits are looked for.
const MAX_BYTES: usize = 1 << 20;

/// The piece of `text` with the most of what the query looks for, as HTML: escaped, and the hits within `<mark>`.
/// White space becomes single spaces. `None` if the text has nothing of it.
#[must_use]
pub fn snippet(text: &str, query: &Query) -> Option<String> {
    let text = text.get(..text.floor_char_boundary(MAX_BYTES))?;
    let phrases: Vec<Vec<Wanted>> =
        query.texts().into_iter().map(wanted).filter(|all| !all.is_empty()).collect();
    let tokens: Vec<Token> = if phrases.is_empty() { Vec::new() } else { tokens(text).collect() };
    let mut marks = Vec::new();
    for (phrase, wanted) in phrases.iter().enumerate() {
        marks.extend(occurrences(&tokens, wanted).map(|range| (range, phrase)));
    }
    marks.sort_by_key(|(range, phrase)| (range.start, range.end, *phrase));
    let first = best(&marks)?;
    let window = window(text, first);
    Some(render(text, &window, marks.into_iter().map(|(range, _)| range)))
}

/// Where the words follow each other as wanted. The tokens' positions are 0, 1, 2 and so on.
fn occurrences<'t>(tokens: &'t [Token], wanted: &'t [Wanted]) -> impl Iterator<Item = Range<usize>> + 't {
    tokens.iter().enumerate().filter_map(move |(index, first)| {
        let mut end = first.range.end;
        for want in wanted {
            let token = tokens.get(index + want.offset)?;
            let fits = if want.prefix { token.word.starts_with(&want.word) } else { token.word == want.word };
            if !fits {
                return None;
            }
            end = token.range.end;
        }
        Some(first.range.start..end)
    })
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
