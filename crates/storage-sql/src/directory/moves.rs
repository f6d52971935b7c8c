//! Moves of buckets, and shards that were added. The row of `service` is locked by whoever changes the bucket map.

use async_trait::async_trait;
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _},
};
use storage::{
    Error, Result,
    moves::{AddedShard, Claim, Move, Moves, Phase},
};
use types::{Bucket, Secret, ShardId, Timestamp};

use super::{SqlDirectory, find_runs, from_runs, taken, to_runs};
use crate::{
    connect::Conn,
    entity::directory::{bucket_move, bucket_run, service, shard},
    error::failed,
};

/// The only row of `service`.
const ONE: i32 = 1;
const COPYING: i32 = 0;
const CLEANING: i32 = 1;

#[async_trait]
impl Moves for SqlDirectory {
    async fn service_id(&self) -> Result<String> {
        let tx = self.begin().await?;
        let known = service::Entity::find_by_id(ONE).one(&tx).await.map_err(failed)?;
        if let Some(known) = known {
            return Ok(known.id);
        }
        let random =
            if tx.is_postgres() { "CAST(gen_random_uuid() AS TEXT)" } else { "lower(hex(randomblob(16)))" };
        let sql = format!(
            "INSERT INTO service (one, id, map_version) VALUES ({ONE}, {random}, 1) ON CONFLICT (one) DO NOTHING"
        );
        tx.execute_unprepared(&sql).await.map_err(failed)?;
        let known = service::Entity::find_by_id(ONE).one(&tx).await.map_err(failed)?;
        self.commit(tx).await?;
        known.map(|known| known.id).ok_or_else(|| Error::Backend("the service has no id".into()))
    }

    async fn map_version(&self) -> Result<i64> {
        let row = service::Entity::find_by_id(ONE).one(&self.readers.each()).await.map_err(failed)?;
        Ok(row.map_or(0, |row| row.map_version))
    }

    async fn added_shards(&self) -> Result<Vec<AddedShard>> {
        let rows = shard::Entity::find().order_by_asc(shard::Column::Id).all(&self.readers.each()).await;
        rows.map_err(failed)?
            .into_iter()
            .map(|row| {
                Ok(AddedShard {
                    id: shard_id(row.id)?,
                    url: Secret::new(row.url),
                    added_at: Timestamp::from_millis(row.added_at),
                })
            })
            .collect()
    }

    async fn add_shard(&self, id: ShardId, url: &Secret, now: Timestamp) -> Result<()> {
        let tx = self.begin().await?;
        advance(&tx).await?;
        let row = shard::ActiveModel {
            id: Set(i32::from(id.0)),
            url: Set(url.expose().clone()),
            added_at: Set(now.millis()),
        };
        let added = shard::Entity::insert(row).exec_without_returning(&tx).await;
        added.map_err(|error| taken(error, "the shard"))?;
        self.commit(tx).await
    }

    async fn moves(&self) -> Result<Vec<Move>> {
        let rows = bucket_move::Entity::find().order_by_asc(bucket_move::Column::Bucket);
        rows.all(&self.readers.each()).await.map_err(failed)?.iter().map(view).collect()
    }

    async fn claim_move(&self, bucket: Bucket, to: ShardId, claim: &Claim) -> Result<Option<Move>> {
        let tx = self.begin().await?;
        lock(&tx).await?;
        let known = bucket_move::Entity::find_by_id(i32::from(bucket.0)).one(&tx).await.map_err(failed)?;
        let row = match known {
            Some(known) if known.mover != claim.mover && known.beat_at > claim.silent_since.millis() => {
                return Ok(None);
            }
            Some(known) => {
                let row =
                    bucket_move::Model { mover: claim.mover.clone(), beat_at: claim.now.millis(), ..known };
                let change = row.clone().into_active_model().reset_all();
                bucket_move::Entity::update(change).exec(&tx).await.map_err(failed)?;
                row
            }
            None => {
                let map = from_runs(&find_runs(&tx).await?)?;
                let from = map.shards.get(usize::from(bucket.0)).copied().unwrap_or_default();
                let row = bucket_move::Model {
                    bucket: i32::from(bucket.0),
                    source_id: i32::from(from.0),
                    target_id: i32::from(to.0),
                    phase: COPYING,
                    mover: claim.mover.clone(),
                    beat_at: claim.now.millis(),
                    started_at: claim.now.millis(),
                };
                let new = row.clone().into_active_model();
                bucket_move::Entity::insert(new).exec_without_returning(&tx).await.map_err(failed)?;
                row
            }
        };
        self.commit(tx).await?;
        view(&row).map(Some)
    }

