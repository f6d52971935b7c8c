//! Delivery: mail from outside into inboxes.
//!
//! One commit on one shard accepts a mail for all its recipients: those of that shard have it then, for the others
//! there is a queue entry in the same transaction, and each of their deliveries may run twice.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use storage::queue::QueueBody;
use storage::{
    Appended, Error as StorageError, Needs, NewMessage, NewQueueEntry, NewRecipient, Origin, QueueEntry,
    Result as StorageResult, Source, Transaction, Unit,
};
use types::{
    AccountId, BodyId, EmailAddress, MessageId, QueueId, RecipientTerms, Role, ShardId, Terms, ThreadId,
    Timestamp, address,
};

use crate::forward::Onward;
use crate::prepare::{Prepared, parse};
use crate::recipient::{Expansion, Return};
use crate::success::Arrived;
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
    /// At least one.
    pub recipients: Vec<Addressee>,
    pub terms: Terms,
    pub raw: Bytes,
}

/// A recipient of a mail at the door.
#[derive(Debug, Clone)]
pub struct Addressee {
    /// As it was named.
    pub address: EmailAddress,
    pub to: Destination,
    pub terms: RecipientTerms,
}

/// What [`Service::recipient`] has found for it.
#[derive(Debug, Clone)]
pub enum Destination {
    Account(AccountId),
    Group(Arc<Expansion>),
    Back(Arc<Return>),
}

