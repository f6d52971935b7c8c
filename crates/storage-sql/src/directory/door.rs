//! Operators, groups, keys of passwords, secrets, limits and bans.

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use storage::{Account, Ban, Door, Error, Group, Result};
use types::{AccountId, EmailAddress, Network, Secret, Timestamp, client_network};

use super::{
    SqlDirectory,
    names::{add_address, find_address, find_domain},
    parse,
};
use crate::{
    connect::Conn,
    entity::directory::{account, address, ban, group_target, message_limit, secret},
    error::failed,
    rows,
    statement::{Conflict, insert},
};

#[async_trait]
impl Door for SqlDirectory {
    async fn is_admin(&self, id: AccountId) -> Result<bool> {
        let found = account::Entity::find_by_id(id.0)
            .filter(account::Column::Enabled.eq(true))
            .filter(account::Column::Admin.eq(true))
            .one(&self.readers.each())
            .await;
        Ok(found.map_err(failed)?.is_some())
    }

    async fn set_admin(&self, id: AccountId, admin: bool) -> Result<bool> {
        let admin = Set(admin);
        self.update_account(account::ActiveModel { id: Unchanged(id.0), admin, ..Default::default() }).await
    }

    async fn admins(&self) -> Result<Vec<Account>> {
        if let Some(cached) = self.admins.get(&()) {
            return Ok(cached);
        }
        let found = account::Entity::find()
            .filter(account::Column::Enabled.eq(true))
            .filter(account::Column::Admin.eq(true))
            .order_by_asc(account::Column::Id)
            .all(&self.readers.each())
            .await;
        let found = found.map_err(failed)?.into_iter().map(|row| self.view_account(row));
        let found: Vec<_> = found.collect::<Result<_>>()?;
        self.admins.insert((), found.clone());
        Ok(found)
    }

    async fn password_keys(&self, account: AccountId) -> Result<Option<Secret>> {
        let found = account::Entity::find_by_id(account.0)
            .select_only()
            .column(account::Column::Scram)
            .into_tuple::<Option<String>>()
            .one(&self.readers.each())
            .await;
        Ok(found.map_err(failed)?.flatten().map(Secret::new))
    }

    async fn keep_password_keys(&self, id: AccountId, password_hash: &Secret, keys: &Secret) -> Result<bool> {
        let kept = account::Entity::update_many()
            .set(account::ActiveModel {
                id: Unchanged(id.0),
                scram: Set(Some(keys.expose().clone())),
                ..Default::default()
            })
            .filter(account::Column::Id.eq(id.0))
            .filter(account::Column::PasswordHash.eq(password_hash.expose().as_str()))
            .exec(&self.writers.each())
            .await;
        Ok(kept.map_err(failed)?.rows_affected > 0)
    }

