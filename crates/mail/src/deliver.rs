//! Delivery: mail from outside into inboxes.
//!
//! One commit on one shard accepts a mail for all its recipients: those of that shard have it then, for the others
//! there is a queue entry in the same transaction, and each of their deliveries may run twice.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use storage::queue::QueueBody;
use storage::{
    Appended, Error as StorageError, Needs, NewMessage, NewQueueEntry, Origin, QueueEntry,
    Result as StorageResult, Source, Transaction, Unit,
};
use types::{AccountId, BodyId, EmailAddress, MessageId, QueueId, ShardId, ThreadId, Timestamp};

use crate::prepare::{Prepared, parse};
use crate::{Error, Result, Service};

/// Deliveries of a queued mail in one commit, at most, and the bytes of their texts.
const COPIES: usize = 100;
const COPIES_BYTES: usize = 16 << 20;

/// A mail at the door, trace headers already on it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The first recipient's message will have it; see [`Service::new_id`].
    pub id: MessageId,
    /// `None`: the null return path.
    pub return_path: Option<EmailAddress>,
    /// The accounts, with the address that each was named by; at least one.
    pub recipients: Vec<(EmailAddress, AccountId)>,
    pub raw: Bytes,
}

/// How often the recipients of a mail are grouped by shards, should accounts move meanwhile.
const REGROUPED: usize = 3;

impl Service {
    /// A fresh message id of now.
    #[must_use]
    pub fn new_id(&self) -> MessageId {
        MessageId::at(self.now(), self.random_bytes())
    }

    /// Accepts a mail for its local recipients. Durable when it returns.
    pub async fn deliver(&self, incoming: Incoming) -> Result<()> {
        for _ in 1..REGROUPED {
            match self.deliver_grouped(incoming.clone()).await {
                // Its recipients have parted meanwhile: some live on another shard now.
                Err(Error::Storage(StorageError::Moving)) => {}
                ended => return ended,
            }
        }
        self.deliver_grouped(incoming).await
    }

