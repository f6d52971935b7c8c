//! Statements over many rows, whose texts repeat: each is then prepared once and found again.
//!
//! PostgreSQL is given arrays, so one text serves any number of rows; what is written together is one statement.
//! SQLite is given lists of values in sizes that repeat. There a statement that fails is not undone by itself: whatever is
//! more than one row is written in a transaction, which is rolled back then.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IntoActiveModel, Iterable,
    PrimaryKeyToColumn, Schema, Statement, Value,
    sea_query::{Expr, ExprTrait as _, Iden, extension::postgres::PgFunc},
};
use storage::Result;

use crate::{
    connect::{Conn, FromRow, Row},
    error::failed,
};

/// Rows of one statement on SQLite; with twenty columns far from the 32,766 variables that it takes.
const MOST: usize = 256;

/// What happens to a new row whose primary key is there already.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Conflict<'a, C> {
    /// Nothing is written, and that is an error.
    Fails,
    /// The row that is there stays as it is.
    Stays,
    /// These columns of the row that is there get the new values.
    Replaces(&'a [C]),
    /// The new value of this column is added to the one that is there.
    Adds(C),
}

/// Inserts the rows by few statements.
pub(crate) async fn insert<E>(
    conn: &Conn,
    rows: Vec<E::Model>,
    conflict: Conflict<'_, E::Column>,
) -> Result<()>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let mut writes = Writes::new(conn);
    writes.insert::<E>(rows, conflict);
    writes.run().await.map(|_| ())
}

/// Rows that are written together: on PostgreSQL by one statement.
pub(crate) struct Writes<'a> {
    conn: &'a Conn,
    statements: Vec<Statement>,
    parts: Vec<String>,
    values: Vec<Value>,
}

impl<'a> Writes<'a> {
    pub(crate) const fn new(conn: &'a Conn) -> Self {
        Self { conn, statements: Vec::new(), parts: Vec::new(), values: Vec::new() }
    }

    /// Adds rows to be inserted.
    pub(crate) fn insert<E>(&mut self, rows: Vec<E::Model>, conflict: Conflict<'_, E::Column>)
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
        E::ActiveModel: ActiveModelTrait<Entity = E>,
    {
        if rows.is_empty() {
            return;
        }
        let columns: Vec<E::Column> = E::Column::iter().collect();
        let into = into::<E>(self.conn, &columns);
        let conflict = on_conflict::<E>(conflict);
        let rows = rows.into_iter().map(|row| {
            let mut row = row.into_active_model();
            columns.iter().filter_map(|column| row.take(*column).into_value()).collect::<Vec<_>>()
        });
        if self.conn.is_postgres() {
            let nullable = columns.iter().map(|column| is_nullable::<E>(*column));
            let select = unnested(&nullable.collect::<Vec<_>>(), rows, &mut self.values);
            self.parts.push(format!("{into} {select}{conflict}"));
            return;
        }
        let mut rows: Vec<_> = rows.collect();
        while !rows.is_empty() {
            let rest = rows.split_off(largest_size(rows.len().min(MOST)));
            let row = format!("({})", vec!["?"; columns.len()].join(", "));
            let sql = format!("{into} VALUES {}{conflict}", vec![row; rows.len()].join(", "));
            let values = std::mem::replace(&mut rows, rest).into_iter().flatten();
            self.statements.push(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values));
        }
    }

    /// Adds that the rows of these accounts and keys are removed.
    pub(crate) fn remove<E, K>(&mut self, column: &str, keys: &[(i64, K)])
    where
        E: EntityTrait,
        K: Into<Value> + Clone,
    {
        if keys.is_empty() {
            return;
        }
        let table = quoted(&E::default());
        if self.conn.is_postgres() {
            let sql = format!(
                "DELETE FROM {table} AS t USING unnest({{1}}, {{2}}) AS gone (a, b) \
                 WHERE t.account_id = gone.a AND t.{column} = gone.b"
            );
            self.add(&sql, arrays(keys));
            return;
        }
        for list in lists(self.conn, keys) {
            // One look-up each: SQLite scans the table for a list of pairs.
            let one = format!("(account_id = ? AND {column} = ?)");
            let sql = format!("DELETE FROM {table} WHERE {}", vec![one; list.len()].join(" OR "));
            self.statements.push(Statement::from_sql_and_values(DbBackend::Sqlite, sql, pairs(&list)));
        }
    }

