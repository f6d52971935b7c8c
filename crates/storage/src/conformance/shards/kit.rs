//! What the topics share: accounts of their own, messages to add, and a check that counts are true.

use std::ops::Range;
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use types::{AccountId, Address, BodyId, Flags, MailboxId, MessageId, Role, ShardId, ThreadId, Timestamp};

use crate::{
    Appended, Body, Committed, Filter, Mailbox, Message, Needs, NewMailbox, NewMessage, PageRequest, Result,
    Segment, Shards, Snapshot, Source, Summary, Transaction, Unit, write,
};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// An account of its own, which has been set up.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) shards: Arc<dyn Shards>,
    pub(super) account: AccountId,
    pub(super) shard: ShardId,
}

struct Do<F> {
    account: AccountId,
    work: F,
}

#[async_trait]
impl<F, T> Unit for Do<F>
where
    F: for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<T> {
        (self.work)(tx).await
    }
}

struct Unnamed<F>(F);

#[async_trait]
impl<F, T> Unit for Unnamed<F>
where
    F: for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<T> {
        (self.0)(tx).await
    }
}

impl Kit {
    /// Makes a mailbox.
    pub(super) async fn folder(&self, name: &str) -> MailboxId {
        let (account, name) = (self.account, name.to_owned());
        let new = NewMailbox { account, name, parent: None, role: None, now: NOW };
        let made = self.write(move |tx| {
            let new = new.clone();
            Box::pin(async move { tx.create_mailbox(new).await })
        });
        made.await.unwrap().id
    }

    /// Names an account that nobody has used, without setting it up.
    pub(super) fn unused(shards: &Arc<dyn Shards>) -> Self {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        let account = AccountId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { shards: Arc::clone(shards), account, shard: shards.shard_of(account) }
    }

    pub(super) async fn new(shards: &Arc<dyn Shards>) -> Self {
        let kit = Self::unused(shards);
        let account = kit.account;
        kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await.unwrap();
        kit
    }

    pub(super) async fn try_write<T, F>(&self, work: F) -> Result<(T, Committed)>
    where
        F: for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        write(self.shards.as_ref(), self.shard, Do { account: self.account, work }).await
    }

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        self.try_write(work).await.map(|(output, _)| output)
    }

    /// The same by a unit that says nothing of accounts.
    pub(super) async fn unnamed<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
        T: Send + 'static,
    {
        write(self.shards.as_ref(), self.shard, Unnamed(work)).await.map(|(output, _)| output)
    }

    pub(super) async fn read(&self) -> Box<dyn Snapshot> {
        self.shards.snapshot(self.shard).await.unwrap()
    }

    pub(super) async fn append(&self, message: NewMessage) -> Appended {
        self.write(move |tx| {
            let message = message.clone();
            Box::pin(async move { tx.append(message).await })
        })
        .await
        .unwrap()
    }

    /// Adds a message of this number to the inbox.
    pub(super) async fn add(&self, number: u64) -> MessageId {
        let message = self.message(number);
        let id = message.id;
        assert!(matches!(self.append(message).await, Appended::New { .. }));
        id
    }

    /// Adds messages of these numbers to the inbox.
    pub(super) async fn add_many(&self, numbers: Range<u64>) -> Vec<MessageId> {
        let messages: Vec<_> = numbers.map(|number| self.message(number)).collect();
        let ids = messages.iter().map(|message| message.id).collect();
        self.write(move |tx| {
            let messages = messages.clone();
            Box::pin(async move {
                for message in messages {
                    tx.append(message).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
        ids
    }

    /// A message received at second `number`; its content depends on the number alone.
    pub(super) fn message(&self, number: u64) -> NewMessage {
        let at = Timestamp::from_millis(i64::try_from(number * 1_000).unwrap());
        let id = MessageId::at(at, random());
        let text = format!("Subject: {number}\r\n\r\nThis is message {number}.\r\n");
        NewMessage {
            account: self.account,
            id,
            mailbox: Source::Role(Role::Inbox),
            flags: Flags::NONE,
            keywords: Vec::new(),
            thread: ThreadId(id.0),
            refs: Vec::new(),
            body: body(&text).pack(BodyId::at(at, random())).unwrap(),
            structure: format!("structure of {number}").into_bytes(),
            received_at: at,
            signature: format!("signature of {number}").into_bytes(),
            saved_at: at,
            sent_at: number.is_multiple_of(2).then_some(at),
            summary: Summary {
                from: Address { name: "보낸 사람".to_owned(), email: "sender@x.test".to_owned() },
                to: vec![Address { name: String::new(), email: "to@x.test".to_owned() }],
                subject: number.to_string(),
                preview: format!("This is message {number}."),
                has_attachments: number.is_multiple_of(3),
            },
            delivery: Vec::new(),
        }
    }

    pub(super) async fn mailbox(&self, role: Role) -> Mailbox {
        let all = self.read().await.mailboxes(self.account).await.unwrap();
        all.into_iter().find(|mailbox| mailbox.role == Some(role)).unwrap()
    }

    pub(super) async fn get(&self, id: MessageId) -> Option<Message> {
        self.read().await.messages(self.account, &[id]).await.unwrap().pop()
    }

    /// Every message of the mailbox or account, by pages of three.
    pub(super) async fn all(&self, mailbox: Option<MailboxId>, filter: Filter) -> Vec<Message> {
        let mut snapshot = self.read().await;
        let mut all: Vec<Message> = Vec::new();
        loop {
            let before = all.last().map(|message| message.id);
            let request = PageRequest { mailbox, filter, before, limit: 3 };
            let page = snapshot.page(self.account, &request).await.unwrap();
            if page.is_empty() {
                return all;
            }
            assert!(page.len() <= 3);
            all.extend(page);
        }
    }

    /// Every count must be what counting gives.
    pub(super) async fn check_counts(&self) {
        let all = self.all(None, Filter::default()).await;
        assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first, each once");
        let mut snapshot = self.read().await;
        let state = snapshot.account(self.account).await.unwrap().unwrap();
        assert_eq!(state.messages, all.len() as u64);
        assert_eq!(state.used_bytes, all.iter().map(|message| message.size_bytes).sum::<u64>());
        for mailbox in snapshot.mailboxes(self.account).await.unwrap() {
            let here: Vec<_> = all.iter().filter(|message| message.mailbox == mailbox.id).collect();
            assert_eq!(mailbox.total, here.len() as u64, "{}", mailbox.name);
            let unread = here.iter().filter(|message| message.flags.is_unread()).count();
            assert_eq!(mailbox.unread, unread as u64, "{}", mailbox.name);
            assert_eq!(mailbox.size_bytes, here.iter().map(|message| message.size_bytes).sum::<u64>());
            assert!(here.iter().all(|message| message.uid < mailbox.uid_next));
            assert!(here.iter().all(|message| message.modseq <= mailbox.modseq));
            assert!(mailbox.modseq <= state.modseq);
        }
    }
}

pub(super) fn body(text: &str) -> Body {
    Body { segments: vec![Segment::Inline(Bytes::copy_from_slice(text.as_bytes()))] }
}

/// Ten bytes that were not given out before.
pub(super) fn random() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    std::array::from_fn(|i| number.get(i.wrapping_sub(2)).copied().unwrap_or(0))
}
