//! The Tantivy adapter: one index in a folder, for all accounts of the node.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
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
    Hit, Hits, Op, Opened, Rebuild, Search, Size,
    leisure::at_leisure,
    newest::Newest,
    relax::superset,
    schema::{AccountTerms, Fields, VERSION},
    texts, tokenizer,
    trouble::{is_damage, trouble},
    words::wanted,
};

/// An index in a folder. Clones are the same index.
#[derive(Clone)]
pub struct TantivySearch {
    place: Arc<Place>,
}

/// Where an index is, and what is there now.
struct Place {
    folder: PathBuf,
    /// Written only to put another index into the folder.
    inner: RwLock<Inner>,
    /// Locked as long as the index is open.
    _lock: File,
}

struct Inner {
    fields: Fields,
    index: Index,
    reader: IndexReader,
    /// `None` after a failure, until the next use.
    writer: Mutex<Option<IndexWriter>>,
}

/// Enough for a batch of a thousand mails; taken as needed and given back by the commit.
const WRITER_BYTES: usize = 30 << 20;
/// Names the version; there once the index was accepted.
const VERSION_FILE: &str = "magpie-version";

impl TantivySearch {
    /// Opens the index in this folder, or makes it. One that cannot be used is moved to `<folder>.old`, in place of
    /// what was there. Fails if another process has the index open.
    pub fn open(folder: &Path) -> Result<Opened<Self>> {
        let lock = lock(folder)?;
        let existing = open_existing(folder)?;
        let fresh = existing.is_none();
        let inner = match existing {
            Some(inner) => inner,
            None => {
                if folder.exists() {
                    let aside = beside(folder, "old");
                    tracing::warn!(folder = %folder.display(), aside = %aside.display(), "search index moved aside");
                    replace(&aside, folder).map_err(Error::from_io)?;
                }
                create(folder)?
            }
        };
        let place = Place { folder: folder.to_owned(), inner: RwLock::new(inner), _lock: lock };
        Ok(Opened { search: Self { place: Arc::new(place) }, fresh })
    }

    /// How large the index in this folder is, whoever has it open; nothing if there is none.
    pub async fn size_of(folder: &Path) -> Result<Size> {
        let folder = folder.to_owned();
        blocking(move || {
            if !folder.join(VERSION_FILE).exists() {
                return Ok(Size::default());
            }
            let documents = Index::open_in_dir(&folder)
                .and_then(|index| index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into())
                .map_err(|error| trouble(&folder, error))?
                .searcher()
                .num_docs();
            Ok(Size { documents, bytes: bytes(&folder).map_err(Error::from_io)? })
        })
        .await
    }

    /// Says that the marks for a [fresh](Opened::fresh) index were reset. Until then it is fresh each time it is
    /// opened.
    pub fn accept(&self) -> Result<()> {
        note_version(&self.place.folder).map_err(Error::from_io)
    }

    /// Runs it where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> tantivy::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.place);
        blocking(move || {
            let inner = place.inner.read().unwrap_or_else(PoisonError::into_inner);
            work(&inner).map_err(|error| trouble(&place.folder, error))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Backend(error.into())),
    }
}

#[async_trait]
impl Search for TantivySearch {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.blocking(move |inner| inner.apply(&ops)).await
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

    async fn size(&self) -> Result<Size> {
        let folder = self.place.folder.clone();
        self.blocking(move |inner| {
            Ok(Size { documents: inner.reader.searcher().num_docs(), bytes: bytes(&folder)? })
        })
        .await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>> {
        let place = Arc::clone(&self.place);
        let draft = beside(&place.folder, "new");
        blocking(move || {
            if draft.exists() {
                fs::remove_dir_all(&draft).map_err(Error::from_io)?;
            }
            let inner = Arc::new(create(&draft)?);
            Ok(Box::new(TantivyRebuild { place, draft, inner }) as Box<dyn Rebuild>)
        })
        .await
    }
}

/// An index in a folder beside the one that it is to replace.
struct TantivyRebuild {
    place: Arc<Place>,
    draft: PathBuf,
    inner: Arc<Inner>,
}

#[async_trait]
impl Rebuild for TantivyRebuild {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        let (inner, draft) = (Arc::clone(&self.inner), self.draft.clone());
        blocking(move || inner.apply(&ops).map_err(|error| trouble(&draft, error))).await
    }

