//! From a query to what an index can rule out.
//!
//! What the index does not know is bounded from both sides: for the hits of the whole query it counts as true, and
//! inside a negation, where too many would take hits away, as false.

use types::query::{Field, Query};

use crate::words::{Wanted, wanted};

/// What is known of the messages that fulfil a query.
enum Relaxed<Q> {
    /// The query asks nothing, as a text without words.
    Nothing,
    All,
    None,
    Only(Q),
    AllBut(Q),
}

/// Makes an index's own queries for one account.
pub(crate) trait Terms {
    type Query;

    /// Messages with these words in this field.
    fn text(&self, field: Field, words: &[Wanted]) -> Text<Self::Query>;
    /// All messages.
    fn everything(&self) -> Self::Query;
    /// What is in each of the first, of which there is one at least, and in none of the second.
    fn and(&self, all: Vec<Self::Query>, none: Vec<Self::Query>) -> Self::Query;
    /// What is in any of these, of which there is one at least.
    fn or(&self, any: Vec<Self::Query>) -> Self::Query;
}

/// How well an index finds a text.
pub(crate) enum Text<Q> {
    Exact(Q),
    /// No message that has the text is missing, but others may be there.
    Superset(Q),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// No message that fulfils it is missing.
    Upper,
    /// No message is there that does not fulfil it.
    Lower,
}

/// A query for every message of the account that may fulfil `query`; `None` if there cannot be any.
pub(crate) fn superset<T: Terms>(query: &Query, terms: &T) -> Option<T::Query> {
    match relax(query, Bound::Upper, terms) {
        Relaxed::None => None,
        Relaxed::Nothing | Relaxed::All => Some(terms.everything()),
        Relaxed::Only(found) => Some(terms.and(vec![terms.everything(), found], Vec::new())),
        Relaxed::AllBut(found) => Some(terms.and(vec![terms.everything()], vec![found])),
    }
}

fn relax<T: Terms>(query: &Query, bound: Bound, terms: &T) -> Relaxed<T::Query> {
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
            words => match terms.text(*field, &words) {
                Text::Exact(found) => Relaxed::Only(found),
                Text::Superset(found) if bound == Bound::Upper => Relaxed::Only(found),
                Text::Superset(_) => unknown(bound),
            },
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
        | Query::SmallerThan(_) => unknown(bound),
    }
}

fn unknown<Q>(bound: Bound) -> Relaxed<Q> {
    match bound {
        Bound::Upper => Relaxed::All,
        Bound::Lower => Relaxed::None,
    }
}

fn not<Q>(relaxed: Relaxed<Q>) -> Relaxed<Q> {
    match relaxed {
        Relaxed::Nothing => Relaxed::Nothing,
        Relaxed::All => Relaxed::None,
        Relaxed::None => Relaxed::All,
        Relaxed::Only(found) => Relaxed::AllBut(found),
        Relaxed::AllBut(found) => Relaxed::Only(found),
    }
}

fn and<T: Terms>(each: impl Iterator<Item = Relaxed<T::Query>>, terms: &T) -> Relaxed<T::Query> {
    let mut asked = false;
    let (mut all, mut none) = (Vec::new(), Vec::new());
    for one in each {
        asked |= !matches!(one, Relaxed::Nothing);
        match one {
            Relaxed::Nothing | Relaxed::All => {}
            Relaxed::None => return Relaxed::None,
            Relaxed::Only(found) => all.push(found),
            Relaxed::AllBut(found) => none.push(found),
        }
    }
    match (all.is_empty(), none.is_empty()) {
        (true, true) if asked => Relaxed::All,
        (true, true) => Relaxed::Nothing,
        (true, false) => Relaxed::Only(terms.and(vec![terms.everything()], none)),
        (false, _) => Relaxed::Only(terms.and(all, none)),
    }
}

fn or<T: Terms>(each: impl Iterator<Item = Relaxed<T::Query>>, terms: &T) -> Relaxed<T::Query> {
    let mut asked = false;
    let mut any = Vec::new();
    for one in each {
        asked |= !matches!(one, Relaxed::Nothing);
        match one {
            Relaxed::Nothing | Relaxed::None => {}
            Relaxed::All => return Relaxed::All,
            Relaxed::Only(found) => any.push(found),
            Relaxed::AllBut(found) => any.push(terms.and(vec![terms.everything()], vec![found])),
        }
    }
    match any.is_empty() {
        true if asked => Relaxed::None,
        true => Relaxed::Nothing,
        false => Relaxed::Only(terms.or(any)),
    }
}
