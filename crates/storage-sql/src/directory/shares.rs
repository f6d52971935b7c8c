//! Who may share something with whom.

use async_trait::async_trait;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use storage::{Result, Shares};
use types::AccountId;

use super::SqlDirectory;
use crate::{
    connect::Conn,
    entity::directory::share,
    error::failed,
    statement::{Conflict, insert},
};

#[async_trait]
impl Shares for SqlDirectory {
    async fn add_share(&self, owner: AccountId, grantee: AccountId) -> Result<()> {
        let row = share::Model { grantee_id: grantee.0, owner_id: owner.0 };
        insert::<share::Entity>(&self.writers.each(), vec![row], Conflict::Stays).await
    }

    async fn remove_share(&self, owner: AccountId, grantee: AccountId) -> Result<()> {
        let gone = share::Entity::delete_by_id((grantee.0, owner.0)).exec(&self.writers.each()).await;
        gone.map(|_| ()).map_err(failed)
    }

    async fn sharers(&self, grantee: AccountId, limit: u32) -> Result<Vec<AccountId>> {
        let found = share::Entity::find()
            .filter(share::Column::GranteeId.eq(grantee.0))
            .order_by_asc(share::Column::OwnerId)
            .limit(u64::from(limit));
        let found = found.all(&self.readers.each()).await.map_err(failed)?;
        Ok(found.into_iter().map(|row| AccountId(row.owner_id)).collect())
    }
}

/// What an account shares or is shared with it, when it goes.
pub(super) async fn forget(tx: &Conn, account: AccountId) -> Result<()> {
    for column in [share::Column::GranteeId, share::Column::OwnerId] {
        let gone = share::Entity::delete_many().filter(column.eq(account.0));
        gone.exec(tx).await.map_err(failed)?;
    }
    Ok(())
}