    /// Adds an update of many rows, each from a row of the table `new`, whose columns are `a`, `b` and so on. Of each
    /// column it is told whether it may be NULL.
    pub(crate) fn update<const N: usize>(
        &mut self,
        set: &str,
        condition: &str,
        nullable: [bool; N],
        mut rows: Vec<[Value; N]>,
    ) {
        if rows.is_empty() {
            return;
        }
        let names = ('a'..='z').take(N).map(String::from).collect::<Vec<_>>().join(", ");
        if self.conn.is_postgres() {
            let select = unnested(&nullable, rows.into_iter().map(Vec::from), &mut self.values);
            self.parts.push(format!("{set} FROM ({select}) AS new ({names}) WHERE {condition}"));
            return;
        }
        while !rows.is_empty() {
            let rest = rows.split_off(largest_size(rows.len().min(MOST)));
            let places = vec![format!("({})", vec!["?"; N].join(", ")); rows.len()].join(", ");
            let sql = format!("WITH new ({names}) AS (VALUES {places}) {set} FROM new WHERE {condition}");
            let values = std::mem::replace(&mut rows, rest).into_iter().flatten();
            self.statements.push(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values));
        }
    }

    /// Adds a statement of PostgreSQL whose values are numbered by `{1}`, `{2}` and so on.
    pub(crate) fn add(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let before = self.values.len();
        self.values.extend(values);
        let numbered = (1..=self.values.len() - before).fold(sql.to_owned(), |sql, number| {
            sql.replace(&format!("{{{number}}}"), &format!("${}", before + number))
        });
        self.parts.push(numbered);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.parts.is_empty()
    }

    /// Writes them. The answer is the process of PostgreSQL that did, if there was anything to write.
    pub(crate) async fn run(self) -> Result<Option<i32>> {
        for statement in self.statements {
            self.conn.execute(statement).await.map_err(failed)?;
        }
        if self.parts.is_empty() {
            return Ok(None);
        }
        let parts = self.parts.iter().zip(1..).map(|(part, number)| format!("part{number} AS ({part})"));
        let sql = format!("WITH {} SELECT pg_backend_pid() AS process", parts.collect::<Vec<_>>().join(", "));
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, self.values);
        let row = self.conn.query_one_raw(statement).await.map_err(failed)?;
        row.map(|row| row.try_get("", "process")).transpose().map_err(failed)
    }
}

fn into<E: EntityTrait>(conn: &Conn, columns: &[E::Column]) -> String {
    let names: Vec<_> = columns.iter().map(quoted).collect();
    // Whatever fails is rolled back as a whole: there is no need to be ready to undo one statement.
    let insert = if conn.is_postgres() { "INSERT" } else { "INSERT OR FAIL" };
    format!("{insert} INTO {} ({})", quoted(&E::default()), names.join(", "))
}

fn quoted(name: &impl Iden) -> String {
    format!("\"{}\"", name.unquoted())
}

fn on_conflict<E: EntityTrait>(conflict: Conflict<'_, E::Column>) -> String {
    let key: Vec<_> = E::PrimaryKey::iter().map(|key| quoted(&key.into_column())).collect();
    let key = key.join(", ");
    match conflict {
        Conflict::Fails => String::new(),
        Conflict::Stays => format!(" ON CONFLICT ({key}) DO NOTHING"),
        Conflict::Replaces(columns) => {
            let set = columns.iter().map(quoted).map(|name| format!("{name} = excluded.{name}"));
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.collect::<Vec<_>>().join(", "))
        }
        Conflict::Adds(column) => {
            let (table, name) = (quoted(&E::default()), quoted(&column));
            format!(" ON CONFLICT ({key}) DO UPDATE SET {name} = {table}.{name} + excluded.{name}")
        }
    }
}

fn is_nullable<E: EntityTrait>(column: E::Column) -> bool {
    let definition = Schema::new(DbBackend::Postgres).get_column_def::<E>(column);
    definition.get_column_spec().nullable != Some(false)
}

/// The rows as a `SELECT` from arrays, one for each column. The driver's arrays hold no NULL, so a column that can
/// have one has a second array that says where.
fn unnested(nullable: &[bool], rows: impl Iterator<Item = Vec<Value>>, values: &mut Vec<Value>) -> String {
    let mut arrays: Vec<Vec<Value>> = vec![Vec::new(); nullable.len()];
    let mut missing = arrays.clone();
    for row in rows {
        for (value, (array, missing)) in row.into_iter().zip(arrays.iter_mut().zip(&mut missing)) {
            let is_missing = value == value.as_null();
            missing.push(Value::Bool(Some(is_missing)));
            array.push(if is_missing { value.dummy_value() } else { value });
        }
    }
    let (mut places, mut names, mut picked) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |array: Vec<Value>, name: String| {
        values.push(array_of(array));
        places.push(format!("${}", values.len()));
        names.push(name);
    };
    for (at, (nullable, (array, missing))) in nullable.iter().zip(arrays.into_iter().zip(missing)).enumerate()
    {
        add(array, format!("c{at}"));
        if *nullable {
            add(missing, format!("n{at}"));
            picked.push(format!("CASE WHEN n{at} THEN NULL ELSE c{at} END"));
        } else {
            picked.push(format!("c{at}"));
        }
    }
    let (picked, places, names) = (picked.join(", "), places.join(", "), names.join(", "));
    format!("SELECT {picked} FROM unnest({places}) AS row ({names})")
}

/// The values, which are of one type and not NULL, as an array.
fn array_of(values: Vec<Value>) -> Value {
    let kind = values.first().unwrap_or(&Value::BigInt(None)).array_type();
    Value::Array(kind, Some(Box::new(values)))
}

