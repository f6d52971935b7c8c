//! The suite on Tantivy.

use search::{Search, TantivySearch};
use tempfile::TempDir;

use crate::{Fixture, conformance};

pub(crate) struct Tantivy {
    search: TantivySearch,
    _folder: TempDir,
}

impl Fixture for Tantivy {
    async fn open() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let opened = TantivySearch::open(&folder.path().join("index")).unwrap();
        assert!(opened.fresh);
        opened.search.accept().unwrap();
        Some(Self { search: opened.search, _folder: folder })
    }

    fn search(&self) -> &dyn Search {
        &self.search
    }

    async fn close(self) {}
}

conformance!(Tantivy);