impl From<(EmailAddress, AccountId)> for Addressee {
    /// An account, for whom nothing else is asked.
    fn from((address, account): (EmailAddress, AccountId)) -> Self {
        Self { address, to: Destination::Account(account), terms: RecipientTerms::default() }
    }
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
        let Incoming { id, return_path, recipients, terms, raw } = incoming;
        let now = self.now();
        let (accounts, onward) = flattened(&recipients);
        let first = accounts.first().map(|(_, account, _)| *account);
        let holder = first.or_else(|| onward.iter().find_map(|addressee| addressee.to.keeper()));
        let Some(holder) = holder else {
            return Err(Error::Internal("a delivery without recipients".into()));
        };
        let shard = self.shard_of(holder);
        let mut deliver = Deliver::default();
        let mut elsewhere = Vec::new();
        let mut arrived = Vec::new();
        let prepared = match first {
            Some(_) => Some(self.prepare(shard, raw.clone()).await?),
            None => None,
        };
        for (address, account, asked) in accounts {
            if self.shard_of(account) != shard {
                let terms = asked.cloned().unwrap_or_default();
                elsewhere.push(NewRecipient { address: address.clone(), terms });
                continue;
            }
            if let Some(terms) = asked {
                arrived.push(Arrived { address, terms, expanded: false });
            }
            let Some(prepared) = &prepared else { continue };
            if !deliver.messages.iter().any(|message| message.account == account) {
                let mut message = prepared.delivered(account, id, now);
                if !deliver.messages.is_empty() {
                    message.id = self.new_id();
                    message.thread = ThreadId(message.id.0);
                    message.body.id = BodyId::at(now, self.random_bytes());
                }
                deliver.filed.extend(self.tag_to_file(address).map(|folder| (account, folder)));
                deliver.messages.push(message);
            }
        }
        if let Some(prepared) = prepared.as_ref().filter(|_| !elsewhere.is_empty()) {
            deliver.queued.push(NewQueueEntry {
                account: holder,
                id: QueueId::at(now, self.random_bytes()),
                message: None,
                body: QueueBody::Shared(prepared.body.id),
                return_path: return_path.clone(),
                recipients: elsewhere,
                terms: terms.clone(),
                origin: Origin::Relay,
                created_at: now,
                not_before: now,
                expires_at: now.plus(self.config().queue_lifetime),
            });
        }
        for addressee in onward {
            let (raw, return_path, recipient) = (&raw, return_path.as_ref(), &addressee.terms);
            let way = Onward { raw, return_path, terms: &terms, recipient, shard, account: holder };
            match &addressee.to {
                Destination::Group(group) => {
                    Self::no_circle(raw, group)?;
                    deliver.queued.extend(self.sent_on(group, &way).await?);
                    let (address, terms) = (&addressee.address, &addressee.terms);
                    arrived.push(Arrived { address, terms, expanded: true });
                }
                Destination::Back(back) => deliver.queued.push(self.sent_back(back, &way).await?),
                Destination::Account(_) => {}
            }
        }
        deliver.queued.extend(self.arrival(holder, return_path.as_ref(), &terms, &arrived, &raw)?);
        let ids: Vec<_> = deliver.messages.iter().map(|message| (message.account, message.id)).collect();
        self.write(shard, deliver).await?;
        if let Some(prepared) = &prepared {
            self.remember_text(&ids, prepared);
            let accounts: Vec<_> = ids.iter().map(|(account, _)| *account).collect();
            self.note_bounce(return_path.as_ref(), &raw, &prepared.parsed, &accounts).await;
        }
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
        // What we say ourselves is noted already.
        if entry.origin == Origin::Relay {
            self.note_bounce(entry.return_path.as_ref(), &raw, &parsed, accounts).await;
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
            prepared.delivered(*account, id, at)
        };
        let messages: Vec<_> = accounts.iter().map(message).collect();
        let ids: Vec<_> = messages.iter().map(|message| (message.account, message.id)).collect();
        let filed = self.filed(entry).await?;
        self.write(shard, Deliver { messages, filed, ..Deliver::default() }).await?;
        self.remember_text(&ids, prepared);
        metrics::counter!("magpie_messages_delivered_total").increment(ids.len() as u64);
        Ok(())
    }

    /// Which accounts want a queued mail in a folder by the tag under which they were named.
    async fn filed(&self, entry: &QueueEntry) -> Result<Vec<(AccountId, String)>> {
        let mut filed = Vec::new();
        for recipient in &entry.recipients {
            if let Some(folder) = self.tag_to_file(&recipient.address)
                && let Some((_, account)) = self.named(&recipient.address).await?
            {
                filed.push((account, folder));
            }
        }
        Ok(filed)
    }

    /// Keeps the text for the indexer, which comes by shortly.
    pub(crate) fn remember_text(&self, ids: &[(AccountId, MessageId)], prepared: &Prepared) {
        for id in ids {
            self.texts.insert(*id, Arc::clone(&prepared.text));
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

impl Destination {
    /// Whose queue it is in if nobody else's of ours gets the mail.
    fn keeper(&self) -> Option<AccountId> {
        match self {
            Self::Account(_) => None,
            Self::Group(group) => Some(group.owner),
            Self::Back(back) => Some(back.keeper),
        }
    }
}

/// An account that a mail goes to, by which address, and what was asked for it; of a group's members nothing is.
type Reached<'a> = (&'a EmailAddress, AccountId, Option<&'a RecipientTerms>);

/// The accounts that the mail goes to, and those recipients that lead further.
fn flattened(recipients: &[Addressee]) -> (Vec<Reached<'_>>, Vec<&Addressee>) {
    let (mut accounts, mut onward) = (Vec::new(), Vec::new());
    for addressee in recipients {
        match &addressee.to {
            Destination::Account(account) => {
                accounts.push((&addressee.address, *account, Some(&addressee.terms)));
            }
            Destination::Group(group) => {
                accounts.extend(group.accounts.iter().map(|(address, account)| (address, *account, None)));
                onward.push(addressee);
            }
            Destination::Back(_) => onward.push(addressee),
        }
    }
    (accounts, onward)
}

/// Adds messages of one shard, each to the thread that its references lead to.
#[derive(Default)]
pub(crate) struct Deliver {
    pub(crate) messages: Vec<NewMessage>,
    /// Accounts that want the mail in the folder of this name, should they have one.
    pub(crate) filed: Vec<(AccountId, String)>,
    pub(crate) queued: Vec<NewQueueEntry>,
}

#[async_trait]
impl Unit for Deliver {
    type Output = Vec<Appended>;

    fn needs(&self) -> Needs {
        let mut needs = needs(&self.messages);
        for entry in &self.queued {
            needs.accounts.push(entry.account);
            if let QueueBody::Own(body) = &entry.body {
                needs.blobs.extend(body.blobs.iter().copied());
            }
        }
        needs
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Vec<Appended>> {
        let mut appended = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let mut message = message.clone();
            // An account whose making was interrupted gets its folders with its first mail.
            tx.provision(message.account, message.received_at).await?;
            let is_junk = matches!(message.mailbox, Source::Role(Role::Junk));
            let mut filed = self.filed.iter().filter(|_| !is_junk);
            if let Some((_, folder)) = filed.find(|(account, _)| *account == message.account) {
                let all = tx.mailboxes(message.account).await?;
                let named = all.iter().find(|mailbox| address::fold(&mailbox.name) == *folder);
                message.mailbox = named.map_or(message.mailbox, |mailbox| Source::Mailbox(mailbox.id));
            }
            message.thread = thread(tx, &message).await?;
            appended.push(tx.append(message).await?);
        }
        for entry in &self.queued {
            tx.provision(entry.account, entry.created_at).await?;
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
        ..Needs::default()
    }
}

/// The thread that a message joins: that of the newest conversation its references lead to, or its own.
pub(crate) async fn thread(tx: &mut dyn Transaction, message: &NewMessage) -> StorageResult<ThreadId> {
    let known = tx.threads(message.account, &message.refs).await?;
    Ok(known.into_iter().map(|(_, thread)| thread).max().unwrap_or(message.thread))
}
