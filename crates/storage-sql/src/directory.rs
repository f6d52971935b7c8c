//! The directory: read through a cache that lives for two seconds, since a command in another process may change it.

mod app_passwords;
mod dkim;
mod door;
mod endings;
mod moves;
mod names;
mod nodes;
mod quotas;
mod reports;
mod shares;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use moka::sync::Cache;
use sea_orm::{
    ActiveValue::{NotSet, Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, SqlErr,
};
use storage::{
    Account, Ban, BucketMap, Directory, DkimKey, Domain, DomainUse, Ending, Error, Group, NewAccount, Node,
    Result, Session, UNLIMITED,
};
use types::{
    AccountId, Bucket, DomainId, EmailAddress, Secret, ShardId, Timestamp,
    address::{domain_key, fold},
};

use self::names::{add_address, find_address, find_domain};
use crate::{
    DatabaseUrl, Schema,
    connect::{Conn, Database, Options, Pool},
    entity::directory::{account, address, bucket_run, domain, session},
    error::failed,
    rows,
    statement::{among, lists},
};

/// The directory in an SQL database.
pub struct SqlDirectory {
    readers: Pool,
    writers: Pool,
    domains: Cache<String, Option<Domain>>,
    accounts: Cache<AccountId, Option<Account>>,
    addresses: Cache<String, Option<AccountId>>,
    admins: Cache<(), Vec<Account>>,
    groups: Cache<String, Option<Group>>,
    limits: Cache<String, Option<u64>>,
    domain_uses: Cache<String, DomainUse>,
    bans: Cache<IpAddr, Option<Ban>>,
    /// They never change.
    secrets: Cache<String, [u8; 32]>,
    dkim_keys: Cache<DomainId, Vec<DkimKey>>,
    /// See [`Options::quota_bytes`].
    quota_bytes: Option<u64>,
}

impl SqlDirectory {
    /// Opens the database, making an SQLite file if it is missing and bringing it up to this version.
    pub async fn open(url: &DatabaseUrl, options: &Options) -> Result<Self> {
        let database = Database::new(Schema::Directory, "directory", url, options);
        database.open(options.patience).await?;
        database.health.announce(true);
        Ok(Self {
            readers: database.readers(),
            writers: database.writers(),
            domains: cache(),
            accounts: cache(),
            addresses: cache(),
            admins: cache(),
            groups: cache(),
            limits: cache(),
            domain_uses: cache(),
            bans: cache(),
            secrets: Cache::new(100),
            dkim_keys: cache(),
            quota_bytes: options.quota_bytes,
        })
    }

    async fn begin(&self) -> Result<Conn> {
        self.writers.begin().await.map_err(failed)
    }

    async fn commit(&self, tx: Conn) -> Result<()> {
        tx.commit().await.map_err(failed)?;
        self.domains.invalidate_all();
        self.accounts.invalidate_all();
        self.addresses.invalidate_all();
        self.admins.invalidate_all();
        self.groups.invalidate_all();
        self.dkim_keys.invalidate_all();
        Ok(())
    }

    fn view_account(&self, row: account::Model) -> Result<Account> {
        let own_quota_bytes = row.quota_bytes.map(rows::count);
        let quota_bytes = match own_quota_bytes {
            Some(own) => Some(own).filter(|own| *own < UNLIMITED),
            None => self.quota_bytes,
        };
        Ok(Account {
            id: AccountId(row.id),
            email: parse(&row.email)?,
            name: row.name,
            password_hash: Secret::new(row.password_hash),
            enabled: row.enabled,
            admin: row.admin,
            quota_bytes,
            own_quota_bytes,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }

    async fn update_account(&self, change: account::ActiveModel) -> Result<bool> {
        let tx = self.begin().await?;
        let id = change.id.clone().take().unwrap_or_default();
        let changed = account::Entity::update_many()
            .set(change)
            .filter(account::Column::Id.eq(id))
            .exec(&tx)
            .await
            .map_err(failed)?;
        self.commit(tx).await?;
        Ok(changed.rows_affected > 0)
    }
}

#[async_trait]
impl Directory for SqlDirectory {
    async fn add_domain(&self, name: &str, now: Timestamp) -> Result<Domain> {
        let new =
            domain::ActiveModel { id: NotSet, name: Set(domain_key(name)), created_at: Set(now.millis()) };
        let tx = self.begin().await?;
        if find_domain(&tx, name).await?.is_some() {
            return Err(Error::Exists("the domain"));
        }
        let row = domain::Entity::insert(new).exec_with_returning(&tx).await;
        let row = row.map_err(|error| taken(error, "the domain"))?;
        self.commit(tx).await?;
        Ok(view_domain(row))
    }

    async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        let written = fold(name);
        if let Some(cached) = self.domains.get(&written) {
            return Ok(cached);
        }
        let found = find_domain(&self.readers.each(), &written).await?;
        self.domains.insert(written, found.clone());
        Ok(found)
    }

    async fn domains(&self) -> Result<Vec<Domain>> {
        let all = domain::Entity::find().order_by_asc(domain::Column::Name).all(&self.readers.each()).await;
        Ok(all.map_err(failed)?.into_iter().map(view_domain).collect())
    }

    async fn add_account(&self, new: NewAccount) -> Result<Option<Account>> {
        let tx = self.begin().await?;
        if find_domain(&tx, new.email.domain()).await?.is_none() {
            return Ok(None);
        }
        quotas::room_for_one(&tx, &new.email.domain_key()).await?;
        let row = account::ActiveModel {
            id: NotSet,
            email: Set(new.email.to_string()),
            name: Set(rows::text(new.name)),
            password_hash: Set(new.password_hash.expose().clone()),
            enabled: Set(true),
            quota_bytes: Set(new.own_quota_bytes.map(rows::stored)),
            created_at: Set(new.created_at.millis()),
            scram: Set(None),
            admin: Set(false),
        };
        let row = account::Entity::insert(row).exec_with_returning(&tx).await.map_err(failed)?;
        add_address(&tx, row.id, &new.email, true).await?;
        self.commit(tx).await?;
        self.view_account(row).map(Some)
    }

    async fn restore_account(&self, old: &Account, aliases: &[EmailAddress]) -> Result<bool> {
        let tx = self.begin().await?;
        for address in aliases.iter().chain([&old.email]) {
            if find_domain(&tx, address.domain()).await?.is_none() {
                return Ok(false);
            }
        }
        let row = account::ActiveModel {
            id: Set(old.id.0),
            email: Set(old.email.to_string()),
            name: Set(old.name.clone()),
            password_hash: Set(old.password_hash.expose().clone()),
            enabled: Set(old.enabled),
            quota_bytes: Set(old.own_quota_bytes.map(rows::stored)),
            created_at: Set(old.created_at.millis()),
            scram: Set(None),
            admin: Set(old.admin),
        };
        let added = account::Entity::insert(row).exec_without_returning(&tx).await;
        added.map_err(|error| taken(error, "the account"))?;
        if tx.is_postgres() {
            // SQLite counts from the highest id by itself.
            tx.execute_unprepared(NEXT_ACCOUNT).await.map_err(failed)?;
        }
        add_address(&tx, old.id.0, &old.email, true).await?;
        for alias in aliases {
            add_address(&tx, old.id.0, alias, false).await?;
        }
        self.commit(tx).await?;
        Ok(true)
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>> {
        match self.accounts.get(&id) {
            Some(cached) => Ok(cached),
            None => self.account_now(id).await,
        }
    }

    async fn account_now(&self, id: AccountId) -> Result<Option<Account>> {
        let row = account::Entity::find_by_id(id.0).one(&self.readers.each()).await.map_err(failed)?;
        let found = row.map(|row| self.view_account(row)).transpose()?;
        self.accounts.insert(id, found.clone());
        Ok(found)
    }

    async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Result<Vec<Account>> {
        let found = account::Entity::find()
            .filter(account::Column::Id.gt(after.map_or(i64::MIN, |id| id.0)))
            .order_by_asc(account::Column::Id)
            .limit(u64::from(limit));
        let found = found.all(&self.readers.each()).await.map_err(failed)?;
        found.into_iter().map(|row| self.view_account(row)).collect()
    }

    async fn set_password(&self, id: AccountId, password_hash: Secret) -> Result<bool> {
        let password_hash = Set(password_hash.expose().clone());
        let change = account::ActiveModel {
            id: Unchanged(id.0),
            password_hash,
            scram: Set(None),
            ..Default::default()
        };
        let tx = self.begin().await?;
        let changed = account::Entity::update_many()
            .set(change)
            .filter(account::Column::Id.eq(id.0))
            .exec(&tx)
            .await
            .map_err(failed)?;
        app_passwords::forget(&tx, id).await?;
        self.commit(tx).await?;
        Ok(changed.rows_affected > 0)
    }

    async fn set_enabled(&self, id: AccountId, enabled: bool) -> Result<bool> {
        let enabled = Set(enabled);
        self.update_account(account::ActiveModel { id: Unchanged(id.0), enabled, ..Default::default() }).await
    }

    async fn set_quota(&self, id: AccountId, own_quota_bytes: Option<u64>) -> Result<bool> {
        let quota_bytes = Set(own_quota_bytes.map(rows::stored));
        self.update_account(account::ActiveModel { id: Unchanged(id.0), quota_bytes, ..Default::default() })
            .await
    }

    async fn remove_account(&self, id: AccountId) -> Result<bool> {
        let tx = self.begin().await?;
        let gone = account::Entity::delete_by_id(id.0).exec(&tx).await.map_err(failed)?;
        let own = address::Entity::find().filter(address::Column::AccountId.eq(id.0));
        for own in own.all(&tx).await.map_err(failed)? {
            door::remove_targets(&tx, &own.address_key).await?;
        }
        let addresses = address::Entity::delete_many().filter(address::Column::AccountId.eq(id.0));
        addresses.exec(&tx).await.map_err(failed)?;
        let sessions = session::Entity::delete_many().filter(session::Column::AccountId.eq(id.0));
        sessions.exec(&tx).await.map_err(failed)?;
        app_passwords::forget(&tx, id).await?;
        shares::forget(&tx, id).await?;
        self.commit(tx).await?;
        Ok(gone.rows_affected > 0)
    }

    async fn add_alias(&self, account: AccountId, alias: &EmailAddress) -> Result<bool> {
        let tx = self.begin().await?;
        let owner = account::Entity::find_by_id(account.0).lock_exclusive().one(&tx).await.map_err(failed)?;
        if owner.is_none() || find_domain(&tx, alias.domain()).await?.is_none() {
            return Ok(false);
        }
        add_address(&tx, account.0, alias, false).await?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn remove_alias(&self, alias: &EmailAddress) -> Result<bool> {
        let tx = self.begin().await?;
        let Some(known) = find_address(&tx, &alias.keys()).await? else { return Ok(false) };
        let gone = address::Entity::delete_many()
            .filter(address::Column::AddressKey.eq(known.address_key.as_str()))
            .filter(address::Column::Main.eq(false));
        let gone = gone.exec(&tx).await.map_err(failed)?;
        if gone.rows_affected > 0 {
            door::remove_targets(&tx, &known.address_key).await?;
        }
        self.commit(tx).await?;
        Ok(gone.rows_affected > 0)
    }

    async fn addresses(&self, account: AccountId) -> Result<Vec<EmailAddress>> {
        let found = address::Entity::find()
            .filter(address::Column::AccountId.eq(account.0))
            .order_by_desc(address::Column::Main)
            .order_by_asc(address::Column::AddressKey);
        found.all(&self.readers.each()).await.map_err(failed)?.iter().map(|row| parse(&row.address)).collect()
    }

    async fn aliases(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, EmailAddress)>> {
        let conn = self.readers.each();
        let ids: Vec<_> = accounts.iter().map(|account| account.0).collect();
        let mut rows = Vec::new();
        for list in lists(&conn, &ids) {
            let found = address::Entity::find()
                .filter(among(&conn, address::Column::AccountId, list))
                .filter(address::Column::Main.eq(false));
            rows.extend(found.all(&conn).await.map_err(failed)?);
        }
        rows.sort_unstable_by(|a, b| (a.account_id, &a.address_key).cmp(&(b.account_id, &b.address_key)));
        rows.iter().map(|row| Ok((AccountId(row.account_id), parse(&row.address)?))).collect()
    }

    async fn resolve(&self, address: &EmailAddress) -> Result<Option<AccountId>> {
        let keys = address.keys();
        let written = keys.first().cloned().unwrap_or_default();
        if let Some(cached) = self.addresses.get(&written) {
            return Ok(cached);
        }
        let found = find_address(&self.readers.each(), &keys).await?.map(|row| AccountId(row.account_id));
        self.addresses.insert(written, found);
        Ok(found)
    }

    async fn add_session(&self, new: Session) -> Result<()> {
        let row = session::ActiveModel {
            token_hash: Set(new.token_hash.to_vec()),
            account_id: Set(new.account.0),
            created_at: Set(new.created_at.millis()),
            expires_at: Set(new.expires_at.millis()),
            client: Set(rows::text(new.client.chars().take(200).collect())),
        };
        // In a transaction, which is not sent again should its connection break.
        let tx = self.begin().await?;
        let added = session::Entity::insert(row).exec_without_returning(&tx).await;
        added.map_err(|error| taken(error, "the session"))?;
        tx.commit().await.map_err(failed)
    }

    async fn session(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<(Session, Account)>> {
        let owner = session::Entity::belongs_to(account::Entity)
            .from(session::Column::AccountId)
            .to(account::Column::Id);
        let found = session::Entity::find_by_id(token_hash.to_vec())
            .filter(session::Column::ExpiresAt.gt(now.millis()))
            .join(JoinType::InnerJoin, owner.into())
            .select_also(account::Entity)
            .one(&self.readers.each())
            .await;
        let Some((row, Some(owner))) = found.map_err(failed)? else { return Ok(None) };
        let session = Session {
            token_hash: *token_hash,
            account: AccountId(row.account_id),
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            client: row.client,
        };
        Ok(Some((session, self.view_account(owner)?)))
    }

    async fn end_session(&self, token_hash: &[u8; 32]) -> Result<Option<Ending>> {
        endings::end_one(&self.writers, token_hash).await
    }

    async fn end_sessions(&self, account: AccountId) -> Result<(i64, Vec<[u8; 32]>)> {
        endings::end_all(&self.writers, account).await
    }

    async fn ended_since(&self, number: Option<i64>) -> Result<(i64, Vec<Ending>)> {
        endings::since(&self.readers.each(), number).await
    }

    async fn expire_sessions(&self, now: Timestamp) -> Result<u64> {
        let old = session::Entity::delete_many().filter(session::Column::ExpiresAt.lte(now.millis()));
        let conn = self.writers.each();
        endings::forget(&conn).await?;
        Ok(old.exec(&conn).await.map_err(failed)?.rows_affected)
    }

    async fn bucket_map(&self, shards: &[ShardId]) -> Result<Arc<BucketMap>> {
        let tx = self.begin().await?;
        let map = BucketMap::even(shards);
        let rows = to_runs(&map).into_iter().map(sea_orm::IntoActiveModel::into_active_model);
        let runs = find_runs(&tx).await?;
        if !runs.is_empty() {
            return from_runs(&runs).map(Arc::new);
        }
        match bucket_run::Entity::insert_many(rows).exec_without_returning(&tx).await {
            Ok(_) => self.commit(tx).await.map(|()| Arc::new(map)),
            // Another node was first.
            Err(error) if is_taken(&error) => {
                from_runs(&find_runs(&self.readers.each()).await?).map(Arc::new)
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn server_time(&self) -> Result<Timestamp> {
        nodes::time(&self.readers.each()).await
    }

    async fn claim_node(&self, name: &str, instance: &str, ttl: Duration) -> Result<bool> {
        nodes::claim(&self.writers.each(), name, instance, ttl).await
    }

    async fn release_node(&self, name: &str, instance: &str) -> Result<()> {
        nodes::release(&self.writers.each(), name, instance).await
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        nodes::living(&self.readers.each()).await
    }

    async fn ping(&self) -> Result<()> {
        self.readers.each().execute_unprepared("SELECT 1 FROM domain LIMIT 1").await.map_err(failed)?;
        Ok(())
    }
}

/// Has PostgreSQL give the ids after the highest one; never one again that it gave before.
const NEXT_ACCOUNT: &str = "SELECT setval(pg_get_serial_sequence('account', 'id'), \
     GREATEST((SELECT max(id) FROM account), nextval(pg_get_serial_sequence('account', 'id'))))";

fn cache<K, V>() -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(2)).build()
}

async fn find_runs(conn: &Conn) -> Result<Vec<bucket_run::Model>> {
    let runs = bucket_run::Entity::find().order_by_asc(bucket_run::Column::FirstBucket).all(conn).await;
    runs.map_err(failed)
}

/// A broken uniqueness rule means that somebody has it already.
fn taken(error: DbErr, what: &'static str) -> Error {
    if is_taken(&error) { Error::Exists(what) } else { failed(error) }
}

fn is_taken(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

fn view_domain(row: domain::Model) -> Domain {
    Domain { id: DomainId(row.id), name: row.name, created_at: Timestamp::from_millis(row.created_at) }
}

fn parse(stored: &str) -> Result<EmailAddress> {
    stored.parse().map_err(|error| Error::Corrupt(format!("{error}")))
}

fn to_runs(map: &BucketMap) -> Vec<bucket_run::Model> {
    let mut runs: Vec<bucket_run::Model> = Vec::new();
    for (first_bucket, shard) in (0..).zip(&map.shards) {
        let shard_id = i32::from(shard.0);
        if runs.last().is_none_or(|run| run.shard_id != shard_id) {
            runs.push(bucket_run::Model { first_bucket, shard_id });
        }
    }
    runs
}

fn from_runs(runs: &[bucket_run::Model]) -> Result<BucketMap> {
    let damaged = || Error::Corrupt("the bucket map".to_owned());
    let mut shards = Vec::with_capacity(usize::from(Bucket::COUNT));
    let mut current = None;
    let mut runs = runs.iter().peekable();
    for bucket in 0..i32::from(Bucket::COUNT) {
        if let Some(run) = runs.next_if(|run| run.first_bucket == bucket) {
            current = Some(ShardId(u16::try_from(run.shard_id).map_err(|_| damaged())?));
        }
        shards.push(current.ok_or_else(damaged)?);
    }
    Ok(BucketMap { shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_maps_are_kept_as_runs() {
        let mut map = BucketMap::even(&[ShardId(0), ShardId(1), ShardId(2)]);
        assert_eq!(to_runs(&map).len(), 3);
        map.shards[100] = ShardId(2);
        assert_eq!(to_runs(&map).len(), 5);
        assert_eq!(from_runs(&to_runs(&map)).unwrap(), map);
        assert!(from_runs(&to_runs(&map)[1..]).is_err());
    }
}
