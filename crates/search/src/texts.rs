//! The texts of a query, one after the other, and which of them a message has.

use types::query::{Field, Query};

use crate::{
    Document,
    words::{self, Token, Wanted},
};

/// Which texts of the query the message has, in the query's order; what an index says in [`Hit`](crate::Hit), but by
/// reading the message, word by word. A text without words counts as there.
#[must_use]
pub fn texts(document: &Document, query: &Query) -> Vec<bool> {
    let filenames = document.filenames.join("\n");
    let fields = [
        (Field::From, &document.from),
        (Field::To, &document.to),
        (Field::Subject, &document.subject),
        (Field::Body, &document.body),
        (Field::Filename, &filenames),
    ];
    let mut sought: Vec<Sought> = each(query).into_iter().map(Sought::new).collect();
    for (field, text) in fields {
        let mut open: Vec<_> =
            sought.iter_mut().filter_map(|one| one.is_open(field).then_some(one)).collect();
        let mut tokens = words::tokens(text);
        while !open.is_empty()
            && let Some(token) = tokens.next()
        {
            open.retain_mut(|one| !one.meets(&token));
        }
    }
    sought.into_iter().map(|one| one.found).collect()
}

/// A text that is looked for.
struct Sought {
    field: Field,
    words: Vec<Wanted>,
    /// Where it may have begun, each with how many of its words have followed so far.
    begun: Vec<(usize, usize)>,
    found: bool,
}

impl Sought {
    fn new((field, text): (Field, &str)) -> Self {
        let words = words::wanted(text);
        Self { field, found: words.is_empty(), words, begun: Vec::new() }
    }

    /// Whether the field may still have it; it does not reach from one into the next.
    fn is_open(&mut self, field: Field) -> bool {
        self.begun.clear();
        !self.found && (self.field == Field::Any || self.field == field)
    }

    /// Takes the next word of the field; whether that was its last.
    fn meets(&mut self, token: &Token) -> bool {
        let words = &self.words;
        self.begun.push((token.position, 0));
        self.begun.retain_mut(|(start, met)| {
            let Some(want) = words.get(*met) else { return false };
            let at = *start + want.offset;
            if token.position < at {
                return true;
            }
            let fits = token.position == at && want.is(token);
            *met += usize::from(fits);
            fits
        });
        self.found = self.begun.iter().any(|(_, met)| *met == words.len());
        self.found
    }
}

impl Wanted {
    fn is(&self, token: &Token) -> bool {
        if self.prefix { token.word.starts_with(&self.word) } else { token.word == self.word }
    }
}

/// The texts of a query in order, negated ones too.
pub(crate) fn each(query: &Query) -> Vec<(Field, &str)> {
    match query {
        Query::And(all) | Query::Or(all) => all.iter().flat_map(each).collect(),
        Query::Not(one) => each(one),
        Query::Text(field, text) => vec![(*field, text)],
        _ => Vec::new(),
    }
}

/// Whether every text of the query holds for each of its hits.
pub(crate) fn all_hold(query: &Query) -> bool {
    match query {
        Query::And(all) => all.iter().all(all_hold),
        Query::Or(_) => false,
        Query::Not(one) => one.is_exact(),
        _ => true,
    }
}

/// The last word of the occurrence that begins with the word at `index`, if there is one.
pub(crate) fn match_at<'t>(tokens: &'t [Token], index: usize, wanted: &[Wanted]) -> Option<&'t Token> {
    let rest = tokens.get(index..)?;
    let mut last = rest.first()?;
    let first = last.position;
    for want in wanted {
        let at = rest.binary_search_by_key(&(first + want.offset), |token| token.position).ok()?;
        last = rest.get(at).filter(|token| want.is(token))?;
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn words_are_found_where_they_follow_each_other() {
        let document = Document {
            subject: "a a b meeting".into(),
            body: "x a, b. y 월간보고서를 a a a c a".into(),
            ..Document::default()
        };
        for (query, found) in [
            ("\"a b\"", true),
            ("\"a a b\"", true),
            ("\"a a a c a\"", true),
            ("\"a a a a\"", false),
            ("\"b meet\"", false),
            ("meet", true),
            ("body:meet", false),
            ("subject:\"a b\"", true),
            ("\"meeting x\"", false),
            ("보고서", true),
            ("\"y 월간보고서를 a\"", true),
            ("\"y 월간보고서 a\"", false),
            ("고서를", true),
            ("!!", true),
        ] {
            let query_of = Query::parse(query, Timestamp::default());
            assert_eq!(texts(&document, &query_of), [found], "{query}");
        }
    }
}
