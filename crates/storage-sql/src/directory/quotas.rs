//! What the accounts of a domain may have together.

use async_trait::async_trait;
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use storage::{DomainLimits, DomainUse, Error, Quotas, Result};
use types::{AccountId, Timestamp, address::fold};

use super::SqlDirectory;
use crate::{
    connect::Conn,
    entity::directory::domain_limit,
    error::failed,
    rows,
    statement::{Conflict, insert},
};

#[derive(FromQueryResult)]
struct Id {
    account_id: i64,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

#[async_trait]
impl Quotas for SqlDirectory {
    async fn set_domain_limits(&self, domain: &str, limits: DomainLimits) -> Result<()> {
        let row = domain_limit::Model {
            domain: fold(domain),
            max_bytes: limits.max_bytes.map(rows::stored),
            max_accounts: limits.max_accounts.map(rows::stored),
            used_bytes: 0,
            used_at: 0,
        };
        let replaced = [domain_limit::Column::MaxBytes, domain_limit::Column::MaxAccounts];
        let conn = self.writers.each();
        insert::<domain_limit::Entity>(&conn, vec![row], Conflict::Replaces(&replaced)).await?;
        self.domain_uses.invalidate_all();
        Ok(())
    }

    async fn domain_use(&self, domain: &str) -> Result<DomainUse> {
        let domain = fold(domain);
        if let Some(cached) = self.domain_uses.get(&domain) {
            return Ok(cached);
        }
        let row = domain_limit::Entity::find_by_id(domain.clone()).one(&self.readers.each()).await;
        let found = row.map_err(failed)?.map(|row| view(&row)).unwrap_or_default();
        self.domain_uses.insert(domain, found);
        Ok(found)
    }

    async fn measured_domains(&self) -> Result<Vec<String>> {
        let found = domain_limit::Entity::find()
            .filter(domain_limit::Column::MaxBytes.is_not_null())
            .order_by_asc(domain_limit::Column::Domain)
            .all(&self.readers.each())
            .await;
        Ok(found.map_err(failed)?.into_iter().map(|row| row.domain).collect())
    }

    async fn note_domain_use(&self, domain: &str, used_bytes: u64, now: Timestamp) -> Result<()> {
        let noted = domain_limit::Entity::update_many()
            .set(domain_limit::ActiveModel {
                used_bytes: sea_orm::ActiveValue::Set(rows::stored(used_bytes)),
                used_at: sea_orm::ActiveValue::Set(now.millis()),
                ..Default::default()
            })
            .filter(domain_limit::Column::Domain.eq(fold(domain)));
        noted.exec(&self.writers.each()).await.map_err(failed)?;
        self.domain_uses.invalidate_all();
        Ok(())
    }

    async fn domain_accounts(
        &self,
        domain: &str,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountId>> {
        let conn = self.readers.each();
        let sql = format!(
            "SELECT account_id FROM address WHERE main AND {} = $1 AND account_id > $2 \
             ORDER BY account_id LIMIT $3",
            domain_of(&conn)
        );
        let values = [fold(domain).into(), after.map_or(i64::MIN, |id| id.0).into(), i64::from(limit).into()];
        let found = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
        let found = Id::find_by_statement(found).all(&conn).await.map_err(failed)?;
        Ok(found.into_iter().map(|row| AccountId(row.account_id)).collect())
    }

    async fn count_accounts(&self, domain: &str) -> Result<u64> {
        count(&self.readers.each(), &fold(domain)).await
    }
}

/// Fails if the domain has as many accounts as it may have. Who adds one to a domain with limits waits for others who
/// do.
pub(super) async fn room_for_one(tx: &Conn, domain: &str) -> Result<()> {
    let row =
        domain_limit::Entity::find_by_id(domain.to_owned()).lock_exclusive().one(tx).await.map_err(failed)?;
    let Some(most) = row.and_then(|row| row.max_accounts).map(rows::count) else { return Ok(()) };
    if count(tx, domain).await? < most {
        Ok(())
    } else {
        Err(Error::Reached("the number of the domain's accounts"))
    }
}

async fn count(conn: &Conn, domain: &str) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) AS count FROM address WHERE main AND {} = $1", domain_of(conn));
    let count = Statement::from_sql_and_values(conn.get_database_backend(), sql, [domain.into()]);
    let found = Count::find_by_statement(count).one(conn).await.map_err(failed)?;
    Ok(found.map_or(0, |row| rows::count(row.count)))
}

/// As the index `address_domain` has it.
fn domain_of(conn: &Conn) -> &'static str {
    if conn.is_postgres() {
        "regexp_replace(address_key, '^.*@', '')"
    } else {
        "substr(address_key, length(rtrim(address_key, replace(address_key, '@', ''))) + 1)"
    }
}

fn view(row: &domain_limit::Model) -> DomainUse {
    DomainUse {
        limits: DomainLimits {
            max_bytes: row.max_bytes.map(rows::count),
            max_accounts: row.max_accounts.map(rows::count),
        },
        used_bytes: rows::count(row.used_bytes),
    }
}
