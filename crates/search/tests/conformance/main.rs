//! What the port promises, kept by every adapter: the same tests run on each.
//!
//! Those of MeiliSearch run where `MAGPIE_TEST_MEILI_URL` names one (`meilisearch://127.0.0.1:7700?key=...`).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod meili;
mod model;
mod suite;
mod tantivy;

use search::Search;

/// An empty index for one test.
trait Fixture: Sized {
    /// `None` if there is no such index here, which was said then.
    async fn open() -> Option<Self>;
    fn search(&self) -> &dyn Search;
    async fn close(self);
}

/// Makes a test of each function of the suite.
macro_rules! conformance {
    ($fixture:ty: $($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            if let Some(fixture) = <$fixture as crate::Fixture>::open().await {
                crate::suite::$name(crate::Fixture::search(&fixture)).await;
                crate::Fixture::close(fixture).await;
            }
        }
    )* };
    ($fixture:ty) => {
        crate::conformance! { $fixture:
            finds_words_in_every_script
            finds_phrases_fields_and_parts
            finds_phrases_of_any_length
            combines_conditions_and_relaxes_what_it_does_not_know
            says_which_texts_each_hit_has
            keeps_accounts_apart
            takes_no_text_for_syntax
            replaces_removes_and_adds_again
            forgets_an_account
            pages_through_thousands
            takes_long_texts_whole
            is_rebuilt_while_it_is_used
            agrees_with_a_naive_search
        }
    };
}
use conformance;
