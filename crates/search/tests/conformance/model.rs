//! Searching by comparing strings, for texts of Latin and Hangul words between spaces.

use types::query::Query;

/// Whether the text is found.
fn has(document: &str, text: &str) -> bool {
    let quoted = text.contains(' ');
    let words: Vec<&str> = text.split(' ').collect();
    let (haystack, last) = (document.split(' ').collect::<Vec<_>>(), words.len() - 1);
    haystack.windows(words.len()).any(|window| {
        window.iter().zip(&words).enumerate().all(|(index, (have, want))| {
            let latin = want.starts_with(['a', 'b']);
            let (first, end) = (index == 0, index == last);
            match (latin, first, end) {
                (true, _, true) if !quoted => have.starts_with(want),
                (true, ..) => have == want,
                (false, true, true) => have.contains(want),
                (false, true, false) => have.ends_with(want),
                (false, false, true) => have.starts_with(want),
                (false, false, false) => have == want,
            }
        })
    })
}

/// Whether the query is fulfilled; `None` if it asks nothing.
pub(crate) fn fulfils(document: &str, unread: bool, query: &Query) -> Option<bool> {
    match query {
        Query::And(all) => {
            let each: Vec<_> = all.iter().filter_map(|one| fulfils(document, unread, one)).collect();
            (all.is_empty() || !each.is_empty()).then(|| each.iter().all(|held| *held))
        }
        Query::Or(any) => {
            let each: Vec<_> = any.iter().filter_map(|one| fulfils(document, unread, one)).collect();
            (!each.is_empty()).then(|| each.iter().any(|held| *held))
        }
        Query::Not(one) => fulfils(document, unread, one).map(|held| !held),
        Query::Text(_, text) => (text != "!").then(|| has(document, text)),
        _ => Some(unread),
    }
}
