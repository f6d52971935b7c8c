//! Passwords of mail programs.

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};
use storage::{AppPassword, AppPasswords, Error, NewAppPassword, Result};
use types::{AccountId, AppPasswordId, Secret, Timestamp};

use super::{SqlDirectory, endings};
use crate::{
    connect::Conn,
    entity::directory::{account, app_password},
    error::failed,
    rows,
    statement::{among, lists},
};

#[async_trait]
impl AppPasswords for SqlDirectory {
    async fn add_app_password(&self, new: NewAppPassword, most: u32) -> Result<Option<AppPassword>> {
        let tx = self.begin().await?;
        // Who adds another waits, so that there are never too many.
        let owner = account::Entity::find_by_id(new.account.0).lock_exclusive().one(&tx).await;
        let is_same = |owner: &account::Model| owner.password_hash == *new.password_hash.expose();
        if owner.map_err(failed)?.filter(is_same).is_none() {
            return Ok(None);
        }
        let of_account = app_password::Column::AccountId.eq(new.account.0);
        let count = good().filter(of_account).count(&tx).await.map_err(failed)?;
        if count >= u64::from(most) {
            return Err(Error::Reached("the number of app passwords"));
        }
        let row = app_password::ActiveModel {
            id: NotSet,
            account_id: Set(new.account.0),
            password_hash: Set(new.password_hash.expose().clone()),
            name: Set(rows::text(new.name)),
            digest: Set(new.digest.to_vec()),
            scram: Set(new.keys.map(|keys| keys.expose().clone())),
            created_at: Set(new.created_at.millis()),
            used_at: Set(None),
        };
        let row = app_password::Entity::insert(row).exec_with_returning(&tx).await.map_err(failed)?;
        self.commit(tx).await?;
        view(row).map(Some)
    }

    async fn all_app_passwords(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, AppPassword)>> {
        let conn = self.readers.each();
        let ids: Vec<_> = accounts.iter().map(|account| account.0).collect();
        let mut rows = Vec::new();
        for list in lists(&conn, &ids) {
            let of_these = among(&conn, app_password::Column::AccountId, list);
            rows.extend(good().filter(of_these).all(&conn).await.map_err(failed)?);
        }
        rows.sort_unstable_by_key(|row| (row.account_id, row.id));
        rows.into_iter().map(|row| Ok((AccountId(row.account_id), view(row)?))).collect()
    }

    async fn lets_in(&self, account: AccountId, id: AppPasswordId) -> Result<bool> {
        let found = good()
            .filter(app_password::Column::Id.eq(id.0))
            .filter(app_password::Column::AccountId.eq(account.0))
            .filter(Expr::cust(IS_OPEN))
            .one(&self.readers.each())
            .await;
        Ok(found.map_err(failed)?.is_some())
    }

    async fn use_app_password(&self, account: AccountId, id: AppPasswordId, now: Timestamp) -> Result<()> {
        app_password::Entity::update_many()
            .col_expr(app_password::Column::UsedAt, Expr::value(now.millis()))
            .filter(app_password::Column::Id.eq(id.0))
            .filter(app_password::Column::AccountId.eq(account.0))
            .exec(&self.writers.each())
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn remove_app_password(&self, account: AccountId, id: AppPasswordId) -> Result<Option<i64>> {
        let tx = self.begin().await?;
        let gone = app_password::Entity::delete_many()
            .filter(app_password::Column::Id.eq(id.0))
            .filter(app_password::Column::AccountId.eq(account.0))
            .exec(&tx)
            .await
            .map_err(failed)?;
        if gone.rows_affected == 0 {
            return Ok(None);
        }
        let number = endings::note(&tx, account, false).await?;
        self.commit(tx).await?;
        Ok(Some(number))
    }
}

/// Those that were made with the password that the account has now.
fn good() -> sea_orm::Select<app_password::Entity> {
    app_password::Entity::find().filter(Expr::cust(IS_GOOD))
}

const IS_GOOD: &str = "EXISTS (SELECT 1 FROM account AS owner WHERE owner.id = app_password.account_id \
     AND owner.password_hash = app_password.password_hash)";
const IS_OPEN: &str = "EXISTS (SELECT 1 FROM account AS owner WHERE owner.id = app_password.account_id \
     AND owner.enabled = TRUE)";

/// Takes away all of the account's.
pub(super) async fn forget(tx: &Conn, account: AccountId) -> Result<()> {
    let all = app_password::Column::AccountId.eq(account.0);
    app_password::Entity::delete_many().filter(all).exec(tx).await.map_err(failed)?;
    Ok(())
}

fn view(row: app_password::Model) -> Result<AppPassword> {
    let damaged = |_| Error::Corrupt("the digest of an app password".to_owned());
    Ok(AppPassword {
        id: AppPasswordId(row.id),
        name: row.name,
        digest: row.digest.try_into().map_err(damaged)?,
        keys: row.scram.map(Secret::new),
        created_at: Timestamp::from_millis(row.created_at),
        used_at: row.used_at.map(Timestamp::from_millis),
    })
}
