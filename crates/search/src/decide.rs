//! Deciding a query for one message.

use types::query::Query;

/// Takes a value of `texts` for every text, in order, whether it matters or not. `None`: the query asks nothing.
pub(crate) fn decide(
    query: &Query,
    texts: &mut dyn Iterator<Item = bool>,
    holds: &mut dyn FnMut(&Query) -> bool,
) -> Option<bool> {
    match query {
        Query::And(all) => {
            let each: Vec<_> = all.iter().map(|one| decide(one, texts, holds)).collect();
            (all.is_empty() || each.iter().any(Option::is_some))
                .then(|| each.iter().all(|one| *one != Some(false)))
        }
        Query::Or(any) => {
            let each: Vec<_> = any.iter().map(|one| decide(one, texts, holds)).collect();
            each.iter().any(Option::is_some).then(|| each.contains(&Some(true)))
        }
        Query::Not(one) => decide(one, texts, holds).map(|held| !held),
        Query::Text(_, text) => {
            let held = texts.next().unwrap_or(false);
            crate::words::has_words(text).then_some(held)
        }
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
        | Query::SmallerThan(_) => Some(holds(query)),
    }
}

#[cfg(test)]
mod tests {
    use types::{Timestamp, query::Query};

    #[test]
    fn texts_and_other_conditions_make_one_answer() {
        // A message that is unread, not flagged, and has `foo`, but not `bar`.
        for (query, texts, expected) in [
            ("", &[][..], true),
            ("foo", &[true], true),
            ("bar", &[false], false),
            ("foo is:unread", &[true], true),
            ("foo is:flagged", &[true], false),
            ("bar OR is:unread", &[false], true),
            ("bar OR is:flagged", &[false], false),
            ("-(foo is:unread)", &[true], false),
            ("-(bar is:unread)", &[false], true),
            ("-(foo is:flagged)", &[true], true),
            ("-(foo OR bar) OR foo", &[true, false, true], true),
            ("foo -!!", &[true, true], true),
            ("bar OR !!", &[false, true], false),
            ("!!", &[true], true),
        ] {
            let parsed = Query::parse(query, Timestamp::default());
            let held = crate::decide(&parsed, texts, &mut |one| matches!(one, Query::Unread));
            assert_eq!(held, expected, "{query}");
        }
    }
}
