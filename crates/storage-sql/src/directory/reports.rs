//! What is counted until it is reported, and whose turn that is.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    sea_query::Expr,
};
use storage::{Counted, ReportKind, Reports, Result};
use types::Timestamp;

use super::SqlDirectory;
use crate::{
    connect::Conn,
    entity::directory::report_count,
    error::failed,
    rows,
    statement::{Conflict, insert},
};

#[async_trait]
impl Reports for SqlDirectory {
    async fn add_counts(&self, counts: &[Counted], most_bytes: u64) -> Result<u64> {
        let mut kinds = BTreeMap::<_, Vec<_>>::new();
        for counted in counts {
            kinds.entry((counted.kind, counted.day)).or_default().push(counted);
        }
        let tx = self.begin().await?;
        let mut left_out = 0;
        for ((kind, day), counts) in kinds {
            if bytes_of(&tx, kind, day).await? >= most_bytes {
                left_out += counts.len() as u64;
                continue;
            }
            let mut rows = counts.iter().map(|counted| row(counted)).collect::<Vec<_>>();
            // Nodes that add the same at once lock it in one order.
            rows.sort_unstable_by(|a, b| (&a.domain, &a.digest).cmp(&(&b.domain, &b.digest)));
            insert::<report_count::Entity>(&tx, rows, Conflict::Adds(report_count::Column::Count)).await?;
        }
        // Nothing that is cached has changed.
        tx.commit().await.map_err(failed)?;
        Ok(left_out)
    }

    async fn counted_before(&self, kind: ReportKind, day: i32) -> Result<Vec<(i32, String)>> {
        let found = report_count::Entity::find()
            .select_only()
            .columns([report_count::Column::Day, report_count::Column::Domain])
            .distinct()
            .filter(report_count::Column::Kind.eq(stored(kind)))
            .filter(report_count::Column::Day.lt(day))
            .order_by_asc(report_count::Column::Day)
            .order_by_asc(report_count::Column::Domain)
            .into_tuple::<(i32, String)>();
        found.all(&self.readers.each()).await.map_err(failed)
    }

    async fn counts(
        &self,
        kind: ReportKind,
        day: i32,
        domain: &str,
        limit: u32,
    ) -> Result<Vec<(String, u64)>> {
        let found = report_count::Entity::find()
            .filter(report_count::Column::Kind.eq(stored(kind)))
            .filter(report_count::Column::Day.eq(day))
            .filter(report_count::Column::Domain.eq(domain))
            .order_by_desc(report_count::Column::Count)
            .order_by_asc(report_count::Column::Digest)
            .limit(u64::from(limit));
        let found = found.all(&self.readers.each()).await.map_err(failed)?;
        Ok(found.into_iter().map(|row| (row.detail, rows::count(row.count))).collect())
    }

    async fn forget_counts(&self, kind: ReportKind, day: i32, domain: &str) -> Result<()> {
        let gone = report_count::Entity::delete_many()
            .filter(report_count::Column::Kind.eq(stored(kind)))
            .filter(report_count::Column::Day.eq(day))
            .filter(report_count::Column::Domain.eq(domain));
        gone.exec(&self.writers.each()).await.map_err(failed)?;
        Ok(())
    }

    async fn take_turn(&self, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        let sql = "INSERT INTO turn (name, holder, expires_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
                   WHERE turn.holder = excluded.holder OR turn.expires_at <= $4";
        let values = [name.into(), holder.into(), until.millis().into(), now.millis().into()];
        let conn = self.writers.each();
        let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
        Ok(conn.execute_raw(statement).await.map_err(failed)?.rows_affected() > 0)
    }
}

/// What is there of the kind and day already.
async fn bytes_of(tx: &Conn, kind: ReportKind, day: i32) -> Result<u64> {
    let all = "CAST(COALESCE(SUM(octet_length(domain) + octet_length(detail)), 0) AS BIGINT)";
    let found = report_count::Entity::find()
        .select_only()
        .column_as(Expr::cust(all), "bytes")
        .filter(report_count::Column::Kind.eq(stored(kind)))
        .filter(report_count::Column::Day.eq(day))
        .into_tuple::<i64>();
    Ok(found.one(tx).await.map_err(failed)?.map_or(0, rows::count))
}

fn row(counted: &Counted) -> report_count::Model {
    report_count::Model {
        kind: stored(counted.kind),
        day: counted.day,
        domain: rows::text(counted.domain.clone()),
        digest: counted.digest.to_vec(),
        detail: rows::text(counted.detail.clone()),
        count: rows::stored(counted.count),
    }
}

const fn stored(kind: ReportKind) -> i32 {
    match kind {
        ReportKind::Dmarc => 0,
        ReportKind::Tls => 1,
    }
}
