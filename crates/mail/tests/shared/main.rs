//! Mailboxes that are shared, between accounts on different shards: what is let in, and what never is.

#![cfg(test)]

mod closed;
mod gate;
mod notes;
mod taken;
mod visits;
mod watching;

use std::sync::Arc;

use cluster::LocalCache;
use mail::{Access, Error, NewLetter, Reach, RightsChange, Submission, Target, Texts};
use testkit::{House, PostgresCluster, fixtures, house::PASSWORD};
use types::{Bucket, EmailAddress, Flags, MailboxId, MessageId, Rights, Role, Secret, Terms, api};

const ALICE: &str = "alice@demo.test";
const READ: &str = "lr";

/// A house, an owner, and a grantee on another shard.
struct Shared {
    house: House,
    owner: Access,
    grantee: Access,
    inbox: MailboxId,
}

impl Shared {
    async fn open(house: House) -> Self {
        let owner = house.access(ALICE).await.unwrap();
        let home = house.mail.shards().shard_of(owner.id());
        let mut number = 0;
        let grantee = loop {
            number += 1;
            let email: EmailAddress = format!("grantee{number}@demo.test").parse().unwrap();
            let password = Secret::new(PASSWORD.to_owned());
            house.mail.admin().add_account(&email, "Grantee", password, None).await.unwrap();
            let grantee = house.access(&email.to_string()).await.unwrap();
            if house.mail.shards().shard_of(grantee.id()) != home {
                break grantee;
            }
        };
        assert_ne!(Bucket::of(owner.id()), Bucket::of(grantee.id()));
        let inbox = of_role(&owner, Role::Inbox).await;
        Self { house, owner, grantee, inbox }
    }

    async fn share(&self, rights: &str) {
        let grantee = self.grantee.email().to_string();
        self.owner.share_folder(self.inbox, &grantee, rights).await.unwrap();
    }

    async fn reach(&self) -> Option<Reach> {
        self.grantee.reach(self.owner.id(), self.inbox).await.unwrap()
    }

    async fn deliver(&self, subject: &str) -> MessageId {
        let id = self.house.mail.new_id();
        let incoming = mail::Incoming {
            id,
            return_path: None,
            recipients: vec![(self.owner.email().clone(), self.owner.id()).into()],
            terms: Terms::default(),
            raw: fixtures::mail("x@elsewhere.test", ALICE, subject, "Some text").into(),
        };
        self.house.mail.deliver(incoming).await.unwrap();
        id
    }
}

async fn of_role(access: &Access, role: Role) -> MailboxId {
    let folders = access.folders().await.unwrap().folders;
    folders.iter().find(|folder| folder.role == Some(role)).unwrap().id
}

async fn count(access: &Access, mailbox: MailboxId) -> usize {
    access.roll(mailbox).await.unwrap().unwrap().messages.len()
}

fn targets(reach_roll: &mail::Roll) -> Vec<Target> {
    reach_roll.messages.iter().map(|message| Target { id: message.id, uid: message.uid }).collect()
}

