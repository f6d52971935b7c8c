//! What an account owes, and that it has been paid before rows of its messages are used: see [`crate::deferred`].

use std::sync::Arc;

use storage::{Error, Result};
use tokio::time::Instant;
use types::AccountId;

use super::Open;
use crate::{
    deferred::{self, Settle},
    error::failed,
};

impl Open {
    /// Makes sure of the account before rows of its messages are used: everything that was done to them is in them. Where
    /// each call sees what was committed before it, that is so in a snapshot of its own, which is returned.
    pub(crate) async fn settled(&mut self, account: AccountId) -> Result<Option<Self>> {
        if let Some(source) = self.source.clone().filter(|_| !self.conn.is_transaction()) {
            let conn = source.readers.begin().await.map_err(failed)?;
            let mut snapshot = Self::reader(conn, Some(source));
            snapshot.see_settled(account).await?;
            return Ok(Some(snapshot));
        }
        self.hold(account).await?;
        self.flush().await?;
        if self.owed(account.0) > 0 {
            deferred::settle(self, account.0).await?;
            self.has_settled = true;
        }
        Ok(None)
    }

    /// Has the snapshot be one in which the account owes nothing.
    pub(super) async fn see_settled(&mut self, account: AccountId) -> Result<()> {
        let Some(source) = self.source.clone().filter(|_| self.conn.is_transaction()) else { return Ok(()) };
        if self.settled.contains(&account.0) {
            return Ok(());
        }
        // The writer defers nothing for a moment after it has written what was deferred, so that this ends.
        let patience = source.readers.patience();
        while deferred::is_owed(&self.conn, account.0).await? {
            self.settled.clear();
            // Not while a connection is held.
            self.conn = source.readers.each();
            let settled = source.writers.execute(Arc::new(Settle(account))).await;
            self.conn = source.readers.begin().await.map_err(failed)?;
            match settled {
                // A fence has come, with which everything was written.
                Ok(_) | Err(Error::Moving) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > patience {
                return Err(Error::Unavailable(format!("account {account} is changed all the time").into()));
            }
        }
        self.settled.insert(account.0);
        Ok(())
    }

    /// Messages of the account whose rows lack something, as far as that was loaded.
    pub(crate) fn owed(&self, account: i64) -> usize {
        self.accounts.get(&account).map_or(0, |loaded| loaded.owed)
    }

    /// Notes that so many more messages are owed.
    pub(crate) fn owes(&mut self, account: i64, messages: usize) {
        if let Some(loaded) = self.accounts.get_mut(&account) {
            loaded.owed += messages;
        }
        self.deferred = true;
        self.unit.wrote = true;
    }

    /// Notes that everything was written that the account owed.
    pub(crate) fn owes_nothing(&mut self, account: i64) {
        if let Some(loaded) = self.accounts.get_mut(&account) {
            loaded.owed = 0;
        }
        self.unit.wrote = true;
    }
}
