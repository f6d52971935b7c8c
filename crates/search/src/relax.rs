//! From a query to what the index can rule out.
//!
//! What the index does not know is bounded from both sides: for the hits of the whole query it counts as true, and
//! inside a negation, where too many would take hits away, as false.

use tantivy::query::{BooleanQuery, Occur, Query as IndexQuery};
use types::query::{Field, Query};

use crate::{
    excluded::Excluded,
    words::{Wanted, wanted},
};

/// What is known of the messages that fulfil a query.
pub(crate) enum Relaxed {
    /// The query asks nothing, as a text without words.
    Nothing,
    All,
    None,
    Only(Box<dyn IndexQuery>),
    AllBut(Box<dyn IndexQuery>),
}

/// Makes the index's queries for one account.
pub(crate) trait Terms {
    /// Messages with these words in this field.
    fn text(&self, field: Field, words: &[Wanted]) -> Box<dyn IndexQuery>;
    /// All messages.
    fn everything(&self) -> Box<dyn IndexQuery>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// No message that fulfils it is missing.
    Upper,
    /// No message is there that does not fulfil it.
    Lower,
}

/// A query for every message of the account that may fulfil `query`; `None` if there cannot be any.
pub(crate) fn superset(query: &Query, terms: &dyn Terms) -> Option<Box<dyn IndexQuery>> {
    let found = match relax(query, Bound::Upper, terms) {
        Relaxed::None => return None,
        Relaxed::Nothing | Relaxed::All => return Some(terms.everything()),
        Relaxed::Only(found) => vec![(Occur::Must, found)],
        Relaxed::AllBut(found) => vec![(Occur::MustNot, excluded(found))],
    };
    let everything = std::iter::once((Occur::Must, terms.everything()));
    Some(Box::new(BooleanQuery::new(everything.chain(found).collect())))
}

fn relax(query: &Query, bound: Bound, terms: &dyn Terms) -> Relaxed {
    match query {
        Query::And(all) if all.is_empty() => Relaxed::All,
        Query::And(all) => and(all.iter().map(|one| relax(one, bound, terms)), terms),
        Query::Or(any) => or(any.iter().map(|one| relax(one, bound, terms)), terms),
        Query::Not(one) => {
            let bound = if bound == Bound::Upper { Bound::Lower } else { Bound::Upper };
            not(relax(one, bound, terms))
        }
        Query::Text(field, text) => match wanted(text) {
            words if words.is_empty() => Relaxed::Nothing,
            words => Relaxed::Only(terms.text(*field, &words)),
        },
        Query::Unread
        | Query::Flagged
        | Query::Answered
        | Query::Draft
        | Query::HasAttachment
        | Query::InFolder(_)
        | Query::InRole(_)
        | Query::Label(_)
        | Query::Since(_)
        | Query::Before(_)
        | Query::LargerThan(_)
        | Query::SmallerThan(_) => match bound {
            Bound::Upper => Relaxed::All,
            Bound::Lower => Relaxed::None,
        },
    }
}

fn excluded(query: Box<dyn IndexQuery>) -> Box<dyn IndexQuery> {
    Box::new(Excluded(query))
}

fn not(relaxed: Relaxed) -> Relaxed {
    match relaxed {
        Relaxed::Nothing => Relaxed::Nothing,
        Relaxed::All => Relaxed::None,
        Relaxed::None => Relaxed::All,
        Relaxed::Only(found) => Relaxed::AllBut(found),
        Relaxed::AllBut(found) => Relaxed::Only(found),
    }
}

fn and(each: impl Iterator<Item = Relaxed>, terms: &dyn Terms) -> Relaxed {
    let mut asked = false;
    let mut clauses = Vec::new();
    for one in each {
        asked |= !matches!(one, Relaxed::Nothing);
        match one {
            Relaxed::Nothing | Relaxed::All => {}
            Relaxed::None => return Relaxed::None,
            Relaxed::Only(found) => clauses.push((Occur::Must, found)),
            Relaxed::AllBut(found) => clauses.push((Occur::MustNot, excluded(found))),
        }
    }
    if clauses.is_empty() {
        return if asked { Relaxed::All } else { Relaxed::Nothing };
    }
    if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
        clauses.push((Occur::Must, terms.everything()));
    }
    Relaxed::Only(Box::new(BooleanQuery::new(clauses)))
}

fn or(each: impl Iterator<Item = Relaxed>, terms: &dyn Terms) -> Relaxed {
    let mut asked = false;
    let mut clauses = Vec::new();
    for one in each {
        asked |= !matches!(one, Relaxed::Nothing);
        match one {
            Relaxed::Nothing | Relaxed::None => {}
            Relaxed::All => return Relaxed::All,
            Relaxed::Only(found) => clauses.push((Occur::Should, found)),
            Relaxed::AllBut(found) => {
                let rest = vec![(Occur::Must, terms.everything()), (Occur::MustNot, excluded(found))];
                clauses.push((Occur::Should, Box::new(BooleanQuery::new(rest)) as Box<dyn IndexQuery>));
            }
        }
    }
    match clauses.is_empty() {
        true if asked => Relaxed::None,
        true => Relaxed::Nothing,
        false => Relaxed::Only(Box::new(BooleanQuery::new(clauses))),
    }
}
