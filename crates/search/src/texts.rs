//! The texts of a query, one after the other, and which of them a message has.

use types::query::{Field, Query};

use crate::{Document, phrases::Phrases, words};

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
    let asked = each(query);
    let wanted: Vec<_> = asked.iter().map(|(_, text)| words::wanted(text)).collect();
    let mut sought = Phrases::new(&wanted);
    let mut found: Vec<bool> = wanted.iter().map(Vec::is_empty).collect();
    for (field, text) in fields {
        let is_asked = |index| {
            asked.get(index).is_some_and(|(asked, _): &(Field, _)| *asked == Field::Any || *asked == field)
        };
        sought.begin(|index| is_asked(index) && found.get(index) == Some(&false));
        let mut tokens = words::tokens(text);
        while sought.is_any_open()
            && let Some(token) = tokens.next()
        {
            if !sought.meets(&token) {
                continue;
            }
            let ended: Vec<_> = sought.ended().map(|(index, _)| index).collect();
            for index in ended {
                sought.close(index);
                found.iter_mut().skip(index).take(1).for_each(|found| *found = true);
            }
        }
    }
    found
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
            ("subject:\"meeting x\"", false),
            ("body:\"x a b y\"", true),
        ] {
            let query_of = Query::parse(query, Timestamp::default());
            assert_eq!(texts(&document, &query_of), [found], "{query}");
        }
        let query =
            Query::parse("x subject:x body:x subject:meeting -\"a b y\" nowhere", Timestamp::default());
        assert_eq!(texts(&document, &query), [true, false, true, true, true, false]);
    }
}
