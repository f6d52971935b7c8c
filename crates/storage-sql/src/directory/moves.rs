//! Moves of buckets, and shards that were added. The row of `service` is locked by whoever changes the bucket map.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _},
};
use storage::{
    Error, Result,
    moves::{AddedShard, Claim, Move, Moves, Phase, Removal},
};
use types::{Bucket, Secret, ShardId, Timestamp};

use super::{SqlDirectory, find_runs, from_runs, taken, to_runs};
use crate::{
    connect::Conn,
    entity::directory::{bucket_move, bucket_run, service, shard},
    error::failed,
    statement::{Conflict, among, insert, lists},
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
        shard::added(&self.readers.each())
            .await
            .map_err(failed)?
            .into_iter()
            .map(shard::Model::view)
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
        // One that was removed may come back.
        shard::Entity::delete_by_id(i32::from(id.0))
            .filter(shard::Column::Url.eq(shard::REMOVED))
            .exec(&tx)
            .await
            .map_err(failed)?;
        let added = shard::Entity::insert(row).exec_without_returning(&tx).await;
        added.map_err(|error| taken(error, "the shard"))?;
        self.commit(tx).await
    }

    async fn set_shard_url(&self, id: ShardId, url: &Secret) -> Result<bool> {
        let tx = self.begin().await?;
        advance(&tx).await?;
        let set = shard::Entity::update_many()
            .col_expr(shard::Column::Url, Expr::value(url.expose().clone()))
            .filter(shard::Column::Id.eq(i32::from(id.0)))
            .filter(shard::Column::Url.ne(shard::REMOVED));
        if set.exec(&tx).await.map_err(failed)?.rows_affected == 0 {
            return Ok(false);
        }
        self.commit(tx).await?;
        Ok(true)
    }

    async fn remove_shard(&self, id: ShardId) -> Result<Removal> {
        let tx = self.begin().await?;
        advance(&tx).await?;
        let map = from_runs(&find_runs(&tx).await?)?;
        let home = (0_u16..).zip(&map.shards).filter(|(_, home)| **home == id);
        let home: Vec<_> = home.map(|(bucket, _)| Bucket(bucket)).collect();
        if !home.is_empty() {
            return Ok(Removal::Home(home));
        }
        let number = i32::from(id.0);
        let moves = bucket_move::Entity::find()
            .filter(bucket_move::Column::SourceId.eq(number).or(bucket_move::Column::TargetId.eq(number)))
            .order_by_asc(bucket_move::Column::Bucket);
        let moves = moves.all(&tx).await.map_err(failed)?;
        if !moves.is_empty() {
            let buckets = moves.iter().map(|row| view(row).map(|row| row.bucket));
            return buckets.collect::<Result<_>>().map(Removal::Moving);
        }
        // The row stays, so that the number is not given to another database.
        let removed = shard::Entity::update_many()
            .col_expr(shard::Column::Url, Expr::value(shard::REMOVED))
            .filter(shard::Column::Id.eq(number))
            .filter(shard::Column::Url.ne(shard::REMOVED));
        let removed = removed.exec(&tx).await.map_err(failed)?;
        if removed.rows_affected == 0 {
            return Ok(Removal::Unknown);
        }
        self.commit(tx).await?;
        Ok(Removal::Removed)
    }

    async fn moves(&self) -> Result<Vec<Move>> {
        let rows = bucket_move::Entity::find().order_by_asc(bucket_move::Column::Bucket);
        rows.all(&self.readers.each()).await.map_err(failed)?.iter().map(view).collect()
    }

    async fn claim_moves(&self, buckets: &[Bucket], to: ShardId, claim: &Claim) -> Result<Vec<Move>> {
        let tx = self.begin().await?;
        lock(&tx).await?;
        check_target(&tx, to).await?;
        let mut known: BTreeMap<_, _> =
            find_moves(&tx, buckets).await?.into_iter().map(|row| (row.bucket, row)).collect();
        let map = from_runs(&find_runs(&tx).await?)?;
        let (mut claimed, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for bucket in buckets {
            let number = i32::from(bucket.0);
            let row = match known.remove(&number) {
                Some(row) if !row.is_free_for(claim) => continue,
                Some(row) => {
                    old.push(number);
                    row.taken_by(claim)
                }
                None => {
                    let from = map.shards.get(usize::from(bucket.0)).copied().unwrap_or_default();
                    let row = bucket_move::Model {
                        bucket: number,
                        source_id: i32::from(from.0),
                        target_id: i32::from(to.0),
                        phase: COPYING,
                        mover: claim.mover.clone(),
                        beat_at: claim.now.millis(),
                        started_at: claim.now.millis(),
                    };
                    new.push(row.clone());
                    row
                }
            };
            claimed.push(view(&row)?);
        }
        take(&tx, &old, &claim.mover, claim.now).await?;
        insert::<bucket_move::Entity>(&tx, new, Conflict::Fails).await?;
        self.commit(tx).await?;
        Ok(claimed)
    }

    async fn take_over(&self, bucket: Bucket, claim: &Claim) -> Result<Option<Move>> {
        let tx = self.begin().await?;
        lock(&tx).await?;
        let found = find_moves(&tx, &[bucket]).await?.pop().filter(|row| row.is_free_for(claim));
        let Some(row) = found else { return Ok(None) };
        take(&tx, &[row.bucket], &claim.mover, claim.now).await?;
        self.commit(tx).await?;
        view(&row.taken_by(claim)).map(Some)
    }

    async fn beat_all(&self, buckets: &[Bucket], mover: &str, now: Timestamp) -> Result<Vec<Bucket>> {
        let tx = self.begin().await?;
        lock(&tx).await?;
        let mut known = find_moves(&tx, buckets).await?;
        known.retain(|known| known.mover == mover);
        let numbers: Vec<_> = known.iter().map(|row| row.bucket).collect();
        take(&tx, &numbers, mover, now).await?;
        self.commit(tx).await?;
        known.iter().map(|row| view(row).map(|row| row.bucket)).collect()
    }

    async fn switch(&self, buckets: &[Bucket], mover: &str, now: Timestamp) -> Result<bool> {
        let tx = self.begin().await?;
        advance(&tx).await?;
        let mut known = find_moves(&tx, buckets).await?;
        known.retain(|known| known.mover == mover);
        if known.len() < buckets.len() {
            return Ok(false);
        }
        let mut map = from_runs(&find_runs(&tx).await?)?;
        for row in &known {
            let bucket = usize::try_from(row.bucket).map_err(|_| Error::Corrupt("a bucket".to_owned()))?;
            if let Some(place) = map.shards.get_mut(bucket) {
                *place = shard_id(row.target_id)?;
            }
        }
        bucket_run::Entity::delete_many().exec(&tx).await.map_err(failed)?;
        insert::<bucket_run::Entity>(&tx, to_runs(&map), Conflict::Fails).await?;
        let numbers: Vec<_> = known.iter().map(|row| row.bucket).collect();
        for list in lists(&tx, &numbers) {
            let switched = bucket_move::Entity::update_many()
                .col_expr(bucket_move::Column::Phase, Expr::value(CLEANING))
                .col_expr(bucket_move::Column::BeatAt, Expr::value(now.millis()))
                .filter(among(&tx, bucket_move::Column::Bucket, list));
            switched.exec(&tx).await.map_err(failed)?;
        }
        self.commit(tx).await?;
        Ok(true)
    }

    async fn end_moves(&self, buckets: &[Bucket], mover: &str) -> Result<()> {
        let tx = self.begin().await?;
        let numbers: Vec<_> = buckets.iter().map(|bucket| i32::from(bucket.0)).collect();
        for list in lists(&tx, &numbers) {
            let over = bucket_move::Entity::delete_many()
                .filter(among(&tx, bucket_move::Column::Bucket, list))
                .filter(bucket_move::Column::Mover.eq(mover));
            over.exec(&tx).await.map_err(failed)?;
        }
        self.commit(tx).await
    }
}