    async fn beat(&self, bucket: Bucket, mover: &str, now: Timestamp) -> Result<bool> {
        let beat = bucket_move::Entity::update_many()
            .col_expr(bucket_move::Column::BeatAt, Expr::value(now.millis()))
            .filter(bucket_move::Column::Bucket.eq(i32::from(bucket.0)))
            .filter(bucket_move::Column::Mover.eq(mover));
        Ok(beat.exec(&self.writers.each()).await.map_err(failed)?.rows_affected > 0)
    }

    async fn switch(&self, bucket: Bucket, mover: &str, now: Timestamp) -> Result<bool> {
        let tx = self.begin().await?;
        advance(&tx).await?;
        let known = bucket_move::Entity::find_by_id(i32::from(bucket.0)).one(&tx).await.map_err(failed)?;
        let Some(known) = known.filter(|known| known.mover == mover) else { return Ok(false) };
        let mut map = from_runs(&find_runs(&tx).await?)?;
        if let Some(place) = map.shards.get_mut(usize::from(bucket.0)) {
            *place = shard_id(known.target_id)?;
        }
        bucket_run::Entity::delete_many().exec(&tx).await.map_err(failed)?;
        let runs = to_runs(&map).into_iter().map(IntoActiveModel::into_active_model);
        bucket_run::Entity::insert_many(runs).exec_without_returning(&tx).await.map_err(failed)?;
        let row = bucket_move::Model { phase: CLEANING, beat_at: now.millis(), ..known };
        let change = row.into_active_model().reset_all();
        bucket_move::Entity::update(change).exec(&tx).await.map_err(failed)?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn end_move(&self, bucket: Bucket, mover: &str) -> Result<()> {
        let over = bucket_move::Entity::delete_many()
            .filter(bucket_move::Column::Bucket.eq(i32::from(bucket.0)))
            .filter(bucket_move::Column::Mover.eq(mover));
        over.exec(&self.writers.each()).await.map_err(failed)?;
        Ok(())
    }
}

/// One transaction at a time changes moves and the map.
async fn lock(tx: &Conn) -> Result<()> {
    let row = service::Entity::find_by_id(ONE).lock_exclusive().one(tx).await.map_err(failed)?;
    row.map(|_| ()).ok_or_else(|| Error::Backend("the service has no id yet".into()))
}

/// The same, and says that the map changes.
async fn advance(tx: &Conn) -> Result<()> {
    lock(tx).await?;
    let next = Expr::col(service::Column::MapVersion).add(1);
    let next = service::Entity::update_many().col_expr(service::Column::MapVersion, next);
    next.exec(tx).await.map_err(failed)?;
    Ok(())
}

fn shard_id(stored: i32) -> Result<ShardId> {
    u16::try_from(stored).map(ShardId).map_err(|_| Error::Corrupt("the number of a shard".to_owned()))
}

fn view(row: &bucket_move::Model) -> Result<Move> {
    Ok(Move {
        bucket: Bucket(u16::try_from(row.bucket).map_err(|_| Error::Corrupt("a bucket".to_owned()))?),
        from: shard_id(row.source_id)?,
        to: shard_id(row.target_id)?,
        phase: if row.phase == CLEANING { Phase::Cleaning } else { Phase::Copying },
        mover: row.mover.clone(),
        beat_at: Timestamp::from_millis(row.beat_at),
        started_at: Timestamp::from_millis(row.started_at),
    })
}
