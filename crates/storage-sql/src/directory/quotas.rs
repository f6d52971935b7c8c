//! What the accounts of a domain may have together.

use async_trait::async_trait;
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Statement,
    Value,
};
use storage::{DomainLimits, DomainUse, Error, Quotas, Result};
use types::{
    AccountId, Timestamp,
    address::{domain_key, domain_keys, fold},
};

use super::{SqlDirectory, names::preferred};
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
        let tx = self.begin().await?;
        let forms = forms(domain);
        let known = limit_row(&tx, &forms, true).await?;
        // What an earlier version kept under another form is this.
        domain_limit::Entity::delete_many()
            .filter(domain_limit::Column::Domain.is_in(forms.iter().skip(1).map(String::as_str)))
            .exec(&tx)
            .await
            .map_err(failed)?;
        let row = domain_limit::Model {
            domain: domain_key(domain),
            max_bytes: limits.max_bytes.map(rows::stored),
            max_accounts: limits.max_accounts.map(rows::stored),
            used_bytes: known.as_ref().map_or(0, |row| row.used_bytes),
            used_at: known.as_ref().map_or(0, |row| row.used_at),
        };
        let replaced = [domain_limit::Column::MaxBytes, domain_limit::Column::MaxAccounts];
        insert::<domain_limit::Entity>(&tx, vec![row], Conflict::Replaces(&replaced)).await?;
        tx.commit().await.map_err(failed)?;
        self.domain_uses.invalidate_all();
        Ok(())
    }

    async fn domain_use(&self, domain: &str) -> Result<DomainUse> {
        let key = domain_key(domain);
        if let Some(cached) = self.domain_uses.get(&key) {
            return Ok(cached);
        }
        let row = limit_row(&self.readers.each(), &forms(domain), false).await?;
        let found = row.map(|row| view(&row)).unwrap_or_default();
        self.domain_uses.insert(key, found);
        Ok(found)
    }

    async fn measured_domains(&self) -> Result<Vec<String>> {
        let found = domain_limit::Entity::find()
            .filter(domain_limit::Column::MaxBytes.is_not_null())
            .all(&self.readers.each())
            .await;
        let mut domains: Vec<_> =
            found.map_err(failed)?.into_iter().map(|row| domain_key(&row.domain)).collect();
        domains.sort_unstable();
        domains.dedup();
        Ok(domains)
    }

    async fn note_domain_use(&self, domain: &str, used_bytes: u64, now: Timestamp) -> Result<()> {
        let noted = domain_limit::Entity::update_many()
            .set(domain_limit::ActiveModel {
                used_bytes: sea_orm::ActiveValue::Set(rows::stored(used_bytes)),
                used_at: sea_orm::ActiveValue::Set(now.millis()),
                ..Default::default()
            })
            .filter(domain_limit::Column::Domain.is_in(forms(domain)));
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
        let forms = forms(domain);
        let sql = format!(
            "SELECT account_id FROM address WHERE main AND {} AND account_id > ${} \
             ORDER BY account_id LIMIT ${}",
            is_of(&conn, &forms),
            forms.len() + 1,
            forms.len() + 2
        );
        let after = after.map_or(i64::MIN, |id| id.0).into();
        let values = forms.into_iter().map(Value::from).chain([after, i64::from(limit).into()]);
        let found = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
        let found = Id::find_by_statement(found).all(&conn).await.map_err(failed)?;
        Ok(found.into_iter().map(|row| AccountId(row.account_id)).collect())
    }

    async fn count_accounts(&self, domain: &str) -> Result<u64> {
        count(&self.readers.each(), domain).await
    }
}

/// Fails if the domain has as many accounts as it may have. Who adds one to a domain with limits waits for others who
/// do.
pub(super) async fn room_for_one(tx: &Conn, domain: &str) -> Result<()> {
    let row = limit_row(tx, &forms(domain), true).await?;
    let Some(most) = row.and_then(|row| row.max_accounts).map(rows::count) else { return Ok(()) };
    if count(tx, domain).await? < most {
        Ok(())
    } else {
        Err(Error::Reached("the number of the domain's accounts"))
    }
}

/// Every form of the domain in which an earlier version may have kept something, today's first.
fn forms(domain: &str) -> Vec<String> {
    let mut forms = domain_keys(&domain_key(domain));
    let written = fold(domain);
    if !forms.contains(&written) {
        forms.push(written);
    }
    forms
}

/// The row that holds for the domain. Domains that an earlier version kept as two, and are one name, have one for both.
async fn limit_row(conn: &Conn, forms: &[String], to_change: bool) -> Result<Option<domain_limit::Model>> {
    let found = domain_limit::Entity::find()
        .filter(domain_limit::Column::Domain.is_in(forms.iter().map(String::as_str)));
    let found = if to_change { found.lock_exclusive() } else { found };
    Ok(preferred(found.all(conn).await.map_err(failed)?, forms, |row| &row.domain))
}

async fn count(conn: &Conn, domain: &str) -> Result<u64> {
    let forms = forms(domain);
    let sql = format!("SELECT COUNT(*) AS count FROM address WHERE main AND {}", is_of(conn, &forms));
    let count =
        Statement::from_sql_and_values(conn.get_database_backend(), sql, forms.into_iter().map(Value::from));
    let found = Count::find_by_statement(count).one(conn).await.map_err(failed)?;
    Ok(found.map_or(0, |row| rows::count(row.count)))
}

/// Whether an address is of the domain whose forms are the first values.
fn is_of(conn: &Conn, forms: &[String]) -> String {
    let places: Vec<_> = (1..=forms.len()).map(|place| format!("${place}")).collect();
    format!("{} IN ({})", domain_of(conn), places.join(", "))
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
