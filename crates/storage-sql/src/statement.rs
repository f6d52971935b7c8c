//! Statements over many rows, in sizes that repeat: a statement's text is then prepared once and found again.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel, Statement,
    Value, sea_query::OnConflict,
};
use storage::Result;

use crate::error::failed;

/// Rows of one statement; with twenty columns far from the 32,766 variables that SQLite takes.
const MOST: usize = 256;

/// Inserts the rows by few statements.
pub(crate) async fn insert<E>(
    conn: &DatabaseTransaction,
    mut rows: Vec<E::Model>,
    conflict: Option<OnConflict>,
) -> Result<()>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    while !rows.is_empty() {
        let rest = rows.split_off(largest_power(rows.len().min(MOST)));
        let mut statement = E::insert_many(
            std::mem::replace(&mut rows, rest).into_iter().map(IntoActiveModel::into_active_model),
        );
        if let Some(conflict) = &conflict {
            statement = statement.on_conflict(conflict.clone());
        }
        statement.exec_without_returning(conn).await.map_err(failed)?;
    }
    Ok(())
}

/// The rows of these accounts and keys, one index look-up each. (Written as `IN`, SQLite would scan the table.)
/// Keys that are named twice may be found twice.
pub(crate) async fn find<E, K>(
    conn: &DatabaseTransaction,
    table: &str,
    column: &str,
    keys: &[(i64, K)],
) -> Result<Vec<E::Model>>
where
    E: EntityTrait,
    K: Into<Value> + Clone,
{
    let places: Vec<_> = (0..keys.len()).map(|at| format!("(${}, ${})", 2 * at + 1, 2 * at + 2)).collect();
    let sql = format!(
        "WITH wanted (a, b) AS (VALUES {}) SELECT {table}.* FROM wanted CROSS JOIN {table} \
         WHERE {table}.account_id = wanted.a AND {table}.{column} = wanted.b",
        places.join(", ")
    );
    let values = keys.iter().flat_map(|(account, key)| [Value::from(*account), key.clone().into()]);
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    E::find().from_raw_sql(statement).all(conn).await.map_err(failed)
}

/// The values in lists for `IN (...)`, each filled up to a power of two with its last value.
pub(crate) fn lists<T: Clone>(values: &[T]) -> impl Iterator<Item = Vec<T>> {
    values.chunks(MOST).map(|chunk| {
        let fill = chunk.len().next_power_of_two() - chunk.len();
        chunk.iter().chain(chunk.last().into_iter().cycle().take(fill)).cloned().collect()
    })
}

const fn largest_power(count: usize) -> usize {
    if count.is_power_of_two() { count } else { count.next_power_of_two() / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        for (count, power) in [(1, 1), (2, 2), (3, 2), (7, 4), (255, 128), (256, 256)] {
            assert_eq!(largest_power(count), power);
        }
        let lists: Vec<_> = lists(&(0..259).collect::<Vec<_>>()).collect();
        assert_eq!(lists[0].len(), 256);
        assert_eq!(lists[1], [256, 257, 258, 258]);
        assert_eq!(super::lists::<i32>(&[]).count(), 0);
    }
}