    async fn deliver_grouped(&self, incoming: Incoming) -> Result<()> {
        let Incoming { id, return_path, recipients, raw } = incoming;
        let now = self.now();
        let Some((_, first)) = recipients.first().cloned() else {
            return Err(Error::Internal("a delivery without recipients".into()));
        };
        let shard = self.shard_of(first);
        let prepared = self.prepare(shard, raw).await?;
        let mut here: Vec<NewMessage> = Vec::new();
        let mut elsewhere = Vec::new();
        for (address, account) in recipients {
            if self.shard_of(account) != shard {
                elsewhere.push(address);
            } else if !here.iter().any(|message| message.account == account) {
                let mut message = prepared.message(account, id, Source::Role(prepared.place), now);
                if !here.is_empty() {
                    message.id = self.new_id();
                    message.thread = ThreadId(message.id.0);
                    message.body.id = BodyId::at(now, self.random_bytes());
                }
                here.push(message);
            }
        }
        let relay = (!elsewhere.is_empty()).then(|| NewQueueEntry {
            account: first,
            id: QueueId::at(now, self.random_bytes()),
            message: None,
            body: QueueBody::Shared(prepared.body.id),
            return_path,
            recipients: elsewhere,
            origin: Origin::Relay,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.config().queue_lifetime),
        });
        let ids: Vec<_> = here.iter().map(|message| (message.account, message.id)).collect();
        self.write(shard, Deliver { messages: here, relay }).await?;
        self.remember_text(&ids, &prepared);
        metrics::counter!("magpie_messages_delivered_total").increment(ids.len() as u64);
        Ok(())
    }

    /// Delivers a queued mail to accounts: prepared once for each shard, and one commit for many. The same entry
    /// delivers to an account once, however often this is called. Tells each account's outcome.
    pub async fn deliver_queued(
        &self,
        entry: &QueueEntry,
        raw: Bytes,
        accounts: &[AccountId],
    ) -> Result<Vec<(AccountId, Result<()>)>> {
        let parsed = parse(raw.clone()).await?;
        let mut shards = BTreeMap::<_, Vec<AccountId>>::new();
        for account in accounts {
            shards.entry(self.shard_of(*account)).or_default().push(*account);
        }
        let mut outcomes = Vec::with_capacity(accounts.len());
        for (shard, accounts) in shards {
            let prepared = self.prepare_parsed(shard, raw.clone(), Arc::clone(&parsed)).await?;
            // Each has its copy of the text.
            let at_once = (COPIES_BYTES / prepared.body.inline.len().max(1)).clamp(1, COPIES);
            for accounts in accounts.chunks(at_once) {
                if self.deliver_prepared(shard, entry, &prepared, accounts).await.is_ok() {
                    outcomes.extend(accounts.iter().map(|account| (*account, Ok(()))));
                    continue;
                }
                // One whose mailbox is damaged must not keep the mail from the others.
                for account in accounts {
                    let outcome = self.deliver_prepared(shard, entry, &prepared, &[*account]).await;
                    outcomes.push((*account, outcome));
                }
            }
        }
        Ok(outcomes)
    }

    async fn deliver_prepared(
        &self,
        shard: ShardId,
        entry: &QueueEntry,
        prepared: &Prepared,
        accounts: &[AccountId],
    ) -> Result<()> {
        let at = entry.created_at;
        let message = |account: &AccountId| {
            let id = id_of(format!("{}/{account}", entry.id).as_bytes(), at);
            prepared.message(*account, id, Source::Role(prepared.place), at)
        };
        let messages: Vec<_> = accounts.iter().map(message).collect();
        let ids: Vec<_> = messages.iter().map(|message| (message.account, message.id)).collect();
        self.write(shard, Deliver { messages, relay: None }).await?;
        self.remember_text(&ids, prepared);
        metrics::counter!("magpie_messages_delivered_total").increment(ids.len() as u64);
        Ok(())
    }

    /// Keeps the text for the indexer, which comes by shortly.
    pub(crate) fn remember_text(&self, ids: &[(AccountId, MessageId)], prepared: &Prepared) {
        let text = Arc::new(prepared.parsed.search.clone());
        for id in ids {
            self.texts.insert(*id, Arc::clone(&text));
        }
    }
}

/// The id that a delivery under this key always has.
pub(crate) fn id_of(key: &[u8], at: Timestamp) -> MessageId {
    let hash = blake3::hash(key);
    let mut random = [0; 10];
    random.iter_mut().zip(hash.as_bytes()).for_each(|(byte, hash)| *byte = *hash);
    MessageId::at(at, random)
}

/// Adds messages of one shard, each to the thread that its references lead to.
pub(crate) struct Deliver {
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) relay: Option<NewQueueEntry>,
}

#[async_trait]
impl Unit for Deliver {
    type Output = Vec<Appended>;

    fn needs(&self) -> Needs {
        needs(&self.messages)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Vec<Appended>> {
        let mut appended = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let mut message = message.clone();
            // An account whose making was interrupted gets its folders with its first mail.
            tx.provision(message.account, message.received_at).await?;
            message.thread = thread(tx, &message).await?;
            appended.push(tx.append(message).await?);
        }
        if let Some(entry) = &self.relay {
            tx.enqueue(entry.clone()).await?;
        }
        Ok(appended)
    }
}

pub(crate) fn needs(messages: &[NewMessage]) -> Needs {
    Needs {
        accounts: messages.iter().map(|message| message.account).collect(),
        refs: messages
            .iter()
            .flat_map(|message| message.refs.iter().map(|hash| (message.account, *hash)))
            .collect(),
        ids: messages.iter().map(|message| (message.account, message.id)).collect(),
        blobs: messages.iter().flat_map(|message| message.body.blobs.iter().copied()).collect(),
    }
}

/// The thread that a message joins: that of the newest conversation its references lead to, or its own.
pub(crate) async fn thread(tx: &mut dyn Transaction, message: &NewMessage) -> StorageResult<ThreadId> {
    let known = tx.threads(message.account, &message.refs).await?;
    Ok(known.into_iter().map(|(_, thread)| thread).max().unwrap_or(message.thread))
}
