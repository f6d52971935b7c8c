//! Where statements go: a transaction, or whichever connection is free. Nobody waits for an answer forever.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, ExecResult, QueryResult, QueryTrait,
    Select, Statement, Value,
};
use tokio::task::{coop::consume_budget, yield_now};
use tokio::time::{Instant, timeout};

use super::direct;
use super::pool::{Current, Pool};
use super::row::{Column, FromRow, Row};
use crate::error;

/// Rows after which it is somebody else's turn.
const A_TURN: usize = 64;

/// A transaction, or many statements that are each their own.
pub(crate) struct Conn {
    pool: Pool,
    transaction: Option<Transaction>,
}

enum Transaction {
    OfDriver(DatabaseTransaction),
    /// Of a shard in SQLite.
    Direct(direct::Transaction),
}

impl Conn {
    pub(super) fn transaction(pool: Pool, transaction: DatabaseTransaction) -> Self {
        Self { pool, transaction: Some(Transaction::OfDriver(transaction)) }
    }

    pub(super) fn direct(pool: Pool, transaction: direct::Transaction) -> Self {
        Self { pool, transaction: Some(Transaction::Direct(transaction)) }
    }

    pub(super) fn each(pool: Pool) -> Self {
        Self { pool, transaction: None }
    }

    pub(crate) const fn is_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// A transaction for statements that must agree with each other, if this is not one.
    pub(crate) async fn view(&self) -> Result<Option<Self>, DbErr> {
        if self.is_transaction() { Ok(None) } else { self.pool.begin().await.map(Some) }
    }

    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        let Some(transaction) = self.transaction else { return Ok(()) };
        self.pool.watch().saw("COMMIT", &[]);
        match transaction {
            Transaction::OfDriver(transaction) => {
                within(self.pool.limit(), self.pool.health().watched(transaction.commit())).await
            }
            Transaction::Direct(transaction) => transaction.commit(),
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let Some(transaction) = self.transaction else { return Ok(()) };
        let health = self.pool.health();
        health.check()?;
        self.pool.watch().saw("ROLLBACK", &[]);
        match transaction {
            Transaction::OfDriver(transaction) => {
                within(self.pool.limit(), health.watched(transaction.rollback())).await
            }
            Transaction::Direct(transaction) => transaction.rollback(),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.get_database_backend() == DbBackend::Postgres
    }

    /// What `take` makes of each row of the answer, of which about so many are expected. In a transaction rows come one
    /// after another, so that not all of them are in memory as the database has them: that is ten times as much as what is
    /// made of them.
    pub(crate) async fn each_row<T: Send + 'static>(
        &self,
        statement: Statement,
        expected: usize,
        mut take: impl FnMut(&Row<'_>) -> Result<T, DbErr> + Send + 'static,
    ) -> Result<Vec<T>, DbErr> {
        let Some(transaction) = &self.transaction else {
            if let Some(direct) = self.pool.direct() {
                self.pool.watch().saw(&statement.sql, values(&statement));
                return direct.read(statement, expected, take).await;
            }
            return self.query_all_raw(statement).await?.iter().map(|row| take(&Row::Sent(row))).collect();
        };
        self.pool.watch().saw(&statement.sql, values(&statement));
        let transaction = match transaction {
            Transaction::OfDriver(transaction) => transaction,
            Transaction::Direct(transaction) => {
                let all = transaction.read(&statement, take)?;
                // Or whoever reads much in one transaction would see no clock, and nobody else would have a turn.
                if all.len() > A_TURN {
                    yield_now().await
                } else {
                    consume_budget().await
                }
                return Ok(all);
            }
        };
        let reading = async {
            let mut all = Vec::new();
            let mut rows = sea_orm::StreamTrait::stream_raw(transaction, statement).await?;
            while let Some(row) = rows.try_next().await? {
                all.push(take(&Row::Sent(&row))?);
            }
            Ok(all)
        };
        within(self.pool.limit(), self.pool.health().watched(reading)).await
    }

    /// All rows that the query finds, of which about so many are expected.
    pub(crate) async fn all<E>(&self, query: &Select<E>, expected: usize) -> Result<Vec<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::Model: FromRow,
    {
        let statement = query.build(self.get_database_backend());
        self.each_row(statement, expected, |row| E::Model::from_row(row, 0)).await
    }

    /// The row that the query finds, by a key.
    pub(crate) async fn one<E>(&self, query: &Select<E>) -> Result<Option<E::Model>, DbErr>
    where
        E: EntityTrait,
        E::Model: FromRow,
    {
        Ok(self.all(query, 1).await?.pop())
    }

    /// The one column that the query selects, of all rows that it finds.
    pub(crate) async fn column<T: Column + Send + 'static>(
        &self,
        query: &(impl QueryTrait + Sync),
        expected: usize,
    ) -> Result<Vec<T>, DbErr> {
        self.each_row(query.build(self.get_database_backend()), expected, |row| row.get(0)).await
    }