/// The values as an array for PostgreSQL.
pub(crate) fn array<T: Into<Value>>(values: impl IntoIterator<Item = T>, empty: T) -> Value {
    let kind = empty.into().array_type();
    Value::Array(kind, Some(Box::new(values.into_iter().map(Into::into).collect())))
}

/// That the column has one of these values.
pub(crate) fn among<C, T>(conn: &Conn, column: C, values: Vec<T>) -> Expr
where
    C: ColumnTrait,
    T: Into<Value>,
{
    if conn.is_postgres() && !values.is_empty() {
        let array = array_of(values.into_iter().map(Into::into).collect());
        return Expr::col(column.as_column_ref()).eq(PgFunc::any(Expr::val(array)));
    }
    column.is_in(values)
}

/// The rows of these accounts and keys, one index look-up each. (Written as `IN`, SQLite would scan the table.)
/// Keys that are named twice may be found twice.
pub(crate) async fn find<E, K>(conn: &Conn, column: &str, keys: &[(i64, K)]) -> Result<Vec<E::Model>>
where
    E: EntityTrait,
    E::Model: FromRow,
    K: Into<Value> + Clone,
{
    found::<E, K>(conn, column, keys, "").await
}

/// The same, and nobody else changes them until the transaction ends.
pub(crate) async fn find_to_change<E, K>(
    conn: &Conn,
    column: &str,
    keys: &[(i64, K)],
) -> Result<Vec<E::Model>>
where
    E: EntityTrait,
    E::Model: FromRow,
    K: Into<Value> + Clone,
{
    let lock = if conn.is_postgres() {
        format!("FOR UPDATE OF {}", E::default().table_name())
    } else {
        String::new()
    };
    found::<E, K>(conn, column, keys, &lock).await
}

async fn found<E, K>(conn: &Conn, column: &str, keys: &[(i64, K)], lock: &str) -> Result<Vec<E::Model>>
where
    E: EntityTrait,
    E::Model: FromRow,
    K: Into<Value> + Clone,
{
    let table = E::default();
    let table = table.table_name();
    let rest = format!(
        "SELECT {} FROM wanted CROSS JOIN {table} \
         WHERE {table}.account_id = wanted.a AND {table}.{column} = wanted.b {lock}",
        E::Model::columns(table)
    );
    let row = |row: &Row<'_>| E::Model::from_row(row, 0);
    conn.each_row(with_wanted(conn, keys, &rest), keys.len(), row).await.map_err(failed)
}

/// A statement that looks up accounts and keys, which are the columns `a` and `b` of the table `wanted`.
pub(crate) fn with_wanted<K: Into<Value> + Clone>(conn: &Conn, keys: &[(i64, K)], rest: &str) -> Statement {
    let (wanted, values) = if conn.is_postgres() {
        ("SELECT * FROM unnest($1, $2)".to_owned(), arrays(keys).to_vec())
    } else {
        // Without numbers: SQLite takes `$1` for a name, and looks for each name among all others.
        (format!("VALUES {}", vec!["(?, ?)"; keys.len()].join(", ")), pairs(keys))
    };
    let sql = format!("WITH wanted (a, b) AS ({wanted}) {rest}");
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values)
}

/// Accounts and keys as two arrays for PostgreSQL.
fn arrays<K: Into<Value> + Clone>(keys: &[(i64, K)]) -> [Value; 2] {
    let accounts = keys.iter().map(|(account, _)| Value::from(*account)).collect();
    [array_of(accounts), array_of(keys.iter().map(|(_, key)| key.clone().into()).collect())]
}

/// Accounts and keys one after another for SQLite.
fn pairs<K: Into<Value> + Clone>(keys: &[(i64, K)]) -> Vec<Value> {
    keys.iter().flat_map(|(account, key)| [Value::from(*account), key.clone().into()]).collect()
}

/// The values in lists: for SQLite's `IN (...)`, each filled up to a power of two with its last value.
pub(crate) fn lists<'a, T: Clone>(conn: &Conn, values: &'a [T]) -> impl Iterator<Item = Vec<T>> + use<'a, T> {
    let (most, filled) = if conn.is_postgres() { (usize::MAX, false) } else { (MOST, true) };
    values.chunks(most).map(move |chunk| if filled { fill(chunk) } else { chunk.to_vec() })
}

fn fill<T: Clone>(chunk: &[T]) -> Vec<T> {
    let fill = chunk.len().next_power_of_two() - chunk.len();
    chunk.iter().chain(chunk.last().into_iter().cycle().take(fill)).cloned().collect()
}

/// The largest power of two, or one and a half of one, that is not more.
const fn largest_size(count: usize) -> usize {
    let power = if count.is_power_of_two() { count } else { count.next_power_of_two() / 2 };
    let more = power + power / 2;
    if more <= count { more } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_repeat() {
        for (count, size) in [(1, 1), (2, 2), (3, 3), (4, 4), (7, 6), (25, 24), (255, 192), (256, 256)] {
            assert_eq!(largest_size(count), size);
        }
        assert_eq!(fill(&[256, 257, 258]), [256, 257, 258, 258]);
        assert!(fill::<i32>(&[]).is_empty());
    }
}
