//! What happens to a service between backups: steps that random histories are made of.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use storage::{
    Body, FlagChange, Grant, Needs, NewMailbox, NewMessage, NewQueueEntry, Origin, QueueBody, Source,
    Summary, Transaction, Unit, Upload,
};
use types::{
    AccountId, BlobId, BodyId, EmailAddress, Flags, MailboxId, MessageId, ModSeq, QueueId, Rights, Role,
    Terms, ThreadId, Timestamp, UploadId,
};

/// A unit as a value with a method.
#[async_trait]
pub(super) trait Work: Send + Sync + 'static {
    type Output: Send + 'static;
    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<Self::Output>;
}

pub(super) struct Boxed<W>(pub(super) W);

#[async_trait]
impl<W: Work> Unit for Boxed<W> {
    type Output = W::Output;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<W::Output> {
        self.0.work(tx).await
    }
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Account,
    Remove,
    Alias,
    Mail { blob: Option<u8>, queued: bool },
    Flag,
    Move,
    Expunge,
    Folder,
    Share,
    Upload(u8),
    Discard,
    Unqueue,
    Run { full: bool },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Account),
        1 => Just(Step::Remove),
        1 => Just(Step::Alias),
        10 => (prop::option::of(0..6_u8), any::<bool>()).prop_map(|(blob, queued)| Step::Mail { blob, queued }),
        3 => Just(Step::Flag),
        3 => Just(Step::Move),
        3 => Just(Step::Expunge),
        2 => Just(Step::Folder),
        2 => Just(Step::Share),
        1 => (0..6_u8).prop_map(Step::Upload),
        1 => Just(Step::Discard),
        2 => Just(Step::Unqueue),
        3 => prop::bool::weighted(0.1).prop_map(|full| Step::Run { full }),
    ]
}

pub(super) fn bytes(seed: u8) -> bytes::Bytes {
    vec![seed; 70_000].into()
}

pub(super) static RANDOM: AtomicU64 = AtomicU64::new(1);

pub(super) fn random() -> [u8; 10] {
    let mut bytes = [7; 10];
    bytes[..8].copy_from_slice(&RANDOM.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

/// A step that an account takes.
pub(super) struct Act {
    pub(super) account: AccountId,
    pub(super) step: Step,
    /// Chooses among what there is.
    pub(super) chance: u64,
    pub(super) now: Timestamp,
}

impl Act {
    fn pick<T: Copy>(&self, among: &[T]) -> Option<T> {
        let count = among.len() as u64;
        among.get(usize::try_from(self.chance.checked_rem(count)?).unwrap()).copied()
    }

    async fn messages(&self, tx: &mut dyn Transaction) -> storage::Result<Vec<MessageId>> {
        Ok(tx
            .changes(self.account, ModSeq(0), 100_000)
            .await?
            .messages
            .iter()
            .map(|message| message.id)
            .collect())
    }

    fn body(&self, blob: Option<u8>) -> storage::Packed {
        let mut segments = vec![storage::Segment::Inline(format!("Subject: {}\r\n\r\n", self.chance).into())];
        segments.extend(blob.map(|seed| {
            let id = BlobId(*blake3::hash(&bytes(seed)).as_bytes());
            storage::Segment::Blob { id, size_bytes: 70_000 }
        }));
        Body { segments }.pack(BodyId::at(self.now, random())).unwrap()
    }

    async fn mail(&self, tx: &mut dyn Transaction, blob: Option<u8>, queued: bool) -> storage::Result<()> {
        let (account, now) = (self.account, self.now);
        let id = MessageId::at(now, random());
        let body = self.body(blob);
        let entry = NewQueueEntry {
            account,
            id: QueueId::at(now, random()),
            message: Some(id),
            body: QueueBody::Shared(body.id),
            return_path: None,
            recipients: vec!["x@elsewhere.test".parse::<EmailAddress>().unwrap().into()],
            terms: Terms::default(),
            origin: Origin::Submission,
            created_at: now,
            not_before: now,
            expires_at: now,
        };
        let own = QueueBody::Own(self.body(blob));
        let notice =
            NewQueueEntry { id: QueueId::at(now, random()), message: None, body: own, ..entry.clone() };
        let role = if queued { Role::Sent } else { Role::Inbox };
        tx.append(NewMessage {
            account,
            id,
            mailbox: Source::Role(role),
            flags: Flags::default(),
            keywords: vec!["work".into()],
            thread: ThreadId(id.0),
            refs: vec![i64::try_from(self.chance % 5).unwrap()],
            body,
            structure: b"structure".to_vec(),
            received_at: now,
            signature: Vec::new(),
            saved_at: now,
            sent_at: Some(now),
            summary: Summary { subject: format!("제목 {}", self.chance), ..Summary::default() },
            delivery: Vec::new(),
        })
        .await?;
        if queued {
            tx.enqueue(entry).await?;
            tx.enqueue(notice).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Work for Act {
    type Output = ();

    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        let account = self.account;
        let message = self.pick(&self.messages(tx).await?);
        let message: Vec<_> = message.into_iter().collect();
        match &self.step {
            Step::Account => tx.provision(account, self.now).await,
            Step::Remove => tx.purge(account).await,
            Step::Mail { blob, queued } => self.mail(tx, *blob, *queued).await,
            Step::Flag => {
                let change = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
                tx.change_flags(account, &message, &change).await.map(drop)
            }
            Step::Move => {
                let mailboxes: Vec<_> =
                    tx.mailboxes(account).await?.iter().map(|mailbox| mailbox.id).collect();
                let to = self.pick(&mailboxes).unwrap_or(MailboxId(1));
                tx.move_messages(account, &message, to, self.now).await.map(drop)
            }
            Step::Expunge => tx.expunge(account, &message).await.map(drop),
            Step::Folder => {
                let name = format!("보관 {}", self.chance);
                let new = NewMailbox { account, name, parent: None, role: None, now: self.now };
                tx.create_mailbox(new).await.map(drop)
            }
            Step::Share => {
                let mailboxes: Vec<_> =
                    tx.mailboxes(account).await?.iter().map(|mailbox| mailbox.id).collect();
                let Some(mailbox) = self.pick(&mailboxes) else { return Ok(()) };
                let grant = Grant {
                    grantee: AccountId(1 + account.0 % 3),
                    mailbox,
                    grantee_since: self.now,
                    rights: Rights::from_bits(u16::try_from(self.chance % 4).unwrap()),
                    subscribed: self.chance.is_multiple_of(3),
                };
                tx.set_grant(account, &grant).await
            }
            Step::Upload(seed) => {
                let blob = BlobId(*blake3::hash(&bytes(*seed)).as_bytes());
                let id = UploadId::at(self.now, random());
                let (filename, content_type) = ("a.bin".into(), "application/octet-stream".into());
                let created_at = self.now;
                tx.add_upload(Upload {
                    account,
                    id,
                    filename,
                    content_type,
                    size_bytes: 70_000,
                    blob,
                    created_at,
                })
                .await
            }
            Step::Discard => tx.expire_uploads(self.now).await.map(drop),
            Step::Unqueue => {
                let filter = storage::QueueFilter { account: Some(account), after: None, limit: 100 };
                let entries: Vec<_> = tx.queue(&filter).await?.iter().map(|entry| entry.id).collect();
                match self.pick(&entries) {
                    Some(id) => tx.drop_entry(account, id).await.map(drop),
                    None => Ok(()),
                }
            }
            Step::Alias | Step::Run { .. } => Ok(()),
        }
    }
}
