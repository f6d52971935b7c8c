//! What is deferred in a shard, as far as its writer knows, and that it is written in time: see [`crate::deferred`].

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use storage::{Error, Result};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::task::Task;
use crate::{
    deferred,
    error::{failed, why},
    open::Open,
};

pub(super) struct Arrears {
    /// For how long anything is deferred.
    last: Duration,
    state: Mutex<State>,
    /// Something is due that was not when the writer's task began to wait.
    grown: Notify,
}

#[derive(Default)]
struct State {
    /// Nothing is deferred before: somebody has just asked for what was, or it could not be written.
    not_before: Option<Instant>,
    /// When what is deferred is written if nobody has asked for it.
    due: Option<Instant>,
    /// The account that was looked at last in this round, and whether one of it could not be written.
    after: Option<i64>,
    has_failed: bool,
}

/// For how long nothing is deferred when somebody has wanted to read what was.
const ASKED_FOR: Duration = Duration::from_millis(50);
/// The same when it could not be written.
const FAILED_FOR: Duration = Duration::from_secs(60);

impl Arrears {
    pub(super) fn new(last: Duration) -> Self {
        Self { last, state: Mutex::default(), grown: Notify::new() }
    }

    /// Whether more may be deferred now.
    pub(super) fn may_grow(&self) -> bool {
        self.state().not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    /// Notes what a batch deferred, and that it was asked for what others had.
    pub(super) fn note(&self, open: &Open) {
        let (now, mut state) = (Instant::now(), self.state());
        if open.has_settled {
            state.not_before = state.not_before.max(Some(now + ASKED_FOR));
        }
        if open.deferred && state.due.is_none() {
            state.due = Some(now + self.last);
            self.grown.notify_one();
        }
    }

    /// Waits until what is deferred is to be written; for ever if nothing is.
    pub(super) async fn until_due(&self) {
        loop {
            let due = self.state().due;
            match due {
                Some(due) => return sleep_until(due).await,
                None => self.grown.notified().await,
            }
        }
    }

    /// Whether what is deferred should have been written long ago: there was always something else to do.
    pub(super) fn is_overdue(&self) -> bool {
        self.state().due.is_some_and(|due| due.elapsed() > self.last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    /// Writes what the next account owes. What does not succeed is tried again later, and by whoever needs it.
    pub(super) async fn settle(&self) {
        let after = {
            let mut state = self.arrears.state();
            state.due = None;
            state.after
        };
        let found = deferred::owing(&self.pool.each(), after).await;
        let settled = match &found {
            Ok(Some(account)) => self.settle_one(*account).await,
            Ok(None) => Ok(()),
            Err(error) => Err(Error::Unavailable(why(error).into())),
        };
        let account = found.ok().flatten();
        if let Err(error) = &settled {
            tracing::warn!(shard = %self.label, account, reason = why(error), "changed flags cannot be written to their messages now");
        }
        let (now, mut state) = (Instant::now(), self.arrears.state());
        state.after = account;
        let next = match (settled, account) {
            (Ok(()), Some(_)) => {
                // Another process may wait for a moment in which nothing is owed.
                state.not_before = state.not_before.max(Some(now + ASKED_FOR));
                Some(now)
            }
            (Ok(()), None) => std::mem::take(&mut state.has_failed).then_some(now + self.arrears.last),
            (Err(_), _) => {
                (state.has_failed, state.not_before) = (true, Some(now + FAILED_FOR));
                Some(now + self.arrears.last)
            }
        };
        // Something may have been deferred meanwhile.
        state.due = next.into_iter().chain(state.due).min();
    }

    async fn settle_one(&self, account: i64) -> Result<()> {
        let mut open = Open::writer(self.pool.begin().await.map_err(failed)?, None, usize::MAX);
        open.load(vec![account]).await?;
        deferred::settle(&mut open, account).await?;
        if let Err(error) = open.conn.commit().await {
            self.pool.reset().await;
            return Err(failed(error));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
