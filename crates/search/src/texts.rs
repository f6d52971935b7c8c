//! The texts of a query, one after the other, and which of them a message has.

use types::query::{Field, Query};

use crate::{
    Document, MAX_WORDS,
    words::{self, Token, Wanted},
};

/// Which texts of the query the message has, in the query's order; what an index says in [`Hit`](crate::Hit), but by
/// reading the message. A text without words counts as there.
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
    let fields = fields.map(|(field, text)| (field, words::tokens(text).take(MAX_WORDS).collect::<Vec<_>>()));
    let has = |field: Field, wanted: &[Wanted]| {
        wanted.is_empty()
            || fields
                .iter()
                .filter(|(one, _)| field == Field::Any || field == *one)
                .any(|(_, tokens)| (0..tokens.len()).any(|index| match_at(tokens, index, wanted).is_some()))
    };
    each(query).into_iter().map(|(field, text)| has(field, &words::wanted(text))).collect()
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
        last = rest.get(at)?;
        let fits = if want.prefix { last.word.starts_with(&want.word) } else { last.word == want.word };
        if !fits {
            return None;
        }
    }
    Some(last)
}