    /// How many rows the statement changed.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, DbErr> {
        if let Some(Transaction::Direct(transaction)) = &self.transaction {
            self.pool.watch().saw(&statement.sql, values(&statement));
            return transaction.execute(&statement);
        }
        if self.transaction.is_none()
            && let Some(direct) = self.pool.direct().filter(|direct| direct.writes())
        {
            self.pool.watch().saw(&statement.sql, values(&statement));
            return direct.execute(&statement).await;
        }
        Ok(self.execute_raw(statement).await?.rows_affected())
    }

    /// The same of a `DELETE` or an `UPDATE`.
    pub(crate) async fn change(&self, query: &(impl QueryTrait + Sync)) -> Result<u64, DbErr> {
        self.execute(query.build(self.get_database_backend())).await
    }

    /// Replaces broken connections. Whether the statement may be sent again: outside of transactions there are only
    /// reads, and writes that may be done twice.
    fn again(&self, error: &DbErr, used: &Current, patience: Instant) -> bool {
        let broken = error::is_broken(error);
        if broken {
            self.pool.renew(used);
        }
        broken && self.transaction.is_none() && Instant::now() < patience
    }
}

/// Sends a statement to the transaction, or to free connections until one is not broken.
macro_rules! send {
    ($self:ident, $method:ident, $statement:expr, $sql:expr, $values:expr) => {{
        let (limit, patience) = ($self.pool.limit(), $self.pool.patience());
        let health = $self.pool.health();
        let mut retry = health.retry();
        loop {
            if $self.transaction.is_none() {
                health.check()?;
            }
            $self.pool.watch().saw($sql, $values);
            let current = $self.pool.current();
            let sent = match &$self.transaction {
                Some(Transaction::Direct(_)) => return Err(past_the_driver()),
                Some(Transaction::OfDriver(transaction)) => {
                    within(limit, health.watched(transaction.$method($statement))).await
                }
                None => within(limit, health.watched(current.connections.$method($statement))).await,
            };
            match sent {
                Err(error) if $self.again(&error, &current, patience) => retry.pause().await,
                sent => return sent,
            }
        }
    }};
}

#[async_trait]
impl ConnectionTrait for Conn {
    fn get_database_backend(&self) -> DbBackend {
        match &self.transaction {
            Some(Transaction::OfDriver(transaction)) => transaction.get_database_backend(),
            Some(Transaction::Direct(_)) => DbBackend::Sqlite,
            None => self.pool.connections().get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        send!(self, execute_raw, statement.clone(), &statement.sql, values(&statement))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        send!(self, execute_unprepared, sql, sql, &[])
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        send!(self, query_one_raw, statement.clone(), &statement.sql, values(&statement))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        send!(self, query_all_raw, statement.clone(), &statement.sql, values(&statement))
    }
}

/// A mistake of ours: such a transaction answers in no way that SeaORM knows.
fn past_the_driver() -> DbErr {
    DbErr::Custom("a transaction on SQLite is used by the methods of `Conn`".to_owned())
}

/// The outcome, or that there was none in time.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    let Some(limit) = limit else { return work.await };
    let late = |_| Err(error::lost("the database did not answer in time"));
    timeout(limit, work).await.unwrap_or_else(late)
}

fn values(statement: &Statement) -> &[Value] {
    statement.values.as_ref().map_or(&[], |values| &values.0)
}
