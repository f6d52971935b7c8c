//! The database schema, step by step; a landed step is never edited.