async fn what_is_shared(house: House) {
    let shared = Shared::open(house).await;
    assert!(shared.reach().await.is_none(), "nothing is shared by itself");
    let id = shared.deliver("one").await;
    shared.share(READ).await;
    let reach = shared.reach().await.unwrap();
    assert!(reach.letters(&[id]).await.unwrap().contains_key(&id));
    assert!(
        shared.grantee.reach(shared.owner.id(), MailboxId(2)).await.unwrap().is_none(),
        "no other mailbox"
    );

    // Its owner puts it where nobody else sees it: whoever has its id from before reads nothing any more.
    let archive = of_role(&shared.owner, Role::Archive).await;
    let elsewhere = api::Patch { folder_id: Some(archive), ..api::Patch::default() };
    shared.owner.patch_one(id, &elsewhere).await.unwrap();
    assert!(reach.rows(&[id]).await.unwrap().is_empty());
    assert!(reach.structures(&[id]).await.unwrap().is_empty());
    assert!(reach.letters(&[id]).await.unwrap().is_empty());
    assert_eq!(reach.signatures(&[id]).await.unwrap(), [None]);
    assert_eq!(reach.texts(&[id], Texts::All).await.unwrap(), [None]);
    assert!(reach.portraits(&[id]).await.unwrap().is_empty());
    assert!(reach.headers(&[id]).await.unwrap().is_empty());
    // Nor by the access that is theirs alone.
    assert!(matches!(shared.grantee.message(id).await, Err(Error::NotFound(_))));

    // What is copied between accounts counts where it comes to.
    shared.deliver("two").await;
    shared.share("lrsitew").await;
    let (own, reach) = (of_role(&shared.grantee, Role::Archive).await, shared.reach().await.unwrap());
    let mine = shared.grantee.reach(shared.grantee.id(), own).await.unwrap().unwrap();
    let roll = reach.roll().await.unwrap().unwrap();
    let copied = reach.copy(&targets(&roll), &mine).await.unwrap().unwrap();
    assert_eq!(copied.pairs.len(), 1);
    let used = shared.grantee.account().await.unwrap().used_bytes;
    assert!(used > 0);
    let moved = reach.move_all(&targets(&roll), &mine).await.unwrap().unwrap();
    assert_eq!((moved.pairs.len(), count(&shared.owner, shared.inbox).await), (1, 0));
    let back = shared.grantee.roll(own).await.unwrap().unwrap();
    assert_eq!(mine.move_all(&targets(&back), &reach).await.unwrap().unwrap().pairs.len(), 2);
    assert_eq!((count(&shared.owner, shared.inbox).await, count(&shared.grantee, own).await), (2, 0));

    // Another node hears of what was taken away without being told.
    let node = shared.house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let there = node.admin().open(shared.grantee.email()).await.unwrap();
    assert!(there.reach(shared.owner.id(), shared.inbox).await.unwrap().is_some());
    let grantee = shared.grantee.email().to_string();
    shared.owner.unshare_folder(shared.inbox, &grantee).await.unwrap();
    assert!(there.reach(shared.owner.id(), shared.inbox).await.unwrap().is_none());
    assert!(there.all_named().await.unwrap().iter().all(|named| !named.shared));
}

#[tokio::test]
async fn only_what_is_shared_is_reached() {
    what_is_shared(House::open().await.unwrap()).await;
}

#[tokio::test]
async fn only_what_is_shared_is_reached_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    what_is_shared(House::open_on_postgres(&cluster).await.unwrap()).await;
}

#[tokio::test]
async fn grants_end_with_mailbox_and_account() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let grantee = shared.grantee.email().to_string();
    let new = api::NewFolder { name: "Projects".into(), parent_id: None };
    let folder = shared.owner.create_folder(&new).await.unwrap().id;
    shared.owner.share_folder(folder, &grantee, READ).await.unwrap();
    shared.share(READ).await;
    let names = async |access: &Access| {
        let all = access.all_named().await.unwrap();
        all.into_iter().filter(|named| named.shared).map(|named| named.name).collect::<Vec<_>>()
    };
    let wanted = ["Other Users/alice@demo.test/INBOX", "Other Users/alice@demo.test/Projects"];
    assert_eq!(names(&shared.grantee).await, wanted);
    shared.owner.delete_folder(folder).await.unwrap();
    assert_eq!(names(&shared.grantee).await, wanted[..1]);

    // Another account of the same address is another.
    let admin = shared.house.mail.admin();
    admin.remove_account(shared.grantee.email()).await.unwrap();
    assert!(shared.owner.folder_access(shared.inbox).await.unwrap().people.is_empty());
    let password = Secret::new(PASSWORD.to_owned());
    admin.add_account(shared.grantee.email(), "Another", password, None).await.unwrap();
    let another = shared.house.access(&grantee).await.unwrap();
    assert!(another.reach(shared.owner.id(), shared.inbox).await.unwrap().is_none());
    assert!(names(&another).await.is_empty());

    shared.share(READ).await;
    assert_eq!(names(&another).await, wanted[..1]);
    admin.remove_account(shared.owner.email()).await.unwrap();
    assert!(another.reach(shared.owner.id(), shared.inbox).await.unwrap().is_none());
    assert!(names(&another).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_move_with_their_bucket_and_old_copies_let_nobody_in() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    shared.share(READ).await;
    shared.deliver("one").await;
    let node = shared.house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let unaware = node.admin().open(shared.grantee.email()).await.unwrap();
    let from = shared.house.mail.shards().shard_of(shared.owner.id());
    let to = types::ShardId(1 - from.0);
    let bucket = Bucket::of(shared.owner.id());
    shared.house.mail.admin().move_buckets(&[bucket], to, &mut |_| {}).await.unwrap();
    let reach = shared.reach().await.unwrap();
    assert_eq!(reach.roll().await.unwrap().unwrap().messages.len(), 1);
    let grantee = shared.grantee.email().to_string();
    shared.owner.unshare_folder(shared.inbox, &grantee).await.unwrap();
    assert_eq!(node.shards().shard_of(shared.owner.id()), from, "it has not heard of the move");
    assert!(unaware.reach(shared.owner.id(), shared.inbox).await.unwrap().is_none());
}

