//! Signatures of many messages at once: what is certainly not in them. Those that were asked for lately are in memory.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use storage::{Needs, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, MessageId};

use crate::kept::{Kept, keep, known};
use crate::{Access, Result};

pub(crate) type Signatures = Kept<Arc<[u8]>>;

const BYTES: u64 = 96 << 20;

pub(crate) fn kept() -> Signatures {
    keep(BYTES, |bits: &Arc<[u8]>| bits.len())
}

impl Access {
    /// The signatures of those of these messages that exist and have one; one query for those that are not in memory.
    pub async fn signatures(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Arc<[u8]>>> {
        let (kept, account) = (&self.service.signatures, self.id);
        let (mut all, unknown) = known(kept, account, ids);
        if !unknown.is_empty() {
            let wanted = unknown.as_slice();
            // Those that are missing are no sign that the account has moved: who needs the messages will notice.
            let look = |mut shard: Box<dyn Snapshot>| async move {
                shard.signatures(account, wanted).await.map(Some)
            };
            for (id, bits) in self.service.look(account, look).await?.unwrap_or_default() {
                let bits: Arc<[u8]> = bits.into();
                kept.insert((account, id), Arc::clone(&bits));
                all.insert(id, bits);
            }
        }
        Ok(all)
    }

    /// Keeps signatures of messages that had none, or one of another version.
    pub async fn sign(&self, signatures: Vec<(MessageId, Vec<u8>)>) -> Result<()> {
        for (id, bits) in &signatures {
            self.service.signatures.insert((self.id, *id), bits.as_slice().into());
        }
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