    async fn take_over(self: Box<Self>) -> Result<()> {
        blocking(move || {
            let Self { place, draft, inner } = *self;
            let folder = &place.folder;
            // Whoever searches is not to wait until what is being written now has been.
            place.inner.read().unwrap_or_else(PoisonError::into_inner).stop_writing();
            // Nobody writes to a folder while it changes its name.
            let mut current = place.inner.write().unwrap_or_else(PoisonError::into_inner);
            current.stop_writing();
            inner.stop_writing();
            let moved = || {
                note_version(&draft)?;
                replace(&beside(folder, "old"), folder)?;
                fs::rename(&draft, folder)
            };
            moved().map_err(Error::from_io)?;
            let lost = || Error::Corrupt(format!("search index: {} is not what was built", folder.display()));
            *current = open_existing(folder)?.ok_or_else(lost)?;
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn new(index: Index) -> tantivy::Result<Self> {
        let fields = Fields::new();
        if index.schema() != fields.schema {
            return Err(TantivyError::SchemaError("not the fields of this version".into()));
        }
        index.tokenizers().register(tokenizer::NAME, tokenizer::analyzer());
        let writer = Mutex::new(Some(at_leisure(|| writer(&index))??));
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { fields, index, reader, writer })
    }

    /// Ends the writer's threads; the next change begins with another one.
    fn stop_writing(&self) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn apply(&self, ops: &[Op]) -> tantivy::Result<()> {
        self.write(|writer| {
            for op in ops {
                match op {
                    Op::Put { account, id, document } => {
                        writer.delete_term(self.fields.key(*account, *id));
                        writer.add_document(self.fields.document(*account, *id, document))?;
                    }
                    Op::Remove { account, id } => {
                        writer.delete_term(self.fields.key(*account, *id));
                    }
                }
            }
            Ok(())
        })
    }

    /// Changes the index and commits. After a failure the writer is given up, and nothing of the change is kept.
    fn write(&self, change: impl FnOnce(&IndexWriter) -> tantivy::Result<()> + Send) -> tantivy::Result<()> {
        at_leisure(|| {
            let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut current = match slot.take() {
                Some(writer) => writer,
                None => writer(&self.index)?,
            };
            change(&current)?;
            // It starts new threads for the next change.
            current.commit()?;
            *slot = Some(current);
            self.reader.reload()
        })?
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
        let certain = texts::all_hold(query);
        let mut texts = vec![Vec::new(); docs.len()];
        for (field, text) in texts::each(query) {
            let words = wanted(text);
            let held = if certain || words.is_empty() {
                vec![true; docs.len()]
            } else {
                holds(&searcher, &*terms.words(field, &words), &docs)?
            };
            for (texts, held) in texts.iter_mut().zip(held) {
                texts.push(held);
            }
        }
        let ids = found.newest.iter().map(|(id, _)| MessageId(Uuid::from_u128(*id)));
        let hits = ids.zip(texts).map(|(id, texts)| Hit { id, texts: Some(texts) }).collect();
        Ok(Hits { hits, total: found.total, more })
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

/// The accepted index of this version; `None` if there is none that can be used.
fn open_existing(folder: &Path) -> Result<Option<Inner>> {
    match fs::read_to_string(folder.join(VERSION_FILE)) {
        Ok(version) if version == VERSION => {}
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::from_io(error)),
    }
    match Index::open_in_dir(folder).and_then(Inner::new) {
        Ok(inner) => Ok(Some(inner)),
        Err(error) if is_damage(&error) => {
            let (folder, cause) = (folder.display(), error);
            tracing::warn!(%folder, %cause, "the search index is damaged or of another version, and is built anew");
            Ok(None)
        }
        Err(error) => Err(trouble(folder, error)),
    }
}

/// A new index in a folder that is not there yet.
fn create(folder: &Path) -> Result<Inner> {
    fs::create_dir_all(folder).map_err(Error::from_io)?;
    let settings = IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
    let index = Index::builder().schema(Fields::new().schema).settings(settings).create_in_dir(folder);
    index.and_then(Inner::new).map_err(|error| trouble(folder, error))
}

/// Says that what is in the folder is whole, and of which version.
fn note_version(folder: &Path) -> io::Result<()> {
    let path = folder.join(VERSION_FILE);
    let draft = beside(&path, "new");
    fs::write(&draft, VERSION)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(folder)?.sync_all()
}

/// Of all files in the folder; one that goes away meanwhile has none.
fn bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        bytes += file?.metadata().map_or(0, |meta| meta.len());
    }
    Ok(bytes)
}

/// Moves `from`, if it is there, to where `to` is.
fn replace(to: &Path, from: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    if from.exists() { fs::rename(from, to) } else { Ok(()) }
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
        Err(TryLockError::WouldBlock) => Err(Error::Unavailable(
            format!("another process has the index {} open; stop it first", folder.display()).into(),
        )),
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