#[tokio::test]
async fn every_use_asks_for_its_right() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let id = shared.deliver("one").await;
    let own = of_role(&shared.grantee, Role::Archive).await;
    let mine = shared.grantee.reach(shared.grantee.id(), own).await.unwrap().unwrap();
    for rights in ["l", "r", "s", "w", "i", "p", "k", "x", "t", "e", "a"] {
        shared.share(rights).await;
        let reach = shared.reach().await.unwrap();
        let has = |needed: &str| needed.contains(rights);
        let letter = || NewLetter {
            raw: fixtures::mail("x@y.test", ALICE, "new", "text").into(),
            flags: Flags::SEEN,
            keywords: vec!["word".into()],
            received_at: None,
        };
        let target = Target { id, uid: types::Uid(1) };
        let all = mail::Change::Replace { flags: Flags::NONE, keywords: Vec::new() };
        assert_eq!(reach.roll().await.is_ok(), has("r"), "{rights}: roll");
        assert_eq!(reach.vanished(types::ModSeq(1)).await.is_ok(), has("r"), "{rights}: vanished");
        assert_eq!(reach.rows(&[id]).await.is_ok(), has("r"), "{rights}: rows");
        assert_eq!(reach.letters(&[id]).await.is_ok(), has("r"), "{rights}: letters");
        assert_eq!(reach.structures(&[id]).await.is_ok(), has("r"), "{rights}: structures");
        assert_eq!(reach.signatures(&[id]).await.is_ok(), has("r"), "{rights}: signatures");
        assert_eq!(reach.texts(&[id], Texts::Header).await.is_ok(), has("r"), "{rights}: texts");
        assert_eq!(reach.portraits(&[id]).await.is_ok(), has("r"), "{rights}: portraits");
        assert_eq!(reach.headers(&[id]).await.is_ok(), has("r"), "{rights}: headers");
        assert_eq!(reach.sign(Vec::new()).await.is_ok(), has("r"), "{rights}: sign");
        let stored = reach.store(std::slice::from_ref(&target), &all, None).await;
        assert_eq!(stored.is_ok(), has("swt"), "{rights}: store");
        assert_eq!(reach.append(vec![letter()]).await.is_ok(), has("i"), "{rights}: append");
        assert_eq!(reach.expunge(&[]).await.is_ok(), has("e"), "{rights}: expunge");
        assert!(reach.remove(std::slice::from_ref(&target)).await.is_err(), "{rights}: wants two");
        assert!(reach.move_all(std::slice::from_ref(&target), &mine).await.is_err(), "{rights}: wants three");
        let copied = reach.copy(std::slice::from_ref(&target), &mine).await;
        assert_eq!(copied.is_ok(), has("r"), "{rights}: copy from");
        assert_eq!(mine.copy(&[], &reach).await.is_ok(), has("i"), "{rights}: copy to");
        assert_eq!(reach.everybody().await.is_ok(), has("a"), "{rights}: everybody");
        let change = RightsChange::Add(Rights::LOOKUP);
        assert_eq!(reach.grant("bob@demo.test", change).await.is_ok(), has("a"), "{rights}: grant");
    }
}

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

