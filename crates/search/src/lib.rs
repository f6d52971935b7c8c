//! Full-text search over an inverted index: Tantivy.
