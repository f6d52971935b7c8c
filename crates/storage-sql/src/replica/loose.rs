//! What of a bucket's accounts has no modseq: uploads and queue entries. A handful of queries, whatever the accounts.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{EntityTrait, QueryFilter, QueryOrder, prelude::Uuid};
use storage::{Result, replica};
use types::{AccountId, Bucket};

use super::export::{entry_record, recipient, upload_record};
use crate::{
    connect::Conn,
    entity::shard::{queue_entry, queue_recipient, upload},
    error::failed,
    fence::members,
    statement::{among, lists},
};

/// See [`storage::Snapshot::loose`].
pub(crate) async fn loose(conn: &Conn, bucket: Bucket) -> Result<Vec<(AccountId, u128)>> {
    let mut sums: BTreeMap<i64, u128> = BTreeMap::new();
    let mut add = |account, record| -> Result<()> {
        let sum = sums.entry(account).or_default();
        *sum = sum.wrapping_add(replica::hash(&record)?);
        Ok(())
    };
    let members = members(conn, bucket).await?;
    for list in lists(conn, &members) {
        let uploads = upload::Entity::find().filter(among(conn, upload::Column::AccountId, list.clone()));
        for row in conn.all(&uploads, usize::MAX).await.map_err(failed)? {
            add(row.account_id, upload_record(row)?)?;
        }
        let entries =
            queue_entry::Entity::find().filter(among(conn, queue_entry::Column::AccountId, list.clone()));
        let entries = conn.all(&entries, usize::MAX).await.map_err(failed)?;
        if !entries.is_empty() {
            let mut recipients = recipients(conn, list).await?;
            for row in entries {
                let those = recipients.remove(&(row.account_id, row.id)).unwrap_or_default();
                add(row.account_id, entry_record(row, those))?;
            }
        }
    }
    Ok(sums.into_iter().map(|(account, sum)| (AccountId(account), sum)).collect())
}

/// Those of each entry of these accounts, in order.
async fn recipients(
    conn: &Conn,
    accounts: Vec<i64>,
) -> Result<HashMap<(i64, Uuid), Vec<replica::QueueRecipient>>> {
    use queue_recipient::Column::{AccountId, Position};
    let found =
        queue_recipient::Entity::find().filter(among(conn, AccountId, accounts)).order_by_asc(Position);
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for row in conn.all(&found, usize::MAX).await.map_err(failed)? {
        all.entry((row.account_id, row.queue_id)).or_default().push(recipient(row));
    }
    Ok(all)
}