#[tokio::test]
async fn sends_in_the_name_of_who_lets_them() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (house, grantee) = (&shared.house, &shared.grantee);
    let own = grantee.email().to_string();
    let submit = async |from: &str, more: &str| {
        let raw = format!("From: {from}\r\n{more}To: x@elsewhere.test\r\nSubject: Hi\r\n\r\nText\r\n");
        let submission = Submission {
            id: types::QueueId(house.mail.new_id().0),
            return_path: Some(email(from)),
            recipients: vec![(email("bob@demo.test"), types::RecipientTerms::default())],
            terms: Terms::default(),
            not_before: None,
            raw: raw.into(),
        };
        grantee.submit(submission).await
    };
    let compose = |from: &str| api::Compose {
        from: Some(from.to_owned()),
        to: vec![types::Address { name: String::new(), email: "bob@demo.test".into() }],
        subject: "Composed".into(),
        text: Some("text".into()),
        ..api::Compose::default()
    };
    let sent = async || house.list(&own, Role::Sent).await.unwrap();
    let refused = |outcome: Result<(), Error>| assert!(matches!(outcome, Err(Error::Forbidden(_))));
    refused(submit(ALICE, "").await);
    refused(grantee.compose(compose(ALICE)).await.map(|_| ()));
    // Every right but the one, and the one on another folder, are not enough.
    shared.share("lrswikxtea").await;
    let archive = of_role(&shared.owner, Role::Archive).await;
    shared.owner.share_folder(archive, &own, "p").await.unwrap();
    refused(submit(ALICE, "").await);
    refused(grantee.compose(compose(ALICE)).await.map(|_| ()));
    assert!(!grantee.may_post_as(&email(ALICE)).await.unwrap());

    shared.share("p").await;
    assert!(grantee.may_post_as(&email(ALICE)).await.unwrap());
    assert!(!grantee.may_send_as(&email(ALICE)).await.unwrap(), "it is not their own");
    submit(ALICE, "").await.unwrap();
    refused(submit(ALICE, "Sender: alice@demo.test\r\n").await);
    refused(submit("bob@demo.test", "").await);
    submit(ALICE, &format!("Sender: {own}\r\n")).await.unwrap();
    submit(&own, "").await.unwrap();
    // The first has got a field more, which says who really sent it.
    let plain =
        |from: &str| format!("From: {from}\r\nTo: x@elsewhere.test\r\nSubject: Hi\r\n\r\nText\r\n").len();
    let field = format!("Sender: <{own}>\r\n").len();
    let given = format!("Sender: {own}\r\n").len();
    let mut wanted = [plain(ALICE) + field, plain(ALICE) + given, plain(&own)].map(|bytes| bytes as u64);
    let filter = storage::QueueFilter { account: Some(grantee.id()), after: None, limit: 10 };
    let shard = house.mail.shards().shard_of(grantee.id());
    let queue = house.mail.shards().latest(shard).await.unwrap().queue(&filter).await.unwrap();
    let mut sizes: Vec<_> = queue.iter().map(|entry| entry.size_bytes).collect();
    wanted.sort_unstable();
    sizes.sort_unstable();
    assert_eq!(sizes, wanted);

    let composed = grantee.compose(compose(ALICE)).await.unwrap();
    let raw = house.raw(&own, composed.id).await.unwrap();
    assert!(raw.contains("From: alice <alice@demo.test>\r\n"), "{raw}");
    assert!(raw.contains(&format!("Sender: Grantee <{own}>\r\n")), "{raw}");
    assert_eq!(sent().await.len(), 1);

    shared.owner.unshare_folder(shared.inbox, &own).await.unwrap();
    refused(submit(ALICE, "").await);
}
