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
