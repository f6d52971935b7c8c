//! Signatures of many messages. On SQLite messages that lie together are read as a range of ids, which takes less than to
//! look each of them up.

use std::sync::Arc;

use sea_orm::{DbBackend, Statement, prelude::Uuid};
use storage::Result;
use types::{AccountId, MessageId};

use crate::{
    connect::{Conn, Row},
    error::failed,
    statement::{lists, with_wanted},
};

type Signature = (MessageId, Arc<[u8]>);

/// So many ids tell whether others lie between them. Fewer are looked up.
const TELLING: usize = 64;

/// The signatures of these messages, by their ids, which are in order and named once each.
pub(super) async fn find(conn: &Conn, account: AccountId, ids: &[Uuid]) -> Result<Vec<Signature>> {
    let mut found = Vec::with_capacity(ids.len());
    let mut left = ids;
    if !conn.is_postgres() && ids.len() >= TELLING {
        let (telling, others) = ids.split_at(TELLING);
        left = in_range(conn, account, telling, &mut found).await?;
        if left.is_empty() {
            left = in_range(conn, account, others, &mut found).await?;
        } else {
            left = ids.get(TELLING - left.len()..).unwrap_or_default();
        }
    }
    for list in lists(conn, left) {
        let keys: Vec<_> = list.iter().map(|id| (account.0, *id)).collect();
        let signature = |row: &Row<'_>| Ok((MessageId(row.get(0)?), row.bytes(1)?));
        let wanted = with_wanted(conn, &keys, LOOKED_UP);
        found.extend(conn.each_row(wanted, keys.len(), signature).await.map_err(failed)?);
    }
    // The last list may be filled up with its last id, and PostgreSQL finds them in any order.
    found.sort_unstable_by_key(|(id, _)| *id);
    found.dedup_by_key(|(id, _)| *id);
    Ok(found)
}

const LOOKED_UP: &str = "SELECT m.id AS id, s.bits AS bits FROM wanted CROSS JOIN message AS m \
    CROSS JOIN signature AS s WHERE m.account_id = wanted.a AND m.id = wanted.b \
    AND s.account_id = m.account_id AND s.body_id = m.body_id";

/// Adds what is found from the first of these messages on to the last, unless there are many others between them; those
/// that were not come to are given back.
async fn in_range<'i>(
    conn: &Conn,
    account: AccountId,
    ids: &'i [Uuid],
    found: &mut Vec<Signature>,
) -> Result<&'i [Uuid]> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(ids) };
    let most = ids.len() + ids.len() / 2;
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let values = [account.0.into(), (*first).into(), (*last).into(), limit.into()];
    let range = Statement::from_sql_and_values(DbBackend::Sqlite, IN_RANGE, values);
    let mut wanted = Vec::from(ids).into_iter().peekable();
    // Both are in order.
    let signature = move |row: &Row<'_>| {
        let id = row.get(0)?;
        while wanted.next_if(|wanted| *wanted < id).is_some() {}
        let bits = wanted.next_if_eq(&id).map(|_| row.maybe_bytes(1)).transpose()?.flatten();
        Ok((id, bits))
    };
    let rows = conn.each_row(range, most, signature).await.map_err(failed)?;
    let end = rows.last().filter(|_| rows.len() == most).map_or(*last, |(id, _)| *id);
    found.extend(rows.into_iter().filter_map(|(id, bits)| Some((MessageId(id), bits?))));
    Ok(ids.get(ids.partition_point(|id| *id <= end)..).unwrap_or_default())
}

/// Messages without a signature count, too: they are read.
const IN_RANGE: &str = "SELECT m.id, s.bits FROM message AS m \
    LEFT JOIN signature AS s ON s.account_id = m.account_id AND s.body_id = m.body_id \
    WHERE m.account_id = ? AND m.id BETWEEN ? AND ? ORDER BY m.id LIMIT ?";

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::{DatabaseUrl, Options, Schema, connect::Database};

    /// Every fourth message has no signature.
    const MESSAGES: [&str; 2] = [
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000) \
         INSERT INTO message SELECT 1, CAST(printf('%016d', n) AS BLOB), 1, n, n, n, 0, '', randomblob(16), \
         CAST(printf('%016d', n) AS BLOB), n, n, 1, '', '', '[]', '', '', FALSE, NULL, NULL FROM numbers",
        "INSERT INTO signature SELECT account_id, body_id, CAST(uid AS BLOB) FROM message WHERE uid % 4 > 0",
    ];

    fn id(number: usize) -> Uuid {
        Uuid::from_slice(format!("{number:016}").as_bytes()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_way_finds_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(folder.path().join("shard.db"));
        let options = Options::default();
        let database = Database::new(Schema::Shard, "shard", &url, &options);
        database.open(options.patience).await.unwrap();
        let writer = database.writers().each();
        for sql in MESSAGES {
            writer.execute_unprepared(sql).await.unwrap();
        }
        let conn = database.readers().each();
        let check = async |numbers: Vec<usize>| {
            let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
            let has_one = |number: &&usize| (1..=3_000).contains(*number) && !number.is_multiple_of(4);
            let signature = |number: &usize| (MessageId(id(*number)), number.to_string().into_bytes().into());
            let wanted: Vec<Signature> = numbers.iter().filter(has_one).map(signature).collect();
            assert_eq!(find(&conn, AccountId(1), &ids).await.unwrap(), wanted, "{numbers:?}");
            assert!(find(&conn, AccountId(2), &ids).await.unwrap().is_empty());
        };
        check(Vec::new()).await;
        // Together, with gaps of all sizes, and beyond the ends of what there is.
        for step in 1..=9 {
            for length in [1, TELLING - 1, TELLING, TELLING + 1, 300] {
                check((0..3_010).step_by(step).take(length).collect()).await;
                check((0..3_010).rev().step_by(step).take(length).rev().collect::<Vec<_>>()).await;
            }
        }
        // The first ones tell something else than the others are like.
        check((1..100).chain((100..3_000).step_by(7)).collect()).await;
        check((1..1_000).step_by(7).chain(1_000..2_000).collect()).await;
        check((1..80).chain([2_000, 3_000, 4_000]).collect()).await;
        check((4_000..4_100).collect()).await;
    }
}
