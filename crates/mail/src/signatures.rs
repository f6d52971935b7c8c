//! Signatures of many messages at once: what is certainly not in them. Those that were asked for lately are in memory.

use std::sync::Arc;

use async_trait::async_trait;
use storage::{Needs, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, MessageId};

use crate::kept::Kept;
use crate::{Access, Result};

pub(crate) type Signatures = Kept<Arc<[u8]>>;

/// With memory of so many bytes.
pub(crate) fn kept(bytes: u64) -> Signatures {
    Signatures::new(bytes, |bits| bits.len())
}

impl Access {
    /// The signature of each of these messages, if it exists and has one; one query for those that are not in memory.
    pub async fn signatures(&self, ids: &[MessageId]) -> Result<Vec<Option<Arc<[u8]>>>> {
        let (kept, account) = (&self.service.signatures, self.id);
        let found = kept.find(account, ids);
        if found.unknown.is_empty() {
            return Ok(found.of_each);
        }
        let wanted = found.unknown.as_slice();
        // Those that are missing are no sign that the account has moved: who needs the messages will notice.
        let look =
            |mut shard: Box<dyn Snapshot>| async move { shard.signatures(account, wanted).await.map(Some) };
        let read = self.service.look(account, look).await?.unwrap_or_default();
        let all = found.filled_up(ids, &read);
        kept.keep(account, read);
        Ok(all)
    }

    /// Keeps signatures of messages that had none, or one of another version.
    pub async fn sign(&self, signatures: Vec<(MessageId, Vec<u8>)>) -> Result<()> {
        let kept = signatures.iter().map(|(id, bits)| (*id, bits.as_slice().into()));
        self.service.signatures.keep(self.id, kept);
        self.write(Sign { account: self.id, signatures }).await
    }
}

struct Sign {
    account: AccountId,
    signatures: Vec<(MessageId, Vec<u8>)>,
}

#[async_trait]
impl Unit for Sign {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.sign(self.account, &self.signatures).await
    }
}
