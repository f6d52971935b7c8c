//! Units that wait aside: another transaction has their account and does not let go of it (`lock_timeout` has passed).
//!
//! They are run, in their order, as soon as the account is free, or told to come again when patience ends. Meanwhile
//! their writer works for everybody else, without waiting for that account again.
//!
//! Where it is no account that another transaction has, nobody can say beforehand whom it concerns: such units are
//! *stuck*. They are tried again and again, hardly wait for the lock then ([`HURRY_MS`]), and are divided until those
//! are found that it concerns.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{DbBackend, FromQueryResult, Statement};
use storage::{Error, Result};
use tokio::time::Instant;
use types::AccountId;

use super::Waiting;
use crate::{connect::Pool, error::failed, statement::array};

/// Between two looks at the accounts.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Between two tries of those that are stuck.
const TRY: Duration = Duration::from_millis(500);
/// So long they wait for a lock, in milliseconds.
pub(super) const HURRY_MS: u32 = 100;
/// So many that are still stuck end a try: nobody else is to wait for them for long.
pub(super) const MOST_STUCK: usize = 4;

/// A unit that something is in the way of, and until when it waits.
pub(super) type Stuck = (Waiting, Instant);

pub(super) struct Aside {
    units: Vec<(Waiting, Instant)>,
    accounts: BTreeSet<AccountId>,
    /// When to look again.
    look_at: Instant,
    /// In order.
    stuck: Vec<Stuck>,
    /// When to try them again.
    try_at: Instant,
}

impl Aside {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { units: Vec::new(), accounts: BTreeSet::new(), look_at: now, stuck: Vec::new(), try_at: now }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty() && self.stuck.is_empty()
    }

    /// Takes those out of the batch that need an account that is not free, or that somebody waits for here.
    pub(super) fn put(&mut self, batch: &mut Vec<Waiting>, until: Instant) {
        if !self.accounts.is_empty() {
            let (kept, aside): (Vec<_>, Vec<_>) =
                batch.drain(..).partition(|waiting| !needs(waiting, &self.accounts));
            *batch = kept;
            self.units.extend(aside.into_iter().map(|waiting| (waiting, until)));
        }
        // Nobody overtakes a stuck one of the same account.
        let stuck: BTreeSet<_> = self.stuck.iter().flat_map(|(waiting, _)| accounts(waiting)).collect();
        if !stuck.is_empty() {
            let (kept, behind): (Vec<_>, Vec<_>) =
                batch.drain(..).partition(|waiting| !needs(waiting, &stuck));
            *batch = kept;
            self.stuck.extend(behind.into_iter().map(|waiting| (waiting, until)));
        }
    }

    /// Sets those aside that something else is in the way of; they are tried when the writer has a moment.
    pub(super) fn stick(&mut self, batch: &mut Vec<Waiting>, until: Instant) {
        self.stuck.extend(batch.drain(..).map(|waiting| (waiting, until)));
        self.try_at = Instant::now();
    }

    /// The stuck ones, if it is time to try them. Who still is goes back by [`Aside::unstuck`].
    pub(super) fn stuck(&mut self) -> Vec<Stuck> {
        if Instant::now() < self.try_at { Vec::new() } else { std::mem::take(&mut self.stuck) }
    }

    /// Puts those back that are still stuck.
    pub(super) fn unstuck(&mut self, still: Vec<Stuck>) {
        self.stuck = still;
        self.try_at = Instant::now() + TRY;
    }

    /// Notes accounts that are not free.
    pub(super) fn note(&mut self, accounts: BTreeSet<AccountId>) {
        self.accounts.extend(accounts);
        self.look_at = Instant::now() + LOOK;
    }

    /// Those that can be run by now, and those whose patience has ended.
    pub(super) async fn due(&mut self, pool: &Pool) -> (Vec<Waiting>, Vec<Waiting>) {
        let now = Instant::now();
        if self.units.is_empty() || now < self.look_at {
            return (Vec::new(), Vec::new());
        }
        self.look_at = now + LOOK;
        if let Ok(accounts) = locked(pool, &self.accounts).await {
            self.accounts = accounts;
        }
        let (mut free, mut late, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (waiting, until) in self.units.drain(..) {
            match needs(&waiting, &self.accounts) {
                false => free.push(waiting),
                true if now >= until => late.push(waiting),
                true => kept.push((waiting, until)),
            }
        }
        self.units = kept;
        if self.units.is_empty() {
            self.accounts.clear();
        }
        (free, late)
    }

    /// All of them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.accounts.clear();
        self.units.drain(..).chain(self.stuck.drain(..)).map(|(waiting, _)| waiting)
    }
}

pub(super) fn accounts(waiting: &Waiting) -> Vec<AccountId> {
    waiting.unit.needs().accounts
}

pub(super) fn needs(waiting: &Waiting, accounts: &BTreeSet<AccountId>) -> bool {
    waiting.unit.needs().accounts.iter().any(|account| accounts.contains(account))
}

/// Which of these accounts another transaction has.
pub(super) async fn locked(pool: &Pool, accounts: &BTreeSet<AccountId>) -> Result<BTreeSet<AccountId>> {
    #[derive(FromQueryResult)]
    struct Row {
        account_id: i64,
    }
    let sql = "WITH free AS MATERIALIZED \
         (SELECT account_id FROM account WHERE account_id = ANY($1) FOR UPDATE SKIP LOCKED) \
         SELECT account_id FROM account WHERE account_id = ANY($1) \
         AND account_id NOT IN (SELECT account_id FROM free)";
    let wanted = array(accounts.iter().map(|account| account.0), 0);
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [wanted]);
    let rows = Row::find_by_statement(statement).all(&pool.each()).await.map_err(failed)?;
    Ok(rows.into_iter().map(|row| AccountId(row.account_id)).collect())
}

/// Why a unit that waited aside was not run.
pub(super) fn late() -> Error {
    Error::Unavailable("another transaction does not let go of the account".into())
}

/// The same of one that was stuck.
pub(super) fn stuck() -> Error {
    Error::Unavailable("another transaction does not let go of what is needed".into())
}