    async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32]> {
        if let Some(known) = self.secrets.get(name) {
            return Ok(known);
        }
        let conn = self.writers.each();
        let row = secret::Model { name: name.to_owned(), value: fresh.to_vec() };
        insert::<secret::Entity>(&conn, vec![row], Conflict::Stays).await?;
        let found = secret::Entity::find_by_id(name.to_owned()).one(&conn).await.map_err(failed)?;
        let value = found.and_then(|row| row.value.try_into().ok());
        let value = value.ok_or_else(|| Error::Corrupt("a secret of the directory".to_owned()))?;
        self.secrets.insert(name.to_owned(), value);
        Ok(value)
    }

    async fn set_group(&self, group: &Group) -> Result<bool> {
        let tx = self.begin().await?;
        let owner = account::Entity::find_by_id(group.owner.0).lock_exclusive().one(&tx).await;
        let domain = find_domain(&tx, group.address.domain()).await?;
        if owner.map_err(failed)?.is_none() || domain.is_none() {
            return Ok(false);
        }
        if let Some(known) = find_address(&tx, &group.address.keys()).await? {
            let key = known.address_key;
            let member = group_target::Entity::find()
                .filter(group_target::Column::AddressKey.eq(key.as_str()))
                .one(&tx)
                .await
                .map_err(failed)?;
            if member.is_some() {
                remove_targets(&tx, &key).await?;
                address::Entity::delete_by_id(key).exec(&tx).await.map_err(failed)?;
            }
        }
        let key = group.address.key();
        add_address(&tx, group.owner.0, &group.address, false).await?;
        let targets = (0..).zip(&group.targets).map(|(position, target)| group_target::Model {
            address_key: key.clone(),
            position,
            target: target.to_string(),
        });
        insert::<group_target::Entity>(&tx, targets.collect(), Conflict::Fails).await?;
        self.commit(tx).await?;
        Ok(true)
    }

    async fn group(&self, address: &EmailAddress) -> Result<Option<Group>> {
        let keys = address.keys();
        let written = keys.first().cloned().unwrap_or_default();
        if let Some(cached) = self.groups.get(&written) {
            return Ok(cached);
        }
        let conn = self.readers.each();
        let mut targets = group_target::Entity::find()
            .filter(group_target::Column::AddressKey.is_in(keys.iter().map(String::as_str)))
            .order_by_asc(group_target::Column::Position)
            .all(&conn)
            .await
            .map_err(failed)?;
        let found = if targets.is_empty() {
            None
        } else {
            let own = find_address(&conn, &keys).await?;
            targets.retain(|target| own.as_ref().is_some_and(|own| own.address_key == target.address_key));
            own.filter(|_| !targets.is_empty()).map(|own| view(&own, &targets)).transpose()?
        };
        self.groups.insert(written, found.clone());
        Ok(found)
    }

    async fn groups(&self) -> Result<Vec<Group>> {
        let conn = self.readers.each();
        let targets = group_target::Entity::find()
            .order_by_asc(group_target::Column::AddressKey)
            .order_by_asc(group_target::Column::Position);
        let mut by_key = BTreeMap::<_, Vec<_>>::new();
        for target in targets.all(&conn).await.map_err(failed)? {
            by_key.entry(target.address_key.clone()).or_default().push(target);
        }
        let mut groups = Vec::with_capacity(by_key.len());
        for (key, targets) in by_key {
            if let Some(own) = address::Entity::find_by_id(key).one(&conn).await.map_err(failed)? {
                groups.push(view(&own, &targets)?);
            }
        }
        Ok(groups)
    }

    async fn set_message_limit(&self, subject: &str, max_bytes: Option<u64>) -> Result<()> {
        let conn = self.writers.each();
        match max_bytes {
            Some(max_bytes) => {
                let row =
                    message_limit::Model { subject: subject.to_owned(), max_bytes: rows::stored(max_bytes) };
                let replaced = [message_limit::Column::MaxBytes];
                insert::<message_limit::Entity>(&conn, vec![row], Conflict::Replaces(&replaced)).await?;
            }
            None => {
                let gone = message_limit::Entity::delete_by_id(subject.to_owned());
                gone.exec(&conn).await.map_err(failed)?;
            }
        }
        self.limits.invalidate_all();
        Ok(())
    }

    async fn message_limit(&self, subjects: &[String]) -> Result<Option<u64>> {
        let key = subjects.join("\n");
        if let Some(cached) = self.limits.get(&key) {
            return Ok(cached);
        }
        let found = message_limit::Entity::find()
            .filter(message_limit::Column::Subject.is_in(subjects.iter().map(String::as_str)))
            .all(&self.readers.each())
            .await
            .map_err(failed)?;
        let limit = found.into_iter().map(|row| rows::count(row.max_bytes)).min();
        self.limits.insert(key, limit);
        Ok(limit)
    }

    async fn ban(&self, new: &Ban) -> Result<()> {
        let row = ban::ActiveModel {
            network: Set(key(new.network)),
            reason: Set(rows::text(new.reason.clone())),
            created_at: Set(new.created_at.millis()),
            expires_at: Set(new.expires_at.millis()),
        };
        let longer = OnConflict::column(ban::Column::Network)
            .update_columns([ban::Column::Reason, ban::Column::CreatedAt, ban::Column::ExpiresAt])
            .action_and_where(Expr::cust("excluded.expires_at > ban.expires_at"))
            .to_owned();
        let added = ban::Entity::insert(row).on_conflict(longer);
        added.exec_without_returning(&self.writers.each()).await.map_err(failed)?;
        self.bans.invalidate_all();
        Ok(())
    }

    async fn banned(&self, client: IpAddr, now: Timestamp) -> Result<Option<Ban>> {
        let client = client_network(client);
        let found = match self.bans.get(&client) {
            Some(cached) => cached,
            None => {
                let row = ban::Entity::find()
                    .filter(ban::Column::Network.is_in(Network::around(client).map(key)))
                    .order_by_desc(ban::Column::ExpiresAt)
                    .one(&self.readers.each())
                    .await;
                let found = row.map_err(failed)?.map(view_ban).transpose()?;
                self.bans.insert(client, found.clone());
                found
            }
        };
        Ok(found.filter(|ban| ban.expires_at > now))
    }

    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>> {
        let found = ban::Entity::find()
            .filter(ban::Column::ExpiresAt.gt(now.millis()))
            .order_by_desc(ban::Column::CreatedAt)
            .order_by_asc(ban::Column::Network);
        found.all(&self.readers.each()).await.map_err(failed)?.into_iter().map(view_ban).collect()
    }

    async fn lift(&self, network: Network) -> Result<bool> {
        let gone = ban::Entity::delete_by_id(key(network)).exec(&self.writers.each()).await;
        self.bans.invalidate_all();
        Ok(gone.map_err(failed)?.rows_affected > 0)
    }

    async fn expire_bans(&self, now: Timestamp) -> Result<u64> {
        let old = ban::Entity::delete_many().filter(ban::Column::ExpiresAt.lte(now.millis()));
        Ok(old.exec(&self.writers.each()).await.map_err(failed)?.rows_affected)
    }
}

/// The group is no more, whatever becomes of its address.
pub(super) async fn remove_targets(tx: &Conn, address_key: &str) -> Result<()> {
    let targets =
        group_target::Entity::delete_many().filter(group_target::Column::AddressKey.eq(address_key));
    targets.exec(tx).await.map_err(failed)?;
    Ok(())
}

fn view(own: &address::Model, targets: &[group_target::Model]) -> Result<Group> {
    Ok(Group {
        address: parse(&own.address)?,
        owner: AccountId(own.account_id),
        targets: targets.iter().map(|row| parse(&row.target)).collect::<Result<_>>()?,
    })
}

fn view_ban(row: ban::Model) -> Result<Ban> {
    Ok(Ban {
        network: network(&row.network).ok_or_else(|| Error::Corrupt("the network of a ban".to_owned()))?,
        reason: row.reason,
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: Timestamp::from_millis(row.expires_at),
    })
}

/// What a network is called in the table: that of one client by its first address alone.
fn key(network: Network) -> String {
    let first = network.first();
    if network == Network::of_client(first) { first.to_string() } else { network.to_string() }
}

fn network(key: &str) -> Option<Network> {
    if key.contains('/') { key.parse().ok() } else { key.parse().ok().map(Network::of_client) }
}
