//! The search index of a node, which may have to be waited for: a MeiliSearch that does not answer when the node starts is
//! asked again in the background. Until it answers searching is not available; then the index catches up from the change
//! log.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use search::{Hits, MeiliSearch, MeiliUrl, Op, OpenError, Opened, Rebuild, Search, Size, TantivySearch};
use storage::{Error, Result};
use tokio::time::sleep;
use types::{AccountId, MessageId, query::Query};

use crate::{causes::in_words, parts::Indexing};

/// What is indexed into. Clones are the same.
#[derive(Clone)]
pub(crate) enum Index {
    /// Nothing, or it is another process's.
    Absent,
    Tantivy(Arc<Opened<TantivySearch>>),
    Meili(LateMeili),
}

impl Index {
    /// Notes that a new index lacks everything. Call it before the indexer runs, and only where it runs.
    pub(crate) async fn accept(&self, mail: &mail::Service) -> anyhow::Result<()> {
        match self {
            Self::Absent => {}
            Self::Tantivy(opened) if !opened.fresh => {}
            Self::Tantivy(opened) => {
                mail.reindex().await?;
                opened.search.accept()?;
            }
            Self::Meili(late) => {
                let search = late.there()?;
                if late.is_fresh() {
                    mail.reindex().await?;
                    search.accept().await?;
                }
            }
        }
        Ok(())
    }

    /// The same, as soon as the index and every shard answer.
    pub(crate) async fn accept_in_time(&self, mail: &mail::Service) {
        loop {
            // What a new index lacks is to be noted on all shards, or none.
            let all_there = mail.ready(PATIENCE).await.is_ok_and(|away| away.is_empty());
            if all_there {
                match self.accept(mail).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(error = in_words(&error), "the index has to wait"),
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// Whether the same may succeed later by itself.
pub(crate) fn is_temporary(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<Error>().is_some_and(Error::is_temporary))
}

/// An index on a server that is there, or will be. Clones are the same.
#[derive(Clone)]
pub(crate) struct LateMeili(Arc<Inner>);

struct Inner {
    url: MeiliUrl,
    opened: OnceLock<Opened<MeiliSearch>>,
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long shards have to answer.
const PATIENCE: Duration = Duration::from_secs(3);

impl LateMeili {
    /// The index at this URL, whether its server answers or not; an error if it answers and is not to be used.
    pub(crate) async fn open(url: &MeiliUrl, indexing: Indexing) -> std::result::Result<Self, OpenError> {
        let late = Self(Arc::new(Inner { url: url.clone(), opened: OnceLock::new() }));
        match (late.attempt().await, indexing) {
            (Err(error @ OpenError::Unreachable { .. }), Indexing::Here) => {
                tracing::warn!(%error, "searching has to wait");
            }
            // A command that needs it says so.
            (Err(OpenError::Unreachable { .. }), Indexing::Elsewhere) => {}
            (outcome, _) => outcome?,
        }
        Ok(late)
    }

    async fn attempt(&self) -> std::result::Result<(), OpenError> {
        let opened = MeiliSearch::open(&self.0.url).await?;
        let _same = self.0.opened.set(opened);
        Ok(())
    }

    /// Waits until its server answers; `tell` is told why it has to wait, whenever that is news.
    pub(crate) async fn arrive(&self, tell: impl Fn(Option<String>)) {
        let (mut said, mut pause) = (String::new(), PAUSE);
        while self.0.opened.get().is_none() {
            match self.attempt().await {
                Ok(()) => {
                    tracing::info!("MeiliSearch answers");
                    tell(None);
                }
                Err(error) => {
                    let text = format!("search.url: {error}");
                    if said != text {
                        tell(Some(text.clone()));
                        said = text;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn is_fresh(&self) -> bool {
        self.0.opened.get().is_some_and(|opened| opened.fresh)
    }

    fn there(&self) -> Result<&MeiliSearch> {
        let away = || Error::Unavailable("MeiliSearch does not answer".into());
        self.0.opened.get().map(|opened| &opened.search).ok_or_else(away)
    }
}

#[async_trait]
impl Search for LateMeili {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        self.there()?.apply(ops).await
    }

    async fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Hits> {
        self.there()?.find(account, query, before, limit).await
    }

    async fn forget(&self, account: AccountId) -> Result<()> {
        self.there()?.forget(account).await
    }

    async fn size(&self) -> Result<Size> {
        self.there()?.size().await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>> {
        self.there()?.rebuild().await
    }
}
