//! A query that can stand behind "must not".
//!
//! Tantivy 0.26 asks an excluded phrase for documents that it has passed, which its debug assertions refuse. A scorer
//! within a [`ConstScorer`] is asked only for documents that lie ahead.

use tantivy::{
    DocId, Score, SegmentReader,
    query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight},
};

/// The same documents as the query within.
#[derive(Debug)]
pub(crate) struct Excluded(pub(crate) Box<dyn Query>);

impl Clone for Excluded {
    fn clone(&self) -> Self {
        Self(self.0.box_clone())
    }
}

impl Query for Excluded {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(ExcludedWeight(self.0.weight(scoring)?)))
    }
}

struct ExcludedWeight(Box<dyn Weight>);

impl Weight for ExcludedWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(ConstScorer::new(self.0.scorer(reader, boost)?, boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.0.explain(reader, doc)
    }
}
