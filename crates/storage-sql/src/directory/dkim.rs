//! Keys that mail is signed with.

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait as _},
};
use storage::{DkimKey, DkimKeys, Error, KeyPhase, Result};
use types::{DkimAlgorithm, DomainId, Secret, Timestamp};

use super::{SqlDirectory, taken};
use crate::{entity::directory::dkim_key, error::failed};

#[async_trait]
impl DkimKeys for SqlDirectory {
    async fn add_dkim_keys(&self, keys: &[DkimKey]) -> Result<()> {
        let tx = self.begin().await?;
        for key in keys {
            let row = dkim_key::ActiveModel {
                domain_id: Set(key.domain.0),
                selector: Set(key.selector.clone()),
                algorithm: Set(key.algorithm.name().to_owned()),
                private_key: Set(key.private_key.expose().clone()),
                public_key: Set(key.public_key.clone()),
                phase: Set(stored(key.phase)),
                created_at: Set(key.created_at.millis()),
                since: Set(key.since.millis()),
            };
            let added = dkim_key::Entity::insert(row).exec_without_returning(&tx).await;
            added.map_err(|error| taken(error, "the selector"))?;
        }
        self.commit(tx).await
    }

    async fn dkim_keys(&self, domain: DomainId) -> Result<Vec<DkimKey>> {
        if let Some(cached) = self.dkim_keys.get(&domain) {
            return Ok(cached);
        }
        let found = dkim_key::Entity::find()
            .filter(dkim_key::Column::DomainId.eq(domain.0))
            .order_by_asc(dkim_key::Column::Selector)
            .all(&self.readers.each())
            .await
            .map_err(failed)?;
        let keys = found.into_iter().map(view).collect::<Result<Vec<_>>>()?;
        self.dkim_keys.insert(domain, keys.clone());
        Ok(keys)
    }

    async fn switch_dkim_keys(&self, domain: DomainId, now: Timestamp) -> Result<bool> {
        let tx = self.begin().await?;
        let of_phase =
            |phase| dkim_key::Column::DomainId.eq(domain.0).and(dkim_key::Column::Phase.eq(stored(phase)));
        let to_phase = |phase| {
            dkim_key::Entity::update_many()
                .col_expr(dkim_key::Column::Phase, Expr::value(stored(phase)))
                .col_expr(dkim_key::Column::Since, Expr::value(now.millis()))
        };
        if dkim_key::Entity::find()
            .filter(of_phase(KeyPhase::Waiting))
            .one(&tx)
            .await
            .map_err(failed)?
            .is_none()
        {
            return Ok(false);
        }
        let retire = to_phase(KeyPhase::Retired).filter(of_phase(KeyPhase::Signing));
        retire.exec(&tx).await.map_err(failed)?;
        let sign = to_phase(KeyPhase::Signing).filter(of_phase(KeyPhase::Waiting));
        sign.exec(&tx).await.map_err(failed)?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn remove_dkim_keys(&self, domain: DomainId, retired_before: Timestamp) -> Result<u64> {
        let tx = self.begin().await?;
        let old = dkim_key::Entity::delete_many()
            .filter(dkim_key::Column::DomainId.eq(domain.0))
            .filter(dkim_key::Column::Phase.eq(stored(KeyPhase::Retired)))
            .filter(dkim_key::Column::Since.lt(retired_before.millis()));
        let removed = old.exec(&tx).await.map_err(failed)?.rows_affected;
        self.commit(tx).await?;
        Ok(removed)
    }
}

const fn stored(phase: KeyPhase) -> i32 {
    match phase {
        KeyPhase::Waiting => 0,
        KeyPhase::Signing => 1,
        KeyPhase::Retired => 2,
    }
}

fn view(row: dkim_key::Model) -> Result<DkimKey> {
    let damaged = || Error::Corrupt(format!("the key {} of domain {}", row.selector, row.domain_id));
    let algorithm = DkimAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == row.algorithm);
    let phases = [KeyPhase::Waiting, KeyPhase::Signing, KeyPhase::Retired];
    let phase = phases.into_iter().find(|phase| stored(*phase) == row.phase);
    Ok(DkimKey {
        domain: DomainId(row.domain_id),
        algorithm: algorithm.ok_or_else(damaged)?,
        phase: phase.ok_or_else(damaged)?,
        selector: row.selector,
        private_key: Secret::new(row.private_key),
        public_key: row.public_key,
        created_at: Timestamp::from_millis(row.created_at),
        since: Timestamp::from_millis(row.since),
    })
}
