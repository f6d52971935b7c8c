//! The Tantivy adapter: one index in a folder, for all accounts of the node.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use storage::{Error, Result};
use tantivy::{
    DocAddress, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyError,
    indexer::IndexWriterOptions,
    query::Scorer,
    query::{EnableScoring, Query as IndexQuery},
};
use types::{AccountId, MessageId, query::Query};
use uuid::Uuid;

use crate::{
    Hit, Hits, Op, Search,
    newest::Newest,
    relax::{Terms, superset},
    schema::{AccountTerms, Fields, VERSION},
    words::wanted,
};

/// An index in a folder. Clones are the same index.
#[derive(Clone)]
pub struct TantivySearch {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    fields: Fields,
    index: Index,
    reader: IndexReader,
    /// `None` after a failure, until the next use.
    writer: Mutex<Option<IndexWriter>>,
    /// Locked as long as the index is open.
    _lock: File,
}

/// An index that was opened.
pub struct Opened {
    pub search: TantivySearch,
    /// Whether it is new and empty: there was none, or it was of an older version, or damaged. The caller then has
    /// everything indexed anew: first resets its marks of how far the index has got, then calls
    /// [`TantivySearch::accept`].
    pub fresh: bool,
}

/// Enough for a batch of a thousand mails; taken as needed and given back by the commit.
const WRITER_BYTES: usize = 30 << 20;
/// Names the version; there once the index was accepted.
const VERSION_FILE: &str = "magpie-version";

impl TantivySearch {
    /// Opens the index in this folder, or makes it. One that cannot be used is moved to `<folder>.old`, in place of
    /// what was there. Fails if another process has the index open.
    pub fn open(folder: &Path) -> Result<Opened> {
        let lock = lock(folder)?;
        if let Some(index) = open_existing(folder)? {
            return Ok(Opened { search: Self::new(folder, index, lock), fresh: false });
        }
        if folder.exists() {
            let aside = beside(folder, "old");
            tracing::warn!(folder = %folder.display(), aside = %aside.display(), "search index moved aside");
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(Error::from_io)?;
            }
            fs::rename(folder, &aside).map_err(Error::from_io)?;
        }
        fs::create_dir_all(folder).map_err(Error::from_io)?;
        let settings =
            IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
        let index = Index::builder()
            .schema(Fields::new().schema)
            .settings(settings)
            .create_in_dir(folder)
            .and_then(parts);
        Ok(Opened { search: Self::new(folder, index.map_err(into_error)?, lock), fresh: true })
    }

    /// Says that the marks for a [fresh](Opened::fresh) index were reset. Until then it is fresh each time it is
    /// opened.
    pub fn accept(&self) -> Result<()> {
        let write = || {
            let path = self.inner.folder.join(VERSION_FILE);
            let draft = beside(&path, "new");
            fs::write(&draft, VERSION)?;
            File::open(&draft)?.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.inner.folder)?.sync_all()
        };
        write().map_err(Error::from_io)
    }

    fn new(folder: &Path, (index, reader, writer): IndexParts, lock: File) -> Self {
        let (folder, fields, writer) = (folder.to_owned(), Fields::new(), Mutex::new(Some(writer)));
        Self { inner: Arc::new(Inner { folder, fields, index, reader, writer, _lock: lock }) }
    }

    /// Runs it where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> tantivy::Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done.map_err(into_error),
            Err(error) => Err(Error::Backend(error.into())),
        }
    }
}

#[async_trait]
impl Search for TantivySearch {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.blocking(move |inner| {
            inner.write(|writer| {
                for op in &ops {
                    match op {
                        Op::Put { account, id, document } => {
                            writer.delete_term(inner.fields.key(*account, *id));
                            writer.add_document(inner.fields.document(*account, *id, document))?;
                        }
                        Op::Remove { account, id } => {
                            writer.delete_term(inner.fields.key(*account, *id));
                        }
                    }
                }
                Ok(())
            })
        })
        .await
    }

    async fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Hits> {
        let query = query.clone();
        self.blocking(move |inner| inner.find(account, &query, before, limit)).await
    }

    async fn forget(&self, account: AccountId) -> Result<()> {
        self.blocking(move |inner| {
            inner.write(|writer| {
                writer.delete_term(inner.fields.account(account));
                Ok(())
            })
        })
        .await
    }
}

impl Inner {
    /// Changes the index and commits. After a failure the writer is given up, and nothing of the change is kept.
    fn write(&self, change: impl FnOnce(&IndexWriter) -> tantivy::Result<()>) -> tantivy::Result<()> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match slot.take() {
            Some(writer) => writer,
            None => writer(&self.index)?,
        };
        change(&current)?;
        current.commit()?;
        *slot = Some(current);
        self.reader.reload()
    }

    fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> tantivy::Result<Hits> {
        let terms = AccountTerms { fields: &self.fields, account };
        let Some(index_query) = superset(query, &terms) else {
            return Ok(Hits::default());
        };
        let searcher = self.reader.searcher();
        let before = before.map(|id| id.0.as_u128());
        // One more than asked for tells whether there are more.
        let mut found = searcher.search(&*index_query, &Newest { before, limit: limit.saturating_add(1) })?;
        let more = found.newest.len() > limit;
        found.newest.truncate(limit);
        let docs: Vec<DocAddress> = found.newest.iter().map(|(_, doc)| *doc).collect();
        let certain = is_conjunction(query);
        let mut texts = vec![Vec::new(); docs.len()];
        each_text(query, &mut |field, text| {
            let words = wanted(text);
            let held = if certain || words.is_empty() {
                vec![true; docs.len()]
            } else {
                holds(&searcher, &*terms.text(field, &words), &docs)?
            };
            for (texts, held) in texts.iter_mut().zip(held) {
                texts.push(held);
            }
            Ok(())
        })?;
        let ids = found.newest.iter().map(|(id, _)| MessageId(Uuid::from_u128(*id)));
        let hits = ids.zip(texts).map(|(id, texts)| Hit { id, texts }).collect();
        Ok(Hits { hits, total: found.total, more })
    }
}