/// The moves of these buckets, each once.
async fn find_moves(tx: &Conn, buckets: &[Bucket]) -> Result<Vec<bucket_move::Model>> {
    let numbers: Vec<_> = buckets.iter().map(|bucket| i32::from(bucket.0)).collect();
    let mut found = Vec::new();
    for list in lists(tx, &numbers) {
        let rows = bucket_move::Entity::find().filter(among(tx, bucket_move::Column::Bucket, list));
        found.extend(rows.all(tx).await.map_err(failed)?);
    }
    found.sort_unstable_by_key(|row| row.bucket);
    found.dedup_by_key(|row| row.bucket);
    Ok(found)
}

impl SqlDirectory {
    /// The highest number that an added shard has or had.
    pub(crate) async fn last_shard(&self) -> Result<Option<ShardId>> {
        let last = shard::Entity::find().order_by_desc(shard::Column::Id).one(&self.readers.each()).await;
        last.map_err(failed)?.map(|row| shard_id(row.id)).transpose()
    }
}

impl bucket_move::Model {
    fn is_free_for(&self, claim: &Claim) -> bool {
        self.mover == claim.mover || self.beat_at <= claim.silent_since.millis()
    }

    fn taken_by(self, claim: &Claim) -> Self {
        Self { mover: claim.mover.clone(), beat_at: claim.now.millis(), ..self }
    }
}

/// Notes the mover of moves that are there.
async fn take(tx: &Conn, buckets: &[i32], mover: &str, now: Timestamp) -> Result<()> {
    for list in lists(tx, buckets) {
        let taken = bucket_move::Entity::update_many()
            .col_expr(bucket_move::Column::Mover, Expr::value(mover))
            .col_expr(bucket_move::Column::BeatAt, Expr::value(now.millis()))
            .filter(among(tx, bucket_move::Column::Bucket, list));
        taken.exec(tx).await.map_err(failed)?;
    }
    Ok(())
}

/// An error if the shard has been removed.
async fn check_target(tx: &Conn, id: ShardId) -> Result<()> {
    let row = shard::Entity::find_by_id(i32::from(id.0)).one(tx).await.map_err(failed)?;
    match row.is_some_and(|row| row.url == shard::REMOVED) {
        true => Err(Error::Backend(format!("shard {id} has been removed").into())),
        false => Ok(()),
    }
}

impl shard::Model {
    pub(crate) fn view(self) -> Result<AddedShard> {
        Ok(AddedShard {
            id: shard_id(self.id)?,
            url: Secret::new(self.url),
            added_at: Timestamp::from_millis(self.added_at),
        })
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
