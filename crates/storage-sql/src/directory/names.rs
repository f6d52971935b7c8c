//! Domains and addresses, found by any of the names that they have.

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use storage::{Domain, Error, Result};
use types::{EmailAddress, address::domain_keys};

use super::{taken, view_domain};
use crate::{
    connect::Conn,
    entity::directory::{address, domain},
    error::failed,
};

/// The domain of this name, in whichever form it is kept.
pub(super) async fn find_domain<C: ConnectionTrait>(conn: &C, name: &str) -> Result<Option<Domain>> {
    let keys = domain_keys(name);
    let found = domain::Entity::find().filter(domain::Column::Name.is_in(keys.iter().map(String::as_str)));
    let found = found.all(conn).await.map_err(failed)?;
    Ok(preferred(found, &keys, |row| &row.name).map(view_domain))
}

/// The address that has one of these keys.
pub(super) async fn find_address<C: ConnectionTrait>(
    conn: &C,
    keys: &[String],
) -> Result<Option<address::Model>> {
    let found = address::Entity::find()
        .filter(address::Column::AddressKey.is_in(keys.iter().map(String::as_str)))
        .all(conn)
        .await;
    Ok(preferred(found.map_err(failed)?, keys, |row| &row.address_key))
}

/// The row whose key comes first.
pub(super) fn preferred<T>(rows: Vec<T>, keys: &[String], key: impl Fn(&T) -> &String) -> Option<T> {
    rows.into_iter().min_by_key(|row| keys.iter().position(|known| known == key(row)))
}

pub(super) async fn add_address(tx: &Conn, account: i64, new: &EmailAddress, main: bool) -> Result<()> {
    if find_address(tx, &new.keys()).await?.is_some() {
        return Err(Error::Exists("the address"));
    }
    let row = address::ActiveModel {
        address_key: Set(new.key()),
        address: Set(new.to_string()),
        account_id: Set(account),
        main: Set(main),
    };
    let added = address::Entity::insert(row).exec_without_returning(tx).await;
    added.map_err(|error| taken(error, "the address"))?;
    Ok(())
}