type EachText<'f> = dyn FnMut(types::query::Field, &str) -> tantivy::Result<()> + 'f;

/// Visits the texts of a query in order, negated ones too.
fn each_text(query: &Query, visit: &mut EachText<'_>) -> tantivy::Result<()> {
    match query {
        Query::And(all) | Query::Or(all) => all.iter().try_for_each(|one| each_text(one, visit)),
        Query::Not(one) => each_text(one, visit),
        Query::Text(field, text) => visit(*field, text),
        _ => Ok(()),
    }
}

/// Whether every text of the query holds for each of its hits.
fn is_conjunction(query: &Query) -> bool {
    match query {
        Query::And(all) => all.iter().all(is_conjunction),
        Query::Or(_) => false,
        Query::Not(one) => one.is_exact(),
        _ => true,
    }
}

/// Which of these documents the query holds for.
fn holds(searcher: &Searcher, query: &dyn IndexQuery, docs: &[DocAddress]) -> tantivy::Result<Vec<bool>> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut order: Vec<(usize, DocAddress)> = docs.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, doc)| *doc);
    let mut held = vec![false; docs.len()];
    for segment in order.chunk_by(|(_, one), (_, other)| one.segment_ord == other.segment_ord) {
        let Some((_, first)) = segment.first() else { continue };
        let mut scorer: Box<dyn Scorer> = weight.scorer(searcher.segment_reader(first.segment_ord), 1.0)?;
        for (index, doc) in segment {
            let at = if scorer.doc() < doc.doc_id { scorer.seek(doc.doc_id) } else { scorer.doc() };
            if let Some(held) = held.get_mut(*index) {
                *held = at == doc.doc_id;
            }
        }
    }
    Ok(held)
}

type IndexParts = (Index, IndexReader, IndexWriter);

/// The accepted index of this version; `None` if there is none that can be used.
fn open_existing(folder: &Path) -> Result<Option<IndexParts>> {
    match fs::read_to_string(folder.join(VERSION_FILE)) {
        Ok(version) if version == VERSION => {}
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::from_io(error)),
    }
    match Index::open_in_dir(folder).and_then(parts) {
        Ok(parts) => Ok(Some(parts)),
        Err(error) if is_damage(&error) => {
            tracing::warn!(%error, folder = %folder.display(), "search index cannot be used");
            Ok(None)
        }
        Err(error) => Err(into_error(error)),
    }
}

fn parts(index: Index) -> tantivy::Result<IndexParts> {
    if index.schema() != Fields::new().schema {
        return Err(TantivyError::SchemaError("not the fields of this version".into()));
    }
    let writer = writer(&index)?;
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    Ok((index, reader, writer))
}

/// Keeps other processes away, from the moment before the folder may be moved.
fn lock(folder: &Path) -> Result<File> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(Error::from_io)?;
    }
    let path = beside(folder, "lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(Error::from_io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Unavailable(format!("another process has the index {} open", folder.display()).into()))
        }
        Err(TryLockError::Error(error)) => Err(Error::from_io(error)),
    }
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(".");
    path.push(suffix);
    path.into()
}

fn writer(index: &Index) -> tantivy::Result<IndexWriter> {
    let options =
        IndexWriterOptions::builder().memory_budget_per_thread(WRITER_BYTES).num_merge_threads(1).build();
    index.writer_with_options(options)
}

/// Whether the index has to be built anew, because trying again would not help.
fn is_damage(error: &TantivyError) -> bool {
    use tantivy::directory::error::OpenReadError;
    match error {
        TantivyError::OpenReadError(OpenReadError::IoError { io_error: error, .. })
        | TantivyError::IoError(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        TantivyError::OpenReadError(_)
        | TantivyError::DataCorruption(_)
        | TantivyError::SchemaError(_)
        | TantivyError::FieldNotFound(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::InternalError(_)
        | TantivyError::DeserializeError(_) => true,
        _ => false,
    }
}

fn into_error(error: TantivyError) -> Error {
    match error {
        TantivyError::LockFailure(..) => Error::Unavailable(error.into()),
        TantivyError::DataCorruption(damage) => Error::Corrupt(format!("search index: {damage:?}")),
        TantivyError::IoError(error) => match Error::from_io(error.kind().into()) {
            Error::Full(_) => Error::Full(error.into()),
            Error::Unavailable(_) => Error::Unavailable(error.into()),
            _ => Error::Backend(error.into()),
        },
        error => Error::Backend(error.into()),
    }
}
